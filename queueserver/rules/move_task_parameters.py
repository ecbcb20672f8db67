"""The parameters of the message move task actions, and the quota of active tasks."""

from __future__ import annotations

import base64

import msgspec

from protocol.errors import InvalidParameterValue, MissingParameter, OverLimit
from protocol.names import Arn, parse_arn
from queueserver.rules import limits
from queueserver.rules.parameters import invalid_parameter_error, is_xml_text


class TaskHandle(msgspec.Struct):
    """The handle that cancels a task. AWS: base64 of JSON with the task's id and source."""

    task_id: str = msgspec.field(name="taskId")
    source_arn: str = msgspec.field(name="sourceArn")

    def encode(self) -> str:
        """Return the handle as text."""
        return base64.b64encode(msgspec.json.encode(self)).decode()


def parse_task_handle(text: str) -> TaskHandle:
    """Parse TaskHandle.

    Raises:
        MissingParameter: the handle is empty.
        InvalidParameterValue: the text is not a handle.
    """
    if not text:
        raise MissingParameter("The request must contain the parameter TaskHandle.")
    invalid = InvalidParameterValue("Value for parameter TaskHandle is invalid.")
    if len(text) > limits.MAXIMUM_TASK_HANDLE_CHARACTERS:
        raise invalid
    try:
        handle = msgspec.json.decode(base64.b64decode(text, validate=True), type=TaskHandle)
        parse_move_task_arn("SourceArn", handle.source_arn)
    except (ValueError, RecursionError, InvalidParameterValue):
        raise invalid from None
    return handle


def check_active_move_tasks(count: int) -> None:
    """Reject another task of an account that has `count` active ones. AWS: at most 100.

    Raises:
        OverLimit: the account has 100 active tasks or more [guess: the text].
    """
    maximum = limits.MAXIMUM_ACTIVE_MOVE_TASKS
    if count >= maximum:
        raise OverLimit(  # [guess]
            f"There are already {count} tasks running. Only {maximum} active "
            "tasks are allowed for an account at a given time."
        )


def parse_move_task_arn(parameter: str, text: str) -> Arn:
    """Parse SourceArn or DestinationArn; `parameter` is its name.

    The ARN may be one of another service: then there is no such queue.

    Raises:
        InvalidParameterValue: the text is not an ARN, or the database could not look it up.
    """
    arn = parse_arn(text) if len(text) <= limits.MAXIMUM_ARN_CHARACTERS else None
    if arn is None or not is_xml_text(text):
        raise InvalidParameterValue(
            f"You must use this format to specify the {parameter}: "
            "arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
        )
    return arn


def parse_move_task_max_results(value: int | None) -> int:
    """Return the number of tasks to list, 1 to 10; the default is 1.

    Raises:
        InvalidParameterValue: the number is out of range.
    """
    if value is None:
        return 1
    _check_range("MaxResults", value, limits.MAXIMUM_MOVE_TASKS_PER_PAGE)
    return value


def check_messages_per_second(value: int) -> None:
    """Reject MaxNumberOfMessagesPerSecond outside 1 to 500.

    Raises:
        InvalidParameterValue: the number is out of range.
    """
    _check_range("MaxNumberOfMessagesPerSecond", value, limits.MAXIMUM_MOVED_PER_SECOND)


def _check_range(parameter: str, value: int, maximum: int) -> None:
    if not 1 <= value <= maximum:
        reason = f"You must enter a number that's between 1 and {maximum}."
        raise invalid_parameter_error(parameter, reason)
