"""The queue attributes, one row each: how to parse a value, its default, when it is returned.

The stored form of a queue's attributes is a `dict[str, str]` with the attributes that were set, as
normalised texts. A default is never stored: it is the value of an attribute that was not set.
`FifoQueue` is stored with every FIFO queue and with no standard queue. Whether the queue of a
redrive policy exists is for the caller to find out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from protocol.errors import (
    InvalidAttributeName,
    InvalidAttributeValue,
    InvalidParameterValue,
    OverLimit,
)
from queueserver.rules import limits
from queueserver.rules.parameters import check_count, is_xml_text, parse_text_map
from queueserver.rules.policy_documents import parse_policy
from queueserver.rules.redrive_policies import (
    RedriveAllowPolicy,
    RedrivePolicy,
    parse_redrive_allow_policy,
    parse_redrive_policy,
)
from storage import queues
from storage.queue_settings import QueueName, QueueSettings, Redrive

Parse = Callable[[str], str | None]
"""Returns the normalised value, or None to clear the attribute; raises ValueError if invalid."""


class Row(msgspec.Struct, frozen=True):
    """A queue attribute.

    Attributes:
        name: the name of the attribute.
        parse: how to parse a value, or None if only SQS sets the attribute.
        default: the value if none was set; without a default the attribute has no value then.
        returned_with: another attribute that must have a value for this one to be returned.
        on_standard: the error text of a standard queue, if only FIFO queues have the attribute.
    """

    name: str
    parse: Parse | None = None
    default: str | None = None
    returned_with: str | None = None
    on_standard: str | None = None


def _integer_between(lowest: int, highest: int) -> Parse:
    def parse(value: str) -> str:
        # Ten ASCII digits are enough for every range. AWS rejects signs, spaces and decimals.
        if not re.fullmatch(r"[0-9]{1,10}", value) or not lowest <= int(value) <= highest:
            raise ValueError(value)
        return str(int(value))

    return parse


def _parse_boolean(value: str) -> str:
    if not re.fullmatch(r"(?ai:true|false)", value):
        raise ValueError(value)
    return value.lower()


def _one_of(*choices: str) -> Parse:
    def parse(value: str) -> str:
        return choices[choices.index(value)]

    return parse


def _cleared_by_empty(parse: Callable[[str], str]) -> Parse:
    """Return a parser that clears the attribute for an empty text, as AWS does for documents."""
    return lambda value: parse(value) if value else None


def _parse_key_id(value: str) -> str | None:
    """Return the key id, or None for an empty text; AWS does not look it up when it is set."""
    if len(value) > limits.MAXIMUM_KMS_KEY_ID_CHARACTERS or not is_xml_text(value):
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
        _integer_between(0, limits.MAXIMUM_VISIBILITY_SECONDS),
        default="30",
    ),
    Row(
        "MaximumMessageSize",
        _integer_between(limits.MINIMUM_MESSAGE_SIZE_BYTES, limits.MAXIMUM_MESSAGE_BYTES),
        default=str(limits.MAXIMUM_MESSAGE_BYTES),
    ),
    Row(
        "MessageRetentionPeriod",
        _integer_between(limits.MINIMUM_RETENTION_SECONDS, limits.MAXIMUM_RETENTION_SECONDS),
        default="345600",
    ),
    Row("DelaySeconds", _integer_between(0, limits.MAXIMUM_DELAY_SECONDS), default="0"),
    Row(
        "ReceiveMessageWaitTimeSeconds",
        _integer_between(0, limits.MAXIMUM_WAIT_TIME_SECONDS),
        default="0",
    ),
    Row("SqsManagedSseEnabled", _parse_boolean, default="true"),
    Row("KmsMasterKeyId", _parse_key_id),
    Row(
        "KmsDataKeyReusePeriodSeconds",
        _integer_between(limits.MINIMUM_KMS_REUSE_SECONDS, limits.MAXIMUM_KMS_REUSE_SECONDS),
        default="300",
        returned_with="KmsMasterKeyId",
    ),
    Row("Policy", _cleared_by_empty(parse_policy)),
    Row("RedrivePolicy", _cleared_by_empty(lambda value: parse_redrive_policy(value).text)),
    Row(
        "RedriveAllowPolicy",
        _cleared_by_empty(lambda value: parse_redrive_allow_policy(value).text),
    ),
    Row("FifoQueue", _parse_boolean, on_standard="Unknown Attribute FifoQueue."),
    Row(
        "ContentBasedDeduplication",
        _parse_boolean,
        default="false",
        returned_with="FifoQueue",
        on_standard="Unknown Attribute ContentBasedDeduplication.",
    ),
    Row(
        "DeduplicationScope",
        _one_of("queue", "messageGroup"),
        default="queue",
        returned_with="FifoQueue",
        on_standard="You can specify the DeduplicationScope only when FifoQueue is set to true.",
    ),
    Row(
        "FifoThroughputLimit",
        _one_of("perQueue", "perMessageGroupId"),
        default="perQueue",
        returned_with="FifoQueue",
        on_standard="You can specify the FifoThroughputLimit only when FifoQueue is set to true.",
    ),
)

_ROWS = {row.name: row for row in ROWS}
_DEFAULTS = {row.name: row.default for row in ROWS if row.default is not None}


class Attributes(msgspec.Struct, frozen=True, rename="pascal"):
    """The attributes that the actions on messages need, typed: times in seconds, size in bytes."""

    delay_seconds: int
    maximum_message_size: int
    message_retention_period: int
    receive_message_wait_time_seconds: int
    visibility_timeout: int
    fifo_queue: bool = False
    content_based_deduplication: bool = False
    redrive_policy: RedrivePolicy | None = None
    redrive_allow_policy: RedriveAllowPolicy | None = None
    sqs_managed_sse_enabled: bool = True
    kms_master_key_id: str | None = None
    kms_data_key_reuse_period_seconds: int = 300


def parse_stored(stored: Mapping[str, str]) -> Attributes:
    """Return a queue's stored attributes as typed values, with the defaults."""
    values: dict[str, object] = {**_DEFAULTS, **stored}
    if "RedrivePolicy" in stored:
        values["RedrivePolicy"] = parse_redrive_policy(stored["RedrivePolicy"])
    if "RedriveAllowPolicy" in stored:
        values["RedriveAllowPolicy"] = RedriveAllowPolicy.decode(stored["RedriveAllowPolicy"])
    return msgspec.convert(values, Attributes, strict=False)


def is_fifo(attributes: Mapping[str, str]) -> bool:
    """Return whether stored attributes, or those of a CreateQueue request, are a FIFO queue's."""
    return attributes.get("FifoQueue", "").lower() == "true"


def queue_kind(stored: Mapping[str, str]) -> str:
    """Return the kind of queue to create: standard, FIFO, or FIFO with deduplication by group.

    AWS: a later change of DeduplicationScope does not change how the queue deduplicates.
    """
    if not is_fifo(stored):
        return queues.STANDARD
    by_group = stored.get("DeduplicationScope") == "messageGroup"
    return queues.FIFO_BY_GROUP if by_group else queues.FIFO


def queue_settings(stored: Mapping[str, str]) -> QueueSettings:
    """Return the settings in a queue's stored attributes that storage applies."""
    values = parse_stored(stored)
    redrive, policy = None, values.redrive_policy
    if policy is not None:
        arn = policy.target
        target = QueueName(arn.account, arn.region, arn.resource)
        redrive = Redrive(target, policy.max_receive_count)
    return QueueSettings(
        values.message_retention_period * 1000, values.delay_seconds * 1000, redrive
    )


def parse_request(found: Mapping[str, str | None] | None) -> dict[str, str]:
    """Return the attributes of a CreateQueue or SetQueueAttributes request, unchecked.

    Raises:
        InvalidParameterValue: there are too many.
        MissingParameter: an attribute has no value.
    """
    check_count("attributes", len(found or ()), limits.MAXIMUM_NAMES)
    return parse_text_map("Attribute", found)


def parse_requested(
    requested: Mapping[str, str], current: Mapping[str, str], *, creating: bool
) -> dict[str, str]:
    """Return the stored attributes after CreateQueue or SetQueueAttributes.

    `current` has the stored attributes before; it is not changed. An attribute that `requested`
    does not name keeps its value.

    Raises:
        InvalidAttributeName: an attribute is unknown, read-only, or not for this type of queue, or
            two kinds of encryption are requested.
        InvalidAttributeValue: a value is out of range or malformed.
        InvalidParameterValue: a redrive policy is invalid, or FifoThroughputLimit is
            `perMessageGroupId` and DeduplicationScope is not `messageGroup`.
        OverLimit: the Policy has too many parts; when creating, this is InvalidParameterValue.
    """
    fifo = is_fifo(requested if creating else current)
    changes = {
        name: _parse_value(name, value, fifo=fifo, creating=creating)
        for name, value in requested.items()
    }
    key, managed = changes.get("KmsMasterKeyId"), changes.get("SqsManagedSseEnabled")
    if key is not None and managed == "true":
        raise InvalidAttributeName(
            "You can use one type of server-side encryption (SSE) at one time. "
            "You can either enable KMS SSE or SQS SSE."
        )
    # AWS: a KMS key turns SQS-managed encryption off. Clearing the key later turns on neither.
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


def _parse_value(name: str, value: str, *, fifo: bool, creating: bool) -> str | None:
    row = _ROWS.get(name)
    if row is None or row.parse is None:
        raise InvalidAttributeName(f"Unknown Attribute {name}.")
    try:
        normalised = row.parse(value)
    except ValueError:
        raise InvalidAttributeValue(f"Invalid value for the parameter {name}.") from None
    except OverLimit as error:
        # AWS: CreateQueue has the same text as SetQueueAttributes, but another error code.
        raise InvalidParameterValue(error.message) if creating else error from None
    if row.on_standard is not None and not fifo:
        raise InvalidAttributeName(row.on_standard)
    if name == "FifoQueue" and normalised == "false":
        raise InvalidAttributeValue(
            "Invalid value for the parameter FifoQueue. "
            "Reason: Modifying queue type is not supported."
        )
    return normalised


def find_difference(
    requested: Iterable[str], wanted: Mapping[str, str], stored: Mapping[str, str]
) -> str | None:
    """Return the name of the first requested attribute that differs from the existing queue's.

    `wanted` has the attributes that the request would store. AWS: CreateQueue compares only the
    attributes of the request, with the current values, which may be defaults.
    """
    for name in requested:
        default = _DEFAULTS.get(name)
        if wanted.get(name, default) != stored.get(name, default):
            return name
    return None


def check_names(names: Sequence[str] | None) -> None:
    """Reject the names of GetQueueAttributes if one is unknown, or if there are too many.

    Raises:
        InvalidAttributeName: SQS does not know a name.
        InvalidParameterValue: there are too many names.
    """
    check_count("attribute names", len(names or ()), limits.MAXIMUM_NAMES)
    for name in names or ():
        if name not in _ROWS and name != "All":
            raise InvalidAttributeName(f"Unknown Attribute {name}.")


def needs_counts(names: Sequence[str] | None) -> bool:
    """Return whether GetQueueAttributes for `names` needs the numbers of messages."""
    return bool(names) and not (_COUNTS | {"All"}).isdisjoint(names or ())


def describe(
    names: Sequence[str] | None, stored: Mapping[str, str], facts: Mapping[str, str]
) -> dict[str, str]:
    """Return the attributes that GetQueueAttributes returns for `names`, which may have `All`.

    `facts` has the attributes that only SQS sets; the three counts may be missing if
    `needs_counts` is false. An attribute without a value is omitted.
    """
    wanted = frozenset(names or ())
    values = {**_DEFAULTS, **stored, **facts}
    return {
        row.name: values[row.name]
        for row in ROWS
        if (row.name in wanted or "All" in wanted)
        and row.name in values
        and (row.returned_with is None or row.returned_with in values)
    }
