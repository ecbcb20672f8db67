"""The queue attributes, one row each: how a value is read, its default, and when it is shown.

A queue's stored form is a `dict[str, str]` of the attributes that were set explicitly, normalised;
defaults are never stored, so that a row's default counts wherever nothing was set. `FifoQueue` is
stored with FIFO queues, and tells them apart. Refused here: counting messages, telling the time,
and finding the queues that a redrive policy names. What is computed comes in as `facts`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from protocol.errors import (
    InvalidAttributeName,
    InvalidAttributeValue,
    InvalidParameterValue,
    OverLimit,
)
from queueserver.rules import limits
from queueserver.rules.policy_documents import parse_policy
from queueserver.rules.redrive_policies import (
    RedriveAllowPolicy,
    RedrivePolicy,
    parse_redrive_allow_policy,
    parse_redrive_policy,
)

Parse = Callable[[str], str | None]
"""Normalises a value. None clears the attribute; ValueError says that no queue can have it."""


class Row(msgspec.Struct, frozen=True):
    """An attribute.

    `parse` is None for what only SQS can set. A row with a `default` is always shown, another one
    when it is set; `shown_with` names the attribute without which it stays hidden nevertheless.
    `on_standard` is what a standard queue answers to an attribute that only FIFO queues have.
    """

    name: str
    parse: Parse | None = None
    default: str | None = None
    shown_with: str | None = None
    on_standard: str | None = None


def _whole_number(lowest: int, highest: int) -> Parse:
    def parse(value: str) -> str:
        # Ten ASCII digits are enough for every range; signs, spaces and decimals are not digits.
        if not re.fullmatch(r"[0-9]{1,10}", value) or not lowest <= int(value) <= highest:
            raise ValueError(value)
        return str(int(value))

    return parse


def _boolean(value: str) -> str:
    if value.lower() not in {"true", "false"}:
        raise ValueError(value)
    return value.lower()


def _choice(*choices: str) -> Parse:
    def parse(value: str) -> str:
        return choices[choices.index(value)]

    return parse


def _unless_empty(read: Callable[[str], str]) -> Parse:
    """SQS's documents are cleared by no text at all."""
    return lambda value: read(value) if value else None


def _key_id(value: str) -> str | None:
    """KMS alone knows which keys exist, so any text is one; no text is no key."""
    if len(value) > limits.MAXIMUM_KMS_KEY_ID_CHARACTERS or not limits.characters_allowed(value):
        raise ValueError(value)
    return value or None


_COUNTS = frozenset(
    {
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
    }
)

ROWS = (
    Row("QueueArn"),
    Row("ApproximateNumberOfMessages"),
    Row("ApproximateNumberOfMessagesNotVisible"),
    Row("ApproximateNumberOfMessagesDelayed"),
    Row("CreatedTimestamp"),
    Row("LastModifiedTimestamp"),
    Row(
        "VisibilityTimeout",
        _whole_number(0, limits.MAXIMUM_VISIBILITY_SECONDS),
        default="30",
    ),
    Row(
        "MaximumMessageSize",
        _whole_number(limits.MINIMUM_MESSAGE_SIZE_BYTES, limits.MAXIMUM_MESSAGE_BYTES),
        default=str(limits.MAXIMUM_MESSAGE_BYTES),
    ),
    Row(
        "MessageRetentionPeriod",
        _whole_number(limits.MINIMUM_RETENTION_SECONDS, limits.MAXIMUM_RETENTION_SECONDS),
        default="345600",
    ),
    Row("DelaySeconds", _whole_number(0, limits.MAXIMUM_DELAY_SECONDS), default="0"),
    Row(
        "ReceiveMessageWaitTimeSeconds",
        _whole_number(0, limits.MAXIMUM_WAIT_TIME_SECONDS),
        default="0",
    ),
    Row("SqsManagedSseEnabled", _boolean, default="true"),
    Row("KmsMasterKeyId", _key_id),
    Row(
        "KmsDataKeyReusePeriodSeconds",
        _whole_number(limits.MINIMUM_KMS_REUSE_SECONDS, limits.MAXIMUM_KMS_REUSE_SECONDS),
        default="300",
        shown_with="KmsMasterKeyId",
    ),
    Row("Policy", _unless_empty(parse_policy)),
    Row("RedrivePolicy", _unless_empty(lambda value: parse_redrive_policy(value).text)),
    Row("RedriveAllowPolicy", _unless_empty(lambda value: parse_redrive_allow_policy(value).text)),
    Row("FifoQueue", _boolean, on_standard="Unknown Attribute FifoQueue."),
    Row(
        "ContentBasedDeduplication",
        _boolean,
        default="false",
        shown_with="FifoQueue",
        on_standard="Unknown Attribute ContentBasedDeduplication.",
    ),
    Row(
        "DeduplicationScope",
        _choice("queue", "messageGroup"),
        default="queue",
        shown_with="FifoQueue",
        on_standard="You can specify the DeduplicationScope only when FifoQueue is set to true.",
    ),
    Row(
        "FifoThroughputLimit",
        _choice("perQueue", "perMessageGroupId"),
        default="perQueue",
        shown_with="FifoQueue",
        on_standard="You can specify the FifoThroughputLimit only when FifoQueue is set to true.",
    ),
)

_ROWS = {row.name: row for row in ROWS}
_DEFAULTS = {row.name: row.default for row in ROWS if row.default is not None}


class Attributes(msgspec.Struct, frozen=True, rename="pascal"):
    """What every message's path needs to know of its queue; seconds, and bytes for the size."""

    delay_seconds: int
    maximum_message_size: int
    message_retention_period: int
    receive_message_wait_time_seconds: int
    visibility_timeout: int
    fifo_queue: bool = False
    content_based_deduplication: bool = False
    redrive_policy: RedrivePolicy | None = None
    redrive_allow_policy: RedriveAllowPolicy | None = None


def typed(stored: Mapping[str, str]) -> Attributes:
    """Build the typed view of a queue's stored form."""
    values: dict[str, object] = {**_DEFAULTS, **stored}
    if "RedrivePolicy" in stored:
        values["RedrivePolicy"] = parse_redrive_policy(stored["RedrivePolicy"])
    if "RedriveAllowPolicy" in stored:
        values["RedriveAllowPolicy"] = parse_redrive_allow_policy(stored["RedriveAllowPolicy"])
    return msgspec.convert(values, Attributes, strict=False)


def is_fifo(attributes: Mapping[str, str]) -> bool:
    """Tell a FIFO queue by its stored form, or by the request that creates it."""
    return attributes.get("FifoQueue", "").lower() == "true"


def parse(
    requested: Mapping[str, str], current: Mapping[str, str], *, creating: bool
) -> dict[str, str]:
    """Return the stored form that `requested` makes of `current`, which stays as it is.

    Raises InvalidAttributeName for what SQS does not know or does not let anybody set, or not on a
    queue of this type, and for two kinds of encryption at once; InvalidAttributeValue for a value
    out of range or form; what the policies' own rules raise; InvalidParameterValue for a throughput
    limit per message group where deduplication is not.
    """
    fifo = is_fifo(requested if creating else current)
    changes = {
        name: _normalised(name, value, fifo=fifo, creating=creating)
        for name, value in requested.items()
    }
    key, managed = changes.get("KmsMasterKeyId"), changes.get("SqsManagedSseEnabled")
    if key is not None and managed == "true":
        raise InvalidAttributeName(
            "You can use one type of server-side encryption (SSE) at one time. "
            "You can either enable KMS SSE or SQS SSE."
        )
    # A key switches SQS's own encryption off, for good: clearing the key later leaves neither.
    if key is not None:
        changes["SqsManagedSseEnabled"] = "false"
    elif managed == "true":
        changes |= {"KmsMasterKeyId": None, "KmsDataKeyReusePeriodSeconds": None}
    merged = {**current, **changes}
    per_group = merged.get("FifoThroughputLimit") == "perMessageGroupId"
    if per_group and merged.get("DeduplicationScope") != "messageGroup":
        raise InvalidParameterValue(
            "The perMessageGroupId value is allowed only when the value for DeduplicationScope is "
            "messageGroup"
        )
    return {name: value for name, value in merged.items() if value is not None}


def _normalised(name: str, value: str, *, fifo: bool, creating: bool) -> str | None:
    row = _ROWS.get(name)
    if row is None or row.parse is None:
        raise InvalidAttributeName(f"Unknown Attribute {name}.")
    try:
        normalised = row.parse(value)
    except ValueError:
        raise InvalidAttributeValue(f"Invalid value for the parameter {name}.") from None
    except OverLimit as error:
        # The same policy, with the same words, is another error to a queue that is not there yet.
        raise InvalidParameterValue(error.message) if creating else error from None
    if row.on_standard is not None and not fifo:
        raise InvalidAttributeName(row.on_standard)
    if name == "FifoQueue" and normalised == "false":
        raise InvalidAttributeValue(
            "Invalid value for the parameter FifoQueue. "
            "Reason: Modifying queue type is not supported."
        )
    return normalised


def first_difference(requested: Mapping[str, str], stored: Mapping[str, str]) -> str | None:
    """Name the first requested attribute whose value differs from the existing queue's.

    CreateQueue compares only what its request gives, with the current values: defaults count.
    Raises as `parse` does when creating.
    """
    fifo = is_fifo(requested)
    for name, value in requested.items():
        wanted = _normalised(name, value, fifo=fifo, creating=True)
        if wanted != stored.get(name, _DEFAULTS.get(name)):
            return name
    return None


def needs_counts(names: Sequence[str] | None) -> bool:
    """Tell whether an answer to `names` shows how many messages the queue holds."""
    return bool(names) and not (_COUNTS | {"All"}).isdisjoint(names or ())


def describe(
    names: Sequence[str] | None, stored: Mapping[str, str], facts: Mapping[str, str]
) -> dict[str, str]:
    """Return what GetQueueAttributes shows for `names`, which may hold `All`.

    `facts` has the attributes that only SQS sets, the three counts when `needs_counts`. Attributes
    without a value are left out; a name that SQS does not know raises InvalidAttributeName.
    """
    wanted = frozenset(names or ())
    for name in names or ():
        if name not in _ROWS and name != "All":
            raise InvalidAttributeName(f"Unknown Attribute {name}.")
    values = {**_DEFAULTS, **stored, **facts}
    return {
        row.name: values[row.name]
        for row in ROWS
        if (row.name in wanted or "All" in wanted)
        and row.name in values
        and (row.shown_with is None or row.shown_with in values)
    }
