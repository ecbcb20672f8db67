"""The attribute Policy: which access policies SQS stores, and how their JSON is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

# Any: the JSON of a policy, whose grammar is checked.
from typing import Any

from protocol.errors import InvalidAttributeValue, OverLimit
from queueserver.json_objects import parse_json_object
from queueserver.policies.documents import PolicyKind, as_list, parse_document
from queueserver.policies.errors import PolicyError, one_word
from queueserver.policies.policy import QUEUE_POLICY, compile_document, compile_policy
from queueserver.rules import limits
from queueserver.rules.parameters import is_xml_text
from queueserver.utf8 import utf8_bytes


def compact_json(value: object) -> str:
    """Return the value as JSON without spaces.

    A letter beyond ASCII stays as it is: escaped, a policy of 8,192 bytes could take 24 KB. A
    value that XML cannot represent is written with all such letters escaped.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if is_xml_text(text) else json.dumps(value, separators=(",", ":"))


def parse_policy(text: str) -> str:
    """Return the Policy to store: the text as it was sent.

    The policy is compiled, so a stored policy can be evaluated. AWS: at most 8,192 bytes, 20
    statements, 50 principals, 10 conditions, and 7 actions in a statement.

    Raises:
        InvalidAttributeValue: the text is not a policy, or too long.
        OverLimit: the policy has too many statements, actions, principals or conditions [guess:
            the texts of the last three follow the first's].
    """
    length = utf8_bytes(text)
    if length > limits.MAXIMUM_POLICY_BYTES:
        raise _invalid_policy_error(
            f"the policy has {length} bytes, at most {limits.MAXIMUM_POLICY_BYTES} are allowed"
        )
    if not is_xml_text(text):
        raise _invalid_policy_error("the policy has a character that XML does not allow")
    try:
        document = parse_document(text, PolicyKind.QUEUE)
        _check_counts(document.statements)
        compile_document(document, QUEUE_POLICY)
    except PolicyError as error:
        raise _invalid_policy_error(str(error)) from None
    return text


def read_stored_policy(text: str) -> dict[str, Any]:
    """Return the document of a queue's policy, to change its statements.

    Raises:
        InvalidAttributeValue: the policy cannot be read, so it must be replaced as a whole: a
            damaged database has it, or an earlier version of the server has stored it.
    """
    try:
        compile_policy(text, PolicyKind.QUEUE, QUEUE_POLICY)
    except PolicyError as error:
        raise _invalid_policy_error(f"the stored policy cannot be read: {error}") from None
    return parse_json_object(text)


@contextmanager
def policy_of_queue(queue_arn: str) -> Iterator[None]:
    """Add the queue to the reason for the log, if its policy is rejected.

    Raises:
        InvalidAttributeValue: the same error. AWS's text for the client does not say the reason.
    """
    try:
        yield
    except InvalidAttributeValue as error:
        if error.reason:
            error.reason = f"queue={one_word(queue_arn)} reason={error.reason}"
        raise


def count_principals(statements: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of principals in the statements, counting each mention."""
    count = 0
    for statement in statements:
        for principal in _items(statement, "Principal"):
            kinds = principal.values() if isinstance(principal, dict) else [principal]
            count += sum(len(as_list(names)) for names in kinds)
    return count


def _invalid_policy_error(reason: str) -> InvalidAttributeValue:
    return InvalidAttributeValue("Invalid value for the parameter Policy.", reason=reason)


def _check_counts(statements: Sequence[Mapping[str, Any]]) -> None:
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


def _items(statement: Mapping[str, Any], key: str) -> Iterator[Any]:
    """Yield the items of an element or of its opposite, such as Action and NotAction."""
    for one in (key, f"Not{key}"):
        if one in statement:
            yield from as_list(statement[one])


def _count_conditions(statements: Sequence[Mapping[str, Any]]) -> int:
    return sum(
        len(keys) for statement in statements for keys in statement.get("Condition", {}).values()
    )
