"""Error cases of the actions on queues."""

from __future__ import annotations

import json

from tests.api.error_cases import IPV, MP, CaseServer, ErrorCase, Parameters
from tests.api.permission_error_cases import statements

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


def _deleted(server: CaseServer) -> Parameters:
    name = server.create_fresh()
    server.call("DeleteQueue", QueueUrl=name)
    return {"QueueName": name}


def _deleted_queue(server: CaseServer) -> Parameters:
    return {"QueueUrl": _deleted(server)["QueueName"]}


def _purged(server: CaseServer) -> Parameters:
    name = server.create_fresh()
    server.call("PurgeQueue", QueueUrl=name)
    return {"QueueUrl": name}


def _tagged(server: CaseServer) -> Parameters:
    name = server.create_fresh()
    server.call("TagQueue", QueueUrl=name, Tags={"a": "1"})
    return {"QueueName": name, "tags": {"a": "2"}}


def _full_of_tags(server: CaseServer) -> Parameters:
    name = server.create_fresh()
    server.call("TagQueue", QueueUrl=name, Tags={str(number): "" for number in range(50)})
    return {"QueueUrl": name, "Tags": {"one": "more"}}


def _token_of_another_prefix(server: CaseServer) -> Parameters:
    token = server.call("ListQueues", MaxResults=1)["NextToken"]
    return {"QueueNamePrefix": "p", "MaxResults": 1, "NextToken": token}


def _token_of_list_queues(server: CaseServer) -> Parameters:
    token = server.call("ListQueues", MaxResults=1)["NextToken"]
    return {"QueueUrl": "dead", "MaxResults": 1, "NextToken": token}


def _token_of_another_dead_letter_queue(server: CaseServer) -> Parameters:
    policy = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": _dead(), "maxReceiveCount": 1})}
    server.create_fresh(**policy)
    token = server.call("ListDeadLetterSourceQueues", QueueUrl="dead", MaxResults=1)["NextToken"]
    return {"QueueUrl": "plain", "MaxResults": 1, "NextToken": token}


def _dead() -> str:
    return "arn:aws:sqs:us-east-1:000000000000:dead"


CREATE_CASES = {
    "CreateQueue: no name": ErrorCase("CreateQueue", {}, IPV, NO_NAME),
    "CreateQueue: empty name": ErrorCase(
        "CreateQueue", {"QueueName": ""}, IPV, "Queue name cannot be empty"
    ),
    "CreateQueue: bad name": ErrorCase("CreateQueue", _create("a b"), IPV, BAD_NAME),
    "CreateQueue: name of 81 characters": ErrorCase(
        "CreateQueue", _create("x" * 81), IPV, BAD_NAME
    ),
    "CreateQueue: FIFO name without FifoQueue": ErrorCase(
        "CreateQueue", _create("new.fifo"), IPV, BAD_NAME
    ),
    "CreateQueue: FifoQueue without FIFO name": ErrorCase(
        "CreateQueue", _create(FifoQueue="true"), IPV, BAD_FIFO_NAME
    ),
    "CreateQueue: FIFO name of 81 characters": ErrorCase(
        "CreateQueue", _create("x" * 76 + ".fifo", FifoQueue="true"), IPV, BAD_FIFO_NAME
    ),
    "CreateQueue: FifoQueue=false": ErrorCase(
        "CreateQueue",
        _create(FifoQueue="false"),
        "InvalidAttributeName",
        "Unknown Attribute FifoQueue.",
    ),
    "CreateQueue: FifoQueue=false with a FIFO name": ErrorCase(
        "CreateQueue",
        _create("new.fifo", FifoQueue="false"),
        "InvalidAttributeName",
        "Unknown Attribute FifoQueue.",
    ),
    "CreateQueue: exists with another attribute value": ErrorCase(
        "CreateQueue",
        _create("plain", DelaySeconds="7"),
        "QueueNameExists",
        f"{EXISTS} attribute DelaySeconds",
    ),
    "CreateQueue: exists with other tags": ErrorCase(
        "CreateQueue", _tagged, "QueueNameExists", f"{EXISTS} tags"
    ),
    "CreateQueue: deleted recently": ErrorCase(
        "CreateQueue",
        _deleted,
        "QueueDeletedRecently",
        "You must wait 60 seconds after deleting a queue before you can create another with the "
        "same name.",
    ),
    "CreateQueue: invalid tag key": ErrorCase(
        "CreateQueue", {"QueueName": "new", "tags": {"a?": ""}}, IPV, f"Tag keys {TAG_ALPHABET}"
    ),
    "CreateQueue: 51 tags": ErrorCase(
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


def _attribute_cases() -> dict[str, ErrorCase]:
    cases: dict[str, ErrorCase] = {}
    unknown = "InvalidAttributeName"
    for name, (good, text) in _STANDARD.items():
        given = {name: good}
        cases[f"CreateQueue: {name} on standard"] = ErrorCase(
            "CreateQueue", _create(**given), unknown, text
        )
        cases[f"SetQueueAttributes: {name} on standard"] = ErrorCase(
            "SetQueueAttributes", _set(**given), unknown, text
        )
    for name in _READ_ONLY:
        given, text = {name: "1"}, f"Unknown Attribute {name}."
        cases[f"CreateQueue: {name} set"] = ErrorCase(
            "CreateQueue", _create(**given), unknown, text
        )
        cases[f"SetQueueAttributes: {name} set"] = ErrorCase(
            "SetQueueAttributes", _set(**given), unknown, text
        )
    for name, values in _BAD_VALUES.items():
        fifo = name in _FIFO_ONLY
        queue = "ordered.fifo" if fifo else "plain"
        text = f"Invalid value for the parameter {name}."
        given = {"FifoQueue": "true"} if fifo else {}
        create = _create("new.fifo" if fifo else "new", **given, **{name: values[0]})
        cases[f"CreateQueue: {name}={values[0]!r}"] = ErrorCase(
            "CreateQueue", create, "InvalidAttributeValue", text
        )
        for bad in values:
            cases[f"value: {name}={bad!r}"] = ErrorCase(
                "SetQueueAttributes", _set(queue, **{name: bad}), "InvalidAttributeValue", text
            )
    return cases


SET_CASES = {
    "SetQueueAttributes: no attributes": ErrorCase(
        "SetQueueAttributes",
        {"QueueUrl": "plain"},
        MP,
        "The request must contain the parameter Attribute.Name.",
    ),
    "SetQueueAttributes: empty attributes": ErrorCase(
        "SetQueueAttributes", _set(), MP, "The request must contain the parameter Attribute.Name."
    ),
    "SetQueueAttributes: no value": ErrorCase(
        "SetQueueAttributes",
        _set(DelaySeconds=None),
        MP,
        "The request must contain the parameter Attribute.Value.",
    ),
    "CreateQueue: no value": ErrorCase(
        "CreateQueue",
        {"QueueName": "new", "Attributes": {"DelaySeconds": None}},
        MP,
        "The request must contain the parameter Attribute.Value.",
    ),
    "SetQueueAttributes: FifoQueue=true on standard": ErrorCase(
        "SetQueueAttributes",
        _set(FifoQueue="true"),
        "InvalidAttributeName",
        "Unknown Attribute FifoQueue.",
    ),
    "SetQueueAttributes: FifoQueue=false on standard": ErrorCase(
        "SetQueueAttributes",
        _set(FifoQueue="false"),
        "InvalidAttributeName",
        "Unknown Attribute FifoQueue.",
    ),
    "SetQueueAttributes: FifoQueue=false on FIFO": ErrorCase(
        "SetQueueAttributes",
        _set("ordered.fifo", FifoQueue="false"),
        "InvalidAttributeValue",
        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
    ),
    "value: perMessageGroupId without messageGroup": ErrorCase(
        "SetQueueAttributes",
        _set("ordered.fifo", FifoThroughputLimit="perMessageGroupId"),
        IPV,
        "The perMessageGroupId value is allowed only when the value for DeduplicationScope is "
        "messageGroup",
    ),
    "SetQueueAttributes: policy of 21 statements": ErrorCase(
        "SetQueueAttributes",
        _set(Policy=statements(21)),
        "OverLimit",
        "21 statements were found in the submitted policy, max allowed is 20",
    ),
    "CreateQueue: policy of 21 statements": ErrorCase(
        "CreateQueue",
        _create(Policy=statements(21)),
        IPV,
        "21 statements were found in the submitted policy, max allowed is 20",
    ),
    "value: policy of 8194 bytes in fewer characters": ErrorCase(
        "SetQueueAttributes",
        _set(Policy=statements(1).replace("}", f', "Sid": "{"é" * 4_034}"}}', 1)),
        "InvalidAttributeValue",
        "Invalid value for the parameter Policy.",
    ),
    "value: policy of 8193 bytes": ErrorCase(
        "SetQueueAttributes",
        _set(Policy=statements(1).ljust(8193)),
        "InvalidAttributeValue",
        "Invalid value for the parameter Policy.",
    ),
    "SetQueueAttributes: both kinds of encryption": ErrorCase(
        "SetQueueAttributes",
        _set(KmsMasterKeyId="alias/aws/sqs", SqsManagedSseEnabled="true"),
        "InvalidAttributeName",
        "You can use one type of server-side encryption (SSE) at one time. "
        "You can either enable KMS SSE or SQS SSE.",
    ),
    "CreateQueue: both kinds of encryption": ErrorCase(
        "CreateQueue",
        _create(KmsMasterKeyId="alias/aws/sqs", SqsManagedSseEnabled="true"),
        "InvalidAttributeName",
        "You can use one type of server-side encryption (SSE) at one time. "
        "You can either enable KMS SSE or SQS SSE.",
    ),
}

READ_CASES = {
    "GetQueueUrl: no name": ErrorCase("GetQueueUrl", {}, IPV, NO_NAME),
    "GetQueueUrl: empty name": ErrorCase(
        "GetQueueUrl", {"QueueName": ""}, IPV, "Queue name cannot be empty"
    ),
    "ListQueues: MaxResults=0": ErrorCase("ListQueues", {"MaxResults": 0}, IPV, MAX_RESULTS),
    "ListQueues: MaxResults=1001": ErrorCase("ListQueues", {"MaxResults": 1001}, IPV, MAX_RESULTS),
    "ListQueues: token without MaxResults": ErrorCase(
        "ListQueues", {"NextToken": "x"}, IPV, TOKEN_ALONE
    ),
    "ListQueues: invalid token": ErrorCase(
        "ListQueues", {"NextToken": "x", "MaxResults": 1}, IPV, BAD_TOKEN
    ),
    "ListQueues: token of another prefix": ErrorCase(
        "ListQueues", _token_of_another_prefix, IPV, OTHER_TOKEN
    ),
    "GetQueueAttributes: unknown name": ErrorCase(
        "GetQueueAttributes",
        {"QueueUrl": "plain", "AttributeNames": ["All", "Colour"]},
        "InvalidAttributeName",
        "Unknown Attribute Colour.",
    ),
    "GetQueueAttributes: empty name": ErrorCase(
        "GetQueueAttributes",
        {"QueueUrl": "plain", "AttributeNames": ["", "All"]},
        "InvalidAttributeName",
        "Unknown Attribute .",
    ),
    "GetQueueAttributes: 101 names": ErrorCase(
        "GetQueueAttributes",
        {"QueueUrl": "plain", "AttributeNames": ["All"] * 101},
        IPV,
        "Number of attribute names [101] exceeds the allowed maximum [100].",
    ),
    "PurgeQueue: second purge": ErrorCase(
        "PurgeQueue",
        _purged,
        "PurgeQueueInProgress",
        "Only one PurgeQueue operation on <QueueUrl> is allowed every 60 seconds.",
    ),
    "ListDeadLetterSourceQueues: MaxResults=0": ErrorCase(
        "ListDeadLetterSourceQueues", {"QueueUrl": "dead", "MaxResults": 0}, IPV, MAX_RESULTS
    ),
    "ListDeadLetterSourceQueues: MaxResults=1001": ErrorCase(
        "ListDeadLetterSourceQueues", {"QueueUrl": "dead", "MaxResults": 1001}, IPV, MAX_RESULTS
    ),
    "ListDeadLetterSourceQueues: token without MaxResults": ErrorCase(
        "ListDeadLetterSourceQueues", {"QueueUrl": "dead", "NextToken": "x"}, IPV, TOKEN_ALONE
    ),
    "ListDeadLetterSourceQueues: invalid token": ErrorCase(
        "ListDeadLetterSourceQueues", _token_of_list_queues, IPV, BAD_TOKEN
    ),
    "ListDeadLetterSourceQueues: token of another queue": ErrorCase(
        "ListDeadLetterSourceQueues", _token_of_another_dead_letter_queue, IPV, BAD_TOKEN
    ),
}

TAG_CASES = {
    "tags: missing map": ErrorCase(
        "TagQueue", {"QueueUrl": "plain"}, MP, "The request must contain the parameter Tags."
    ),
    "tags: tag without value": ErrorCase(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {"a": "b", "k": None}},
        MP,
        "The request must contain the parameter Tag.Value.",
    ),
    "CreateQueue: tag without value": ErrorCase(
        "CreateQueue",
        {"QueueName": "new", "tags": {"k": None}},
        MP,
        "The request must contain the parameter Tag.Value.",
    ),
    "tags: empty map": ErrorCase(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {}},
        MP,
        "The request must contain the parameter Tags.",
    ),
    "tags: 51 tags": ErrorCase(
        "TagQueue", _full_of_tags, IPV, "Too many tags added for queue <QueueUrl>."
    ),
    "tags: no keys": ErrorCase(
        "UntagQueue", {"QueueUrl": "plain"}, MP, "The request must contain the parameter TagKeys."
    ),
    "tags: empty keys": ErrorCase(
        "UntagQueue",
        {"QueueUrl": "plain", "TagKeys": []},
        IPV,
        "Tag keys must be between 1 and 128 characters in length.",
    ),
    "tags: 101 keys": ErrorCase(
        "UntagQueue",
        {"QueueUrl": "plain", "TagKeys": [str(number) for number in range(101)]},
        IPV,
        "Number of tag keys [101] exceeds the allowed maximum [100].",
    ),
    "tags: empty key": ErrorCase(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {"": "a"}},
        IPV,
        "Tag keys must be between 1 and 128 characters in length.",
    ),
    "tags: key of 129 characters": ErrorCase(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {"x" * 129: "a"}},
        IPV,
        "Tag keys must be between 1 and 128 characters in length.",
    ),
    "tags: invalid character in a key": ErrorCase(
        "TagQueue", {"QueueUrl": "plain", "Tags": {"a*": ""}}, IPV, f"Tag keys {TAG_ALPHABET}"
    ),
    "tags: invalid character in a value": ErrorCase(
        "TagQueue", {"QueueUrl": "plain", "Tags": {"a": "*"}}, IPV, f"Tag values {TAG_ALPHABET}"
    ),
    "tags: value of 257 characters": ErrorCase(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {"a": "x" * 257}},
        IPV,
        "Tag values must be between 0 and 256 characters in length.",
    ),
    "tags: reserved key": ErrorCase(
        "TagQueue",
        {"QueueUrl": "plain", "Tags": {"aws:a": "b"}},
        IPV,
        "Tag keys that begin with aws: are reserved.",
    ),
}


_ACTIONS_ON_QUEUES: dict[str, Parameters] = {
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


def _missing_queue_cases() -> dict[str, ErrorCase]:
    gone, text = "QueueDoesNotExist", "The specified queue does not exist."
    cases = {
        "GetQueueUrl: no such queue": ErrorCase("GetQueueUrl", {"QueueName": "missing"}, gone, text)
    }
    cases["DeleteQueue: deleted twice"] = ErrorCase("DeleteQueue", _deleted_queue, gone, text)
    for action, others in _ACTIONS_ON_QUEUES.items():
        cases[f"{action} on a missing queue"] = ErrorCase(
            action, {"QueueUrl": "missing", **others}, gone, text
        )
        cases[f"{action} without queue URL"] = ErrorCase(action, others, gone, text)
    return cases


QUEUE_CASES = {
    **CREATE_CASES,
    **_attribute_cases(),
    **SET_CASES,
    **READ_CASES,
    **TAG_CASES,
    **_missing_queue_cases(),
}
