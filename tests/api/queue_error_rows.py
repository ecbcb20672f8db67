"""Errors of the actions on queues: what SQS refuses, row by row."""

from __future__ import annotations

import json

from tests.api.error_rows import IPV, MP, Parameters, Room, Row
from tests.api.permission_error_rows import statements

NO_NAME = "Value for parameter QueueName is invalid. Reason: Must specify a queue name."
BAD_NAME = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
BAD_FIFO_NAME = (
    "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
    "must end with .fifo suffix and be 1 to 80 in length"
)
MAX_RESULTS = (
    "Value for parameter MaxResults is invalid. "
    "Reason: MaxResults must be an integer between 1 and 1000."
)
TOKEN_ALONE = "MaxResults is a mandatory parameter when you provide a value for NextToken."
BAD_TOKEN = "Invalid or expired next token."
OTHER_TOKEN = (
    "Invalid NextToken value. If you are passing in NextToken, "
    "you must not change the other request parameters."
)
TAG_ALPHABET = (
    "may only contain unicode letters, digits, whitespace, or one of these symbols: _ . : / = + - @"
)
EXISTS = "A queue already exists with the same name and a different value for"


def _set(queue: str = "plain", **attributes: str | None) -> Parameters:
    return {"QueueUrl": queue, "Attributes": attributes}


def _create(name: str = "new", **attributes: str) -> Parameters:
    return {"QueueName": name, "Attributes": attributes}


def _deleted(room: Room) -> Parameters:
    name = room.fresh()
    room.ask("DeleteQueue", QueueUrl=name)
    return {"QueueName": name}


def _deleted_queue(room: Room) -> Parameters:
    return {"QueueUrl": _deleted(room)["QueueName"]}


def _purged(room: Room) -> Parameters:
    name = room.fresh()
    room.ask("PurgeQueue", QueueUrl=name)
    return {"QueueUrl": name}


def _tagged(room: Room) -> Parameters:
    name = room.fresh()
    room.ask("TagQueue", QueueUrl=name, Tags={"a": "1"})
    return {"QueueName": name, "tags": {"a": "2"}}


def _full_of_tags(room: Room) -> Parameters:
    name = room.fresh()
    room.ask("TagQueue", QueueUrl=name, Tags={str(number): "" for number in range(50)})
    return {"QueueUrl": name, "Tags": {"one": "more"}}


def _token_of_other_page(room: Room) -> Parameters:
    token = room.ask("ListQueues", MaxResults=1)["NextToken"]
    return {"MaxResults": 2, "NextToken": token}


def _token_of_other_list(room: Room) -> Parameters:
    token = room.ask("ListQueues", MaxResults=1)["NextToken"]
    return {"QueueUrl": "dead", "MaxResults": 1, "NextToken": token}


def _token_of_other_sources(room: Room) -> Parameters:
    policy = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": _dead(), "maxReceiveCount": 1})}
    room.fresh(**policy)
    token = room.ask("ListDeadLetterSourceQueues", QueueUrl="dead", MaxResults=1)["NextToken"]
    return {"QueueUrl": "dead", "MaxResults": 2, "NextToken": token}


def _dead() -> str:
    return "arn:aws:sqs:us-east-1:000000000000:dead"


CREATE_ROWS = {
    "CreateQueue: no name": Row("CreateQueue", {}, IPV, NO_NAME),
    "CreateQueue: empty name": Row(
        "CreateQueue", {"QueueName": ""}, IPV, "Queue name cannot be empty"
    ),
    "CreateQueue: bad name": Row("CreateQueue", _create("a b"), IPV, BAD_NAME),
    "CreateQueue: name of 81": Row("CreateQueue", _create("x" * 81), IPV, BAD_NAME),
    "CreateQueue: FIFO name without FifoQueue": Row(
        "CreateQueue", _create("new.fifo"), IPV, BAD_NAME
    ),
    "CreateQueue: FifoQueue without FIFO name": Row(
        "CreateQueue", _create(FifoQueue="true"), IPV, BAD_FIFO_NAME
    ),
    "CreateQueue: FIFO name of 81": Row(
        "CreateQueue", _create("x" * 76 + ".fifo", FifoQueue="true"), IPV, BAD_FIFO_NAME
    ),
    "CreateQueue: FifoQueue=false": Row(
        "CreateQueue",
        _create(FifoQueue="false"),
        "InvalidAttributeName",
        "Unknown Attribute FifoQueue.",
    ),
    "CreateQueue: FifoQueue=false with a FIFO name": Row(
        "CreateQueue",
        _create("new.fifo", FifoQueue="false"),
        "InvalidAttributeName",
        "Unknown Attribute FifoQueue.",
    ),
    "CreateQueue: exists otherwise": Row(
        "CreateQueue",
        _create("plain", DelaySeconds="7"),
        "QueueNameExists",
        f"{EXISTS} attribute DelaySeconds",
    ),
    "CreateQueue: exists with other tags": Row(
        "CreateQueue", _tagged, "QueueNameExists", f"{EXISTS} tags"
    ),
    "CreateQueue: deleted recently": Row(
        "CreateQueue",
        _deleted,
        "QueueDeletedRecently",
        "You must wait 60 seconds after deleting a queue before you can create another with the "
        "same name.",
    ),
    "CreateQueue: tags that no queue can have": Row(
        "CreateQueue", {"QueueName": "new", "tags": {"a?": ""}}, IPV, f"Tag keys {TAG_ALPHABET}"
    ),
    "CreateQueue: 51 tags": Row(
        "CreateQueue",
        {"QueueName": "new", "tags": {str(number): "" for number in range(51)}},
        IPV,
        "Too many tags added for queue new.",
    ),
}

_STANDARD = {
    "ContentBasedDeduplication": ("true", "Unknown Attribute ContentBasedDeduplication."),
    "DeduplicationScope": (
        "queue",
        "You can specify the DeduplicationScope only when FifoQueue is set to true.",
    ),
    "FifoThroughputLimit": (
        "perQueue",
        "You can specify the FifoThroughputLimit only when FifoQueue is set to true.",
    ),
}
_READ_ONLY = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
    "Colour",
)
_BAD_VALUES = {
    "ContentBasedDeduplication": ("yes", ""),
    "DeduplicationScope": ("group", ""),
    "DelaySeconds": ("-1", "901", "", " 5", "5.0", "+5", "x"),
    "FifoThroughputLimit": ("perGroup", ""),
    "KmsDataKeyReusePeriodSeconds": ("59", "86401", ""),
    "MaximumMessageSize": ("1023", "1048577", "x"),
    "MessageRetentionPeriod": ("59", "1209601", "x"),
    "Policy": ("{}", "[]", "text", json.dumps({"Version": "2020-01-01", "Statement": []})),
    "ReceiveMessageWaitTimeSeconds": ("-1", "21", "x"),
    "SqsManagedSseEnabled": ("yes", ""),
    "VisibilityTimeout": ("-1", "43201", "1e3", "x"),
}
_FIFO_ONLY = {"ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"}


def _attribute_rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    unknown = "InvalidAttributeName"
    for name, (good, text) in _STANDARD.items():
        given = {name: good}
        rows[f"CreateQueue: {name} on standard"] = Row(
            "CreateQueue", _create(**given), unknown, text
        )
        rows[f"SetQueueAttributes: {name} on standard"] = Row(
            "SetQueueAttributes", _set(**given), unknown, text
        )
    for name in _READ_ONLY:
        given, text = {name: "1"}, f"Unknown Attribute {name}."
        rows[f"CreateQueue: {name} set"] = Row("CreateQueue", _create(**given), unknown, text)
        rows[f"SetQueueAttributes: {name} set"] = Row(
            "SetQueueAttributes", _set(**given), unknown, text
        )
    for name, values in _BAD_VALUES.items():
        fifo = name in _FIFO_ONLY
        queue = "ordered.fifo" if fifo else "plain"
        text = f"Invalid value for the parameter {name}."
        given = {"FifoQueue": "true"} if fifo else {}
        create = _create("new.fifo" if fifo else "new", **given, **{name: values[0]})
        rows[f"CreateQueue: {name}={values[0]!r}"] = Row(
            "CreateQueue", create, "InvalidAttributeValue", text
        )
        for bad in values:
            rows[f"value: {name}={bad!r}"] = Row(
                "SetQueueAttributes", _set(queue, **{name: bad}), "InvalidAttributeValue", text
            )
    return rows


SET_ROWS = {
    "SetQueueAttributes: no attributes": Row(
        "SetQueueAttributes",
        {"QueueUrl": "plain"},
        MP,
        "The request must contain the parameter Attribute.Name.",
    ),
    "SetQueueAttributes: empty attributes": Row(
        "SetQueueAttributes", _set(), MP, "The request must contain the parameter Attribute.Name."
    ),
    "SetQueueAttributes: no value": Row(
        "SetQueueAttributes",
        _set(DelaySeconds=None),
        MP,
        "The request must contain the parameter Attribute.Value.",
    ),
    "CreateQueue: no value": Row(
        "CreateQueue",
        {"QueueName": "new", "Attributes": {"DelaySeconds": None}},
        MP,
        "The request must contain the parameter Attribute.Value.",
    ),
    "SetQueueAttributes: FifoQueue=true on standard": Row(
        "SetQueueAttributes",
        _set(FifoQueue="true"),
        "InvalidAttributeName",
        "Unknown Attribute FifoQueue.",
    ),
    "SetQueueAttributes: FifoQueue=false on standard": Row(
        "SetQueueAttributes",
        _set(FifoQueue="false"),
        "InvalidAttributeName",
        "Unknown Attribute FifoQueue.",
    ),
    "SetQueueAttributes: FifoQueue=false on FIFO": Row(
        "SetQueueAttributes",
        _set("ordered.fifo", FifoQueue="false"),
        "InvalidAttributeValue",
        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
    ),
    "value: perMessageGroupId without messageGroup": Row(
        "SetQueueAttributes",
        _set("ordered.fifo", FifoThroughputLimit="perMessageGroupId"),
        IPV,
        "The perMessageGroupId value is allowed only when the value for DeduplicationScope is "
        "messageGroup",
    ),
    "value: 21 statements set": Row(
        "SetQueueAttributes",
        _set(Policy=statements(21)),
        "OverLimit",
        "21 statements were found in the submitted policy, max allowed is 20",
    ),
    "value: 21 statements created": Row(
        "CreateQueue",
        _create(Policy=statements(21)),
        IPV,
        "21 statements were found in the submitted policy, max allowed is 20",
    ),
    "value: policy of 8193 bytes": Row(
        "SetQueueAttributes",
        _set(Policy=statements(1).ljust(8193)),
        "InvalidAttributeValue",
        "Invalid value for the parameter Policy.",
    ),
    "encryption: both kinds of encryption set": Row(
        "SetQueueAttributes",
        _set(KmsMasterKeyId="alias/aws/sqs", SqsManagedSseEnabled="true"),
        "InvalidAttributeName",
        "You can use one type of server-side encryption (SSE) at one time. "
        "You can either enable KMS SSE or SQS SSE.",
    ),
    "encryption: both kinds of encryption created": Row(
        "CreateQueue",
        _create(KmsMasterKeyId="alias/aws/sqs", SqsManagedSseEnabled="true"),
        "InvalidAttributeName",
        "You can use one type of server-side encryption (SSE) at one time. "
        "You can either enable KMS SSE or SQS SSE.",
    ),
}

LOOK_ROWS = {
    "GetQueueUrl: no name": Row("GetQueueUrl", {}, IPV, NO_NAME),
    "GetQueueUrl: empty name": Row(
        "GetQueueUrl", {"QueueName": ""}, IPV, "Queue name cannot be empty"
    ),
    "ListQueues: MaxResults=0": Row("ListQueues", {"MaxResults": 0}, IPV, MAX_RESULTS),
    "ListQueues: MaxResults=1001": Row("ListQueues", {"MaxResults": 1001}, IPV, MAX_RESULTS),
    "ListQueues: token alone": Row("ListQueues", {"NextToken": "x"}, IPV, TOKEN_ALONE),
    "ListQueues: bad token": Row("ListQueues", {"NextToken": "x", "MaxResults": 1}, IPV, BAD_TOKEN),
    "ListQueues: token of another page": Row("ListQueues", _token_of_other_page, IPV, OTHER_TOKEN),
    "GetQueueAttributes: unknown name": Row(
        "GetQueueAttributes",
        {"QueueUrl": "plain", "AttributeNames": ["All", "Colour"]},
        "InvalidAttributeName",
        "Unknown Attribute Colour.",
    ),
    "GetQueueAttributes: empty name": Row(
        "GetQueueAttributes",
        {"QueueUrl": "plain", "AttributeNames": ["", "All"]},
        "InvalidAttributeName",
        "Unknown Attribute .",
    ),
    "PurgeQueue: second purge": Row(
        "PurgeQueue",
        _purged,
        "PurgeQueueInProgress",
        "Only one PurgeQueue operation on <QueueUrl> is allowed every 60 seconds.",
    ),
    "ListDeadLetterSourceQueues: MaxResults=0": Row(
        "ListDeadLetterSourceQueues", {"QueueUrl": "dead", "MaxResults": 0}, IPV, MAX_RESULTS
    ),
    "ListDeadLetterSourceQueues: MaxResults=1001": Row(
        "ListDeadLetterSourceQueues", {"QueueUrl": "dead", "MaxResults": 1001}, IPV, MAX_RESULTS
    ),
    "ListDeadLetterSourceQueues: token alone": Row(
        "ListDeadLetterSourceQueues", {"QueueUrl": "dead", "NextToken": "x"}, IPV, TOKEN_ALONE
    ),
    "ListDeadLetterSourceQueues: bad token": Row(
        "ListDeadLetterSourceQueues", _token_of_other_list, IPV, BAD_TOKEN
    ),
    "ListDeadLetterSourceQueues: token of another page": Row(
        "ListDeadLetterSourceQueues", _token_of_other_sources, IPV, OTHER_TOKEN
    ),
}

TAG_ROWS = {
    "tags: no tags": Row(
        "TagQueue", {"QueueUrl": "plain"}, MP, "The request must contain the parameter Tags."
    ),
    "tags: no value": Row(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {"a": "b", "k": None}},
        MP,
        "The request must contain the parameter Tag.Value.",
    ),
    "tags: no value to create with": Row(
        "CreateQueue",
        {"QueueName": "new", "tags": {"k": None}},
        MP,
        "The request must contain the parameter Tag.Value.",
    ),
    "tags: empty tags": Row(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {}},
        MP,
        "The request must contain the parameter Tags.",
    ),
    "tags: 51 tags": Row(
        "TagQueue", _full_of_tags, IPV, "Too many tags added for queue <QueueUrl>."
    ),
    "tags: no keys": Row(
        "UntagQueue", {"QueueUrl": "plain"}, MP, "The request must contain the parameter TagKeys."
    ),
    "tags: empty keys": Row(
        "UntagQueue",
        {"QueueUrl": "plain", "TagKeys": []},
        IPV,
        "Tag keys must be between 1 and 128 characters in length.",
    ),
    "tags: empty key": Row(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {"": "a"}},
        IPV,
        "Tag keys must be between 1 and 128 characters in length.",
    ),
    "tags: key of 129": Row(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {"x" * 129: "a"}},
        IPV,
        "Tag keys must be between 1 and 128 characters in length.",
    ),
    "tags: key": Row(
        "TagQueue", {"QueueUrl": "plain", "Tags": {"a*": ""}}, IPV, f"Tag keys {TAG_ALPHABET}"
    ),
    "tags: value": Row(
        "TagQueue", {"QueueUrl": "plain", "Tags": {"a": "*"}}, IPV, f"Tag values {TAG_ALPHABET}"
    ),
    "tags: value of 257": Row(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {"a": "x" * 257}},
        IPV,
        "Tag values must be between 0 and 256 characters in length.",
    ),
    "tags: reserved key": Row(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {"aws:a": "b"}},
        IPV,
        "Tag keys that begin with aws: are reserved.",
    ),
}


_ON_QUEUE: dict[str, Parameters] = {
    "AddPermission": {"Label": "a", "AWSAccountIds": ["111122223333"], "Actions": ["*"]},
    "ChangeMessageVisibility": {"ReceiptHandle": "x", "VisibilityTimeout": 1},
    "ChangeMessageVisibilityBatch": {
        "Entries": [{"Id": "a", "ReceiptHandle": "x", "VisibilityTimeout": 1}]
    },
    "DeleteMessage": {"ReceiptHandle": "x"},
    "DeleteMessageBatch": {"Entries": [{"Id": "a", "ReceiptHandle": "x"}]},
    "DeleteQueue": {},
    "GetQueueAttributes": {"AttributeNames": ["All"]},
    "ListDeadLetterSourceQueues": {},
    "ListQueueTags": {},
    "PurgeQueue": {},
    "ReceiveMessage": {},
    "RemovePermission": {"Label": "a"},
    "SendMessage": {"MessageBody": "x"},
    "SendMessageBatch": {"Entries": [{"Id": "a", "MessageBody": "x"}]},
    "SetQueueAttributes": {"Attributes": {"DelaySeconds": "1"}},
    "TagQueue": {"Tags": {"a": "b"}},
    "UntagQueue": {"TagKeys": ["a"]},
}


def _absent_queue_rows() -> dict[str, Row]:
    gone, text = "QueueDoesNotExist", "The specified queue does not exist."
    rows = {"GetQueueUrl: no such queue": Row("GetQueueUrl", {"QueueName": "nobody"}, gone, text)}
    rows["DeleteQueue: deleted twice"] = Row("DeleteQueue", _deleted_queue, gone, text)
    for action, others in _ON_QUEUE.items():
        rows[f"{action} on no queue"] = Row(action, {"QueueUrl": "nobody", **others}, gone, text)
        rows[f"{action} without a queue"] = Row(action, others, gone, text)
    return rows


QUEUE_ROWS = {
    **CREATE_ROWS,
    **_attribute_rows(),
    **SET_ROWS,
    **LOOK_ROWS,
    **TAG_ROWS,
    **_absent_queue_rows(),
}
