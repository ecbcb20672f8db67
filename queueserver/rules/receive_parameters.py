"""The parameters of ReceiveMessage, and of the actions on received messages."""

from __future__ import annotations

from protocol.errors import InvalidParameterValue, OverLimit, missing_parameter
from queueserver.rules import limits
from queueserver.rules.parameters import check_fifo_id, invalid_value_error


def parse_max_number_of_messages(value: int | None) -> int:
    """Return how many messages to receive at most, 1 to 10; the default is 1.

    Raises:
        InvalidParameterValue: the number is out of range.
    """
    if value is None:
        return 1
    if not 1 <= value <= limits.MAXIMUM_MESSAGES_PER_RECEIVE:
        reason = f"Must be between 1 and {limits.MAXIMUM_MESSAGES_PER_RECEIVE}, if provided."
        raise invalid_value_error("MaxNumberOfMessages", value, reason)
    return value


def check_wait_time_seconds(value: int) -> None:
    """Reject the wait time of a receive outside 0 to 20 s.

    Raises:
        InvalidParameterValue: the wait time is out of range.
    """
    if not 0 <= value <= limits.MAXIMUM_WAIT_TIME_SECONDS:
        reason = f"Must be >= 0 and <= {limits.MAXIMUM_WAIT_TIME_SECONDS}, if provided."
        raise invalid_value_error("WaitTimeSeconds", value, reason)


def check_receive_request_attempt_id(value: str) -> None:
    """Reject an attempt id that is not 1 to 128 letters, digits and punctuation characters.

    Raises:
        InvalidParameterValue: the length or a character is not allowed [guess: the text].
    """
    check_fifo_id("ReceiveRequestAttemptId", value)


def parse_receipt_handle(handle: str | None) -> str:
    """Return the receipt handle; `receipt_handles.decode_receipt_handle` decodes and verifies it.

    Raises:
        MissingParameter: the handle is missing or empty.
    """
    if not handle:
        raise missing_parameter("ReceiptHandle")
    return handle


# Visibility timeouts: 0 s to 12 hours, with one text for each action


def check_receive_visibility_timeout(value: int) -> None:
    """Reject a visibility timeout of ReceiveMessage outside 0 s to 12 hours.

    Raises:
        InvalidParameterValue: the timeout is out of range.
    """
    if not 0 <= value <= limits.MAXIMUM_VISIBILITY_SECONDS:
        reason = f"Must be >= 0 and <= {limits.MAXIMUM_VISIBILITY_SECONDS}, if provided."
        raise invalid_value_error("VisibilityTimeout", value, reason)


def parse_visibility_timeout(value: int | None) -> int:
    """Return the visibility timeout of ChangeMessageVisibility, 0 s to 12 hours, in seconds.

    Raises:
        MissingParameter: there is no timeout.
        InvalidParameterValue: the timeout is out of range.
    """
    if value is None:
        raise missing_parameter("VisibilityTimeout")
    if not 0 <= value <= limits.MAXIMUM_VISIBILITY_SECONDS:
        reason = f"Must be between 0 and {limits.MAXIMUM_VISIBILITY_SECONDS}."
        raise invalid_value_error("VisibilityTimeout", value, reason)
    return value


def parse_entry_visibility_timeout(value: int | None, position: int) -> int:
    """Return the timeout of a ChangeMessageVisibilityBatch entry, whose range is not checked.

    `position` counts the entries from 1. AWS rejects the whole batch for a missing timeout, and
    only the entry for one that is out of range.

    Raises:
        MissingParameter: there is no timeout.
    """
    if value is None:
        entry = f"ChangeMessageVisibilityBatchRequestEntry.{position}"
        raise missing_parameter(f"{entry}.VisibilityTimeout")
    return value


def check_entry_visibility_timeout(value: int) -> None:
    """Reject a visibility timeout of a ChangeMessageVisibilityBatch entry outside 0 s to 12 hours.

    Raises:
        InvalidParameterValue: the timeout is out of range.
    """
    if not 0 <= value <= limits.MAXIMUM_VISIBILITY_SECONDS:
        bounds = f"between 0 and {limits.MAXIMUM_VISIBILITY_SECONDS}"
        reason = f"VisibilityTimeout must be an integer {bounds}."
        raise invalid_value_error("VisibilityTimeout", value, reason)


def check_total_visibility(elapsed_ms: int, value: int) -> None:
    """Reject a timeout of `value` s that ends more than 12 hours after the receive.

    `elapsed_ms` is the time since the receive. It counts as at least 1 ms, so a timeout of
    12 hours is always too long, as on AWS.

    Raises:
        InvalidParameterValue: the message would not be visible for more than 12 hours.
    """
    maximum = limits.MAXIMUM_VISIBILITY_SECONDS
    if max(elapsed_ms, 1) + value * 1_000 > maximum * 1_000:
        limit = f"[{maximum} seconds]"
        reason = f"Total VisibilityTimeout for the message is beyond the limit {limit}."
        raise invalid_value_error("VisibilityTimeout", value, reason)


# Errors that depend on the state of a message


def expired_receipt_error(handle: str) -> InvalidParameterValue:
    """Return the error for a handle of a FIFO queue whose visibility timeout has ended."""
    return invalid_value_error("ReceiptHandle", handle, "The receipt handle has expired.")


def unavailable_message_error(handle: str) -> InvalidParameterValue:
    """Return the error for a visibility change of a message that has been deleted."""
    reason = "Message does not exist or is not available for visibility timeout change."
    return invalid_value_error("ReceiptHandle", handle, reason)


def expired_attempt_error(attempt_id: str) -> InvalidParameterValue:
    """Return the error for a receive attempt whose messages have since been deleted or changed."""
    reason = (
        "The receiveRequestAttemptId is not valid anymore since the receive call is not retryable."
    )
    return invalid_value_error("ReceiveRequestAttemptId", attempt_id, reason)


def too_many_in_flight_error() -> OverLimit:
    """Return the error for a short poll of a standard queue at the in-flight limit.

    AWS: about 120,000 messages in flight per queue; the server's limit is a setting.
    """
    return OverLimit(
        "Too many messages have been received without being deleted.\n"
        "Please delete your received messages or let them timeout before receiving more."
    )
