"""The element Condition: when a statement applies.

All operators and keys must be met. Of the values of a key, one must match; with a negated
operator, none may.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from queueserver.policies.comparisons import Comparison, parse_boolean, parse_values
from queueserver.policies.condition_keys import MAXIMUM_TAGS, ConditionKey, find_condition_key
from queueserver.policies.documents import Document, as_list
from queueserver.policies.errors import PolicyError, one_word, quote
from queueserver.policies.letter_case import fold_ascii
from queueserver.policies.operators import NULL, OperatorUse, SetQualifier, parse_operator
from queueserver.policies.requests import Request
from queueserver.policies.ternary import all_of, any_of, negate

MAXIMUM_FOUND_CHARACTERS = 16_384
"""Characters in the values of a key of one request. AWS allows 50 tags with keys of 128
characters, and HTTP headers are shorter. A condition on longer values cannot be evaluated."""

MAXIMUM_VALUE_CHARACTERS = 4_096
"""Characters in one value of a key of one request."""

MAXIMUM_COMPARISONS = 2_000
"""Most values of a request times the patterns and variables of a policy, in one condition. AWS
allows 50 tags, so 40 patterns are possible for each; more could take a second."""


class Condition(Protocol):
    """One operator and key of the element Condition."""

    @property
    def name(self) -> str:
        """The operator and the key, such as `IpAddress/aws:SourceIp`: what logs call it."""

    def is_met(self, request: Request) -> bool | None:
        """Return whether the request meets it, or None if that cannot be evaluated."""


class NullCondition(msgspec.Struct, frozen=True):
    """A test whether a key is absent. `expected` has the values of the policy."""

    name: str
    key: ConditionKey
    expected: frozenset[bool]

    def is_met(self, request: Request) -> bool | None:
        """Return whether the key is absent or present, as the policy says."""
        return (self.key.read(request) is None) in self.expected


class ValueCondition(msgspec.Struct, frozen=True):
    """A test of the value of a key."""

    name: str
    key: ConditionKey
    use: OperatorUse
    comparison: Comparison

    def is_met(self, request: Request) -> bool | None:
        """Return whether the value matches, or None if it cannot be compared."""
        found = self.key.read(request)
        if found is None:
            return self._is_met_without_value()
        if self.use.qualifier is SetQualifier.NONE:
            if isinstance(found, str):
                return self._matches(found, request)
            # AWS leaves it undefined how several values are compared without a qualifier.
            return self._matches(found[0], request) if len(found) == 1 else None
        values = (found,) if isinstance(found, str) else found
        if (
            len(values) > MAXIMUM_TAGS
            or sum(map(len, values)) > MAXIMUM_FOUND_CHARACTERS
            or len(values) * self.comparison.size > MAXIMUM_COMPARISONS
        ):
            return None
        outcomes = (self._matches(value, request) for value in values)
        return any_of(outcomes) if self.use.qualifier is SetQualifier.ANY else all_of(outcomes)

    def _is_met_without_value(self) -> bool:
        if self.use.if_exists or self.use.qualifier is SetQualifier.ALL:
            return True
        return self.use.operator.is_negated and self.use.qualifier is SetQualifier.NONE

    def _matches(self, found: str, request: Request) -> bool | None:
        if len(found) > MAXIMUM_VALUE_CHARACTERS:
            return None
        operator = self.use.operator
        outcome = self.comparison.matches(found, request)
        if outcome is None and operator.is_false_for_invalid:
            return False
        return negate(outcome) if operator.is_negated else outcome


def compile_conditions(
    element: Mapping[str, Mapping[str, object]], document: Document
) -> tuple[Condition, ...]:
    """Return the conditions of a statement.

    Raises:
        PolicyError: an operator or a key does not exist, or a value cannot be parsed.
    """
    conditions: list[Condition] = []
    for operator_name, keys in element.items():
        if len({fold_ascii(name) for name in keys}) != len(keys):
            raise PolicyError(f"Condition: {quote(operator_name)} has a key twice")
        for key_name, values in keys.items():
            texts = [_text_of(value) for value in as_list(values)]
            try:
                conditions.append(_compile_condition(operator_name, key_name, texts, document))
            except PolicyError as error:
                raise PolicyError(f"Condition: {error}") from None
    return tuple(conditions)


def _compile_condition(
    operator_name: str, key_name: str, texts: list[str], document: Document
) -> Condition:
    key = find_condition_key(key_name, document.kind)
    name = f"{operator_name}/{one_word(key_name)}"
    if operator_name == NULL:
        return NullCondition(name, key, frozenset(parse_values(texts, parse_boolean)))
    use = parse_operator(operator_name)
    return ValueCondition(name, key, use, use.operator.compile_values(texts, document))


def _text_of(value: object) -> str:
    """Return a value of the JSON as text, as AWS compares numbers and booleans."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
