"""Every number and character rule of SQS: pure functions that return, or raise SQS's own error.

Each rule states its number once, as a constant, and its text once, as AWS sends it. Refused here:
state, time, and anything that needs to know more than the values at hand. What a valid request
pays for is one cheap test; only a refused value is looked at again to find the words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from protocol.actions import MessageAttributeValue
from protocol.errors import (
    BatchEntryIdsNotDistinct,
    BatchRequestTooLong,
    EmptyBatchRequest,
    InvalidBatchEntryId,
    InvalidMessageContents,
    InvalidParameterValue,
    MissingParameter,
    OverLimit,
    TooManyEntriesInBatchRequest,
    missing_parameter,
)
from protocol.names import Arn, parse_arn

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
MAXIMUM_TAGS = 50
MAXIMUM_TAG_KEY_CHARACTERS = 128
MAXIMUM_TAG_VALUE_CHARACTERS = 256
MAXIMUM_LIST_RESULTS = 1_000
MAXIMUM_RECEIVE_COUNT = 1_000
MAXIMUM_SOURCE_QUEUES = 10
MAXIMUM_MOVE_TASK_RESULTS = 10
MAXIMUM_MOVED_PER_SECOND = 500
MAXIMUM_ACTIVE_MOVE_TASKS = 100
MAXIMUM_POLICY_BYTES = 8_192
MAXIMUM_POLICY_STATEMENTS = 20
MAXIMUM_POLICY_PRINCIPALS = 50
MAXIMUM_POLICY_CONDITIONS = 10
MAXIMUM_STATEMENT_ACTIONS = 7

NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")  # of a queue, a batch's entry, a permission
NAME_RULE = "alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
_FIFO_ID = re.compile(r"[!-~]{1,128}")  # ASCII letters, digits and punctuation
_FIFO_NAME = re.compile(r"[A-Za-z0-9_-]{1,75}\.fifo")
_TAG_TEXT = re.compile(r"[\w\s.:/=+\-@]*")

_CONTROL_CHARACTERS = bytes({*range(0x20)} - {0x09, 0x0A, 0x0D})
_NONCHARACTERS = ("\ufffe".encode(), "\uffff".encode())
_WRONG_QUEUE_TYPE = "The request include parameter that is not valid for this queue type"


class BatchEntry(Protocol):
    """What every batch's entries share."""

    @property
    def id(self) -> str | None:
        """The caller's name for the entry."""


def invalid(parameter: str, value: object, reason: str) -> InvalidParameterValue:
    """Word a refused value as SQS does most of the time; the caller raises it."""
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


def utf8_bytes(text: str) -> int:
    """Return how long `text` is in UTF-8; a lone surrogate counts three."""
    if text.isascii():
        return len(text)
    return len(text.encode("utf-8", "surrogatepass"))


def entries(parameter: str, found: Mapping[str, str | None] | None) -> dict[str, str]:
    """Return a map of texts; refuse one in which a value is missing.

    `parameter` is what Query calls its entries, in whichever protocol the request came.
    """
    given = {name: value for name, value in (found or {}).items() if value is not None}
    if len(given) != len(found or {}):
        raise missing_parameter(f"{parameter}.Value")
    return given


# Queues


def queue_name(name: str, *, fifo: bool = False) -> None:
    """Refuse a name that no queue of that type can have: FIFO queues alone end in `.fifo`."""
    if not name:
        raise InvalidParameterValue("Queue name cannot be empty")
    if fifo and not _FIFO_NAME.fullmatch(name):
        raise InvalidParameterValue(
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or "
            "underscores, must end with .fifo suffix and be 1 to 80 in length"
        )
    if not fifo and not NAME.fullmatch(name):
        raise InvalidParameterValue(f"Can only include {NAME_RULE}")


def max_results(value: int | None) -> int:
    """Return the size of a page of queue URLs, which is 1000 unless the caller gives one."""
    if value is None:
        return MAXIMUM_LIST_RESULTS
    if not 1 <= value <= MAXIMUM_LIST_RESULTS:
        reason = f"MaxResults must be an integer between 1 and {MAXIMUM_LIST_RESULTS}."
        raise _unnamed_value("MaxResults", reason)
    return value


def _unnamed_value(parameter: str, reason: str) -> InvalidParameterValue:
    """Word a refusal that does not repeat the value, as SQS does of lists and move tasks."""
    return InvalidParameterValue(f"Value for parameter {parameter} is invalid. Reason: {reason}")


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


def tag_keys(keys: Sequence[str] | None) -> Sequence[str]:
    """Return the keys; refuse those that no tag can have, and a list without any."""
    if keys is None:
        raise missing_parameter("TagKeys")
    for key in keys or ("",):
        _tag_text("keys", key, 1, MAXIMUM_TAG_KEY_CHARACTERS)
    return keys


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
    """Return the body; refuse a missing or empty one.

    `position` counts a batch's entries from 1; 0 is SendMessage.
    """
    if not body:
        entry = f"SendMessageBatchRequestEntry.{position}." if position else ""
        raise missing_parameter(f"{entry}MessageBody")
    return body


def receipt_handle(handle: str | None) -> str:
    """Return the handle; refuse a missing or empty one."""
    if not handle:
        raise missing_parameter("ReceiptHandle")
    return handle


def message_contents(body: str) -> None:
    """Refuse a body with characters that XML cannot carry."""
    if not characters_allowed(body):
        raise InvalidMessageContents


def message_bytes(body: str, attributes: Mapping[str, MessageAttributeValue] | None) -> int:
    """Return the size that SQS counts: body, and each attribute's name, type and raw value.

    System attributes, message group and deduplication id are free.
    """
    size = utf8_bytes(body)
    if attributes:
        for name, value in attributes.items():
            size += utf8_bytes(name) + utf8_bytes(value.data_type or "")
            size += len(value.binary_value or b"") + utf8_bytes(value.string_value or "")
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
        raise invalid("DelaySeconds", value, reason)


def max_number_of_messages(value: int | None) -> int:
    """Return how many messages a receive may take, which is 1 unless the caller says so."""
    if value is None:
        return 1
    if not 1 <= value <= MAXIMUM_MESSAGES_PER_RECEIVE:
        reason = f"Must be between 1 and {MAXIMUM_MESSAGES_PER_RECEIVE}, if provided."
        raise invalid("MaxNumberOfMessages", value, reason)
    return value


def wait_time_seconds(value: int) -> None:
    """Refuse a receive that would wait less than 0 s or more than 20 s."""
    if not 0 <= value <= MAXIMUM_WAIT_TIME_SECONDS:
        reason = f"Must be >= 0 and <= {MAXIMUM_WAIT_TIME_SECONDS}, if provided."
        raise invalid("WaitTimeSeconds", value, reason)


def visibility_timeout_of_receive(value: int) -> None:
    """Refuse a receive's visibility timeout outside 0 s to 12 h."""
    if not 0 <= value <= MAXIMUM_VISIBILITY_SECONDS:
        reason = f"Must be >= 0 and <= {MAXIMUM_VISIBILITY_SECONDS}, if provided."
        raise invalid("VisibilityTimeout", value, reason)


def visibility_timeout(value: int | None) -> int:
    """Return the timeout; refuse ChangeMessageVisibility none, or one outside 0 s to 12 h."""
    if value is None:
        raise missing_parameter("VisibilityTimeout")
    if not 0 <= value <= MAXIMUM_VISIBILITY_SECONDS:
        reason = f"Must be between 0 and {MAXIMUM_VISIBILITY_SECONDS}."
        raise invalid("VisibilityTimeout", value, reason)
    return value


def visibility_timeout_of_entry(value: int) -> None:
    """Refuse an entry of ChangeMessageVisibilityBatch the same timeouts in the batch's words."""
    if not 0 <= value <= MAXIMUM_VISIBILITY_SECONDS:
        bounds = f"between 0 and {MAXIMUM_VISIBILITY_SECONDS}"
        reason = f"VisibilityTimeout must be an integer {bounds}."
        raise invalid("VisibilityTimeout", value, reason)


def total_visibility(elapsed_ms: int, value: int) -> None:
    """Refuse to hide a message for more than 12 h after its receive, `elapsed_ms` ago.

    Some time has always passed since, so that 12 h are too long from the first moment.
    """
    if max(elapsed_ms, 1) + value * 1_000 > MAXIMUM_VISIBILITY_SECONDS * 1_000:
        limit = f"[{MAXIMUM_VISIBILITY_SECONDS} seconds]"
        reason = f"Total VisibilityTimeout for the message is beyond the limit {limit}."
        raise invalid("VisibilityTimeout", value, reason)


def message_group_id(value: str, *, in_batch: bool = False) -> None:
    """Refuse a message group that SQS's alphabet or length rules out."""
    _fifo_id("MessageGroupId", value, in_batch=in_batch)


def message_deduplication_id(value: str, *, in_batch: bool = False) -> None:
    """Refuse a deduplication id that SQS's alphabet or length rules out."""
    _fifo_id("MessageDeduplicationId", value, in_batch=in_batch)


def receive_request_attempt_id(value: str) -> None:
    """Refuse an attempt id that SQS's alphabet or length rules out [guess: the same words]."""
    _fifo_id("ReceiveRequestAttemptId", value, in_batch=False)


def _fifo_id(parameter: str, value: str, *, in_batch: bool) -> None:
    """Refuse an id; a batch's entry is told in fewer words, and without the period."""
    if _FIFO_ID.fullmatch(value):
        return
    alphabet = "can only include alphanumeric and punctuation characters. 1 to 128 in length"
    if in_batch:
        raise InvalidParameterValue(f"{parameter} {alphabet}")
    raise invalid(parameter, value, f"{parameter} {alphabet}.")


def batch_entries(entries: Sequence[BatchEntry] | None, entry_name: str) -> None:
    """Refuse a batch as a whole: no entries, too many, ids that are missing, bad or repeated.

    `entry_name` is the structure's name, such as `SendMessageBatchRequestEntry`.
    """
    # None and no entries are one in Query, which has no way to write an empty list.
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
        if not NAME.fullmatch(entry.id):
            raise InvalidBatchEntryId
        if entry.id in seen and repeated is None:
            repeated = entry.id
        seen.add(entry.id)
    if repeated is not None:
        raise BatchEntryIdsNotDistinct(f"Id {repeated} repeated.")


# FIFO queues


def fifo_delay(value: int) -> None:
    """Refuse a message of a FIFO queue any delay of its own; 0 leaves it to the queue."""
    delay_seconds(value)
    if value:
        raise invalid("DelaySeconds", value, f"{_WRONG_QUEUE_TYPE}.")


def fifo_message(
    group_id: str | None, deduplication_id: str | None, content_based: bool, *, in_batch: bool
) -> None:
    """Refuse a FIFO queue a message without group, or one that it could not know again.

    A batch is refused whole for it, before any of its entries: hence the other error there. What
    is given is held against its alphabet elsewhere.
    """
    if group_id is None:
        error = InvalidParameterValue if in_batch else MissingParameter
        raise error("The request must contain the parameter MessageGroupId.")
    if deduplication_id is None and not content_based:
        raise InvalidParameterValue(
            "The queue should either have ContentBasedDeduplication enabled or "
            "MessageDeduplicationId provided explicitly"
        )


def standard_message(deduplication_id: str | None, *, in_batch: bool) -> None:
    """Refuse a standard queue a deduplication id; a batch's entry is told in fewer words."""
    if deduplication_id is None:
        return
    if in_batch:
        raise InvalidParameterValue(_WRONG_QUEUE_TYPE)
    raise invalid("MessageDeduplicationId", deduplication_id, f"{_WRONG_QUEUE_TYPE}.")


def expired_receipt(handle: str) -> InvalidParameterValue:
    """Word that a FIFO queue's message is no longer hidden by the receive of this handle."""
    return invalid("ReceiptHandle", handle, "The receipt handle has expired.")


def attempt_over(attempt_id: str) -> InvalidParameterValue:
    """Word that a receive cannot be repeated: its messages have been deleted or changed since."""
    reason = (
        "The receiveRequestAttemptId is not valid anymore since the receive call is not retryable."
    )
    return invalid("ReceiveRequestAttemptId", attempt_id, reason)


# Message move tasks


def active_move_tasks(count: int) -> None:
    """Refuse an account another task when it has as many active ones as it may have."""
    if count >= MAXIMUM_ACTIVE_MOVE_TASKS:
        raise OverLimit(  # [guess]
            f"There are already {count} tasks running. Only {MAXIMUM_ACTIVE_MOVE_TASKS} active "
            "tasks are allowed for an account at a given time."
        )


def move_task_arn(parameter: str, text: str) -> Arn:
    """Split `text`, which is SourceArn or DestinationArn; refuse what does not look like an ARN.

    What is returned is safe to look up. An ARN of another service names no queue.
    """
    arn = parse_arn(text)
    if arn is None or not characters_allowed(text):
        raise InvalidParameterValue(
            f"You must use this format to specify the {parameter}: "
            "arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
        )
    return arn


def max_results_of_move_tasks(value: int | None) -> int:
    """Return how many tasks a list may show, which is 1 unless the caller says so."""
    if value is None:
        return 1
    if not 1 <= value <= MAXIMUM_MOVE_TASK_RESULTS:
        reason = f"You must enter a number that's between 1 and {MAXIMUM_MOVE_TASK_RESULTS}."
        raise _unnamed_value("MaxResults", reason)
    return value


def max_number_of_messages_per_second(value: int) -> None:
    """Refuse a task that would move fewer than 1 or more than 500 messages a second."""
    if not 1 <= value <= MAXIMUM_MOVED_PER_SECOND:
        reason = f"You must enter a number that's between 1 and {MAXIMUM_MOVED_PER_SECOND}."
        raise _unnamed_value("MaxNumberOfMessagesPerSecond", reason)
