"""Error cases of requests with two mistakes: the order in which SQS validates.

SQS checks first that the queue exists, then required parameters, then ranges, then the rules of the
queue's type, then message contents, and last the state of the queue and its messages.
"""

from __future__ import annotations

import json

from tests.api.error_cases import GARBAGE, IPV, MP, ErrorCase, Parameters, arn, redrive, value
from tests.api.message_error_cases import NO_DEDUPLICATION, NO_GROUP, WRONG_TYPE

NO_QUEUE = "The specified queue does not exist."
_NO_SUCH_QUEUE = "QueueDoesNotExist"


def _missing_queue(action: str, **wrong: object) -> ErrorCase:
    return ErrorCase(action, {"QueueUrl": "missing", **wrong}, _NO_SUCH_QUEUE, NO_QUEUE)


def _fifo(**members: object) -> Parameters:
    return {"QueueUrl": "ordered.fifo", "MessageBody": "x", **members}


_MISSING_QUEUE_FIRST = {
    "wait": _missing_queue("ReceiveMessage", WaitTimeSeconds=21),
    "number": _missing_queue("ReceiveMessage", MaxNumberOfMessages=0),
    "delay": _missing_queue("SendMessage", MessageBody="x", DelaySeconds=901),
    "contents": _missing_queue("SendMessage", MessageBody="\x01"),
    "batch": _missing_queue("SendMessageBatch", Entries=[]),
    "handle": _missing_queue("DeleteMessage", ReceiptHandle=GARBAGE),
    "timeout": _missing_queue("ChangeMessageVisibility", ReceiptHandle="x", VisibilityTimeout=-1),
    "attributes": _missing_queue("SetQueueAttributes", Attributes={"Colour": "red"}),
    "attribute names": _missing_queue("GetQueueAttributes", AttributeNames=["Colour"]),
    "page": _missing_queue("ListDeadLetterSourceQueues", MaxResults=0),
    "tags": _missing_queue("TagQueue", Tags={"*": ""}),
    "label": _missing_queue("AddPermission", Label="a b", AWSAccountIds=["1"], Actions=["Foo"]),
    "missing body": _missing_queue("SendMessage"),
    "missing handle": _missing_queue("DeleteMessage"),
    "missing handle and timeout": _missing_queue("ChangeMessageVisibility"),
    "missing timeout": _missing_queue("ChangeMessageVisibility", ReceiptHandle="x"),
    "missing entries": _missing_queue("DeleteMessageBatch"),
    "missing attributes": _missing_queue("SetQueueAttributes"),
    "missing value": _missing_queue("SetQueueAttributes", Attributes={"DelaySeconds": None}),
    "missing tags": _missing_queue("TagQueue"),
    "missing value of a tag": _missing_queue("TagQueue", Tags={"k": None}),
    "missing tag keys": _missing_queue("UntagQueue"),
    "missing label": _missing_queue("AddPermission", AWSAccountIds=["1" * 12], Actions=["*"]),
    "missing actions": _missing_queue("AddPermission", Label="l", AWSAccountIds=["1" * 12]),
    "missing label to remove": _missing_queue("RemovePermission"),
}

_OTHER_ORDER = {
    "required body before the range of the delay": ErrorCase(
        "SendMessage",
        {"QueueUrl": "plain", "MessageBody": "", "DelaySeconds": 901},
        MP,
        "The request must contain the parameter MessageBody.",
    ),
    "required handle before the range of the timeout": ErrorCase(
        "ChangeMessageVisibility",
        {"QueueUrl": "plain", "VisibilityTimeout": -1},
        MP,
        "The request must contain the parameter ReceiptHandle.",
    ),
    "range of the timeout before the validity of the handle": ErrorCase(
        "ChangeMessageVisibility",
        {"QueueUrl": "plain", "ReceiptHandle": GARBAGE, "VisibilityTimeout": 43_201},
        IPV,
        value("VisibilityTimeout", "Must be between 0 and 43200."),
    ),
    "range of the delay before the rules of the queue type": ErrorCase(
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
    "range of the delay before the required group": ErrorCase(
        "SendMessage",
        _fifo(DelaySeconds=-1),
        IPV,
        value("DelaySeconds", "DelaySeconds must be >= 0 and <= 900."),
    ),
    "required group before deduplication": ErrorCase("SendMessage", _fifo(), MP, NO_GROUP),
    "required group before the delay of a FIFO message": ErrorCase(
        "SendMessage", _fifo(DelaySeconds=5), MP, NO_GROUP
    ),
    "deduplication before message contents": ErrorCase(
        "SendMessage", _fifo(MessageBody="\x01", MessageGroupId="g"), IPV, NO_DEDUPLICATION
    ),
    "rules of the queue type before message contents": ErrorCase(
        "SendMessage",
        {"QueueUrl": "plain", "MessageBody": "\x01", "MessageDeduplicationId": "d"},
        IPV,
        value("MessageDeduplicationId", f"{WRONG_TYPE}."),
    ),
    "rules of the queue type before message attributes": ErrorCase(
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
    "characters before length of the body": ErrorCase(
        "SendMessage",
        {"QueueUrl": "small", "MessageBody": "\x01" * 1_025},
        "InvalidMessageContents",
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF "
        "| #xE000 to #xFFFD | #x10000 to #x10FFFF",
    ),
    "number of batch entries before their ids": ErrorCase(
        "SendMessageBatch",
        {"QueueUrl": "plain", "Entries": [{"Id": "a b", "MessageBody": "x"}] * 11},
        "TooManyEntriesInBatchRequest",
        "Maximum number of entries per request are 10. You have sent 11.",
    ),
    "alphabet of an entry id before its repetition": ErrorCase(
        "SendMessageBatch",
        {"QueueUrl": "plain", "Entries": [{"Id": "a b", "MessageBody": "x"}] * 2},
        "InvalidBatchEntryId",
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It "
        "can be at most 80 letters long.",
    ),
    "form of a redrive policy before its target": ErrorCase(
        "SetQueueAttributes",
        {"QueueUrl": "plain", "Attributes": {"RedrivePolicy": redrive(0, "missing")}},
        IPV,
        value(
            "RedrivePolicy",
            "Invalid value for maxReceiveCount: 0, valid values are from 1 to 1000 both inclusive.",
            redrive(0, "missing"),
        ),
    ),
    "rate of a move task before its queues": ErrorCase(
        "StartMessageMoveTask",
        {"SourceArn": arn("missing"), "MaxNumberOfMessagesPerSecond": 501},
        IPV,
        "Value for parameter MaxNumberOfMessagesPerSecond is invalid. "
        "Reason: You must enter a number that's between 1 and 500.",
    ),
    "validity of attributes before comparison with the existing queue": ErrorCase(
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

ORDER_CASES = {
    **{
        f"existence of the queue before {name}": case for name, case in _MISSING_QUEUE_FIRST.items()
    },
    **_OTHER_ORDER,
}
