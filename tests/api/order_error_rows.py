"""Requests with two mistakes, and which of them SQS finds first.

The queue comes before everything that is asked of it, then what must be there, then ranges, then
what the queue's type allows, then what a message holds, and the state of things comes last.
"""

from __future__ import annotations

import json

from tests.api.error_rows import GARBAGE, IPV, MP, Parameters, Row, arn, redrive, value
from tests.api.message_error_rows import NO_DEDUPLICATION, NO_GROUP, WRONG_TYPE

NO_QUEUE = "The specified queue does not exist."
_GONE = "QueueDoesNotExist"


def _gone(action: str, **wrong: object) -> Row:
    return Row(action, {"QueueUrl": "nobody", **wrong}, _GONE, NO_QUEUE)


def _fifo(**members: object) -> Parameters:
    return {"QueueUrl": "ordered.fifo", "MessageBody": "x", **members}


_QUEUE_FIRST = {
    "wait": _gone("ReceiveMessage", WaitTimeSeconds=21),
    "number": _gone("ReceiveMessage", MaxNumberOfMessages=0),
    "delay": _gone("SendMessage", MessageBody="x", DelaySeconds=901),
    "contents": _gone("SendMessage", MessageBody="\x01"),
    "batch": _gone("SendMessageBatch", Entries=[]),
    "handle": _gone("DeleteMessage", ReceiptHandle=GARBAGE),
    "timeout": _gone("ChangeMessageVisibility", ReceiptHandle="x", VisibilityTimeout=-1),
    "attributes": _gone("SetQueueAttributes", Attributes={"Colour": "red"}),
    "attribute names": _gone("GetQueueAttributes", AttributeNames=["Colour"]),
    "page": _gone("ListDeadLetterSourceQueues", MaxResults=0),
    "tags": _gone("TagQueue", Tags={"*": ""}),
    "label": _gone("AddPermission", Label="a b", AWSAccountIds=["1"], Actions=["Foo"]),
    "missing body": _gone("SendMessage"),
    "missing handle": _gone("DeleteMessage"),
    "missing handle and timeout": _gone("ChangeMessageVisibility"),
    "missing timeout": _gone("ChangeMessageVisibility", ReceiptHandle="x"),
    "missing entries": _gone("DeleteMessageBatch"),
    "missing attributes": _gone("SetQueueAttributes"),
    "missing value": _gone("SetQueueAttributes", Attributes={"DelaySeconds": None}),
    "missing tags": _gone("TagQueue"),
    "missing value of a tag": _gone("TagQueue", Tags={"k": None}),
    "missing tag keys": _gone("UntagQueue"),
    "missing label": _gone("AddPermission", AWSAccountIds=["1" * 12], Actions=["*"]),
    "missing actions": _gone("AddPermission", Label="l", AWSAccountIds=["1" * 12]),
    "missing label to remove": _gone("RemovePermission"),
}

_THEN = {
    "a body before the delay's range": Row(
        "SendMessage",
        {"QueueUrl": "plain", "MessageBody": "", "DelaySeconds": 901},
        MP,
        "The request must contain the parameter MessageBody.",
    ),
    "a handle before the timeout's range": Row(
        "ChangeMessageVisibility",
        {"QueueUrl": "plain", "VisibilityTimeout": -1},
        MP,
        "The request must contain the parameter ReceiptHandle.",
    ),
    "a timeout before the handle": Row(
        "ChangeMessageVisibility",
        {"QueueUrl": "plain", "ReceiptHandle": GARBAGE, "VisibilityTimeout": 43_201},
        IPV,
        value("VisibilityTimeout", "Must be between 0 and 43200."),
    ),
    "the delay's range before the queue's type": Row(
        "SendMessage",
        {
            "QueueUrl": "plain",
            "MessageBody": "x",
            "DelaySeconds": 901,
            "MessageDeduplicationId": "d",
        },
        IPV,
        value("DelaySeconds", "DelaySeconds must be >= 0 and <= 900."),
    ),
    "the delay's range before a FIFO queue's group": Row(
        "SendMessage",
        _fifo(DelaySeconds=-1),
        IPV,
        value("DelaySeconds", "DelaySeconds must be >= 0 and <= 900."),
    ),
    "a group before deduplication": Row("SendMessage", _fifo(), MP, NO_GROUP),
    "a group before a delay of its own": Row("SendMessage", _fifo(DelaySeconds=5), MP, NO_GROUP),
    "deduplication before contents": Row(
        "SendMessage", _fifo(MessageBody="\x01", MessageGroupId="g"), IPV, NO_DEDUPLICATION
    ),
    "the queue's type before contents": Row(
        "SendMessage",
        {"QueueUrl": "plain", "MessageBody": "\x01", "MessageDeduplicationId": "d"},
        IPV,
        value("MessageDeduplicationId", f"{WRONG_TYPE}."),
    ),
    "the queue's type before attributes": Row(
        "SendMessage",
        {
            "QueueUrl": "plain",
            "MessageBody": "x",
            "MessageAttributes": {"a!": {"DataType": "String", "StringValue": "x"}},
            "MessageDeduplicationId": "d",
        },
        IPV,
        value("MessageDeduplicationId", f"{WRONG_TYPE}."),
    ),
    "characters before length": Row(
        "SendMessage",
        {"QueueUrl": "small", "MessageBody": "\x01" * 1_025},
        "InvalidMessageContents",
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF "
        "| #xE000 to #xFFFD | #x10000 to #x10FFFF",
    ),
    "how many entries before their ids": Row(
        "SendMessageBatch",
        {"QueueUrl": "plain", "Entries": [{"Id": "a b", "MessageBody": "x"}] * 11},
        "TooManyEntriesInBatchRequest",
        "Maximum number of entries per request are 10. You have sent 11.",
    ),
    "an id's alphabet before its repetition": Row(
        "SendMessageBatch",
        {"QueueUrl": "plain", "Entries": [{"Id": "a b", "MessageBody": "x"}] * 2},
        "InvalidBatchEntryId",
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It "
        "can be at most 80 letters long.",
    ),
    "a policy's own form before its target": Row(
        "SetQueueAttributes",
        {"QueueUrl": "plain", "Attributes": {"RedrivePolicy": redrive(0, "nobody")}},
        IPV,
        value(
            "RedrivePolicy",
            "Invalid value for maxReceiveCount: 0, valid values are from 1 to 1000 both inclusive.",
            redrive(0, "nobody"),
        ),
    ),
    "a rate before the queues of a move task": Row(
        "StartMessageMoveTask",
        {"SourceArn": arn("nobody"), "MaxNumberOfMessagesPerSecond": 501},
        IPV,
        "Value for parameter MaxNumberOfMessagesPerSecond is invalid. "
        "Reason: You must enter a number that's between 1 and 500.",
    ),
    "attributes before the existing queue's": Row(
        "CreateQueue",
        {
            "QueueName": "plain",
            "Attributes": {"DelaySeconds": "7", "RedrivePolicy": json.dumps({})},
        },
        IPV,
        value(
            "RedrivePolicy",
            "Redrive policy does not contain mandatory attribute: maxReceiveCount.",
            "{}",
        ),
    ),
}

ORDER_ROWS = {
    **{f"the queue before the {name}": row for name, row in _QUEUE_FIRST.items()},
    **_THEN,
}
