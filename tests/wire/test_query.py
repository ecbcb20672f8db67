"""Requests of the Query protocol: endpoints, flattened forms and hostile forms."""

from __future__ import annotations

import msgspec
import pytest

from protocol import errors
from protocol.actions import (
    AddPermission,
    ChangeMessageVisibilityBatch,
    ChangeMessageVisibilityBatchRequestEntry,
    CreateQueue,
    GetQueueAttributes,
    GetQueueUrl,
    ListQueues,
    MessageAttributeValue,
    ReceiveMessage,
    SendMessage,
    SendMessageBatch,
    SendMessageBatchRequestEntry,
    SetQueueAttributes,
    TagQueue,
    UntagQueue,
)
from protocol.codecs.aws_query import QueryCodec
from protocol.wire import WireRequest

PATH = "/000000000000/q"
TEXT = MessageAttributeValue("String", "x")


def post(form: str | bytes, path: str = PATH, query: str = "") -> msgspec.Struct:
    body = form.encode() if isinstance(form, str) else form
    return QueryCodec().read(WireRequest("POST", path, query, body=body))[1]


def get(query: str, path: str = PATH) -> msgspec.Struct:
    return QueryCodec().read(WireRequest("GET", path, query))[1]


@pytest.mark.parametrize(
    ("form", "structure"),
    [
        pytest.param(
            "Action=SendMessage&Version=2012-11-05&MessageBody=a+b%20c%2B%26%3D%C3%A9é%0D%0A",
            SendMessage(PATH, "a b c+&=éé\r\n"),
            id="escapes",
        ),
        pytest.param(
            "Action=SendMessage&MessageBody=100%&MessageGroupId=null",
            SendMessage(PATH, "100%", message_group_id="null"),
            id="unescaped percent sign, and null is a string",
        ),
        pytest.param(
            "Action=SendMessage&MessageBody=a&MessageBody=b",
            SendMessage(PATH, "b"),
            id="last of duplicate names wins",
        ),
        pytest.param(
            "Action=SendMessage&MessageBody=a=b&&x&DelaySeconds=-1&",
            SendMessage(PATH, "a=b", -1),
            id="equals sign in a value, empty pairs",
        ),
        pytest.param(
            "Action=SendMessage&MessageBody=a&DelaySeconds=",
            SendMessage(PATH, "a"),
            id="an empty number is absent",
        ),
        pytest.param(
            "Action=GetQueueAttributes&AttributeName.10=c&AttributeName.2=b&AttributeName.1=a",
            GetQueueAttributes(PATH, ["a", "b", "c"]),
            id="items are sorted by number",
        ),
        pytest.param(
            "Action=GetQueueAttributes&AttributeName=All",
            GetQueueAttributes(PATH, ["All"]),
            id="list of one item without a number",
        ),
        pytest.param(
            "Action=GetQueueAttributes&AttributeName=",
            GetQueueAttributes(PATH, []),
            id="empty list",
        ),
        pytest.param(
            "Action=GetQueueAttributes&AttributeNames.1=All",
            GetQueueAttributes(PATH, ["All"]),
            id="plural name",
        ),
        pytest.param(
            "Action=ReceiveMessage&AttributeName.1=All&MessageAttributeName.1=x.*",
            ReceiveMessage(PATH, ["All"], ["All"], ["x.*"]),
            id="one name for both lists of system attributes",
        ),
        pytest.param(
            "Action=SetQueueAttributes&Attribute.1.Name=a&Attribute.1.Value=1"
            "&Attribute.5.Value=&Attribute.5.Name=b",
            SetQueueAttributes(PATH, {"a": "1", "b": ""}),
            id="queue attributes with a gap in the numbers",
        ),
        pytest.param(
            "Action=SetQueueAttributes&Attribute.Name=a&Attribute.Value=1",
            SetQueueAttributes(PATH, {"a": "1"}),
            id="map of one entry without a number",
        ),
        pytest.param(
            "Action=TagQueue&Tag.1.Key=k&Tag.1.Value=v", TagQueue(PATH, {"k": "v"}), id="tags"
        ),
        pytest.param(
            "Action=UntagQueue&TagKey.1=k&TagKey.2=l", UntagQueue(PATH, ["k", "l"]), id="tag keys"
        ),
        pytest.param(
            "Action=AddPermission&Label=l&AWSAccountId.1=1&ActionName.1=*",
            AddPermission(PATH, "l", ["*"], ["1"]),
            id="permission",
        ),
        pytest.param(
            "Action=SendMessage&MessageBody=a&MessageAttribute.1.Name=n"
            "&MessageAttribute.1.Value.DataType=Binary&MessageAttribute.1.Value.BinaryValue=AP8%3D"
            "&MessageSystemAttribute.1.Name=s&MessageSystemAttribute.1.Value.DataType=String"
            "&MessageSystemAttribute.1.Value.StringValue=x",
            SendMessage(
                PATH,
                "a",
                None,
                {"n": MessageAttributeValue("Binary", binary_value=b"\x00\xff")},
                {"s": TEXT},
            ),
            id="message attributes",
        ),
        pytest.param(
            "Action=SendMessage&MessageBody=a&MessageAttributes.1.Name=n"
            "&MessageAttributes.1.Value.DataType=String&MessageAttributes.1.Value.StringValue=x",
            SendMessage(PATH, "a", None, {"n": TEXT}),
            id="message attributes, plural",
        ),
        pytest.param(
            "Action=SendMessage&MessageBody=a&MessageAttribute.1.Name=n"
            "&MessageAttribute.1.Value.StringListValue.1=x"
            "&MessageAttribute.1.Value.BinaryListValue.1=AA==",
            SendMessage(
                PATH,
                "a",
                None,
                {
                    "n": MessageAttributeValue(
                        string_list_values=["x"], binary_list_values=[b"\x00"]
                    )
                },
            ),
            id="list values",
        ),
        pytest.param(
            "Action=SendMessage&MessageBody=a&MessageAttribute.1.Name=n",
            SendMessage(PATH, "a", None, {"n": MessageAttributeValue()}),
            id="message attribute without a value",
        ),
        pytest.param(
            "Action=SendMessage&MessageBody=a"
            + "".join(
                f"&MessageAttribute.{number}.Name={text}"
                f"&MessageAttribute.{number}.Value.BinaryValue={text}"
                for number, text in enumerate(("QUJD", "QUI=", "QUI", "QQ==", "QQ=", "QQ"))
            ),
            SendMessage(
                PATH,
                "a",
                None,
                {
                    "QUJD": MessageAttributeValue(binary_value=b"ABC"),
                    "QUI=": MessageAttributeValue(binary_value=b"AB"),
                    "QUI": MessageAttributeValue(binary_value=b"AB"),
                    "QQ==": MessageAttributeValue(binary_value=b"A"),
                    "QQ=": MessageAttributeValue(binary_value=b"A"),
                    "QQ": MessageAttributeValue(binary_value=b"A"),
                },
            ),
            id="base64 with and without padding",
        ),
        pytest.param(
            "Action=SetQueueAttributes&Attribute.1.Name=a",
            SetQueueAttributes(PATH, {"a": None}),
            id="queue attribute without a value",
        ),
        pytest.param(
            "Action=SendMessage", SendMessage(PATH), id="missing MessageBody is parsed as None"
        ),
        pytest.param(
            "Action=SendMessage&MessageBody=a%ED%A0%80",
            SendMessage(PATH, "a\ud800"),
            id="surrogate",
        ),
        pytest.param(
            "Action=SendMessageBatch&SendMessageBatchRequestEntry.2.Id=b"
            "&SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=x"
            "&SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=n"
            "&SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType=String"
            "&SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue=x",
            SendMessageBatch(
                PATH,
                [
                    SendMessageBatchRequestEntry("a", "x", None, {"n": TEXT}),
                    SendMessageBatchRequestEntry("b"),
                ],
            ),
            id="batch",
        ),
        pytest.param(
            "Action=ChangeMessageVisibilityBatch"
            "&ChangeMessageVisibilityBatchRequestEntry.1.VisibilityTimeout=0",
            ChangeMessageVisibilityBatch(
                PATH, [ChangeMessageVisibilityBatchRequestEntry(visibility_timeout=0)]
            ),
            id="batch of visibilities",
        ),
        pytest.param(
            "Action=GetQueueUrl&QueueName=r", GetQueueUrl("r"), id="GetQueueUrl on a queue's path"
        ),
        pytest.param("Action=SendMessageBatch", SendMessageBatch(PATH), id="no entries"),
    ],
)
def test_form_is_parsed_from_the_body_and_from_the_query_string(
    form: str, structure: msgspec.Struct
) -> None:
    assert post(form) == structure
    assert post(b"", query=form) == structure
    assert get(form) == structure


def test_create_queue_has_attributes_and_tags() -> None:
    form = "Action=CreateQueue&QueueName=q&Attribute.1.Name=a&Attribute.1.Value=1"
    assert post(form + "&Tag.1.Key=k&Tag.1.Value=v", "/") == CreateQueue(
        "q", {"a": "1"}, {"k": "v"}
    )


def test_body_overrides_the_query_string() -> None:
    merged = post("MessageBody=body", query="Action=SendMessage&MessageBody=query&DelaySeconds=1")
    assert merged == SendMessage(PATH, "body", 1)


@pytest.mark.parametrize(
    ("path", "form", "queue_url"),
    [
        pytest.param(PATH, "", PATH, id="path"),
        pytest.param(PATH, "&QueueUrl=http://h/1/r", "http://h/1/r", id="parameter overrides path"),
        pytest.param(PATH, "&QueueUrl=", PATH, id="an empty parameter is absent"),
        pytest.param("/", "&QueueUrl=r", "r", id="endpoint"),
        pytest.param("/queue/us-east-1/0/q", "", "/queue/us-east-1/0/q", id="LocalStack"),
    ],
)
def test_queue_url_is_the_parameter_or_else_the_path(path: str, form: str, queue_url: str) -> None:
    parsed = post("Action=DeleteQueue" + form, path)
    assert msgspec.to_builtins(parsed) == {"QueueUrl": queue_url}


@pytest.mark.parametrize(
    ("method", "path", "form", "error", "message"),
    [
        pytest.param("GET", PATH, "", errors.NoSuchPath, None, id="GET without action"),
        pytest.param("GET", "/", "", errors.NoSuchPath, None, id="GET of the endpoint"),
        pytest.param("POST", "/q", "Action=ListQueues", errors.NoSuchPath, None, id="unknown path"),
        pytest.param("PUT", PATH, "Action=ListQueues", errors.NoSuchPath, None, id="PUT"),
        pytest.param(
            "POST",
            "/",
            "",
            errors.MissingAction,
            "Action is missing in the request parameters",
            id="POST without action",
        ),
        pytest.param(
            "POST",
            "/",
            "Action=FooBar",
            errors.InvalidAction,
            "The action FooBar is not valid for this endpoint.",
            id="unknown action",
        ),
        pytest.param(
            "POST",
            PATH,
            "Action=CreateQueue&QueueName=q",
            errors.InvalidAction,
            "The action CreateQueue is not valid for this endpoint.",
            id="CreateQueue on a queue's path",
        ),
        pytest.param(
            "POST",
            PATH,
            "Action=ListQueues",
            errors.InvalidAction,
            "The action ListQueues is not valid for this endpoint.",
            id="ListQueues on a queue's path",
        ),
        pytest.param(
            "POST", "/", "Action=DeleteQueue", errors.QueueDoesNotExist, None, id="no queue"
        ),
        pytest.param(
            "POST",
            "/",
            "Action=CreateQueue",
            errors.InvalidParameterValue,
            "Value for parameter QueueName is invalid. Reason: Must specify a queue name.",
            id="no queue name",
        ),
        pytest.param(
            "POST",
            "/",
            "Action=StartMessageMoveTask",
            errors.MissingParameter,
            "The request must contain the parameter SourceArn.",
            id="no source ARN",
        ),
        pytest.param(
            "POST",
            PATH,
            "Action=SetQueueAttributes&Attribute.1.Value=1",
            errors.MissingParameter,
            "The request must contain the parameter Attribute.Name.",
            id="attribute without name",
        ),
        pytest.param(
            "POST",
            PATH,
            "Action=SendMessage&MessageBody=a&DelaySeconds=abc",
            errors.InvalidParameterValue,
            "Value abc for parameter DelaySeconds is invalid. Reason: Must be an integer.",
            id="not an integer",
        ),
        pytest.param(
            "POST",
            PATH,
            "Action=SendMessage&MessageBody=a&DelaySeconds=9223372036854775808",
            errors.InvalidParameterValue,
            "Value 9223372036854775808 for parameter DelaySeconds is invalid. "
            "Reason: Must be an integer.",
            id="more than 64 bits",
        ),
        pytest.param(
            "POST",
            PATH,
            "Action=SendMessage&MessageBody=a&MessageAttribute.1.Name=n"
            "&MessageAttribute.1.Value.BinaryValue=%25",
            errors.InvalidParameterValue,
            "Value % for parameter BinaryValue is invalid. Reason: Must be base64.",
            id="invalid base64",
        ),
    ],
)
def test_invalid_request_is_rejected_with_the_message_of_sqs(
    method: str, path: str, form: str, error: type[errors.SQSError], message: str | None
) -> None:
    request = WireRequest(method, path, body=form.encode())
    with pytest.raises(error) as raised:
        QueryCodec().read(request)
    assert type(raised.value) is error
    assert raised.value.message == (error.text if message is None else message)


NO_NAME = (
    errors.InvalidParameterValue,
    "The request must contain non-empty message attribute name.",
)
NO_LIST_START = (errors.MalformedInput, "Start of list found where not expected")
NO_LIST_END = (errors.MalformedInput, "End of list found where not expected")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        pytest.param("Action=CreateQueue&QueueName=q&Tag=", NO_LIST_END, id="empty tags"),
        pytest.param("Action=CreateQueue&QueueName=q&Tag", NO_LIST_END, id="tags without a value"),
        pytest.param(
            "Action=CreateQueue&QueueName=q&Attribute=", NO_LIST_END, id="empty attributes"
        ),
        pytest.param(
            "Action=SendMessage&QueueUrl=q&MessageBody=a&MessageAttribute=",
            NO_LIST_END,
            id="empty message attributes",
        ),
        pytest.param(
            "Action=SendMessageBatch&QueueUrl=q&SendMessageBatchRequestEntry.1.MessageAttribute=",
            NO_LIST_END,
            id="empty message attributes of an entry",
        ),
        pytest.param(
            "Action=ReceiveMessage&QueueUrl=q&MessageAttributeNames.member.1=All",
            NO_LIST_START,
            id="plural name and member",
        ),
        pytest.param(
            "Action=ReceiveMessage&QueueUrl=q&AttributeName.member.1=All",
            NO_LIST_START,
            id="name and member",
        ),
        pytest.param(
            "Action=TagQueue&QueueUrl=q&Tag.member.1.Key=a&Tag.member.1.Value=b",
            NO_LIST_START,
            id="map with member",
        ),
        pytest.param(
            "Action=DeleteMessageBatch&QueueUrl=q&DeleteMessageBatchRequestEntry.member.1.Id=a",
            NO_LIST_START,
            id="entries with member",
        ),
        pytest.param(
            "Action=SendMessage&QueueUrl=q&MessageBody.member.1=a",
            NO_LIST_START,
            id="list for a scalar",
        ),
        pytest.param(
            "Action=SendMessage&QueueUrl=q&MessageBody=a&MessageAttributes.1.key=n"
            "&MessageAttributes.1.value.DataType=String&MessageAttributes.1.value.StringValue=x",
            NO_NAME,
            id="message attribute with its name in lower case",
        ),
        pytest.param(
            "Action=SendMessage&QueueUrl=q&MessageBody=a&MessageSystemAttribute.1.Value=x",
            NO_NAME,
            id="message system attribute without a name",
        ),
    ],
)
def test_malformed_list_or_map_is_rejected_as_sqs_does(
    form: str, error: tuple[type[errors.SQSError], str]
) -> None:
    with pytest.raises(errors.SQSError) as raised:
        post(form, "/")
    assert (type(raised.value), raised.value.message) == error


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(b"Action=SendMessage&MessageBody=\xff", id="bytes that are not UTF-8"),
        pytest.param(b"Action=SendMessage&MessageBody=%ff", id="escapes that are not UTF-8"),
        pytest.param(
            b"Action=SendMessage&MessageBody=%ED%A0%80%FF", id="escaped surrogate and invalid UTF-8"
        ),
        pytest.param(b"&" * 10_001, id="too many parameters"),
        pytest.param(
            b"Action=UntagQueue&TagKey." + b"9" * 100_000 + b"=x",
            id="item number of 100,000 digits",
        ),
    ],
)
def test_hostile_form_is_malformed(form: bytes) -> None:
    with pytest.raises(errors.MalformedInput):
        post(form)


def test_query_string_of_raw_bytes_must_be_utf_8() -> None:
    raw = "Action=SendMessage&MessageBody=é".encode().decode("ascii", "surrogateescape")
    assert get(raw) == SendMessage(PATH, "é")
    for hostile in ("\udcff", "\ud800"):
        with pytest.raises(errors.MalformedInput):
            get(f"Action=SendMessage&MessageBody={hostile}")


@pytest.mark.parametrize(
    ("form", "tag_keys"),
    [
        pytest.param(
            "TagKey=a&TagKey.1=b", ["b"], id="numbered item overrides item without a number"
        ),
        pytest.param("TagKey.1=b&TagKey.1.2.3=c", ["b"], id="item with nested items is ignored"),
        pytest.param("TagKey.0=a&TagKey.999999999=b", ["a", "b"], id="any number is valid"),
        pytest.param("TagKey.01=a&TagKey.1=b", ["a", "b"], id="equal numbers keep their order"),
        pytest.param(
            "TagKey.-1=a&TagKey.²=b&TagKey..=c&TagKey.1=d", ["d"], id="invalid numbers are ignored"
        ),
        pytest.param(
            "TagKey" + ".1" * 5000 + "=a&TagKey.1=b", ["b"], id="5,000 nested items are ignored"
        ),
    ],
)
def test_ambiguous_list_is_parsed_in_one_defined_way(form: str, tag_keys: list[str]) -> None:
    assert post(f"Action=UntagQueue&{form}") == UntagQueue(PATH, tag_keys)


def test_list_queues_needs_no_parameters() -> None:
    assert get("Action=ListQueues", "/") == get("Action=ListQueues", "") == ListQueues()
