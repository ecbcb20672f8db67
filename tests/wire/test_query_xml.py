"""Results and errors of the Query protocol: flattened XML."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import xmltodict

from protocol import errors
from protocol.actions import (
    ACTIONS,
    BatchResultErrorEntry,
    GetQueueAttributesResult,
    ListQueuesResult,
    ListQueueTagsResult,
    Message,
    MessageAttributeValue,
    ReceiveMessageResult,
    SendMessageBatchResult,
    SendMessageBatchResultEntry,
)
from protocol.codecs.aws_query import QueryCodec

TEXT = MessageAttributeValue("String", "x")


def write(action: str, result: msgspec.Struct | None) -> str:
    response = QueryCodec().write_result(ACTIONS[action], result, "rid")
    assert (response.status, response.content_type) == (200, "text/xml")
    assert response.query_error is None
    return response.body.decode()


def envelope(action: str, content: str) -> str:
    return (
        f'<?xml version="1.0"?><{action}Response '
        f'xmlns="http://queue.amazonaws.com/doc/2012-11-05/">{content}'
        f"<ResponseMetadata><RequestId>rid</RequestId></ResponseMetadata></{action}Response>"
    )


MESSAGE = Message(
    "id",
    "handle",
    "md5",
    'a & b < c > d " e\r\n\U0001f600',
    {"SentTimestamp": "1", "SenderId": "me"},
    "md5a",
    {"s": TEXT, "b": MessageAttributeValue("Binary", binary_value=b"\x00\xff")},
)


@pytest.mark.parametrize(
    ("action", "result", "content"),
    [
        pytest.param("DeleteQueue", None, "", id="action without result"),
        pytest.param(
            "ReceiveMessage", ReceiveMessageResult(), "<ReceiveMessageResult/>", id="empty result"
        ),
        pytest.param(
            "ReceiveMessage",
            ReceiveMessageResult([]),
            "<ReceiveMessageResult/>",
            id="empty list is omitted",
        ),
        pytest.param(
            "ListQueues",
            ListQueuesResult(["u", "v"], "t"),
            "<ListQueuesResult><QueueUrl>u</QueueUrl><QueueUrl>v</QueueUrl>"
            "<NextToken>t</NextToken></ListQueuesResult>",
            id="flattened list",
        ),
        pytest.param(
            "GetQueueAttributes",
            GetQueueAttributesResult({"a": "1", "b<": "2"}),
            "<GetQueueAttributesResult><Attribute><Name>a</Name><Value>1</Value></Attribute>"
            "<Attribute><Name>b&lt;</Name><Value>2</Value></Attribute></GetQueueAttributesResult>",
            id="flattened map",
        ),
        pytest.param(
            "ListQueueTags",
            ListQueueTagsResult({"k": "v"}),
            "<ListQueueTagsResult><Tag><Key>k</Key><Value>v</Value></Tag></ListQueueTagsResult>",
            id="tags have keys",
        ),
        pytest.param(
            "SendMessageBatch",
            SendMessageBatchResult(
                [SendMessageBatchResultEntry("a", "id", "md5")],
                [BatchResultErrorEntry("b", False, "Code", "why")],
            ),
            "<SendMessageBatchResult><SendMessageBatchResultEntry><Id>a</Id>"
            "<MessageId>id</MessageId><MD5OfMessageBody>md5</MD5OfMessageBody>"
            "</SendMessageBatchResultEntry><BatchResultErrorEntry><Id>b</Id>"
            "<SenderFault>false</SenderFault><Code>Code</Code><Message>why</Message>"
            "</BatchResultErrorEntry></SendMessageBatchResult>",
            id="batch",
        ),
        pytest.param(
            "ReceiveMessage",
            ReceiveMessageResult([MESSAGE]),
            "<ReceiveMessageResult><Message><MessageId>id</MessageId>"
            "<ReceiptHandle>handle</ReceiptHandle><MD5OfBody>md5</MD5OfBody>"
            "<Body>a &amp; b &lt; c &gt; d &quot; e&#xD;\n\U0001f600</Body>"
            "<Attribute><Name>SentTimestamp</Name><Value>1</Value></Attribute>"
            "<Attribute><Name>SenderId</Name><Value>me</Value></Attribute>"
            "<MD5OfMessageAttributes>md5a</MD5OfMessageAttributes>"
            "<MessageAttribute><Name>s</Name><Value><DataType>String</DataType>"
            "<StringValue>x</StringValue></Value></MessageAttribute>"
            "<MessageAttribute><Name>b</Name><Value><DataType>Binary</DataType>"
            "<BinaryValue>AP8=</BinaryValue></Value></MessageAttribute>"
            "</Message></ReceiveMessageResult>",
            id="message",
        ),
    ],
)
def test_results_are_flattened_xml(
    action: str, result: msgspec.Struct | None, content: str
) -> None:
    assert write(action, result) == envelope(action, content)


def test_message_body_survives_an_xml_parser() -> None:
    document: dict[str, Any] = xmltodict.parse(
        write("ReceiveMessage", ReceiveMessageResult([MESSAGE])), strip_whitespace=False
    )
    message = document["ReceiveMessageResponse"]["ReceiveMessageResult"]["Message"]
    assert message["Body"] == MESSAGE.body


def test_characters_that_xml_forbids_are_replaced() -> None:
    hostile = "".join(map(chr, (0, 1, 8, 11, 12, 14, 31, 0xD800, 0xDFFF, 0xFFFE, 0xFFFF)))
    response = QueryCodec().write_error(errors.InvalidAction(f"\t\n{hostile}\x7f"), "rid")
    error = xmltodict.parse(response.body, strip_whitespace=False)["ErrorResponse"]["Error"]
    assert error["Message"] == "\t\n" + "\ufffd" * len(hostile) + "\x7f"
