"""Random requests: each one is parsed, or rejected as the sender's fault."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest

from protocol.actions import ACTIONS
from protocol.codecs.choice import codec_for
from protocol.errors import SQSError
from protocol.wire import WireRequest

JSON_TOKENS = [
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
FORM_TOKENS = [
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


def join_random(rng: random.Random, tokens: list[bytes]) -> bytes:
    """Join up to eleven random tokens of a protocol."""
    return b"".join(rng.choices(tokens, k=rng.randrange(12)))


def mutate(rng: random.Random, seed: bytes) -> bytes:
    """Restart up to three short ranges of a valid body by random bytes."""
    mutated = bytearray(seed)
    for _ in range(rng.randrange(4)):
        start = rng.randrange(len(mutated) + 1)
        end = start + rng.randrange(3)
        mutated[start:end] = rng.randbytes(rng.randrange(3))
    return bytes(mutated)


def random_json_request(rng: random.Random) -> WireRequest:
    seed = (
        b'{"QueueUrl":"q","MessageBody":"\\u00e9","DelaySeconds":5,"Attributes":{"a":"b"},'
        b'"QueueName":"q","Entries":[{"Id":"a","VisibilityTimeout":1}],"Tags":{"k":"v"},'
        b'"MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"AA=="}}}'
    )
    generators: list[Callable[[], bytes]] = [
        lambda: rng.randbytes(rng.randrange(40)),
        lambda: b"{" + join_random(rng, JSON_TOKENS) + b"}",
        lambda: mutate(rng, seed),
    ]
    target = f"AmazonSQS.{rng.choice(list(ACTIONS))}"
    return WireRequest("POST", "/", target=target, body=rng.choice(generators)())


def random_query_request(rng: random.Random) -> WireRequest:
    seed = (
        b"QueueUrl=q&MessageBody=%C3%A9&DelaySeconds=5&Attribute.1.Name=a&Attribute.1.Value=b"
        b"&QueueName=q&SendMessageBatchRequestEntry.1.Id=a&TagKey.1=a&Label=l&ActionName=a"
        b"&MessageAttribute.1.Name=a&MessageAttribute.1.Value.BinaryValue=AA%3D%3D"
    )
    generators: list[Callable[[], bytes]] = [
        lambda: rng.randbytes(rng.randrange(40)),
        lambda: join_random(rng, FORM_TOKENS),
        lambda: mutate(rng, seed),
    ]
    form = b"Action=" + rng.choice(list(ACTIONS)).encode() + b"&" + rng.choice(generators)()
    path = rng.choice(["/", "/0/q", "/0/%ff", "/\udcff/q", "//"])
    if rng.random() < 0.5:
        return WireRequest("POST", path, body=form)
    return WireRequest("GET", path, form.decode(errors="surrogateescape"))


def parse(request: WireRequest) -> msgspec.Struct | SQSError:
    """Return the parsed request, or the error that rejects it."""
    codec = codec_for(request)
    try:
        action, value = codec.read(request)
    except SQSError as error:
        return error
    assert type(value) is action.request
    return value


@pytest.mark.parametrize("make", [random_json_request, random_query_request])
def test_random_request_is_parsed_or_rejected_as_the_senders_fault(
    make: Callable[[random.Random], WireRequest],
) -> None:
    rng = random.Random(20121105)
    parsed = rejected = 0
    for _ in range(20_000):
        request = make(rng)
        result = parse(request)
        if isinstance(result, SQSError):
            rejected += 1
            assert result.sender_fault
            assert codec_for(request).write_error(result, "rid").body.decode()
        else:
            parsed += 1
            assert msgspec.convert(msgspec.to_builtins(result), type(result)) == result
    assert min(parsed, rejected) > 1000
