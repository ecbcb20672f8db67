"""Redrive policies: where a source queue's messages end, and whom a dead-letter queue takes in.

Pure. Refused here: finding the queues that are named. What only their owner's facts can refuse
(there is no such queue, or another type) is worded here, and raised where it is found out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from protocol.errors import InvalidParameterValue
from protocol.names import Arn, parse_arn
from queueserver.rules import limits
from queueserver.rules.policy_documents import document

_PERMISSIONS = {"allowAll", "denyAll", "byQueue"}


class RedrivePolicy(msgspec.Struct, frozen=True):
    """After `max_receive_count` receives, 1 to 1000, a message moves to the queue `target`."""

    target: Arn
    max_receive_count: int

    @property
    def text(self) -> str:
        """What GetQueueAttributes shows, however the policy was written."""
        return _written(
            {"deadLetterTargetArn": str(self.target), "maxReceiveCount": self.max_receive_count}
        )


class RedriveAllowPolicy(msgspec.Struct, frozen=True):
    """Who may use the queue as a dead-letter queue: `allowAll`, `denyAll`, or `byQueue`."""

    permission: str
    source_queue_arns: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What GetQueueAttributes shows, however the policy was written."""
        arns = {"sourceQueueArns": self.source_queue_arns} if self.source_queue_arns else {}
        return _written({"redrivePermission": self.permission, **arns})

    def allows(self, source_arn: str) -> bool:
        """Tell whether the queue of that ARN may have this one as its dead-letter queue."""
        if self.permission == "byQueue":
            return source_arn in self.source_queue_arns
        return self.permission == "allowAll"


def parse_redrive_policy(text: str) -> RedrivePolicy:
    """Read a RedrivePolicy; raise InvalidParameterValue for what no queue can have.

    Whether the target can be a dead-letter queue remains to be found out: it must belong to the
    source's account, exist in the source's region, be of the same type, and allow it.
    """
    try:
        policy = document(text)
    except ValueError:
        raise InvalidParameterValue(
            "Invalid value for the parameter RedrivePolicy. "
            "Reason: Redrive policy is not a valid JSON map."
        ) from None
    for name in ("maxReceiveCount", "deadLetterTargetArn"):
        if name not in policy:
            raise _refused(text, f"Redrive policy does not contain mandatory attribute: {name}.")
    count = _max_receive_count(text, policy["maxReceiveCount"])
    if len(policy) > 2:
        supported = "[maxReceiveCount, deadLetterTargetArn]"
        raise _refused(text, f"Only following attributes are supported: {supported}.")
    return RedrivePolicy(_target(text, policy["deadLetterTargetArn"]), count)


def _max_receive_count(text: str, value: object) -> int:
    """Read a number, or a text of digits: tools that know nothing but texts send those.

    Lists and maps are not repeated, as AWS's reader has no text for them either [guess].
    """
    scalar = isinstance(value, int | float) or value is None
    written = value if isinstance(value, str) else _written(value) if scalar else ""
    # Four digits would do; some more let zeros lead.
    if re.fullmatch(r"[0-9]{1,10}", written) and 1 <= int(written) <= limits.MAXIMUM_RECEIVE_COUNT:
        return int(written)
    bounds = f"valid values are from 1 to {limits.MAXIMUM_RECEIVE_COUNT} both inclusive"
    raise _refused(text, f"Invalid value for maxReceiveCount: {written}, {bounds}.")


def _target(text: str, value: object) -> Arn:
    """Return an ARN that is safe to look up."""
    arn = parse_arn(value) if isinstance(value, str) and limits.characters_allowed(value) else None
    if arn is None:
        raise _refused(text, "Dead-letter target ARN should be fully qualified ARN.")
    if arn.service != "sqs":
        raise _refused(text, "Only SQS queues are valid resources for deadLetterTargetArn.")
    return arn


def no_such_target(text: str) -> InvalidParameterValue:
    """Word that the target of the RedrivePolicy `text` does not exist, in the source's region."""
    return _refused(text, "Dead letter target does not exist.")


def type_mismatch(text: str) -> InvalidParameterValue:
    """Word that one of source and target is a FIFO queue and the other is not."""
    return _refused(text, "Dead-letter queue must be same type of queue as the source..")


def other_account(text: str) -> InvalidParameterValue:
    """Word that source and target belong to two accounts."""
    return _refused(text, "Dead-letter target owner should be same as the source.")


def not_allowed(text: str) -> InvalidParameterValue:
    """Word that the target's RedriveAllowPolicy does not have the source [guess]."""
    return _refused(
        text,
        "Amazon SQS can't use the queue as a dead-letter queue. "
        "The redrive allow policy of the queue doesn't allow it.",
    )


def _refused(text: str, reason: str) -> InvalidParameterValue:
    return limits.invalid("RedrivePolicy", text, reason)


def parse_redrive_allow_policy(text: str) -> RedriveAllowPolicy:
    """Read a RedriveAllowPolicy; raise InvalidParameterValue for what no queue can have.

    The source queues need not exist. An empty list of them is as good as none.
    """
    try:
        permission, arns = _permission(document(text))
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
        raise limits.invalid("RedriveAllowPolicy", text, reason)
    return RedriveAllowPolicy(permission, tuple(arns))


def _permission(policy: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the permission and the sources' ARNs; raise ValueError for another form."""
    permission, arns = policy.get("redrivePermission"), policy.get("sourceQueueArns", [])
    if not policy.keys() <= {"redrivePermission", "sourceQueueArns"}:
        raise ValueError(policy)
    if not isinstance(permission, str) or permission not in _PERMISSIONS:
        raise ValueError(policy)
    if not isinstance(arns, list) or not all(map(_is_queue_arn, arns)):
        raise ValueError(policy)
    return permission, arns


def _is_queue_arn(value: object) -> bool:
    if not isinstance(value, str) or not limits.characters_allowed(value):
        return False
    arn = parse_arn(value)
    return arn is not None and arn.service == "sqs"


def _written(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
