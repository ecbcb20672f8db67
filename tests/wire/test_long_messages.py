"""Long requests and results: which are long, and that their pieces are the same as the whole."""

from __future__ import annotations

import pytest

from protocol.actions import (
    ACTIONS,
    ListQueuesResult,
    Message,
    MessageAttributeValue,
    ReceiveMessageResult,
)
from protocol.codecs.aws_json import JsonCodec
from protocol.codecs.aws_query import QueryCodec
from protocol.codecs.lengths import LONG_BYTES, long_messages
from protocol.codecs.query_json import JsonQueryCodec
from protocol.wire import Codec, WireRequest

CODECS = [JsonCodec(), QueryCodec(), JsonQueryCodec()]


def message(body: str, **attributes: MessageAttributeValue) -> Message:
    return Message(
        "id", "handle", "md5", body, {"SenderId": "me"}, message_attributes=attributes or None
    )


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: type(codec).__name__)
@pytest.mark.parametrize("count", [1, 2, 10])
def test_pieces_of_messages_make_the_whole_result(codec: Codec, count: int) -> None:
    blob = MessageAttributeValue("Binary", binary_value=b"\x00\xff")
    messages = [message(f'{number} "é" <&>\r[]', a=blob) for number in range(count)]
    whole = codec.write_result(ACTIONS["ReceiveMessage"], ReceiveMessageResult(messages), "rid")
    pieces = codec.write_messages(messages, "rid")
    assert (pieces.status, pieces.content_type) == (whole.status, whole.content_type)
    assert pieces.body + b"".join(pieces.rest) == whole.body
    assert pieces.length == whole.length == len(whole.body)
    assert len(pieces.rest) >= count


HALF = "x" * (LONG_BYTES // 2 + 1)


@pytest.mark.parametrize(
    ("messages", "is_long"),
    [
        pytest.param([], False, id="no message"),
        pytest.param([message(HALF)], False, id="short body"),
        pytest.param([message(HALF), message(HALF)], True, id="two bodies"),
        pytest.param(
            [message(HALF, a=MessageAttributeValue("String", HALF))], True, id="body and text"
        ),
        pytest.param(
            [message(HALF, a=MessageAttributeValue("Binary", binary_value=HALF.encode()))],
            True,
            id="body and binary value",
        ),
    ],
)
def test_messages_are_long_by_their_bodies_and_attributes(
    messages: list[Message], is_long: bool
) -> None:
    assert long_messages(ReceiveMessageResult(messages)) == (messages if is_long else None)


def test_result_without_messages_is_never_long() -> None:
    assert long_messages(None) is None
    assert long_messages(ListQueuesResult([HALF] * 3)) is None


def json_request(body: bytes) -> tuple[Codec, WireRequest]:
    return JsonCodec(), WireRequest("POST", "/", body=body)


def posted_form(body: bytes) -> tuple[Codec, WireRequest]:
    return QueryCodec(), WireRequest("POST", "/", body=body)


def form_in_url(query: bytes) -> tuple[Codec, WireRequest]:
    return QueryCodec(), WireRequest("GET", "/", query.decode())


@pytest.mark.parametrize(
    ("request_", "is_long"),
    [
        pytest.param(json_request(b"x" * LONG_BYTES), False, id="short JSON"),
        pytest.param(json_request(b"x" * LONG_BYTES + b"x"), True, id="long JSON"),
        pytest.param(json_request(b"," * 1_001), False, id="short JSON of many values"),
        pytest.param(posted_form(b"x" * LONG_BYTES), False, id="short form"),
        pytest.param(posted_form(b"x" * LONG_BYTES + b"x"), True, id="long form"),
        pytest.param(posted_form(b"a=&" * 1_001), True, id="form of many parameters"),
        pytest.param(form_in_url(b"a=&" * 1_001), True, id="URL of many parameters"),
        pytest.param(form_in_url(b"," * 1_001), False, id="short URL"),
    ],
)
def test_request_is_long_by_its_bytes_or_its_parameters(
    request_: tuple[Codec, WireRequest], is_long: bool
) -> None:
    codec, request = request_
    assert codec.is_long(request) is is_long
