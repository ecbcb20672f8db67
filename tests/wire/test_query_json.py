"""Query requests answered in JSON: names of members, lists, maps and absent members."""

from __future__ import annotations

import json

import msgspec
import pytest

from protocol import errors
from protocol.actions import (
    ACTIONS,
    BatchResultErrorEntry,
    GetQueueAttributesResult,
    ListDeadLetterSourceQueuesResult,
    ListMessageMoveTasksResult,
    ListMessageMoveTasksResultEntry,
    ListQueuesResult,
    ListQueueTagsResult,
    Message,
    MessageAttributeValue,
    ReceiveMessageResult,
    SendMessageBatchResult,
    SendMessageResult,
)
from protocol.codecs.query_json import JsonQueryCodec

URL = "http://localhost/000000000000/q"
CODEC = JsonQueryCodec()


@pytest.mark.parametrize(
    ("action", "result", "expected"),
    [
        pytest.param(
            "ListQueues",
            ListQueuesResult([URL]),
            f'"ListQueuesResult":{{"NextToken":null,"queueUrls":["{URL}"]}},@',
            id="queueUrls begins in lower case, absent member is null",
        ),
        pytest.param(
            "ListDeadLetterSourceQueues",
            ListDeadLetterSourceQueuesResult(),
            '"ListDeadLetterSourceQueuesResult":{"NextToken":null,"queueUrls":null},@',
            id="absent list is null",
        ),
        pytest.param(
            "GetQueueAttributes",
            GetQueueAttributesResult({"DelaySeconds": "0"}),
            '"GetQueueAttributesResult":{"Attributes":[{"Name":"DelaySeconds","Value":"0"}]},@',
            id="map is a list of entries",
        ),
        pytest.param(
            "ListQueueTags",
            ListQueueTagsResult({"k": "é"}),
            '"ListQueueTagsResult":{"Tags":[{"Key":"k","Value":"é"}]},@',
            id="tags have keys",
        ),
        pytest.param(
            "ReceiveMessage",
            ReceiveMessageResult(),
            '"ReceiveMessageResult":{"messages":null},@',
            id="no messages",
        ),
        pytest.param(
            "ReceiveMessage",
            ReceiveMessageResult(
                [
                    Message(
                        "id",
                        "handle",
                        "md5",
                        "\r\n",
                        {"SenderId": "0"},
                        "md5a",
                        {"a": MessageAttributeValue("Binary", binary_value=b"\x00\xff")},
                    )
                ]
            ),
            '"ReceiveMessageResult":{"messages":[{"Attributes":[{"Name":"SenderId","Value":"0"}],'
            '"Body":"\\r\\n","MD5OfBody":"md5","MD5OfMessageAttributes":"md5a","MessageAttributes":'
            '[{"Name":"a","Value":{"BinaryListValues":null,"BinaryValue":"AP8=",'
            '"DataType":"Binary","StringListValues":null,"StringValue":null}}],'
            '"MessageId":"id","ReceiptHandle":"handle"}]},@',
            id="messages begins in lower case",
        ),
        pytest.param(
            "SendMessage",
            SendMessageResult("md5", "id"),
            '@,"SendMessageResult":{"MD5OfMessageAttributes":null,"MD5OfMessageBody":"md5",'
            '"MD5OfMessageSystemAttributes":null,"MessageId":"id","SequenceNumber":null}',
            id="members in alphabetical order",
        ),
        pytest.param(
            "SendMessageBatch",
            SendMessageBatchResult(failed=[BatchResultErrorEntry("a", True, "Code", "é\ud800")]),
            '@,"SendMessageBatchResult":{"Failed":[{"Code":"Code","Id":"a","Message":"é?",'
            '"SenderFault":true}],"Successful":null}',
            id="boolean, and a surrogate is replaced",
        ),
        pytest.param(
            "ListMessageMoveTasks",
            ListMessageMoveTasksResult([ListMessageMoveTasksResultEntry("S", "arn", 1, 2)]),
            '"ListMessageMoveTasksResult":{"Results":[{'
            '"ApproximateNumberOfMessagesMoved":1,"ApproximateNumberOfMessagesToMove":null,'
            '"DestinationArn":null,"FailureReason":null,"MaxNumberOfMessagesPerSecond":null,'
            '"SourceArn":"arn","StartedTimestamp":2,"Status":"S","TaskHandle":null}]},@',
            id="numbers",
        ),
        pytest.param("DeleteQueue", None, "@", id="action without result"),
    ],
)
def test_result_has_the_envelope_of_query_in_json(
    action: str, result: msgspec.Struct | None, expected: str
) -> None:
    response = CODEC.write_result(ACTIONS[action], result, "rid")
    content = expected.replace("@", '"ResponseMetadata":{"RequestId":"rid"}')
    assert response.body.decode() == f'{{"{action}Response":{{{content}}}}}'
    assert (response.status, response.content_type) == (200, "application/json")


@pytest.mark.parametrize(
    ("error", "status", "code", "message", "fault"),
    [
        pytest.param(
            errors.QueueDoesNotExist(),
            400,
            "AWS.SimpleQueueService.NonExistentQueue",
            "The specified queue does not exist for this wsdl version.",
            "Sender",
            id="message of the Query protocol",
        ),
        pytest.param(
            errors.ServiceUnavailable("wait"),
            503,
            "ServiceUnavailable",
            "wait",
            "Receiver",
            id="the server's fault",
        ),
    ],
)
def test_error_has_no_envelope(
    error: errors.SQSError, status: int, code: str, message: str, fault: str
) -> None:
    response = CODEC.write_error(error, "rid")
    assert (response.status, response.content_type) == (status, "application/json")
    assert response.query_error is None
    assert json.loads(response.body) == {
        "Error": {"Code": code, "Message": message, "Type": fault},
        "RequestId": "rid",
    }


def test_unknown_path_is_answered_in_xml() -> None:
    response = CODEC.write_error(errors.NoSuchPath(), "rid")
    assert (response.status, response.content_type) == (404, "text/xml")
    assert response.body == b"<UnknownOperationException/>"
