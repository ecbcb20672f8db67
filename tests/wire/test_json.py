"""The JSON protocol: parsed requests, rejected requests with SQS's messages, written results."""

from __future__ import annotations

import json

import msgspec
import pytest

from protocol import errors
from protocol.actions import (
    ACTIONS,
    BatchResultErrorEntry,
    ChangeMessageVisibility,
    CreateQueue,
    DeleteMessageBatchResult,
    GetQueueAttributes,
    ListDeadLetterSourceQueuesResult,
    ListQueues,
    MessageAttributeValue,
    ReceiveMessageResult,
    SendMessage,
    SendMessageResult,
    SetQueueAttributes,
    TagQueue,
)
from protocol.codecs.aws_json import JsonCodec
from protocol.codecs.json_bounds import MAXIMUM_MARKS, MAXIMUM_NESTING
from protocol.wire import WireRequest

URL = "http://localhost/000000000000/q"


def read(action: str, body: object) -> msgspec.Struct:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = WireRequest("POST", "/", target=f"AmazonSQS.{action}", body=raw)
    found, structure = JsonCodec().read(request)
    assert found is ACTIONS[action]
    return structure


@pytest.mark.parametrize(
    ("action", "body", "structure"),
    [
        pytest.param("ListQueues", b"", ListQueues(), id="an empty body is an empty object"),
        pytest.param("ListQueues", b" \r\n", ListQueues(), id="whitespace is an empty object"),
        pytest.param(
            "SendMessage",
            {"QueueUrl": URL, "MessageBody": "a", "Unknown": {"member": [1]}},
            SendMessage(URL, "a"),
            id="unknown members are ignored",
        ),
        pytest.param(
            "SendMessage",
            {"QueueUrl": URL, "MessageBody": "a", "DelaySeconds": None, "MessageAttributes": None},
            SendMessage(URL, "a"),
            id="null member is absent",
        ),
        pytest.param(
            "SendMessage",
            {
                "QueueUrl": URL,
                "MessageBody": "a",
                "MessageAttributes": {
                    "n": {"DataType": "Number", "StringValue": 5, "BinaryValue": None},
                    "nothing": None,
                },
            },
            SendMessage(URL, "a", None, {"n": MessageAttributeValue("Number", "5")}),
            id="numbers in an attribute's value become strings",
        ),
        pytest.param(
            "SetQueueAttributes",
            b'{"QueueUrl":"q","Attributes":'
            b'{"a":30,"b":1.50,"c":true,"d":false,"e":1e9999999999,"f":12345678901234567890123}}',
            SetQueueAttributes(
                "q",
                {
                    "a": "30",
                    "b": "1.50",
                    "c": "true",
                    "d": "false",
                    "e": "1e9999999999",
                    "f": "12345678901234567890123",
                },
            ),
            id="scalars in a map become strings with the same spelling",
        ),
        pytest.param(
            "CreateQueue",
            b'{"QueueName":"q","Attributes":{"a":null},"tags":{"k":null}}',
            CreateQueue("q", {"a": None}, {"k": None}),
            id="null in a map of strings is parsed as None",
        ),
        pytest.param(
            "CreateQueue",
            b'{"QueueName":"q","Attributes":{"a":null,"b":1}}',
            CreateQueue("q", {"a": None, "b": "1"}),
            id="null and a number in a map of strings",
        ),
        pytest.param(
            "SendMessage",
            {"QueueUrl": URL},
            SendMessage(URL),
            id="missing MessageBody is parsed as None",
        ),
        pytest.param(
            "ChangeMessageVisibility",
            {"QueueUrl": URL, "VisibilityTimeout": None},
            ChangeMessageVisibility(URL),
            id="null VisibilityTimeout is parsed as None",
        ),
        pytest.param(
            "SendMessage",
            b'{"QueueUrl":"q","MessageBody":"\\ud800"}',
            SendMessage("q", "\ud800"),
            id="escaped high surrogate",
        ),
        pytest.param(
            "SendMessage",
            b'{"QueueUrl":"q","MessageBody":"\\udc00 tail \\ud83d\\ude00"}',
            SendMessage("q", "\udc00 tail \U0001f600"),
            id="escaped low surrogate and a pair",
        ),
        pytest.param(
            "SendMessage",
            b'{"QueueUrl":"q","MessageBody":"\xed\xa0\x80"}',
            SendMessage("q", "\ud800"),
            id="surrogate in three bytes",
        ),
        pytest.param(
            "TagQueue",
            {"QueueUrl": URL, "Tags": {"k": 1}},
            TagQueue(URL, {"k": "1"}),
            id="numbers in tags become strings",
        ),
        pytest.param(
            "GetQueueAttributes",
            {"QueueUrl": URL, "AttributeNames": ["All", None]},
            GetQueueAttributes(URL, ["All"]),
            id="null in a list is ignored",
        ),
        pytest.param(
            "SendMessage",
            b'{"QueueUrl":"p","QueueUrl":"q","MessageBody":"\\ud83d\\ude00"}',
            SendMessage("q", "\U0001f600"),
            id="last of duplicate members wins, surrogate pair is one character",
        ),
    ],
)
def test_json_that_sqs_tolerates_is_parsed(
    action: str, body: object, structure: msgspec.Struct
) -> None:
    assert read(action, body) == structure


MAP = "Start of structure or map found where not expected."
LIST = "Start of list found where not expected"


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        pytest.param("MessageBody", {}, MAP, id="object for string"),
        pytest.param("DelaySeconds", {}, MAP, id="object for integer"),
        pytest.param("MessageBody", [], LIST, id="array for string"),
        pytest.param("DelaySeconds", [], LIST, id="array for integer"),
        pytest.param("MessageAttributes", [], LIST, id="array for map"),
        pytest.param("MessageAttributes", {"a": []}, LIST, id="array for structure"),
        pytest.param("MessageAttributes", "a", "Expected map or null", id="string for map"),
        pytest.param(
            "DelaySeconds", "5", "STRING_VALUE can not be converted to an Integer", id="string"
        ),
        pytest.param(
            "DelaySeconds", True, "TRUE_VALUE can not be converted to an Integer", id="true"
        ),
        pytest.param(
            "DelaySeconds", False, "FALSE_VALUE can not be converted to an Integer", id="false"
        ),
        pytest.param(
            "DelaySeconds", 1.5, "NUMBER_VALUE can not be converted to an Integer", id="fraction"
        ),
        pytest.param(
            "DelaySeconds",
            2**63,
            "NUMBER_VALUE can not be converted to an Integer",
            id="more than 64 bits",
        ),
        pytest.param(
            "MessageBody",
            5,
            "NUMBER_VALUE can not be converted to a String",
            id="number for string",
        ),
        pytest.param(
            "MessageBody", True, "TRUE_VALUE can not be converted to a String", id="true for string"
        ),
        pytest.param(
            "MessageAttributes",
            {"a": {"DataType": "Binary", "BinaryValue": "%"}},
            "STRING_VALUE can not be converted to a Blob",
            id="invalid base64",
        ),
        pytest.param(
            "MessageAttributes",
            {"a": {"DataType": "Binary", "BinaryValue": 5}},
            "NUMBER_VALUE can not be converted to a Blob",
            id="number for blob",
        ),
        pytest.param(
            "MessageAttributes",
            {"a": {"StringListValues": {}}},
            MAP,
            id="object for list",
        ),
        pytest.param(
            "MessageAttributes",
            {"a": {"StringListValues": "a"}},
            "Expected list or null",
            id="string for list",
        ),
    ],
)
def test_value_of_the_wrong_type_is_rejected_by_its_type(
    member: str, value: object, message: str
) -> None:
    with pytest.raises(errors.MalformedInput) as raised:
        read("SendMessage", {"QueueUrl": URL, "MessageBody": "a", member: value})
    assert raised.value.message == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param([], "Unrecognized collection type class java.lang.String", id="array"),
        pytest.param({}, MAP, id="object"),
    ],
)
def test_collection_in_a_map_of_strings_is_rejected(value: object, message: str) -> None:
    with pytest.raises(errors.MalformedInput) as raised:
        read("SetQueueAttributes", {"QueueUrl": URL, "Attributes": {"a": value}})
    assert raised.value.message == message


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="truncated"),
        pytest.param(b"{}x", id="trailing bytes"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'"text"', id="string"),
        pytest.param(b"null", id="null"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param(b'{"QueueUrl":"\xff","MessageBody":"a"}', id="not UTF-8"),
        pytest.param(
            b'{"QueueUrl":"q","MessageBody":"\\ud800","x":"\xff"}',
            id="lone surrogate and invalid UTF-8",
        ),
        pytest.param(b'{"QueueUrl":"q","MessageBody":"\x01"}', id="unescaped control character"),
        pytest.param(b'{"QueueUrl":"q","MessageBody":"\\ud8"}', id="truncated escape"),
        pytest.param(b'{"QueueUrl":"q","MessageBody":"a","DelaySeconds":NaN}', id="NaN"),
        pytest.param(
            b'{"QueueUrl":"q","MessageBody":"a","DelaySeconds":' + b"9" * 9999 + b"}",
            id="integer of 9999 digits",
        ),
        pytest.param(b'{"x":' + b"[" * 200_000, id="unclosed nesting"),
        pytest.param(
            b'{"QueueUrl":"q","MessageBody":"a","x":' + b"[" * 99_999 + b"]" * 99_999 + b"}",
            id="deep nesting",
        ),
    ],
)
def test_body_that_is_not_a_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(errors.MalformedInput):
        read("SendMessage", body)


def nested(levels: int) -> bytes:
    """Return a request that nests `levels` deep, counting the outermost object."""
    inner = levels - 1
    return b'{"QueueUrl":"q","MessageBody":"a","x":' + b"[" * inner + b"]" * inner + b"}"


def test_json_nested_up_to_the_limit_is_parsed() -> None:
    assert read("SendMessage", nested(MAXIMUM_NESTING)) == SendMessage("q", "a")


def test_json_nested_beyond_the_limit_is_malformed() -> None:
    with pytest.raises(errors.MalformedInput):
        read("SendMessage", nested(MAXIMUM_NESTING + 1))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[{" * 50_000, id="brackets"),
        pytest.param('\\"' + "[" * 5_000 + '\\"' + "{" * 5_000, id="brackets and quotes"),
        pytest.param("\\\\" * 3 + "[" * 5_000, id="brackets and backslashes"),
    ],
)
def test_brackets_in_strings_do_not_count_as_nesting(text: str) -> None:
    assert read("SendMessage", {"QueueUrl": "q", "MessageBody": text}) == SendMessage("q", text)


def test_adjacent_values_do_not_count_as_nesting() -> None:
    body = {"QueueUrl": "q", "MessageBody": "a", "x": [{}, []] * 2_000}
    assert read("SendMessage", body) == SendMessage("q", "a")


def with_items(item: str, count: int) -> bytes:
    """Return a request with a list of items, and three marks more than those of the items."""
    items = ",".join([item] * count)
    return b'{"QueueUrl":"q","MessageBody":"a","x":[' + items.encode() + b"]}"


@pytest.mark.parametrize(
    ("item", "marks"), [("1", 1), ('""', 1), ('",[{\\\\\\""', 1), ("[]", 2), ('{"":[1]}', 3)]
)
def test_number_of_json_values_is_limited(item: str, marks: int) -> None:
    most = (MAXIMUM_MARKS - 3) // marks
    assert read("SendMessage", with_items(item, most)) == SendMessage("q", "a")
    with pytest.raises(errors.MalformedInput):
        read("SendMessage", with_items(item, most + 1))


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("unit", ['\\\\,"', "\\\\[{,", '",",'])
def test_marks_in_a_long_string_do_not_count(unit: str, shift: int) -> None:
    text = "x" * shift + unit * 100_000
    body = {"QueueUrl": "q", "MessageBody": text, "x": [[]] * 300}
    assert read("SendMessage", body) == SendMessage("q", text)


def test_nesting_after_many_strings_is_malformed() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(errors.MalformedInput):
        read("SendMessage", b'{"x":[' + b'"",' * 9_000 + deep + b'],"QueueUrl":"q"}')


@pytest.mark.parametrize(
    ("action", "body", "error", "message"),
    [
        pytest.param(
            "SendMessage",
            {"MessageBody": "a"},
            errors.QueueDoesNotExist,
            "The specified queue does not exist.",
            id="queue URL",
        ),
        pytest.param(
            "SendMessage",
            {"QueueUrl": "", "MessageBody": "a"},
            errors.QueueDoesNotExist,
            "The specified queue does not exist.",
            id="empty queue URL",
        ),
        pytest.param(
            "SendMessage",
            {"MessageBody": 5},
            errors.MalformedInput,
            "NUMBER_VALUE can not be converted to a String",
            id="queue URL, after a value of the wrong type",
        ),
        pytest.param(
            "CreateQueue",
            b"",
            errors.InvalidParameterValue,
            "Value for parameter QueueName is invalid. Reason: Must specify a queue name.",
            id="queue name",
        ),
        pytest.param(
            "StartMessageMoveTask",
            {"SourceArn": None},
            errors.MissingParameter,
            "The request must contain the parameter SourceArn.",
            id="source ARN",
        ),
        pytest.param(
            "CancelMessageMoveTask",
            {},
            errors.MissingParameter,
            "The request must contain the parameter TaskHandle.",
            id="task handle",
        ),
    ],
)
def test_missing_required_parameter_is_named_in_the_error(
    action: str, body: object, error: type[errors.SQSError], message: str
) -> None:
    with pytest.raises(error) as raised:
        read(action, body)
    assert raised.value.message == message


@pytest.mark.parametrize(
    "target", ["", "AmazonSQS.Fly", "SendMessage", "AmazonSQS.", "Other.SendMessage"]
)
def test_unknown_target_is_rejected_as_invalid_action(target: str) -> None:
    with pytest.raises(errors.InvalidAction):
        JsonCodec().read(WireRequest("POST", "/", target=target, body=b"{}"))


@pytest.mark.parametrize(
    ("action", "result", "body"),
    [
        pytest.param("DeleteMessage", None, b"", id="action without result has an empty body"),
        pytest.param("ReceiveMessage", ReceiveMessageResult(), b"{}", id="empty result is {}"),
        pytest.param(
            "ListDeadLetterSourceQueues",
            ListDeadLetterSourceQueuesResult([URL]),
            b'{"queueUrls":["http://localhost/000000000000/q"]}',
            id="queueUrls begins in lower case",
        ),
        pytest.param(
            "SendMessage",
            SendMessageResult(
                "5d41402abc4b2a76b9719d911017c592", "219f8380-5770-4cc2-8c3e-5c715e145f5e"
            ),
            b'{"MD5OfMessageBody":"5d41402abc4b2a76b9719d911017c592",'
            b'"MessageId":"219f8380-5770-4cc2-8c3e-5c715e145f5e"}',
            id="no spaces, and None is omitted",
        ),
        pytest.param(
            "DeleteMessageBatch",
            DeleteMessageBatchResult(failed=[BatchResultErrorEntry("a", True, "Code")]),
            b'{"Failed":[{"Id":"a","SenderFault":true,"Code":"Code"}]}',
            id="batch",
        ),
    ],
)
def test_results_are_compact_json(action: str, result: msgspec.Struct | None, body: bytes) -> None:
    response = JsonCodec().write_result(ACTIONS[action], result, "rid")
    assert (response.status, response.body) == (200, body)
    assert response.content_type == "application/x-amz-json-1.0"
    assert response.query_error is None


def test_surrogate_in_an_error_message_is_replaced() -> None:
    response = JsonCodec().write_error(errors.InvalidParameterValue("Value \ud800\x00"), "rid")
    assert json.loads(response.body)["message"] == "Value ?\x00"


def test_surrogate_in_a_failed_entry_is_replaced() -> None:
    result = DeleteMessageBatchResult(failed=[BatchResultErrorEntry("a", True, "Code", "é\ud800")])
    response = JsonCodec().write_result(ACTIONS["DeleteMessageBatch"], result, "rid")
    assert response.body.decode() == (
        '{"Failed":[{"Id":"a","SenderFault":true,"Code":"Code","Message":"é?"}]}'
    )
