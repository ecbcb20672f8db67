"""Access policies: what a queue's Policy may say, and the statements that permissions make of it.

Pure: documents in, documents out. Refused here: deciding who may do what. Where AWS's grammar
leaves a choice, the document may make it; what nobody could evaluate is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from protocol.errors import InvalidAttributeValue, OverLimit
from queueserver.rules import limits, permissions

_TOP_KEYS = {"Version", "Id", "Statement"}
_VERSIONS = ("2008-10-17", "2012-10-17")
_PRINCIPAL_KINDS = {"AWS", "CanonicalUser", "Federated", "Service"}
_CHOICES = (("Action", "NotAction"), ("Resource", "NotResource"), ("Principal", "NotPrincipal"))
_STATEMENT_KEYS = {"Sid", "Effect", "Condition"}.union(*_CHOICES)


def document(text: str) -> dict[str, Any]:
    """Read a JSON object; raise ValueError for anything else, and for what is ambiguous.

    A name that comes twice in one object is refused: two readers could take it for two documents.
    So are numbers that no float holds, as they could not be written again.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_distinct, parse_float=_finite, parse_constant=_refused
        )
    except RecursionError as error:
        raise ValueError(text) from error
    if not isinstance(value, dict):
        raise ValueError(text)  # noqa: TRY004 - whoever reads a text expects one error of it
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError(pairs)
    return members


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise ValueError(text)
    return number


def _refused(text: str) -> None:
    """JSON has no NaN and no Infinity."""
    raise ValueError(text)


def parse_policy(text: str) -> str:
    """Return the Policy to store, which is the text as it was given.

    Raises InvalidAttributeValue for what is no policy, and OverLimit for one with too many
    statements, principals, conditions, or actions in a statement [guess: the texts of the last
    three follow the first's].
    """
    try:
        statements = _statements(text)
    except ValueError:
        raise InvalidAttributeValue("Invalid value for the parameter Policy.") from None
    actions = max(sum(1 for _ in _named(one, "Action")) for one in statements)
    for count, what, maximum in (
        (len(statements), "statements", limits.MAXIMUM_POLICY_STATEMENTS),
        (actions, "actions", limits.MAXIMUM_STATEMENT_ACTIONS),
        (_principals(statements), "principals", limits.MAXIMUM_POLICY_PRINCIPALS),
        (_conditions(statements), "conditions", limits.MAXIMUM_POLICY_CONDITIONS),
    ):
        if count > maximum:
            raise OverLimit(
                f"{count} {what} were found in the submitted policy, max allowed is {maximum}"
            )
    return text


def add_permission(
    policy: str | None, queue_arn: str, label: str, accounts: Sequence[str], actions: Sequence[str]
) -> str:
    """Return the Policy with one more statement, after those that are there already.

    Raises what AddPermission answers: MissingParameter, InvalidParameterValue, and OverLimit when
    the policy would hold too much [guess: counting its bytes and principals too].
    """
    permissions.label(label)
    permissions.accounts(accounts)
    permissions.actions(actions)
    empty = {"Version": _VERSIONS[0], "Id": f"{queue_arn}/SQSDefaultPolicy", "Statement": []}
    grown = empty if policy is None else document(policy)
    statements = _listed(grown["Statement"])
    if any(statement.get("Sid") == label for statement in statements):
        raise limits.invalid("Label", label, "Already exists.")
    partition = queue_arn.split(":")[1]
    statements.append(
        {
            "Sid": label,
            "Effect": "Allow",
            "Principal": {"AWS": _lone([f"arn:{partition}:iam::{id_}:root" for id_ in accounts])},
            "Action": _lone([f"SQS:{name}" for name in actions]),
            "Resource": queue_arn,
        }
    )
    text = _written({**grown, "Statement": statements})
    permissions.quota(len(statements), "Statements", limits.MAXIMUM_POLICY_STATEMENTS)
    permissions.quota(_principals(statements), "Principals", limits.MAXIMUM_POLICY_PRINCIPALS)
    permissions.quota(len(text), "Bytes", limits.MAXIMUM_POLICY_BYTES)
    return text


def remove_permission(policy: str | None, label: str) -> str | None:
    """Return the Policy without the statement of that label; None if no other is left.

    Raises InvalidParameterValue when there is none of that label.
    """
    shrunk = {} if policy is None else document(policy)
    statements = _listed(shrunk.get("Statement", []))
    kept = [statement for statement in statements if statement.get("Sid") != label]
    if len(kept) == len(statements):
        raise limits.invalid("Label", label, "can't find label.")
    return _written({**shrunk, "Statement": kept}) if kept else None


def _written(policy: Mapping[str, Any]) -> str:
    """Write a policy in ASCII, so that each of its characters counts one and XML can carry it."""
    return json.dumps(policy, separators=(",", ":"))


def _lone(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def _listed(value: object) -> list[Any]:
    """Everything that may be a list of things in a policy may also be one such thing."""
    return list(value) if isinstance(value, list) else [value]


def _statements(text: str) -> list[dict[str, Any]]:
    """Return a policy's statements; raise ValueError unless it keeps to length and grammar."""
    long = limits.utf8_bytes(text) > limits.MAXIMUM_POLICY_BYTES
    policy = {} if long or not limits.characters_allowed(text) else document(text)
    statements = _listed(policy.get("Statement", []))
    keeps = (
        policy.keys() <= _TOP_KEYS
        and policy.get("Version", _VERSIONS[0]) in _VERSIONS
        and isinstance(policy.get("Id", ""), str)
        and statements
        and all(map(_is_statement, statements))
    )
    if not keeps:
        raise ValueError(text)
    return statements


def _is_statement(value: object) -> bool:
    if not isinstance(value, dict) or not value.keys() <= _STATEMENT_KEYS:
        return False
    return (
        value.get("Effect") in ("Allow", "Deny")
        and isinstance(value.get("Sid", ""), str)
        and all((one in value) != (other in value) for one, other in _CHOICES)
        and all(
            _are_texts(value[key])
            for key in ("Action", "NotAction", "Resource", "NotResource")
            if key in value
        )
        and all(_is_principal(value[key]) for key in ("Principal", "NotPrincipal") if key in value)
        and _is_condition(value.get("Condition", {}))
    )


def _are_texts(value: object) -> bool:
    texts = _listed(value)
    return bool(texts) and all(isinstance(text, str) and text for text in texts)


def _is_principal(value: object) -> bool:
    if not isinstance(value, dict):
        return bool(value == "*")
    return (
        bool(value)
        and value.keys() <= _PRINCIPAL_KINDS
        and all(_are_texts(names) for names in value.values())
    )


def _is_condition(value: object) -> bool:
    """Operators, each with keys, each with one value or several."""
    return isinstance(value, dict) and all(
        isinstance(keys, dict)
        and all(
            isinstance(one, str | int | float)
            for values in keys.values()
            for one in _listed(values)
        )
        for keys in value.values()
    )


def _named(statement: Mapping[str, Any], key: str) -> Iterator[Any]:
    """Give what a statement lists under a key or under its opposite."""
    for one in (key, f"Not{key}"):
        if one in statement:
            yield from _listed(statement[one])


def _principals(statements: Sequence[Mapping[str, Any]]) -> int:
    count = 0
    for statement in statements:
        for principal in _named(statement, "Principal"):
            kinds = principal.values() if isinstance(principal, dict) else [principal]
            count += sum(len(_listed(names)) for names in kinds)
    return count


def _conditions(statements: Sequence[Mapping[str, Any]]) -> int:
    return sum(
        len(keys) for statement in statements for keys in statement.get("Condition", {}).values()
    )
