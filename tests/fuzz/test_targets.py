"""What a run that is led by coverage relies on: its first inputs, and that nothing passes it by."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from protocol.codecs.choice import codec_for
from protocol.errors import InternalFailure, QueueDoesNotExist
from protocol.wire import WireRequest, WireResponse
from tests.fuzz.targets import (
    TARGETS,
    Operations,
    examine,
    json_request,
    query_request,
    refusal_of,
    words,
)


@pytest.mark.parametrize("name", TARGETS)
def test_the_first_inputs_of_a_target_find_nothing(name: str) -> None:
    make, first_inputs = TARGETS[name]
    target = make()
    try:
        for data in first_inputs():
            target(data)
    finally:
        if isinstance(target, Operations):
            target.close()


@pytest.mark.parametrize(
    ("name", "read"), [("json", json_request), ("query", query_request)], ids=["json", "query"]
)
def test_most_first_inputs_get_past_the_codec(
    name: str, read: Callable[[bytes], WireRequest]
) -> None:
    requests = [read(data) for data in TARGETS[name][1]()]
    refused = [
        request
        for request in requests
        if refusal_of(partial(codec_for(request).read, request)) is not None
    ]
    assert len(refused) < len(requests) / 4


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(WireResponse(500, "text/xml", b"<a/>"), id="status"),
        pytest.param(WireResponse(200, "text/xml", b"<a>"), id="XML"),
        pytest.param(WireResponse(200, "text/xml", b"<a>\x01</a>"), id="characters"),
        pytest.param(WireResponse(200, "application/json", b"{"), id="JSON"),
        pytest.param(WireResponse(200, "application/json", b'"\xff"'), id="bytes"),
        pytest.param(WireResponse(400, "application/json", b"{}", "a\r\nb"), id="header"),
    ],
)
def test_an_answer_that_nobody_could_read_is_found(answer: WireResponse) -> None:
    with pytest.raises((AssertionError, ValueError, SyntaxError)):
        examine(answer)


def test_a_failure_is_told_from_a_refusal() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert refusal_of(lambda: fail(QueueDoesNotExist())) is not None
    assert refusal_of(lambda: None) is None
    for error in (InternalFailure(), ValueError()):
        with pytest.raises((AssertionError, ValueError)):
            refusal_of(partial(fail, error))


def test_the_words_are_those_of_all_actions() -> None:
    assert {b"SendMessage", b"MessageBody", b"BinaryListValues", b'"QueueUrl":'} <= set(words())
