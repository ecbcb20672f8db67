"""The memory that is counted for a request: what decoding it takes, and no less."""

from __future__ import annotations

import json
import tracemalloc
from urllib.parse import urlencode

import msgspec
import pytest

from protocol.actions import SendMessage
from protocol.codecs.choice import codec_for
from protocol.errors import RequestThrottled
from protocol.wire import WireRequest
from queueserver.http.request_memory import RequestMemory
from tests.api.raw_http import FORM, json_headers

MIB = 1024 * 1024
EMOJI = "\U0001f600"


def json_request(action: str, *, escapes: bool = False, **parameters: object) -> WireRequest:
    body = json.dumps(parameters, ensure_ascii=escapes).encode()
    headers = json_headers(action)
    content_type, target = headers["Content-Type"], headers["X-Amz-Target"]
    return WireRequest("POST", "/", "", content_type, target, "", body)


def form_request(**parameters: str) -> WireRequest:
    return WireRequest("POST", "/", "", FORM["Content-Type"], body=urlencode(parameters).encode())


def query_request(**parameters: str) -> WireRequest:
    return WireRequest("GET", "/", urlencode(parameters))


REQUESTS = {
    "ASCII": json_request("SendMessage", QueueUrl="q", MessageBody="x" * MIB),
    "emoji": json_request("SendMessage", QueueUrl="q", MessageBody=EMOJI + "x" * MIB),
    "escaped emoji": json_request(
        "SendMessage", escapes=True, QueueUrl="q", MessageBody=EMOJI + "x" * MIB
    ),
    "JSON in a body": json_request(
        "SendMessage", QueueUrl="q", MessageBody=json.dumps([1] * 100_000)
    ),
    "short JSON in a body": json_request(
        "SendMessage", QueueUrl="q", MessageBody=json.dumps([1] * 10_000)
    ),
    "batch": json_request(
        "SendMessageBatch",
        QueueUrl="q",
        Entries=[{"Id": str(number), "MessageBody": "x" * 3_000} for number in range(10)],
    ),
    "long URL": json_request("ReceiveMessage", QueueUrl="q" * MIB),
    "many names": json_request("ReceiveMessage", QueueUrl="q", MessageAttributeNames=["a"] * 9_000),
    "many wide names": json_request(
        "ReceiveMessage", QueueUrl="q", MessageAttributeNames=[EMOJI] * 9_000
    ),
    "many attributes": json_request(
        "SendMessage",
        QueueUrl="q",
        MessageBody="x",
        MessageAttributes={str(number): {} for number in range(3_000)},
    ),
    "many tags": json_request(
        "TagQueue", QueueUrl="q", Tags={str(number): "" for number in range(3_000)}
    ),
    "form": form_request(Action="SendMessage", QueueUrl="q", MessageBody="x" * MIB),
    "wide form": form_request(Action="SendMessage", QueueUrl="q", MessageBody=EMOJI + "x" * MIB),
    "many names in a form": form_request(
        Action="ReceiveMessage",
        QueueUrl="q",
        **{f"MessageAttributeName.{number}": "a" for number in range(1, 9_000)},
    ),
    "many names in a query string": query_request(
        Action="ReceiveMessage",
        QueueUrl="q",
        **{f"MessageAttributeName.{number}": "a" for number in range(1, 9_000)},
    ),
}
EXACT = {"ASCII", "emoji", "JSON in a body", "short JSON in a body", "batch", "long URL", "form"}
"""Usual requests: counting much more memory than they take would reject too many of them."""


def decode(request: WireRequest) -> msgspec.Struct:
    return codec_for(request).read(request)[1]


@pytest.mark.parametrize("name", REQUESTS)
def test_counted_memory_covers_what_a_decoded_request_takes(name: str) -> None:
    request = REQUESTS[name]
    decode(request)  # fills the caches of the codecs
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        parameters = decode(request)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    taken = after - before
    memory = RequestMemory(1)
    reservation = memory.reserve(request)
    assert reservation is not None
    assert memory._counted_bytes >= len(request.body)
    reservation.end_decoding(parameters)
    assert memory._counted_bytes > 0.95 * taken
    if name in EXACT:
        assert memory._counted_bytes < 1.5 * taken + 10_000
    reservation.end()
    assert memory._counted_bytes == 0


def test_requests_beyond_the_limit_are_throttled_until_others_have_ended() -> None:
    memory = RequestMemory(5 * MIB)
    request, parameters = REQUESTS["ASCII"], decode(REQUESTS["ASCII"])
    counted = []
    for _ in range(3):
        reservation = memory.reserve(request)
        assert reservation is not None
        reservation.end_decoding(parameters)
        counted.append(reservation)
    with pytest.raises(RequestThrottled):
        memory.reserve(request)
    counted.pop().end()
    assert memory.reserve(request) is not None


def test_request_is_throttled_if_its_values_take_too_much_memory() -> None:
    memory = RequestMemory(MIB // 2)
    other = memory.reserve(REQUESTS["batch"])
    assert other is not None
    reservation = memory.reserve(REQUESTS["many attributes"])
    assert reservation is not None
    with pytest.raises(RequestThrottled):
        reservation.end_decoding(decode(REQUESTS["many attributes"]))
    reservation.end()
    other.end()
    assert memory._counted_bytes == 0


def test_one_request_alone_may_exceed_the_limit() -> None:
    memory = RequestMemory(1)
    reservation = memory.reserve(REQUESTS["ASCII"])
    assert reservation is not None
    reservation.end_decoding(decode(REQUESTS["ASCII"]))


def test_small_requests_are_not_counted() -> None:
    request = json_request("SendMessage", QueueUrl="q", MessageBody="x" * 1_000)
    assert isinstance(decode(request), SendMessage)
    assert RequestMemory(1).reserve(request) is None
