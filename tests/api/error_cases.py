"""Error cases of the SQS actions, and the server on which the tests run them.

The server enforces SQS's cooldowns of 60 seconds and a small in-flight limit. It has a few queues
that every case can use.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from tests.api.live_server import AlarmCountingClock, LiveServer, config
from tests.api.raw_http import call_action

IN_FLIGHT_LIMIT = 3
GARBAGE = "garbage"
Parameters: TypeAlias = dict[str, Any]

_SQS, _COMMON = "com.amazonaws.sqs#", "com.amazon.coral.service#"
_BARE = "AWS.SimpleQueueService."

ERRORS = {
    "BatchEntryIdsNotDistinct": (400, _SQS, f"{_BARE}BatchEntryIdsNotDistinct"),
    "BatchRequestTooLong": (400, _SQS, f"{_BARE}BatchRequestTooLong"),
    "EmptyBatchRequest": (400, _SQS, f"{_BARE}EmptyBatchRequest"),
    "InvalidAddress": (404, _SQS, "InvalidAddress"),
    "InvalidAttributeName": (400, _SQS, "InvalidAttributeName"),
    "InvalidAttributeValue": (400, _SQS, "InvalidAttributeValue"),
    "InvalidBatchEntryId": (400, _SQS, f"{_BARE}InvalidBatchEntryId"),
    "InvalidMessageContents": (400, _SQS, "InvalidMessageContents"),
    "InvalidParameterValueException": (400, _COMMON, "InvalidParameterValue"),
    "MissingRequiredParameterException": (400, _COMMON, "MissingParameter"),
    "OverLimit": (403, _SQS, "OverLimit"),
    "PurgeQueueInProgress": (403, _SQS, f"{_BARE}PurgeQueueInProgress"),
    "QueueDeletedRecently": (400, _SQS, f"{_BARE}QueueDeletedRecently"),
    "QueueDoesNotExist": (400, _SQS, f"{_BARE}NonExistentQueue"),
    "QueueNameExists": (400, _SQS, "QueueAlreadyExists"),
    "ReceiptHandleIsInvalid": (404, _SQS, "ReceiptHandleIsInvalid"),
    "ResourceNotFoundException": (404, _SQS, "ResourceNotFoundException"),
    "TooManyEntriesInBatchRequest": (400, _SQS, f"{_BARE}TooManyEntriesInBatchRequest"),
    "UnsupportedOperation": (400, _SQS, f"{_BARE}UnsupportedOperation"),
}
"""Status, namespace of the shape in JSON, and error code, by the shape's name."""

IPV = "InvalidParameterValueException"
MP = "MissingRequiredParameterException"


class CaseServer:
    """A server with its clock, and methods that prepare the state that a case needs."""

    def __init__(self) -> None:
        self.clock = AlarmCountingClock()
        settings = config("sqlite://", cooldowns=True, in_flight_limit=IN_FLIGHT_LIMIT)
        self._server = LiveServer(settings, self.clock)
        self.url = self._server.url
        self._numbers = itertools.count()
        self.create("plain")
        self.create("small", MaximumMessageSize="1024")
        self.create("ordered.fifo", FifoQueue="true")
        self.create("content.fifo", FifoQueue="true", ContentBasedDeduplication="true")
        self.create("dead")
        self.create("source", RedrivePolicy=redrive(1, "dead"))
        self.create("denies", RedriveAllowPolicy='{"redrivePermission":"denyAll"}')

    def close(self) -> None:
        self._server.close()

    def call(self, action: str, **parameters: object) -> Parameters:
        """Call an action that must succeed, and return its result."""
        answer = call_action(self.url, "json", action, parameters)
        assert answer.status == 200, answer.body
        result: Parameters = json.loads(answer.body or b"{}")
        return result

    def create(self, name: str, **attributes: str) -> str:
        """Create a queue, and return its name."""
        self.call("CreateQueue", QueueName=name, Attributes=attributes)
        return name

    def create_fresh(self, suffix: str = "", **attributes: str) -> str:
        """Create a queue that no other case uses, and return its name."""
        return self.create(f"fresh-{next(self._numbers)}{suffix}", **attributes)

    def receive_handle(self, queue: str, **parameters: object) -> str:
        """Send a message, receive it, and return its receipt handle."""
        group = {"MessageGroupId": "g"} if queue.endswith(".fifo") else {}
        body = f"number {next(self._numbers)}"
        self.call("SendMessage", QueueUrl=queue, MessageBody=body, **group)
        (message,) = self.call("ReceiveMessage", QueueUrl=queue, **parameters)["Messages"]
        handle: str = message["ReceiptHandle"]
        return handle

    def expired_handle(self) -> str:
        """Return the handle of a message of a FIFO queue that is visible again."""
        self.call("PurgeQueue", QueueUrl="content.fifo")
        self.clock.advance(60)
        return self.receive_handle("content.fifo", VisibilityTimeout=0)

    def deleted_handle(self) -> str:
        """Return the handle of a deleted message of a standard queue."""
        handle = self.receive_handle("plain")
        self.call("DeleteMessage", QueueUrl="plain", ReceiptHandle=handle)
        return handle


ParametersOrSetup: TypeAlias = Parameters | Callable[[CaseServer], Parameters]
"""Parameters of a request, or a function that prepares the server and returns them."""


class ErrorCase(NamedTuple):
    """A request that the server rejects, with the expected error and its text.

    `<X>` in the text stands for the value of parameter X.
    """

    action: str
    parameters: ParametersOrSetup
    error: str
    text: str


class EntryErrorCase(NamedTuple):
    """A batch request whose only entry fails, with the expected code and text of the entry."""

    action: str
    parameters: ParametersOrSetup
    code: str
    text: str


def arn(name: str, account: str = "000000000000", region: str = "us-east-1") -> str:
    return f"arn:aws:sqs:{region}:{account}:{name}"


def redrive(count: object, target: str, **others: object) -> str:
    """Return the JSON of a RedrivePolicy; `target` is a queue name or an ARN."""
    target = target if ":" in target else arn(target)
    return json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": count, **others})


def value(parameter: str, reason: str, given: str = "") -> str:
    """Return the text of an InvalidParameterValue error.

    It repeats `given`, or by default the value of the parameter in the request.
    """
    return (
        f"Value {given or f'<{parameter}>'} for parameter {parameter} is invalid. Reason: {reason}"
    )
