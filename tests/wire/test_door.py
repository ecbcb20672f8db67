"""Which protocol a request speaks, and that no bytes can break either."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest

from protocol.actions import ACTIONS
from protocol.codecs.aws_json import JsonCodec
from protocol.codecs.aws_query import QueryCodec
from protocol.codecs.choice import codec_for
from protocol.codecs.query_json import JsonQueryCodec
from protocol.errors import SQSError
from protocol.wire import WireRequest

JSON_TYPE = "application/x-amz-json-1.0"
FORM_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
TARGET = "AmazonSQS.ListQueues"


@pytest.mark.parametrize(
    ("request_", "codec"),
    [
        pytest.param(
            WireRequest("POST", "/", content_type=JSON_TYPE, target=TARGET), JsonCodec, id="JSON"
        ),
        pytest.param(
            WireRequest("POST", "/0/q", content_type=JSON_TYPE, target=TARGET),
            JsonCodec,
            id="JSON to a queue's path",
        ),
        pytest.param(WireRequest("POST", "/", target=TARGET), JsonCodec, id="target alone"),
        pytest.param(WireRequest("POST", "/", content_type=JSON_TYPE), JsonCodec, id="type alone"),
        pytest.param(
            WireRequest("POST", "/", content_type="Application/X-Amz-Json-1.1"),
            JsonCodec,
            id="type in other letters",
        ),
        pytest.param(WireRequest("POST", "/", content_type=FORM_TYPE), QueryCodec, id="form"),
        pytest.param(
            WireRequest("POST", "/", content_type=FORM_TYPE, target=TARGET),
            QueryCodec,
            id="form with a target",
        ),
        pytest.param(WireRequest("POST", "/"), QueryCodec, id="no type"),
        pytest.param(WireRequest("GET", "/"), QueryCodec, id="GET"),
        pytest.param(
            WireRequest("GET", "/", content_type=JSON_TYPE, target=TARGET),
            QueryCodec,
            id="JSON is posted",
        ),
        pytest.param(WireRequest("PUT", "/", target=TARGET), QueryCodec, id="PUT"),
        pytest.param(
            WireRequest("GET", "/", accept="application/json"), JsonQueryCodec, id="GET for JSON"
        ),
        pytest.param(
            WireRequest("GET", "/", accept="text/plain, Application/JSON;q=0.9, */*"),
            JsonQueryCodec,
            id="GET for JSON among others",
        ),
        pytest.param(
            WireRequest("GET", "/", accept="text/html, */*"), QueryCodec, id="GET for anything"
        ),
        pytest.param(
            WireRequest("POST", "/", content_type=FORM_TYPE, accept="application/json"),
            QueryCodec,
            id="POST for JSON",
        ),
    ],
)
def test_type_and_target_tell_the_protocol(request_: WireRequest, codec: type) -> None:
    assert type(codec_for(request_)) is codec


def test_a_get_with_a_target_finds_nothing() -> None:
    request = WireRequest("GET", "/0/q", content_type=JSON_TYPE, target=TARGET)
    codec = codec_for(request)
    with pytest.raises(SQSError) as raised:
        codec.read(request)
    response = codec.write_error(raised.value, "rid")
    assert (response.status, response.body) == (404, b"<UnknownOperationException/>")


JSON_PIECES = [
    *b'{ } [ ] " : , \\ 0 -1 1.5 1e9 true false null'.split(),
    b'"\\ud800"',
    b'"\\u0000"',
    b'"QueueUrl":',
    b'"q"',
    b'"MessageBody":',
    b'"Entries":[{"Id":"a"}]',
    b'"Attributes":{"a":1}',
    b'"MessageAttributes":{"a":{"DataType":"String","StringValue":"x"}}',
    b'"DelaySeconds":',
    b"\xff",
    b"\xed\xa0\x80",
    b"NaN",
    b"9" * 40,
]
FORM_PIECES = [
    *b"& = . + % %ff %00 %ed%a0%80 1 0 -1 999999999999 Name Value Key Id".split(),
    b"Attribute.1.Name=a&Attribute.1.Value=b&",
    b"MessageAttribute.1.Value.BinaryValue=",
    b"SendMessageBatchRequestEntry.1.",
    b"AttributeName",
    b"QueueUrl=q&",
    b"MessageBody=b&",
    b"DelaySeconds=",
    b"TagKey.",
    b"\xff",
    "é²".encode(),
]


def pieces(rng: random.Random, vocabulary: list[bytes]) -> bytes:
    """Join what looks like the protocol, at random."""
    return b"".join(rng.choices(vocabulary, k=rng.randrange(12)))


def mutated(rng: random.Random, seed: bytes) -> bytes:
    """Damage something valid."""
    damaged = bytearray(seed)
    for _ in range(rng.randrange(4)):
        place = rng.randrange(len(damaged) + 1)
        end = place + rng.randrange(3)
        damaged[place:end] = rng.randbytes(rng.randrange(3))
    return bytes(damaged)


def json_request(rng: random.Random) -> WireRequest:
    seed = (
        b'{"QueueUrl":"q","MessageBody":"\\u00e9","DelaySeconds":5,"Attributes":{"a":"b"},'
        b'"QueueName":"q","Entries":[{"Id":"a","VisibilityTimeout":1}],"Tags":{"k":"v"},'
        b'"MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"AA=="}}}'
    )
    made: list[Callable[[], bytes]] = [
        lambda: rng.randbytes(rng.randrange(40)),
        lambda: b"{" + pieces(rng, JSON_PIECES) + b"}",
        lambda: mutated(rng, seed),
    ]
    target = f"AmazonSQS.{rng.choice(list(ACTIONS))}"
    return WireRequest("POST", "/", target=target, body=rng.choice(made)())


def query_request(rng: random.Random) -> WireRequest:
    seed = (
        b"QueueUrl=q&MessageBody=%C3%A9&DelaySeconds=5&Attribute.1.Name=a&Attribute.1.Value=b"
        b"&QueueName=q&SendMessageBatchRequestEntry.1.Id=a&TagKey.1=a&Label=l&ActionName=a"
        b"&MessageAttribute.1.Name=a&MessageAttribute.1.Value.BinaryValue=AA%3D%3D"
    )
    made: list[Callable[[], bytes]] = [
        lambda: rng.randbytes(rng.randrange(40)),
        lambda: pieces(rng, FORM_PIECES),
        lambda: mutated(rng, seed),
    ]
    form = b"Action=" + rng.choice(list(ACTIONS)).encode() + b"&" + rng.choice(made)()
    path = rng.choice(["/", "/0/q", "/0/%ff", "/\udcff/q", "//"])
    if rng.random() < 0.5:
        return WireRequest("POST", path, body=form)
    return WireRequest("GET", path, form.decode(errors="surrogateescape"))


def outcome(request: WireRequest) -> msgspec.Struct | SQSError:
    codec = codec_for(request)
    try:
        action, value = codec.read(request)
    except SQSError as error:
        return error
    assert type(value) is action.request
    return value


@pytest.mark.parametrize("make", [json_request, query_request])
def test_any_bytes_end_in_a_value_or_an_error_of_the_sender(
    make: Callable[[random.Random], WireRequest],
) -> None:
    rng = random.Random(20121105)
    values = refusals = 0
    for _ in range(20_000):
        request = make(rng)
        end = outcome(request)
        if isinstance(end, SQSError):
            refusals += 1
            assert end.sender_fault
            assert codec_for(request).write_error(end, "rid").body.decode()
        else:
            values += 1
            assert msgspec.convert(msgspec.to_builtins(end), type(end)) == end
    assert min(values, refusals) > 1000
