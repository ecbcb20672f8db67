"""The targets of coverage-guided fuzzing: their seed inputs, and the failures they detect."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from protocol.codecs.choice import codec_for
from protocol.errors import InternalFailure, QueueDoesNotExist
from protocol.wire import WireRequest, WireResponse
from tests.fuzz.targets import (
    TARGETS,
    ActionsTarget,
    assert_valid_response,
    dictionary_words,
    json_request,
    query_request,
    rejection_of,
)


@pytest.mark.parametrize("name", TARGETS)
def test_seed_inputs_of_a_target_find_no_failure(name: str) -> None:
    make_target, seed_inputs = TARGETS[name]
    target = make_target()
    try:
        for data in seed_inputs():
            target(data)
    finally:
        if isinstance(target, ActionsTarget):
            target.close()


@pytest.mark.parametrize(
    ("name", "parse"), [("json", json_request), ("query", query_request)], ids=["json", "query"]
)
def test_codec_accepts_most_seed_inputs(name: str, parse: Callable[[bytes], WireRequest]) -> None:
    requests = [parse(data) for data in TARGETS[name][1]()]
    rejected = [
        request
        for request in requests
        if rejection_of(partial(codec_for(request).read, request)) is not None
    ]
    assert len(rejected) < len(requests) / 4


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(WireResponse(500, "text/xml", b"<a/>"), id="status"),
        pytest.param(WireResponse(200, "text/xml", b"<a>"), id="XML"),
        pytest.param(WireResponse(200, "text/xml", b"<a>\x01</a>"), id="characters"),
        pytest.param(WireResponse(200, "application/json", b"{"), id="JSON"),
        pytest.param(WireResponse(200, "application/json", b'"\xff"'), id="bytes"),
        pytest.param(WireResponse(400, "application/json", b"{}", "a\r\nb"), id="header"),
    ],
)
def test_invalid_response_is_detected(response: WireResponse) -> None:
    with pytest.raises((AssertionError, ValueError, SyntaxError)):
        assert_valid_response(response)


def test_rejection_is_distinguished_from_a_failure() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert rejection_of(lambda: fail(QueueDoesNotExist())) is not None
    assert rejection_of(lambda: None) is None
    for error in (InternalFailure(), ValueError()):
        with pytest.raises((AssertionError, ValueError)):
            rejection_of(partial(fail, error))


def test_dictionary_has_the_names_of_actions_and_members() -> None:
    assert {b"SendMessage", b"MessageBody", b"BinaryListValues", b'"QueueUrl":'} <= set(
        dictionary_words()
    )
