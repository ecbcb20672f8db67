"""Policy documents: reading and writing their JSON, and the checks of a queue's access policy.

A policy is checked, not evaluated. Every form that the grammar of AWS allows is accepted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from protocol.errors import InvalidAttributeValue, OverLimit
from queueserver.rules import limits
from queueserver.rules.parameters import is_xml_text
from queueserver.utf8 import utf8_bytes

OLDEST_VERSION = "2008-10-17"
"""The version of a policy without one, and of the policies that AddPermission creates."""

_VERSIONS = (OLDEST_VERSION, "2012-10-17")
_TOP_KEYS = {"Version", "Id", "Statement"}
_PRINCIPAL_KINDS = {"AWS", "CanonicalUser", "Federated", "Service"}
_ALTERNATIVES = (
    ("Action", "NotAction"),
    ("Resource", "NotResource"),
    ("Principal", "NotPrincipal"),
)
_STATEMENT_KEYS = {"Sid", "Effect", "Condition"}.union(*_ALTERNATIVES)


def parse_json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object.

    A repeated name is rejected: two programs could read such a document in two ways. A number
    that does not fit into a float is rejected because it could not be written again.

    Raises:
        ValueError: the text is not JSON, not an object, nested too deeply, or rejected.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_distinct_members,
            parse_float=_finite_number,
            parse_constant=_reject_constant,
        )
    except RecursionError as error:
        raise ValueError(text) from error
    if not isinstance(value, dict):
        raise ValueError(text)  # noqa: TRY004 - every invalid text raises the same error
    return value


def compact_json(value: object) -> str:
    """Return the value as JSON without spaces.

    A letter beyond ASCII stays as it is: escaped, a policy of 8,192 bytes could take 24 KB. A
    value that XML cannot represent is written with all such letters escaped.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if is_xml_text(text) else json.dumps(value, separators=(",", ":"))


def as_list(value: object) -> list[Any]:
    """Return the items of a policy's element, which may be a list or a single item."""
    return list(value) if isinstance(value, list) else [value]


def _distinct_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError(pairs)
    return members


def _finite_number(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise ValueError(text)
    return number


def _reject_constant(text: str) -> None:
    """Reject NaN and Infinity, which Python reads although JSON does not have them."""
    raise ValueError(text)


def parse_policy(text: str) -> str:
    """Return the Policy to store: the text as it was sent.

    AWS: at most 8,192 bytes, 20 statements, 50 principals, 10 conditions, and 7 actions in a
    statement.

    Raises:
        InvalidAttributeValue: the text is not a policy, or too long.
        OverLimit: the policy has too many statements, actions, principals or conditions [guess:
            the texts of the last three follow the first's].
    """
    try:
        statements = _parse_statements(text)
    except ValueError:
        raise InvalidAttributeValue("Invalid value for the parameter Policy.") from None
    actions = max(sum(1 for _ in _items(one, "Action")) for one in statements)
    for count, what, maximum in (
        (len(statements), "statements", limits.MAXIMUM_POLICY_STATEMENTS),
        (actions, "actions", limits.MAXIMUM_STATEMENT_ACTIONS),
        (count_principals(statements), "principals", limits.MAXIMUM_POLICY_PRINCIPALS),
        (_count_conditions(statements), "conditions", limits.MAXIMUM_POLICY_CONDITIONS),
    ):
        if count > maximum:
            raise OverLimit(
                f"{count} {what} were found in the submitted policy, max allowed is {maximum}"
            )
    return text


def count_principals(statements: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of principals in the statements, counting each mention."""
    count = 0
    for statement in statements:
        for principal in _items(statement, "Principal"):
            kinds = principal.values() if isinstance(principal, dict) else [principal]
            count += sum(len(as_list(names)) for names in kinds)
    return count


def _parse_statements(text: str) -> list[dict[str, Any]]:
    """Return the statements of a policy.

    Raises:
        ValueError: the text is too long, or not a policy.
    """
    if utf8_bytes(text) > limits.MAXIMUM_POLICY_BYTES or not is_xml_text(text):
        raise ValueError(text)
    policy = parse_json_object(text)
    statements = as_list(policy.get("Statement", []))
    is_policy = (
        policy.keys() <= _TOP_KEYS
        and policy.get("Version", OLDEST_VERSION) in _VERSIONS
        and isinstance(policy.get("Id", ""), str)
        and statements
        and all(map(_is_statement, statements))
    )
    if not is_policy:
        raise ValueError(text)
    return statements


def _is_statement(value: object) -> bool:
    if not isinstance(value, dict) or not value.keys() <= _STATEMENT_KEYS:
        return False
    return (
        value.get("Effect") in ("Allow", "Deny")
        and isinstance(value.get("Sid", ""), str)
        and all((one in value) != (other in value) for one, other in _ALTERNATIVES)
        and all(
            _is_text_or_texts(value[key])
            for key in ("Action", "NotAction", "Resource", "NotResource")
            if key in value
        )
        and all(_is_principal(value[key]) for key in ("Principal", "NotPrincipal") if key in value)
        and _is_condition(value.get("Condition", {}))
    )


def _is_text_or_texts(value: object) -> bool:
    texts = as_list(value)
    return bool(texts) and all(isinstance(text, str) and text for text in texts)


def _is_principal(value: object) -> bool:
    if not isinstance(value, dict):
        return bool(value == "*")
    return (
        bool(value)
        and value.keys() <= _PRINCIPAL_KINDS
        and all(_is_text_or_texts(names) for names in value.values())
    )


def _is_condition(value: object) -> bool:
    """Return whether the value maps operators to keys, and keys to one or more values."""
    return isinstance(value, dict) and all(
        isinstance(keys, dict)
        and all(
            isinstance(one, str | int | float)
            for values in keys.values()
            for one in as_list(values)
        )
        for keys in value.values()
    )


def _items(statement: Mapping[str, Any], key: str) -> Iterator[Any]:
    """Yield the items of an element or of its opposite, such as Action and NotAction."""
    for one in (key, f"Not{key}"):
        if one in statement:
            yield from as_list(statement[one])


def _count_conditions(statements: Sequence[Mapping[str, Any]]) -> int:
    return sum(
        len(keys) for statement in statements for keys in statement.get("Condition", {}).values()
    )
