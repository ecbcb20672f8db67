"""Errors of the actions on queues: what SQS refuses, row by row."""

from __future__ import annotations

import json

from tests.api.error_rows import IPV, MP, Parameters, Room, Row, value

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


def _statements(count: int) -> str:
    statement = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*", "Principal": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement] * count})


CREATE_ROWS = {
    "2.1 no name": Row("CreateQueue", {}, IPV, NO_NAME),
    "2.1 empty name": Row("CreateQueue", {"QueueName": ""}, IPV, "Queue name cannot be empty"),
    "2.1 bad name": Row("CreateQueue", _create("a b"), IPV, BAD_NAME),
    "2.1 name of 81": Row("CreateQueue", _create("x" * 81), IPV, BAD_NAME),
    "2.1 FIFO name without FifoQueue": Row("CreateQueue", _create("new.fifo"), IPV, BAD_NAME),
    "2.1 FifoQueue without FIFO name": Row(
        "CreateQueue", _create(FifoQueue="true"), IPV, BAD_FIFO_NAME
    ),
    "2.1 FIFO name of 81": Row(
        "CreateQueue", _create("x" * 76 + ".fifo", FifoQueue="true"), IPV, BAD_FIFO_NAME
    ),
    "2.1 FifoQueue=false": Row(
        "CreateQueue",
        _create(FifoQueue="false"),
        "InvalidAttributeName",
        "Unknown Attribute FifoQueue.",
    ),
    "2.1 FifoQueue=false with a FIFO name": Row(
        "CreateQueue",
        _create("new.fifo", FifoQueue="false"),
        "InvalidAttributeName",
        "Unknown Attribute FifoQueue.",
    ),
    "2.1 exists otherwise": Row(
        "CreateQueue",
        _create("plain", DelaySeconds="7"),
        "QueueNameExists",
        f"{EXISTS} attribute DelaySeconds",
    ),
    "2.1 exists with other tags": Row("CreateQueue", _tagged, "QueueNameExists", f"{EXISTS} tags"),
    "2.1 deleted recently": Row(
        "CreateQueue",
        _deleted,
        "QueueDeletedRecently",
        "You must wait 60 seconds after deleting a queue before you can create another with the "
        "same name.",
    ),
    "2.1 tags that no queue can have": Row(
        "CreateQueue", {"QueueName": "new", "tags": {"a?": ""}}, IPV, f"Tag keys {TAG_ALPHABET}"
    ),
    "2.1 51 tags": Row(
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
        rows[f"2.1 {name} on standard"] = Row("CreateQueue", _create(**given), unknown, text)
        rows[f"2.6 {name} on standard"] = Row("SetQueueAttributes", _set(**given), unknown, text)
    for name in _READ_ONLY:
        given, text = {name: "1"}, f"Unknown Attribute {name}."
        rows[f"2.1 {name} set"] = Row("CreateQueue", _create(**given), unknown, text)
        rows[f"2.6 {name} set"] = Row("SetQueueAttributes", _set(**given), unknown, text)
    for name, values in _BAD_VALUES.items():
        fifo = name in _FIFO_ONLY
        queue = "ordered.fifo" if fifo else "plain"
        text = f"Invalid value for the parameter {name}."
        given = {"FifoQueue": "true"} if fifo else {}
        create = _create("new.fifo" if fifo else "new", **given, **{name: values[0]})
        rows[f"2.1 {name}={values[0]!r}"] = Row(
            "CreateQueue", create, "InvalidAttributeValue", text
        )
        for bad in values:
            rows[f"3 {name}={bad!r}"] = Row(
                "SetQueueAttributes", _set(queue, **{name: bad}), "InvalidAttributeValue", text
            )
    return rows


SET_ROWS = {
    "2.6 no attributes": Row(
        "SetQueueAttributes",
        {"QueueUrl": "plain"},
        MP,
        "The request must contain the parameter Attribute.Name.",
    ),
    "2.6 empty attributes": Row(
        "SetQueueAttributes", _set(), MP, "The request must contain the parameter Attribute.Name."
    ),
    "2.6 no value": Row(
        "SetQueueAttributes",
        _set(DelaySeconds=None),
        MP,
        "The request must contain the parameter Attribute.Value.",
        only="query",
    ),
    "2.6 FifoQueue=true on standard": Row(
        "SetQueueAttributes",
        _set(FifoQueue="true"),
        "InvalidAttributeName",
        "Unknown Attribute FifoQueue.",
    ),
    "2.6 FifoQueue=false on standard": Row(
        "SetQueueAttributes",
        _set(FifoQueue="false"),
        "InvalidAttributeName",
        "Unknown Attribute FifoQueue.",
    ),
    "2.6 FifoQueue=false on FIFO": Row(
        "SetQueueAttributes",
        _set("ordered.fifo", FifoQueue="false"),
        "InvalidAttributeValue",
        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
    ),
    "3 perMessageGroupId without messageGroup": Row(
        "SetQueueAttributes",
        _set("ordered.fifo", FifoThroughputLimit="perMessageGroupId"),
        IPV,
        "The perMessageGroupId value is allowed only when the value for DeduplicationScope is "
        "messageGroup",
    ),
    "3 21 statements set": Row(
        "SetQueueAttributes",
        _set(Policy=_statements(21)),
        "OverLimit",
        "21 statements were found in the submitted policy, max allowed is 20",
    ),
    "3 21 statements created": Row(
        "CreateQueue",
        _create(Policy=_statements(21)),
        IPV,
        "21 statements were found in the submitted policy, max allowed is 20",
    ),
    "3 policy of 8193 bytes": Row(
        "SetQueueAttributes",
        _set(Policy=_statements(1).ljust(8193)),
        "InvalidAttributeValue",
        "Invalid value for the parameter Policy.",
    ),
    "8 both kinds of encryption set": Row(
        "SetQueueAttributes",
        _set(KmsMasterKeyId="alias/aws/sqs", SqsManagedSseEnabled="true"),
        "InvalidAttributeName",
        "You can use one type of server-side encryption (SSE) at one time. "
        "You can either enable KMS SSE or SQS SSE.",
    ),
    "8 both kinds of encryption created": Row(
        "CreateQueue",
        _create(KmsMasterKeyId="alias/aws/sqs", SqsManagedSseEnabled="true"),
        "InvalidAttributeName",
        "You can use one type of server-side encryption (SSE) at one time. "
        "You can either enable KMS SSE or SQS SSE.",
    ),
}

LOOK_ROWS = {
    "2.3 no name": Row("GetQueueUrl", {}, IPV, NO_NAME),
    "2.3 empty name": Row("GetQueueUrl", {"QueueName": ""}, IPV, "Queue name cannot be empty"),
    "2.4 MaxResults=0": Row("ListQueues", {"MaxResults": 0}, IPV, MAX_RESULTS),
    "2.4 MaxResults=1001": Row("ListQueues", {"MaxResults": 1001}, IPV, MAX_RESULTS),
    "2.4 token alone": Row("ListQueues", {"NextToken": "x"}, IPV, TOKEN_ALONE),
    "2.4 bad token": Row("ListQueues", {"NextToken": "x", "MaxResults": 1}, IPV, BAD_TOKEN),
    "2.4 token of another page": Row("ListQueues", _token_of_other_page, IPV, OTHER_TOKEN),
    "2.5 unknown name": Row(
        "GetQueueAttributes",
        {"QueueUrl": "plain", "AttributeNames": ["All", "Colour"]},
        "InvalidAttributeName",
        "Unknown Attribute Colour.",
    ),
    "2.5 empty name": Row(
        "GetQueueAttributes",
        {"QueueUrl": "plain", "AttributeNames": ["", "All"]},
        "InvalidAttributeName",
        "Unknown Attribute .",
    ),
    "2.7 second purge": Row(
        "PurgeQueue",
        _purged,
        "PurgeQueueInProgress",
        "Only one PurgeQueue operation on <QueueUrl> is allowed every 60 seconds.",
    ),
    "2.17 MaxResults=0": Row(
        "ListDeadLetterSourceQueues", {"QueueUrl": "dead", "MaxResults": 0}, IPV, MAX_RESULTS
    ),
    "2.17 MaxResults=1001": Row(
        "ListDeadLetterSourceQueues", {"QueueUrl": "dead", "MaxResults": 1001}, IPV, MAX_RESULTS
    ),
    "2.17 token alone": Row(
        "ListDeadLetterSourceQueues", {"QueueUrl": "dead", "NextToken": "x"}, IPV, TOKEN_ALONE
    ),
    "2.17 bad token": Row("ListDeadLetterSourceQueues", _token_of_other_list, IPV, BAD_TOKEN),
    "2.17 token of another page": Row(
        "ListDeadLetterSourceQueues", _token_of_other_sources, IPV, OTHER_TOKEN
    ),
}

TAG_ROWS = {
    "2.8 no tags": Row(
        "TagQueue", {"QueueUrl": "plain"}, MP, "The request must contain the parameter Tags."
    ),
    "2.8 empty tags": Row(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {}},
        MP,
        "The request must contain the parameter Tags.",
    ),
    "2.8 51 tags": Row("TagQueue", _full_of_tags, IPV, "Too many tags added for queue <QueueUrl>."),
    "2.8 no keys": Row(
        "UntagQueue", {"QueueUrl": "plain"}, MP, "The request must contain the parameter TagKeys."
    ),
    "2.8 empty keys": Row(
        "UntagQueue",
        {"QueueUrl": "plain", "TagKeys": []},
        IPV,
        "Tag keys must be between 1 and 128 characters in length.",
    ),
    "2.8 empty key": Row(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {"": "a"}},
        IPV,
        "Tag keys must be between 1 and 128 characters in length.",
    ),
    "2.8 key of 129": Row(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {"x" * 129: "a"}},
        IPV,
        "Tag keys must be between 1 and 128 characters in length.",
    ),
    "2.8 key": Row(
        "TagQueue", {"QueueUrl": "plain", "Tags": {"a*": ""}}, IPV, f"Tag keys {TAG_ALPHABET}"
    ),
    "2.8 value": Row(
        "TagQueue", {"QueueUrl": "plain", "Tags": {"a": "*"}}, IPV, f"Tag values {TAG_ALPHABET}"
    ),
    "2.8 value of 257": Row(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {"a": "x" * 257}},
        IPV,
        "Tag values must be between 0 and 256 characters in length.",
    ),
    "2.8 reserved key": Row(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {"aws:a": "b"}},
        IPV,
        "Tag keys that begin with aws: are reserved.",
    ),
}


def _permit(**others: object) -> Parameters:
    accounts = {"AWSAccountIds": ["111122223333"], "Actions": ["SendMessage"]}
    return {"QueueUrl": "plain", "Label": "new", **accounts, **others}


def _permitted(room: Room) -> Parameters:
    name = room.fresh()
    room.ask("AddPermission", **_permit(QueueUrl=name, Label="twice"))
    return _permit(QueueUrl=name, Label="twice", Actions=["ReceiveMessage"])


def _twenty_permissions(room: Room) -> Parameters:
    name = room.fresh(Policy=_statements(20))
    return _permit(QueueUrl=name)


_OWNER_ONLY = (
    "AddPermission",
    "CancelMessageMoveTask",
    "CreateQueue",
    "DeleteQueue",
    "ListMessageMoveTasks",
    "ListQueueTags",
    "ListQueues",
    "RemovePermission",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
)


def _permission_rows() -> dict[str, Row]:
    add, remove = "AddPermission", "RemovePermission"
    label = "The request must contain the parameter Label."
    unable = "Value {} for parameter PrincipalId is invalid. Reason: Unable to verify."
    rows = {
        "label exists": Row(add, _permitted, IPV, value("Label", "Already exists.")),
        "unknown label": Row(
            remove, {"QueueUrl": "plain", "Label": "x"}, IPV, value("Label", "can't find label.")
        ),
        "eight actions": Row(
            add,
            _permit(Actions=["SendMessage"] * 8),
            "OverLimit",
            "8 Actions were found, maximum allowed is 7.",
        ),
        "21 statements": Row(
            add,
            _twenty_permissions,
            "OverLimit",
            "21 Statements were found, maximum allowed is 20.",
        ),
        "unknown action": Row(
            add,
            _permit(Actions=["Foo"]),
            IPV,
            "Value SQS:Foo for parameter ActionName is invalid. "
            "Reason: Please refer to the appropriate WSDL for a list of valid actions.",
        ),
        "no actions": Row(
            add, _permit(Actions=None), MP, "The request must contain the parameter Actions."
        ),
        "empty actions": Row(
            add, _permit(Actions=[]), MP, "The request must contain the parameter Actions."
        ),
        "no accounts": Row(add, _permit(AWSAccountIds=None), IPV, unable.format("[]")),
        "empty accounts": Row(add, _permit(AWSAccountIds=[]), IPV, unable.format("[]")),
        "bad account": Row(add, _permit(AWSAccountIds=["1"]), IPV, unable.format("[1]")),
        "no label to add": Row(add, _permit(Label=None), MP, label),
        "empty label to add": Row(add, _permit(Label=""), MP, label),
        "no label to remove": Row(remove, {"QueueUrl": "plain"}, MP, label),
        "bad label": Row(add, _permit(Label="a b"), IPV, value("Label", f"{BAD_NAME}.")),
        "label of 81": Row(add, _permit(Label="x" * 81), IPV, value("Label", f"{BAD_NAME}.")),
    }
    for name in _OWNER_ONLY:
        reason = "Only the queue owner is allowed to invoke this action."
        text = value("ActionName", reason, f"SQS:{name}")
        rows[f"{name} is the owner's"] = Row(add, _permit(Actions=[name]), IPV, text)
    return {f"2.16 {name}": row for name, row in rows.items()}


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
    rows = {"2.3 no such queue": Row("GetQueueUrl", {"QueueName": "nobody"}, gone, text)}
    rows["2.2 deleted twice"] = Row("DeleteQueue", _deleted_queue, gone, text)
    for action, others in _ON_QUEUE.items():
        rows[f"2 {action} on no queue"] = Row(action, {"QueueUrl": "nobody", **others}, gone, text)
        rows[f"2 {action} without a queue"] = Row(action, others, gone, text)
    return rows


QUEUE_ROWS = {
    **CREATE_ROWS,
    **_attribute_rows(),
    **SET_ROWS,
    **LOOK_ROWS,
    **TAG_ROWS,
    **_permission_rows(),
    **_absent_queue_rows(),
}
