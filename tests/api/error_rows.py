"""What a row of the error tables is, and the room in which all of them are tried.

The room is one server with SQS's waits and a small limit of messages in flight, and a few queues
that stand there for every row.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from tests.api.live_server import LiveServer, SleepersClock, config
from tests.api.raw_http import ask

IN_FLIGHT_LIMIT = 3
GARBAGE = "garbage"
Parameters: TypeAlias = dict[str, Any]

_SQS, _COMMON = "com.amazonaws.sqs#", "com.amazon.coral.service#"
_BARE = "AWS.SimpleQueueService."

ERRORS = {
    "BatchEntryIdsNotDistinct": (400, _SQS, f"{_BARE}BatchEntryIdsNotDistinct"),
    "BatchRequestTooLong": (400, _SQS, f"{_BARE}BatchRequestTooLong"),
    "EmptyBatchRequest": (400, _SQS, f"{_BARE}EmptyBatchRequest"),
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
"""Status, namespace of the shape in JSON, and code, by the shape's name."""

IPV = "InvalidParameterValueException"
MP = "MissingRequiredParameterException"


class Room:
    """A server, its clock, and what rows need to come about."""

    def __init__(self) -> None:
        self.clock = SleepersClock()
        settings = config("sqlite://", cooldowns=True, in_flight_limit=IN_FLIGHT_LIMIT)
        self._server = LiveServer(settings, self.clock)
        self.url = self._server.url
        self._numbers = itertools.count()
        self.make("plain")
        self.make("small", MaximumMessageSize="1024")
        self.make("ordered.fifo", FifoQueue="true")
        self.make("content.fifo", FifoQueue="true", ContentBasedDeduplication="true")
        self.make("dead")
        self.make("source", RedrivePolicy=redrive(1, "dead"))
        self.make("denies", RedriveAllowPolicy='{"redrivePermission":"denyAll"}')

    def close(self) -> None:
        self._server.close()

    def ask(self, action: str, **parameters: object) -> Parameters:
        """Have something done that must not be refused."""
        answer = ask(self.url, "json", action, parameters)
        assert answer.status == 200, answer.body
        result: Parameters = json.loads(answer.body or b"{}")
        return result

    def make(self, name: str, **attributes: str) -> str:
        self.ask("CreateQueue", QueueName=name, Attributes=attributes)
        return name

    def fresh(self, suffix: str = "", **attributes: str) -> str:
        """Make a queue that no other row knows, and give its name."""
        return self.make(f"fresh-{next(self._numbers)}{suffix}", **attributes)

    def handle(self, queue: str, **parameters: object) -> str:
        """Send a message, receive it, and give the handle."""
        group = {"MessageGroupId": "g"} if queue.endswith(".fifo") else {}
        body = f"number {next(self._numbers)}"
        self.ask("SendMessage", QueueUrl=queue, MessageBody=body, **group)
        (message,) = self.ask("ReceiveMessage", QueueUrl=queue, **parameters)["Messages"]
        text: str = message["ReceiptHandle"]
        return text

    def expired_handle(self) -> str:
        """Give the handle of a FIFO queue's message that is visible again."""
        self.ask("PurgeQueue", QueueUrl="content.fifo")
        self.clock.advance(60)
        return self.handle("content.fifo", VisibilityTimeout=0)

    def deleted_handle(self) -> str:
        handle = self.handle("plain")
        self.ask("DeleteMessage", QueueUrl="plain", ReceiptHandle=handle)
        return handle


Given: TypeAlias = Parameters | Callable[[Room], Parameters]


class Row(NamedTuple):
    """A request that is refused, by which error and in which words.

    `<X>` in the text stands for what the request gives as X. `only` names the one protocol that can
    ask so.
    """

    action: str
    given: Given
    error: str
    text: str
    only: str = ""


class EntryRow(NamedTuple):
    """An entry of a batch that fails alone, by which code and in which words."""

    action: str
    given: Given
    code: str
    text: str


def arn(name: str, account: str = "000000000000", region: str = "us-east-1") -> str:
    return f"arn:aws:sqs:{region}:{account}:{name}"


def redrive(count: object, target: str, **others: object) -> str:
    """Write a RedrivePolicy to a queue of that name, or to an ARN."""
    target = target if ":" in target else arn(target)
    return json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": count, **others})


def value(parameter: str, reason: str, given: str = "") -> str:
    """Word a refused value: what was given is repeated, if not told otherwise."""
    return (
        f"Value {given or f'<{parameter}>'} for parameter {parameter} is invalid. Reason: {reason}"
    )
