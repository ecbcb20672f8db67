"""Lone surrogates in every string of every request: both protocols can carry them, UTF-8 cannot."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from protocol.actions import ACTIONS
from tests.api.live_server import LiveServer
from tests.api.raw_http import call_action

LONE_SURROGATE = "\ud800"
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793"
TEXT = {"DataType": "String", "StringValue": "x"}
MESSAGE = {
    "MessageBody": "x",
    "MessageAttributes": {"a": TEXT},
    "MessageSystemAttributes": {"AWSTraceHeader": {**TEXT, "StringValue": TRACE}},
    "MessageGroupId": "g",
    "MessageDeduplicationId": "d",
}
ENTRY = {"Id": "a", "ReceiptHandle": "x"}
ARN = "arn:aws:sqs:us-east-1:000000000000:surrogates"

REQUESTS: dict[str, dict[str, Any]] = {
    "AddPermission": {"Label": "l", "AWSAccountIds": ["1" * 12], "Actions": ["*"]},
    "CancelMessageMoveTask": {"TaskHandle": "x"},
    "ChangeMessageVisibility": {"ReceiptHandle": "x", "VisibilityTimeout": 1},
    "ChangeMessageVisibilityBatch": {"Entries": [{**ENTRY, "VisibilityTimeout": 1}]},
    "CreateQueue": {"QueueName": "other", "Attributes": {"Policy": ""}, "tags": {"k": "v"}},
    "DeleteMessage": {"ReceiptHandle": "x"},
    "DeleteMessageBatch": {"Entries": [ENTRY]},
    "DeleteQueue": {},
    "GetQueueAttributes": {"AttributeNames": ["All"]},
    "GetQueueUrl": {"QueueName": "surrogates", "QueueOwnerAWSAccountId": "0" * 12},
    "ListDeadLetterSourceQueues": {"NextToken": "x", "MaxResults": 1},
    "ListMessageMoveTasks": {"SourceArn": ARN},
    "ListQueueTags": {},
    "ListQueues": {"QueueNamePrefix": "x", "NextToken": "x", "MaxResults": 1},
    "PurgeQueue": {},
    "ReceiveMessage": {
        "AttributeNames": ["All"],
        "MessageSystemAttributeNames": ["All"],
        "MessageAttributeNames": ["a"],
        "ReceiveRequestAttemptId": "x",
    },
    "RemovePermission": {"Label": "l"},
    "SendMessage": MESSAGE,
    "SendMessageBatch": {"Entries": [{"Id": "a", **MESSAGE}]},
    "SetQueueAttributes": {"Attributes": {"KmsMasterKeyId": "", "RedrivePolicy": ""}},
    "StartMessageMoveTask": {"SourceArn": ARN, "DestinationArn": ARN},
    "TagQueue": {"Tags": {"k": "v"}},
    "UntagQueue": {"TagKeys": ["k"]},
}


def with_surrogates(value: object) -> Iterator[Any]:
    """Yield copies of a value, each with a lone surrogate in one string or map key."""
    if isinstance(value, str):
        yield LONE_SURROGATE
        yield value + LONE_SURROGATE
    elif isinstance(value, dict):
        for key, one in value.items():
            for other in with_surrogates(one):
                yield {**value, key: other}
            if not key[0].isupper() or key in {"Policy", "KmsMasterKeyId", "AWSTraceHeader"}:
                yield {LONE_SURROGATE: copy.deepcopy(one)}
    elif isinstance(value, list):
        yield from ([other] for other in with_surrogates(value[0]))


@pytest.mark.parametrize("action", list(ACTIONS))
@pytest.mark.parametrize("queue_name", ["surrogates", "surrogates.fifo"])
def test_lone_surrogate_never_causes_a_server_error(
    server: LiveServer, protocol: str, action: str, queue_name: str
) -> None:
    fifo = {"FifoQueue": "true"} if queue_name.endswith(".fifo") else {}
    call_action(server.url, protocol, "CreateQueue", {"QueueName": queue_name, "Attributes": fifo})
    request = {"QueueUrl": queue_name, **REQUESTS[action]}
    for parameters in with_surrogates(request):
        answer = call_action(server.url, protocol, action, parameters)
        assert answer.status < 500, (parameters, answer.body)
        answer.body.decode()


def test_lone_surrogate_is_never_stored(server: LiveServer, protocol: str) -> None:
    for action in ("CreateQueue", "SendMessage", "SetQueueAttributes", "TagQueue"):
        for parameters in with_surrogates(REQUESTS[action]):
            request = {"QueueUrl": "surrogates", **parameters}
            assert call_action(server.url, protocol, action, request).status == 400, parameters
