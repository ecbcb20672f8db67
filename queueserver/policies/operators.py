"""Condition operators: the comparisons that AWS names in the element Condition.

A name is a comparison, such as StringLike, with an optional prefix (`ForAnyValue:`,
`ForAllValues:`) and an optional suffix (`IfExists`). The letter case matters.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import msgspec

from queueserver.policies.comparisons import (
    Comparison,
    ParsedComparison,
    PatternComparison,
    TextComparison,
    encode_text,
    is_in_network,
    parse_address,
    parse_binary,
    parse_boolean,
    parse_date,
    parse_network,
    parse_number,
    parse_policy_date,
    parse_values,
)
from queueserver.policies.documents import Document
from queueserver.policies.errors import PolicyError, quote

NULL = "Null"
"""The operator that tests whether a key is absent. It compares no value."""

_IF_EXISTS = "IfExists"

Found = TypeVar("Found")
Expected = TypeVar("Expected")


class CompileValues(Protocol):
    """A function that turns the values of a policy for one key into a comparison."""

    def __call__(self, texts: Sequence[str], document: Document) -> Comparison:
        """Compile the values, or raise a PolicyError if one is invalid."""


class SetQualifier(enum.Enum):
    """How many values of a key a comparison must match."""

    NONE = ""
    ANY = "ForAnyValue:"
    ALL = "ForAllValues:"


class Operator(msgspec.Struct, frozen=True):
    """An operator without prefix and suffix.

    Attributes:
        compile_values: turns the values of the policy into a comparison.
        is_negated: whether the values of the policy are those that must not match.
        is_false_for_invalid: whether a value of the request that cannot be parsed is one that
            does not match. Otherwise the condition cannot be evaluated.
    """

    compile_values: CompileValues
    is_negated: bool = False
    is_false_for_invalid: bool = False


class OperatorUse(msgspec.Struct, frozen=True):
    """An operator as a policy names it."""

    name: str
    operator: Operator
    qualifier: SetQualifier
    if_exists: bool


def parse_operator(name: str) -> OperatorUse:
    """Parse the name of an operator other than `Null`.

    Raises:
        PolicyError: no such operator exists.
    """
    qualifier = SetQualifier.NONE
    for one in (SetQualifier.ANY, SetQualifier.ALL):
        if name.startswith(one.value):
            qualifier = one
    plain = name.removeprefix(qualifier.value)
    found = _OPERATORS.get(plain.removesuffix(_IF_EXISTS))
    if found is None:
        raise PolicyError(f"{quote(name)} is not an operator")
    return OperatorUse(name, found, qualifier, plain.endswith(_IF_EXISTS))


def _compile_parsed(
    parse_found: Callable[[str], Found],
    parse_expected: Callable[[str], Expected],
    compare: Callable[[Found, Expected], bool],
    texts: Sequence[str],
    document: Document,
) -> Comparison:
    """Compile values of a type that has no variables."""
    return ParsedComparison(parse_found, compare, parse_values(texts, parse_expected))


_numbers = partial(_compile_parsed, parse_number, parse_number)
_dates = partial(_compile_parsed, parse_date, parse_policy_date)
_network = partial(_compile_parsed, parse_address, parse_network, is_in_network)
_arns = partial(PatternComparison, compares_arns=True)
_text_without_case = partial(TextComparison, ignores_case=True)

_OPERATORS = {
    "StringEquals": Operator(TextComparison),
    "StringNotEquals": Operator(TextComparison, is_negated=True),
    "StringEqualsIgnoreCase": Operator(_text_without_case),
    "StringNotEqualsIgnoreCase": Operator(_text_without_case, is_negated=True),
    "StringLike": Operator(PatternComparison),
    "StringNotLike": Operator(PatternComparison, is_negated=True),
    # AWS: a value that is no number does not match. For NumericNotEquals it would then match,
    # so the condition cannot be evaluated.
    "NumericEquals": Operator(partial(_numbers, operator.eq), is_false_for_invalid=True),
    "NumericNotEquals": Operator(partial(_numbers, operator.eq), is_negated=True),
    "NumericLessThan": Operator(partial(_numbers, operator.lt), is_false_for_invalid=True),
    "NumericLessThanEquals": Operator(partial(_numbers, operator.le), is_false_for_invalid=True),
    "NumericGreaterThan": Operator(partial(_numbers, operator.gt), is_false_for_invalid=True),
    "NumericGreaterThanEquals": Operator(partial(_numbers, operator.ge), is_false_for_invalid=True),
    "DateEquals": Operator(partial(_dates, operator.eq)),
    "DateNotEquals": Operator(partial(_dates, operator.eq), is_negated=True),
    "DateLessThan": Operator(partial(_dates, operator.lt)),
    "DateLessThanEquals": Operator(partial(_dates, operator.le)),
    "DateGreaterThan": Operator(partial(_dates, operator.gt)),
    "DateGreaterThanEquals": Operator(partial(_dates, operator.ge)),
    "Bool": Operator(partial(_compile_parsed, parse_boolean, parse_boolean, operator.eq)),
    "BinaryEquals": Operator(partial(_compile_parsed, encode_text, parse_binary, operator.eq)),
    "IpAddress": Operator(_network),
    "NotIpAddress": Operator(_network, is_negated=True),
    "ArnEquals": Operator(_arns),
    "ArnLike": Operator(_arns),
    "ArnNotEquals": Operator(_arns, is_negated=True),
    "ArnNotLike": Operator(_arns, is_negated=True),
}
