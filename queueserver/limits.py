"""Every number and character rule of SQS: pure functions that return, or raise SQS's own error.

Each rule states its number once, as a constant, and its text once, as AWS sends it. Refused here:
state, time, queue types and anything that needs to know more than the value at hand. What a valid
request pays for is one cheap test; only a refused value is looked at again to find the words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from protocol.actions import MessageAttributeValue
from protocol.errors import (
    BatchEntryIdsNotDistinct,
    BatchRequestTooLong,
    EmptyBatchRequest,
    InvalidBatchEntryId,
    InvalidMessageContents,
    InvalidParameterValue,
    TooManyEntriesInBatchRequest,
    UnsupportedOperation,
    missing_parameter,
)

MINIMUM_MESSAGE_SIZE_BYTES = 1_024
MAXIMUM_MESSAGE_BYTES = 1_048_576
MAXIMUM_BATCH_BYTES = 1_048_576
MAXIMUM_BATCH_ENTRIES = 10
MAXIMUM_MESSAGES_PER_RECEIVE = 10
MAXIMUM_DELAY_SECONDS = 900
MAXIMUM_VISIBILITY_SECONDS = 43_200
MAXIMUM_WAIT_TIME_SECONDS = 20
MINIMUM_RETENTION_SECONDS = 60
MAXIMUM_RETENTION_SECONDS = 1_209_600
MINIMUM_KMS_REUSE_SECONDS = 60
MAXIMUM_KMS_REUSE_SECONDS = 86_400
MAXIMUM_KMS_KEY_ID_CHARACTERS = 2_048
MAXIMUM_MESSAGE_ATTRIBUTES = 10
MAXIMUM_ATTRIBUTE_NAME_BYTES = 256
MAXIMUM_ATTRIBUTE_TYPE_BYTES = 256
MAXIMUM_NUMBER_DIGITS = 38
MINIMUM_NUMBER_EXPONENT = -128
MAXIMUM_NUMBER_EXPONENT = 126
MAXIMUM_TAGS = 50
MAXIMUM_TAG_KEY_CHARACTERS = 128
MAXIMUM_TAG_VALUE_CHARACTERS = 256
MAXIMUM_LIST_RESULTS = 1_000

SYSTEM_ATTRIBUTE_NAMES = frozenset(
    {
        "ApproximateFirstReceiveTimestamp",
        "ApproximateReceiveCount",
        "AWSTraceHeader",
        "DeadLetterQueueSourceArn",
        "MessageDeduplicationId",
        "MessageGroupId",
        "SenderId",
        "SentTimestamp",
        "SequenceNumber",
    }
)
"""The system attributes that a received message can show."""

TRACE_HEADER = "AWSTraceHeader"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")  # of a queue, of a batch's entry
_FIFO_ID = re.compile(r"[!-~]{1,128}")  # ASCII letters, digits and punctuation
_TAG_TEXT = re.compile(r"[\w\s.:/=+\-@]*")
_ATTRIBUTE_NAME = re.compile(r"(?!(?i:aws|amazon)\.)[\w-]+(?:\.[\w-]+)*")
_ATTRIBUTE_NAME_CHARACTERS = re.compile(r"[\w.-]+")
# The digits are matched by pieces that cannot overlap, so hostile input costs one pass.
_NUMBER = re.compile(r"[+-]?(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(?:[eE]([+-]?)([0-9]+))?")

_CONTROL_CHARACTERS = bytes({*range(0x20)} - {0x09, 0x0A, 0x0D})
_NONCHARACTERS = ("\ufffe".encode(), "\uffff".encode())
_CHARACTER_RANGES = "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"


class BatchEntry(Protocol):
    """What every batch's entries share."""

    @property
    def id(self) -> str | None:
        """The caller's name for the entry."""


def _invalid(parameter: str, value: object, reason: str) -> InvalidParameterValue:
    return InvalidParameterValue(
        f"Value {value} for parameter {parameter} is invalid. Reason: {reason}"
    )


def characters_allowed(text: str) -> bool:
    """Whether XML 1.0 can carry `text`: SQS's rule for bodies, attribute values and names.

    Deleting the refused bytes and comparing lengths is several times quicker than a regular
    expression; UTF-8 never uses those bytes inside a longer character.
    """
    try:
        encoded = text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    if len(encoded.translate(None, _CONTROL_CHARACTERS)) != len(encoded):
        return False
    return text.isascii() or not any(character in encoded for character in _NONCHARACTERS)


def _utf8_bytes(text: str) -> int:
    if text.isascii():
        return len(text)
    return len(text.encode("utf-8", "surrogatepass"))


# Queues


def queue_name(name: str) -> None:
    """Refuse a name that no standard queue can have."""
    if not name:
        raise InvalidParameterValue("Queue name cannot be empty")
    if not _NAME.fullmatch(name):
        raise InvalidParameterValue(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )


def max_results(value: int | None) -> int:
    """Return the size of a page of queue URLs, which is 1000 unless the caller gives one."""
    if value is None:
        return MAXIMUM_LIST_RESULTS
    if not 1 <= value <= MAXIMUM_LIST_RESULTS:
        reason = f"MaxResults must be an integer between 1 and {MAXIMUM_LIST_RESULTS}."
        raise InvalidParameterValue(f"Value for parameter MaxResults is invalid. Reason: {reason}")
    return value


def next_token(token: str | None, max_results: int | None) -> None:
    """Refuse a token without MaxResults: only a caller who asked for pages can turn one."""
    if token is not None and max_results is None:
        raise InvalidParameterValue(
            "MaxResults is a mandatory parameter when you provide a value for NextToken."
        )


def tags(tags: Mapping[str, str]) -> None:
    """Refuse tags that no queue can have."""
    if not tags:
        return
    tag_keys(list(tags))
    if any(key.lower().startswith("aws:") for key in tags):
        raise InvalidParameterValue("Tag keys that begin with aws: are reserved.")  # [guess]
    for value in tags.values():
        _tag_text("values", value, 0, MAXIMUM_TAG_VALUE_CHARACTERS)


def tag_keys(keys: Sequence[str]) -> None:
    """Refuse keys that no tag can have, and a list without any."""
    for key in keys or ("",):
        _tag_text("keys", key, 1, MAXIMUM_TAG_KEY_CHARACTERS)


def _tag_text(part: str, text: str, shortest: int, longest: int) -> None:
    if not shortest <= len(text) <= longest:
        raise InvalidParameterValue(
            f"Tag {part} must be between {shortest} and {longest} characters in length."
        )
    if not _TAG_TEXT.fullmatch(text) or not characters_allowed(text):
        raise InvalidParameterValue(
            f"Tag {part} may only contain unicode letters, digits, whitespace, "
            "or one of these symbols: _ . : / = + - @"
        )


def tag_count(queue_name: str, count: int) -> None:
    """Refuse a queue more tags than it may carry; `count` is what it would have afterwards."""
    if count > MAXIMUM_TAGS:
        raise InvalidParameterValue(f"Too many tags added for queue {queue_name}.")


# Messages


def message_body(body: str | None, position: int = 0) -> str:
    """Return the body; refuse a missing or empty one, and characters that XML cannot carry.

    `position` counts a batch's entries from 1; 0 is SendMessage.
    """
    if not body:
        entry = f"SendMessageBatchRequestEntry.{position}." if position else ""
        raise missing_parameter(f"{entry}MessageBody")
    if not characters_allowed(body):
        raise InvalidMessageContents
    return body


def message_bytes(body: str, attributes: Mapping[str, MessageAttributeValue] | None) -> int:
    """Return the size that SQS counts: body, and each attribute's name, type and raw value.

    System attributes, message group and deduplication id are free.
    """
    size = _utf8_bytes(body)
    if attributes:
        for name, value in attributes.items():
            size += _utf8_bytes(name) + _utf8_bytes(value.data_type or "")
            size += len(value.binary_value or b"") + _utf8_bytes(value.string_value or "")
    return size


def message_size(size: int, maximum: int) -> None:
    """Refuse SendMessage a message of more than the queue's `maximum` bytes."""
    if size > maximum:
        reason = f"Message must be shorter than {maximum} bytes."
        raise InvalidParameterValue(f"One or more parameters are invalid. Reason: {reason}")


def entry_size(size: int, maximum: int) -> None:
    """Refuse a batch's entry of more than the queue's `maximum` bytes, in the batch's words."""
    if size > maximum:
        reason = f"Message must be shorter than {maximum} bytes."
        raise InvalidParameterValue(f"One or more parameters cannot be validated. Reason: {reason}")


def batch_size(total: int) -> None:
    """Refuse a batch whose messages are too long together, whatever the queue's own limit."""
    if total > MAXIMUM_BATCH_BYTES:
        raise BatchRequestTooLong(
            f"Batch requests cannot be longer than {MAXIMUM_BATCH_BYTES} bytes. "
            f"You have sent {total} bytes."
        )


def delay_seconds(value: int) -> None:
    """Refuse a message's delay outside 0 to 900 s."""
    if not 0 <= value <= MAXIMUM_DELAY_SECONDS:
        reason = f"DelaySeconds must be >= 0 and <= {MAXIMUM_DELAY_SECONDS}."
        raise _invalid("DelaySeconds", value, reason)


def max_number_of_messages(value: int | None) -> int:
    """Return how many messages a receive may take, which is 1 unless the caller says so."""
    if value is None:
        return 1
    if not 1 <= value <= MAXIMUM_MESSAGES_PER_RECEIVE:
        reason = f"Must be between 1 and {MAXIMUM_MESSAGES_PER_RECEIVE}, if provided."
        raise _invalid("MaxNumberOfMessages", value, reason)
    return value


def wait_time_seconds(value: int) -> None:
    """Refuse a receive that would wait less than 0 s or more than 20 s."""
    if not 0 <= value <= MAXIMUM_WAIT_TIME_SECONDS:
        reason = f"Must be >= 0 and <= {MAXIMUM_WAIT_TIME_SECONDS}, if provided."
        raise _invalid("WaitTimeSeconds", value, reason)


def visibility_timeout_of_receive(value: int) -> None:
    """Refuse a receive's visibility timeout outside 0 s to 12 h."""
    if not 0 <= value <= MAXIMUM_VISIBILITY_SECONDS:
        reason = f"Must be >= 0 and <= {MAXIMUM_VISIBILITY_SECONDS}, if provided."
        raise _invalid("VisibilityTimeout", value, reason)


def visibility_timeout(value: int) -> None:
    """Refuse ChangeMessageVisibility a timeout outside 0 s to 12 h."""
    if not 0 <= value <= MAXIMUM_VISIBILITY_SECONDS:
        reason = f"Must be between 0 and {MAXIMUM_VISIBILITY_SECONDS}."
        raise _invalid("VisibilityTimeout", value, reason)


def visibility_timeout_of_entry(value: int) -> None:
    """Refuse an entry of ChangeMessageVisibilityBatch the same timeouts in the batch's words."""
    if not 0 <= value <= MAXIMUM_VISIBILITY_SECONDS:
        bounds = f"between 0 and {MAXIMUM_VISIBILITY_SECONDS}"
        reason = f"VisibilityTimeout must be an integer {bounds}."
        raise _invalid("VisibilityTimeout", value, reason)


def total_visibility(elapsed_ms: int, value: int) -> None:
    """Refuse to hide a message for more than 12 h after its receive, `elapsed_ms` ago."""
    if elapsed_ms + value * 1_000 > MAXIMUM_VISIBILITY_SECONDS * 1_000:
        limit = f"[{MAXIMUM_VISIBILITY_SECONDS} seconds]"
        reason = f"Total VisibilityTimeout for the message is beyond the limit {limit}."
        raise _invalid("VisibilityTimeout", value, reason)


def message_group_id(value: str) -> None:
    """Refuse a message group that SQS's alphabet or length rules out."""
    _fifo_id("MessageGroupId", value)


def message_deduplication_id(value: str) -> None:
    """Refuse a deduplication id that SQS's alphabet or length rules out."""
    _fifo_id("MessageDeduplicationId", value)


def receive_request_attempt_id(value: str) -> None:
    """Refuse an attempt id that SQS's alphabet or length rules out [guess: the same words]."""
    _fifo_id("ReceiveRequestAttemptId", value)


def _fifo_id(parameter: str, value: str) -> None:
    if not _FIFO_ID.fullmatch(value):
        alphabet = "can only include alphanumeric and punctuation characters. 1 to 128 in length."
        raise _invalid(parameter, value, f"{parameter} {alphabet}")


def batch_entries(entries: Sequence[BatchEntry] | None, entry_name: str) -> None:
    """Refuse a batch as a whole: no entries, too many, ids that are missing, bad or repeated.

    `entry_name` is the structure's name, such as `SendMessageBatchRequestEntry`.
    """
    if entries is None:
        raise missing_parameter("Entries")
    if not entries:
        raise EmptyBatchRequest(f"There should be at least one {entry_name} in the request.")
    if len(entries) > MAXIMUM_BATCH_ENTRIES:
        raise TooManyEntriesInBatchRequest(
            f"Maximum number of entries per request are {MAXIMUM_BATCH_ENTRIES}. "
            f"You have sent {len(entries)}."
        )
    seen: set[str] = set()
    repeated = None
    for position, entry in enumerate(entries, 1):
        if entry.id is None:
            raise missing_parameter(f"{entry_name}.{position}.Id")
        if not _NAME.fullmatch(entry.id):
            raise InvalidBatchEntryId
        if entry.id in seen and repeated is None:
            repeated = entry.id
        seen.add(entry.id)
    if repeated is not None:
        raise BatchEntryIdsNotDistinct(f"Id {repeated} repeated.")


# Message attributes


def message_attributes(attributes: Mapping[str, MessageAttributeValue] | None) -> None:
    """Refuse what SQS refuses of a message's own attributes."""
    if not attributes:
        return
    if len(attributes) > MAXIMUM_MESSAGE_ATTRIBUTES:
        raise InvalidParameterValue(
            f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum "
            f"[{MAXIMUM_MESSAGE_ATTRIBUTES}]."
        )
    for name, value in attributes.items():
        if not _ATTRIBUTE_NAME.fullmatch(name) or _utf8_bytes(name) > MAXIMUM_ATTRIBUTE_NAME_BYTES:
            raise InvalidParameterValue(_why_name_is_refused(name))
        _attribute_value("(user)", name, value)


def message_system_attributes(attributes: Mapping[str, MessageAttributeValue] | None) -> None:
    """Refuse everything but an `AWSTraceHeader` of type String."""
    for name, value in (attributes or {}).items():
        if name != TRACE_HEADER:
            raise InvalidParameterValue(f"Message system attribute name '{name}' is invalid.")
        _attribute_value("system", name, value)
        if value.data_type != "String":
            raise InvalidParameterValue(_unsupported_type("system", name, "String"))


def _why_name_is_refused(name: str) -> str:
    if not name:
        return "The request must contain non-empty message (user) attribute names."
    subject = "Message (user) attribute name"
    if _utf8_bytes(name) > MAXIMUM_ATTRIBUTE_NAME_BYTES:
        return f"{subject} must be shorter than {MAXIMUM_ATTRIBUTE_NAME_BYTES} bytes."
    if not _ATTRIBUTE_NAME_CHARACTERS.fullmatch(name):
        return (
            f"{subject} '{name}' is invalid. You must use only the following characters: "
            "a-z, A-Z, 0-9, underscore (_), hyphen (-), and period (.)."
        )
    if name.startswith("."):
        return f"{subject} must not begin with character '.'."
    if name.endswith("."):
        return f"{subject} must not end with character '.'."
    if ".." in name:
        return f"{subject} must not have successive '.' characters."
    return (
        "You can't use message attribute names beginning with 'AWS.' or 'Amazon'. "
        "These strings are reserved for internal use."
    )


def _attribute_value(kind: str, name: str, value: MessageAttributeValue) -> None:
    if value.string_list_values or value.binary_list_values:
        raise UnsupportedOperation(
            "Message attribute list values in SendMessage operation are not supported."
        )
    base = _attribute_base(kind, name, value)
    subject = f"Message {kind} attribute '{name}'"
    field = "Binary" if base == "Binary" else "String"
    text, blob = value.string_value, value.binary_value
    expected, other = (blob, text) if field == "Binary" else (text, blob)
    if expected and other:
        raise InvalidParameterValue(f"{subject} must have a single value.")
    if other:
        raise InvalidParameterValue(f"{subject} with type '{base}' must use field '{field}'.")
    if not expected:
        raise InvalidParameterValue(f"{subject} must contain a non-empty value of type '{base}'.")
    if text and not characters_allowed(text):
        raise InvalidParameterValue(  # [guess]
            f"Invalid characters found in the value of message {kind} attribute '{name}'. "
            f"Valid unicode characters are {_CHARACTER_RANGES}"
        )
    if base == "Number" and text:
        _number(kind, name, text)


def _attribute_base(kind: str, name: str, value: MessageAttributeValue) -> str:
    """Return the type without its custom suffix: String, Number or Binary."""
    data_type = value.data_type
    if not data_type:
        part = "value" if value.string_value is None and value.binary_value is None else "type"
        raise InvalidParameterValue(
            f"The message {kind} attribute '{name}' must contain a non-empty "
            f"message attribute {part}."
        )
    base = data_type.partition(".")[0]
    if base not in {"String", "Number", "Binary"} or not characters_allowed(data_type):
        raise InvalidParameterValue(_unsupported_type(kind, name, "Binary, Number, String"))
    if _utf8_bytes(data_type) > MAXIMUM_ATTRIBUTE_TYPE_BYTES:
        raise InvalidParameterValue(
            f"Message {kind} attribute type must be shorter than "
            f"{MAXIMUM_ATTRIBUTE_TYPE_BYTES} bytes."
        )
    return base


def _unsupported_type(kind: str, name: str, prefixes: str) -> str:
    return (
        f"The type of message {kind} attribute '{name}' is invalid. You must use only the "
        f"following supported type prefixes: {prefixes}."
    )


def _number(kind: str, name: str, text: str) -> None:
    """Refuse what is no decimal number of at most 38 digits between 10^-128 and 10^126.

    Works on the text alone: no integer or Decimal is ever built from a caller's million digits.
    """
    match = _NUMBER.fullmatch(text)
    whole, fraction = ("", "") if match is None else (match[1] or "", match[2] or match[3] or "")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if match is None or len(significant) > MAXIMUM_NUMBER_DIGITS:
        raise InvalidParameterValue(
            f"Can't cast the value of message {kind} attribute '{name}' to a number."
        )
    if not significant:
        return
    exponent_digits = (match[5] or "").lstrip("0")
    # Ten digits outweigh any number of leading zeros that fits into a message.
    exponent = int(exponent_digits[:10] or "0") * (-1 if match[4] == "-" else 1)
    leading = len(digits) - len(fraction) - 1 + exponent
    largest = leading == MAXIMUM_NUMBER_EXPONENT and significant == "1"
    if not (MINIMUM_NUMBER_EXPONENT <= leading < MAXIMUM_NUMBER_EXPONENT or largest):
        raise InvalidParameterValue(
            f"Number attribute value {text} should be in range (-10**128..10**126)"
        )


# What a receive shows


def attribute_filter(names: Sequence[str] | None) -> Callable[[str], bool] | None:
    """Return the test for the message attributes that a receive shows; None shows none.

    `All`, `*` and `.*` show every one, `prefix.*` those that start with the prefix (AWS asks for
    no dot after it), anything else the one of that name. A name that none can have matches none.
    """
    if not names:
        return None
    if not {"All", "*", ".*"}.isdisjoint(names):
        return lambda _: True
    exact = frozenset(names)
    prefixes = tuple(name[:-2] for name in names if name.endswith(".*"))
    return lambda name: name in exact or name.startswith(prefixes)


def system_attributes(names: Sequence[str] | None) -> frozenset[str]:
    """Return the system attributes that a receive shows; unknown names are ignored."""
    if not names:
        return frozenset()
    if "All" in names:
        return SYSTEM_ATTRIBUTE_NAMES
    return SYSTEM_ATTRIBUTE_NAMES.intersection(names)
