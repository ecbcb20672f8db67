"""Message contents: bodies, attributes, digests, and size limits."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest

from tests.api.sqs_clients import Connect, Sqs, bodies, rejection

MIB = 1_048_576
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
TRACE_OF_THE_REQUEST = "Self=1-67891234-12456789abcdef012345678;" + TRACE

VALUES: dict[str, dict[str, Any]] = {
    "text": {"DataType": "String", "StringValue": " <grüße> & \"quotes\"\r\n\t'🎉' "},
    "custom": {"DataType": "String.json", "StringValue": '{"a":1}'},
    "number": {"DataType": "Number", "StringValue": "007.50"},
    "custom.number": {"DataType": "Number.int", "StringValue": "-3e2"},
    "blob": {"DataType": "Binary", "BinaryValue": bytes(range(256))},
    "custom_blob": {"DataType": "Binary.png", "BinaryValue": b"\x00"},
}


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def md5_of(attributes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the MD5 of message attributes: sorted by name, each part after its length."""
    digest = hashlib.md5()
    for name in sorted(attributes):
        value = attributes[name]
        text = value.get("StringValue")
        content = value["BinaryValue"] if text is None else text.encode()
        for part in (name.encode(), value["DataType"].encode()):
            digest.update(struct.pack(">I", len(part)) + part)
        digest.update(b"\x02" if text is None else b"\x01")
        digest.update(struct.pack(">I", len(content)) + content)
    return digest.hexdigest()


def receive_one(sqs: Sqs, queue: str, *names: str) -> dict[str, Any]:
    """Receive the only message with visibility timeout 0."""
    (message,) = sqs.receive_message(
        QueueUrl=queue,
        VisibilityTimeout=0,
        AttributeNames=["All"],
        MessageAttributeNames=list(names),
    )["Messages"]
    found: dict[str, Any] = message
    return found


def test_reference_digest_matches_the_digests_of_aws() -> None:
    hello = {"Hello": {"DataType": "String", "StringValue": "World"}}
    blob = {"blob": {"DataType": "Binary", "BinaryValue": b"\x01\x02\x03"}}
    assert md5_of(hello) == "7db7fb1ba7f41366a8ea5eb18220b26d"
    assert md5_of(blob) == "c39dad10e6d6152f1861cc7696680368"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("a\r\nb\rc\nd\te", id="line ends and tabs"),
        pytest.param("  leading and trailing \n", id="white space"),
        pytest.param("\"double\" 'single' &amp; <tag/> ]]> <!-- -->", id="markup"),
        pytest.param(
            "🎉 größer \u202e \u0085 \u2028 \U0010fffd\ud7ff\ue000", id="non-ASCII characters"
        ),
        pytest.param("a+b%20c&d=e;f#g", id="form escapes"),
        pytest.param('{"a":"\\u0041\\n"}', id="json"),
        pytest.param(" ", id="one space"),
    ],
)
def test_body_is_received_unchanged(sqs: Sqs, queue: str, body: str) -> None:
    sent = sqs.send_message(QueueUrl=queue, MessageBody=body)
    received = receive_one(sqs, queue)
    assert received["Body"] == body
    assert sent["MD5OfMessageBody"] == received["MD5OfBody"] == md5(body)


def test_attributes_of_every_type_are_received_with_their_digest(sqs: Sqs, queue: str) -> None:
    sent = sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes=VALUES)
    received = receive_one(sqs, queue, "All")
    assert received["MessageAttributes"] == VALUES
    assert sent["MD5OfMessageAttributes"] == md5_of(VALUES)
    assert received["MD5OfMessageAttributes"] == md5_of(VALUES)


def test_each_batch_entry_has_its_own_attributes_and_digest(sqs: Sqs, queue: str) -> None:
    answer = sqs.send_message_batch(
        QueueUrl=queue,
        Entries=[
            {"Id": name, "MessageBody": name, "MessageAttributes": {name: value}}
            for name, value in VALUES.items()
            if "." not in name
        ],
    )
    assert "Failed" not in answer
    for entry in answer["Successful"]:
        name = entry["Id"]
        assert entry["MD5OfMessageBody"] == md5(name)
        assert entry["MD5OfMessageAttributes"] == md5_of({name: VALUES[name]})


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        pytest.param(["All"], set(VALUES), id="All"),
        pytest.param([".*"], set(VALUES), id="dot star"),
        pytest.param(["blob", "missing", "a?"], {"blob"}, id="name"),
        pytest.param(["custom.*"], {"custom", "custom.number", "custom_blob"}, id="prefix"),
        pytest.param(["CUSTOM"], set(), id="another case"),
        pytest.param([], set(), id="none"),
    ],
)
def test_receive_returns_only_the_requested_attributes(
    sqs: Sqs, queue: str, wanted: list[str], names: set[str]
) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes=VALUES)
    received = receive_one(sqs, queue, *wanted)
    shown = {name: VALUES[name] for name in names}
    assert received.get("MessageAttributes", {}) == shown
    assert received.get("MD5OfMessageAttributes") == (md5_of(shown) if shown else None)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        pytest.param(
            {"DataType": "Strange", "StringValue": "x"},
            "The type of message (user) attribute 'a' is invalid. You must use only the "
            "following supported type prefixes: Binary, Number, String.",
            id="unknown type",
        ),
        pytest.param(
            {"DataType": "Number", "StringValue": "one"},
            "Can't cast the value of message (user) attribute 'a' to a number.",
            id="not a number",
        ),
        pytest.param(
            {"DataType": "String", "StringValue": ""},
            "Message (user) attribute 'a' must contain a non-empty value of type 'String'.",
            id="empty value",
        ),
    ],
)
def test_invalid_message_attribute_is_rejected(
    sqs: Sqs, queue: str, attribute: dict[str, Any], message: str
) -> None:
    assert rejection(
        sqs.send_message, QueueUrl=queue, MessageBody="x", MessageAttributes={"a": attribute}
    ) == (400, "InvalidParameterValue", message)


def test_trace_header_is_a_system_attribute_without_effect_on_the_digest(
    sqs: Sqs, queue: str
) -> None:
    system = {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}}
    sent = sqs.send_message(QueueUrl=queue, MessageBody="x", MessageSystemAttributes=system)
    assert sent["MD5OfMessageSystemAttributes"] == md5_of(system)
    assert "MD5OfMessageAttributes" not in sent
    assert receive_one(sqs, queue)["Attributes"]["AWSTraceHeader"] == TRACE


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        pytest.param({}, TRACE_OF_THE_REQUEST, id="header of the request"),
        pytest.param(
            {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}},
            TRACE,
            id="attribute of the message",
        ),
    ],
)
def test_trace_header_of_the_request_is_the_default_of_the_message(
    traced_sqs: Sqs, queue: str, system: dict[str, Any], expected: str
) -> None:
    traced_sqs.send_message_batch(
        QueueUrl=queue,
        Entries=[{"Id": "a", "MessageBody": "x", "MessageSystemAttributes": system}],
    )
    assert receive_one(traced_sqs, queue)["Attributes"]["AWSTraceHeader"] == expected


def test_trace_header_does_not_count_towards_the_size_of_a_message(sqs: Sqs, queue: str) -> None:
    system = {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}}
    body = "x" * 1_048_576
    sqs.send_message(QueueUrl=queue, MessageBody=body, MessageSystemAttributes=system)
    assert receive_one(sqs, queue)["Attributes"]["AWSTraceHeader"] == TRACE


@pytest.fixture
def traced_sqs(connect: Connect) -> Sqs:
    """Return a client whose requests have a trace header."""
    sqs = connect(region="us-east-1", access_key="traced")

    def trace(request: AWSRequest, **_: object) -> None:
        request.headers["X-Amzn-Trace-Id"] = TRACE_OF_THE_REQUEST

    sqs.meta.events.register("before-sign.sqs", trace, unique_id="trace")
    return sqs


def test_group_id_on_standard_queue_is_returned_and_blocks_no_message(sqs: Sqs, queue: str) -> None:
    for body in ("1", "2"):
        sent = sqs.send_message(QueueUrl=queue, MessageBody=body, MessageGroupId="tenant!1")
        assert "SequenceNumber" not in sent
    first = sqs.receive_message(QueueUrl=queue, AttributeNames=["MessageGroupId"])["Messages"]
    assert first[0]["Attributes"] == {"MessageGroupId": "tenant!1"}
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["2"]


def test_long_messages_of_one_receive_arrive_unchanged(sqs: Sqs, queue: str) -> None:
    sent = [f'{number} "é" <&>\r\n' * 10_000 for number in range(10)]
    for body in sent:
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, AttributeNames=["All"])
    assert bodies(received) == sent


def test_receive_returns_only_the_requested_system_attributes(sqs: Sqs, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = sqs.receive_message(
        QueueUrl=queue, AttributeNames=["ApproximateReceiveCount", "AWSTraceHeader"]
    )["Messages"]
    assert message["Attributes"] == {"ApproximateReceiveCount": "1"}


@pytest.mark.parametrize("protocol", ["json"], indirect=True)
def test_message_system_attribute_names_overrides_attribute_names(sqs: Sqs, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = sqs.receive_message(
        QueueUrl=queue, AttributeNames=["All"], MessageSystemAttributeNames=["SenderId"]
    )["Messages"]
    assert message["Attributes"] == {"SenderId": "000000000000"}


@pytest.mark.parametrize("protocol", ["json"], indirect=True)
def test_empty_list_of_system_attribute_names_overrides_nothing(sqs: Sqs, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = sqs.receive_message(
        QueueUrl=queue, AttributeNames=["SenderId"], MessageSystemAttributeNames=[]
    )["Messages"]
    assert message["Attributes"] == {"SenderId": "000000000000"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("x" * MIB, id="one byte each"),
        pytest.param("€" * (MIB // 3) + "x", id="three bytes each"),
        pytest.param("\n" * MIB, id="escaped"),
    ],
)
def test_message_of_one_mebibyte_is_accepted_and_one_byte_more_is_rejected(
    sqs: Sqs, queue: str, body: str
) -> None:
    assert len(body.encode()) == MIB
    sqs.send_message(QueueUrl=queue, MessageBody=body)
    assert receive_one(sqs, queue)["Body"] == body
    assert rejection(sqs.send_message, QueueUrl=queue, MessageBody=body + "x") == (
        400,
        "InvalidParameterValue",
        "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
    )


def test_message_attributes_count_towards_the_size(sqs: Sqs, queue: str) -> None:
    attributes = {"four": {"DataType": "Binary", "BinaryValue": b"0123456789"}}
    largest = MIB - len("four") - len("Binary") - 10
    sqs.send_message(QueueUrl=queue, MessageBody="x" * largest, MessageAttributes=attributes)
    rejected = rejection(
        sqs.send_message,
        QueueUrl=queue,
        MessageBody="x" * (largest + 1),
        MessageAttributes=attributes,
    )
    assert rejected.code == "InvalidParameterValue"


def test_batch_is_limited_to_one_mebibyte_in_total(sqs: Sqs, queue: str) -> None:
    half = "x" * (MIB // 2)
    entries = [{"Id": "a", "MessageBody": half}, {"Id": "b", "MessageBody": half}]
    assert len(sqs.send_message_batch(QueueUrl=queue, Entries=entries)["Successful"]) == 2
    assert rejection(
        sqs.send_message_batch,
        QueueUrl=queue,
        Entries=[*entries, {"Id": "c", "MessageBody": "x"}],
    ) == (
        400,
        "AWS.SimpleQueueService.BatchRequestTooLong",
        "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.",
    )
