"""Redrive policies and redrive allow policies: their formats and the errors for them.

A source queue's redrive policy names its dead-letter queue. A dead-letter queue's redrive allow
policy says which source queues may use it. Whether the target exists and fits is for the caller to
find out; the errors for it are built here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from protocol.errors import InvalidParameterValue
from protocol.names import Arn, parse_arn
from queueserver.json_objects import parse_json_object
from queueserver.rules import limits
from queueserver.rules.parameters import invalid_value_error, is_xml_text
from queueserver.rules.policy_documents import compact_json
from queueserver.rules.queue_parameters import is_queue_arn
from queueserver.utf8 import utf8_bytes
from storage.errors import DatabaseDamaged

_COUNT_DIGITS = re.compile(r"[0-9]{1,10}")  # leading zeros are allowed
_PERMISSIONS = {"allowAll", "denyAll", "byQueue"}


class RedrivePolicy(msgspec.Struct, frozen=True):
    """A redrive policy.

    Attributes:
        target: the ARN of the dead-letter queue.
        max_receive_count: the number of receives after which a message moves there, 1 to 1,000.
    """

    target: Arn
    max_receive_count: int

    @property
    def text(self) -> str:
        """Return the policy as GetQueueAttributes returns it: compact, with a numeric count."""
        return compact_json(
            {"deadLetterTargetArn": str(self.target), "maxReceiveCount": self.max_receive_count}
        )


class RedriveAllowPolicy(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={"permission": "redrivePermission", "source_queue_arns": "sourceQueueArns"},
):
    """A redrive allow policy.

    Attributes:
        permission: `allowAll`, `denyAll` or `byQueue`.
        source_queue_arns: with `byQueue`, the queues that may use this dead-letter queue.
    """

    permission: str
    source_queue_arns: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return the policy as GetQueueAttributes returns it: compact JSON."""
        return msgspec.json.encode(self).decode()

    @staticmethod
    def decode(text: str) -> RedriveAllowPolicy:
        """Return the policy that a queue has stored as this text.

        An earlier version of the server may have stored a policy that is rejected now.

        Raises:
            DatabaseDamaged: the text is not such a policy.
        """
        try:
            return _decode_allow_policy(text)
        except msgspec.DecodeError as error:
            raise DatabaseDamaged(f"a redrive allow policy cannot be read: {error}") from error

    def allows(self, source_arn: str) -> bool:
        """Return whether the queue with this ARN may use the dead-letter queue."""
        if self.permission == "byQueue":
            return source_arn in self.source_queue_arns
        return self.permission == "allowAll"


_decode_allow_policy = msgspec.json.Decoder(RedriveAllowPolicy).decode


def parse_redrive_policy(text: str) -> RedrivePolicy:
    """Parse a RedrivePolicy.

    AWS: a JSON object with deadLetterTargetArn and maxReceiveCount, 1 to 1,000. The target is not
    looked up: it must belong to the source's account, exist in its region, be of the same type and
    allow the source. The text has at most 8,192 bytes.

    Raises:
        InvalidParameterValue: no queue can have this policy.
    """
    try:
        policy = _parse_short_object(text)
    except ValueError:
        raise InvalidParameterValue(
            "Invalid value for the parameter RedrivePolicy. "
            "Reason: Redrive policy is not a valid JSON map."
        ) from None
    for name in ("maxReceiveCount", "deadLetterTargetArn"):
        if name not in policy:
            raise _policy_error(
                text, f"Redrive policy does not contain mandatory attribute: {name}."
            )
    count = _parse_max_receive_count(text, policy["maxReceiveCount"])
    if len(policy) > 2:
        supported = "[maxReceiveCount, deadLetterTargetArn]"
        raise _policy_error(text, f"Only following attributes are supported: {supported}.")
    return RedrivePolicy(_parse_target(text, policy["deadLetterTargetArn"]), count)


def _parse_short_object(text: str) -> dict[str, Any]:
    """Parse a JSON object of at most 8,192 bytes.

    Raises:
        ValueError: the text is longer, or `parse_json_object` rejects it.
    """
    if utf8_bytes(text) > limits.MAXIMUM_POLICY_BYTES:
        raise ValueError(text)
    return parse_json_object(text)


def _parse_max_receive_count(text: str, value: object) -> int:
    """Return the count, which may be a number or a text of digits, as some tools send it.

    The error repeats the value, except a list or an object [guess].
    """
    scalar = isinstance(value, int | float) or value is None
    written = value if isinstance(value, str) else compact_json(value) if scalar else ""
    if _COUNT_DIGITS.fullmatch(written) and 1 <= int(written) <= limits.MAXIMUM_RECEIVE_COUNT:
        return int(written)
    bounds = f"valid values are from 1 to {limits.MAXIMUM_RECEIVE_COUNT} both inclusive"
    raise _policy_error(text, f"Invalid value for maxReceiveCount: {written}, {bounds}.")


def _parse_target(text: str, value: object) -> Arn:
    """Return the ARN of a queue, which the database can look up."""
    arn = parse_arn(value) if isinstance(value, str) and is_xml_text(value) else None
    if arn is None:
        raise _policy_error(text, "Dead-letter target ARN should be fully qualified ARN.")
    if arn.service != "sqs":
        raise _policy_error(text, "Only SQS queues are valid resources for deadLetterTargetArn.")
    return arn


def missing_target_error(text: str) -> InvalidParameterValue:
    """Return the error for the RedrivePolicy `text` whose target does not exist."""
    return _policy_error(text, "Dead letter target does not exist.")


def target_type_error(text: str) -> InvalidParameterValue:
    """Return the error for a FIFO queue with a standard target, or the other way round."""
    return _policy_error(text, "Dead-letter queue must be same type of queue as the source..")


def target_account_error(text: str) -> InvalidParameterValue:
    """Return the error for a target of another account."""
    return _policy_error(text, "Dead-letter target owner should be same as the source.")


def target_denied_error(text: str) -> InvalidParameterValue:
    """Return the error for a target whose RedriveAllowPolicy excludes the source [guess]."""
    return _policy_error(
        text,
        "Amazon SQS can't use the queue as a dead-letter queue. "
        "The redrive allow policy of the queue doesn't allow it.",
    )


def _policy_error(text: str, reason: str) -> InvalidParameterValue:
    return invalid_value_error("RedrivePolicy", text, reason)


def parse_redrive_allow_policy(text: str) -> RedriveAllowPolicy:
    """Parse a RedriveAllowPolicy.

    AWS: a JSON object with redrivePermission, and with `byQueue` 1 to 10 sourceQueueArns of queues
    that need not exist. An empty list means the same as none. The text has at most 8,192 bytes.

    Raises:
        InvalidParameterValue: no queue can have this policy.
    """
    try:
        permission, arns = _parse_permission(_parse_short_object(text))
    except ValueError:
        raise InvalidParameterValue(
            "Invalid value for the parameter RedriveAllowPolicy. Reason: Amazon SQS can't create "
            "the redrive allow policy, as it\u2019s in an unsupported format."
        ) from None
    reason = None
    if arns and permission != "byQueue":
        reason = (
            "To specify one or more source queue ARNs, you must set redrivePermission to byQueue."
        )
    elif len(arns) > limits.MAXIMUM_SOURCE_QUEUES:
        maximum = limits.MAXIMUM_SOURCE_QUEUES
        reason = f"The maximum number of source queue ARNs you can specify is {maximum}."
    elif not arns and permission == "byQueue":
        reason = (
            "When you specify the byQueue permission type, you must also specify one or more "
            "sourceQueueArns values."
        )
    if reason is not None:
        reason = f"Amazon SQS can't create the redrive allow policy. {reason}"
        raise invalid_value_error("RedriveAllowPolicy", text, reason)
    return RedriveAllowPolicy(permission, tuple(arns))


def _parse_permission(policy: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the permission and the ARNs of the source queues.

    Raises:
        ValueError: a member is missing, unknown or of another type.
    """
    permission, arns = policy.get("redrivePermission"), policy.get("sourceQueueArns", [])
    if not policy.keys() <= {"redrivePermission", "sourceQueueArns"}:
        raise ValueError(policy)
    if not isinstance(permission, str) or permission not in _PERMISSIONS:
        raise ValueError(policy)
    if not isinstance(arns, list) or not all(map(_can_be_queue_arn, arns)):
        raise ValueError(policy)
    return permission, arns


def _can_be_queue_arn(value: object) -> bool:
    arn = parse_arn(value) if isinstance(value, str) else None
    return arn is not None and is_queue_arn(arn)
