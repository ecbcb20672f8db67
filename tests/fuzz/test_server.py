"""Random requests to a running server: each response is valid, and the server never fails."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.live_server import LiveServer, config
from tests.api.raw_http import FORM, Answer, exchange, json_headers, open_socket, parse_error
from tests.clock import ManualClock
from tests.fuzz import inputs
from tests.fuzz.time_limit import time_limit

KNOWN_HEADERS = {
    "connection",
    "content-length",
    "content-type",
    "date",
    "server",
    "x-amzn-query-error",
    "x-amzn-requestid",
    "x-content-type-options",
}


@pytest.fixture(scope="module", params=["without tasks", "with tasks only"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """Yield a server that has the queues of `inputs.QUEUES`."""
    path: Path = tmp_path_factory.mktemp("fuzz") / "queueserver.db"
    with contextlib.closing(LiveServer(config(f"sqlite:///{path}"), ManualClock())) as server:
        if request.param == "with tasks only":
            server.answer_with_tasks_only()
        for name in inputs.QUEUES:
            attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
            body = json.dumps({"QueueName": name, "Attributes": attributes})
            assert (
                exchange(server.url, headers=json_headers("CreateQueue"), body=body).status == 200
            )
        yield server


def assert_valid_response(response: Answer) -> None:
    """Assert that a response is one of SQS's, and has no injected headers."""
    assert response.headers.keys() <= KNOWN_HEADERS
    assert response.status < 500, response.body
    if response.status == 404 and response.body in {b"<UnknownOperationException/>", b""}:
        return
    if response.status != 200:
        parse_error(response)
    elif response.headers["content-type"] != "text/xml" and response.body:
        json.loads(response.body)


def without_wait_time(parameters: dict[str, object]) -> dict[str, object]:
    """Return the parameters without WaitTimeSeconds, which would make a receive wait."""
    return {name: value for name, value in parameters.items() if name != "WaitTimeSeconds"}


REQUESTS_EXCEPT_DELETE_QUEUE = inputs.requests.filter(lambda request: request[0] != "DeleteQueue")


@given(REQUESTS_EXCEPT_DELETE_QUEUE)
@time_limit()
def test_nearly_valid_json_gets_a_valid_response(
    server: LiveServer, request_: tuple[str, dict[str, object]]
) -> None:
    action, parameters = request_
    body = inputs.as_json(without_wait_time(parameters))
    assert_valid_response(exchange(server.url, headers=json_headers(action), body=body))


@given(REQUESTS_EXCEPT_DELETE_QUEUE)
@time_limit()
def test_nearly_valid_form_gets_a_valid_response(
    server: LiveServer, request_: tuple[str, dict[str, object]]
) -> None:
    action, parameters = request_
    body = inputs.as_form(action, without_wait_time(parameters))
    assert_valid_response(exchange(server.url, headers=FORM, body=body))


@given(inputs.actions, inputs.garbage, st.booleans())
@time_limit()
def test_random_body_gets_a_valid_response(
    server: LiveServer, action: str, body: bytes, is_json: bool
) -> None:
    assert_valid_response(
        exchange(server.url, headers=json_headers(action) if is_json else FORM, body=body)
    )


# HTTP itself

_HEADER_VALUES = st.one_of(
    st.text(
        st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=30
    ),
    st.sampled_from(
        ["chunked", "gzip, chunked", "0", "5", "+5", "-1", "5, 5", "0x5", " 5", "100-continue"]
    ),
    st.sampled_from(["close", "keep-alive", "upgrade", "Transfer-Encoding", "x" * 9_000]),
)
_HEADER_NAMES = st.one_of(
    st.sampled_from(
        ["Host", "Content-Length", "Transfer-Encoding", "Transfer-encoding ", "Connection"]
    ),
    st.sampled_from(
        ["Connection", "Content-Encoding", "Upgrade", "Expect", "TE", "Trailer", "X-Amz-Target"]
    ),
    st.sampled_from(["content-length", "Content-Length\t", "X\x00", "", " Folded", "Date"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=10),
)
_LINE_ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n ", "\r\n\t"])
_REQUEST_LINES = st.one_of(
    st.sampled_from(
        [
            "POST / HTTP/1.1",
            "GET /?Action=ListQueues HTTP/1.1",
            "GET / HTTP/1.0",
            "POST http://elsewhere/ HTTP/1.1",
            "CONNECT a:1 HTTP/1.1",
            "PRI * HTTP/2.0",
            "OPTIONS * HTTP/1.1",
            "GET / HTTP/9.9",
            "GET  /  HTTP/1.1",
            "GET /\x00 HTTP/1.1",
            "GET /%zz?%zz#x HTTP/1.1",
            "",
        ]
    ),
    st.text(st.characters(max_codepoint=255), max_size=30),
)
_BODIES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"0\r\n\r\n",
            b"5\r\nhello\r\n0\r\n\r\n",
            b"5;ext=1\r\nhello\r\n0\r\nX: y\r\n\r\n",
            b"FFFFFFFFFFFFFFFFFF\r\nx",
            b"-1\r\nx\r\n0\r\n\r\n",
            b"5\nhello\n0\n\n",
            b"0\r\n\r\nGET /?Action=ListQueues HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
    ),
)


@st.composite
def connection_bytes(draw: st.DrawFn) -> bytes:
    """Return bytes for one connection: up to three requests that are valid, or almost."""
    sent = b""
    for _ in range(draw(st.integers(1, 3))):
        text = draw(_REQUEST_LINES) + draw(_LINE_ENDS)
        for _ in range(draw(st.integers(0, 5))):
            text += f"{draw(_HEADER_NAMES)}:{draw(_HEADER_VALUES)}{draw(_LINE_ENDS)}"
        sent += (text + draw(st.sampled_from(["\r\n", "\n", ""]))).encode("latin-1") + draw(_BODIES)
    return sent


def read_responses(client: socket.socket) -> list[Answer]:
    """Read responses until the server closes the connection."""
    responses = []
    with client.makefile("rb") as stream:
        while line := stream.readline():
            if line == b"HTTP/1.1 100 Continue\r\n":
                assert stream.readline() == b"\r\n"
                continue
            version, status, _ = line.split(b" ", 2)
            assert version in {b"HTTP/1.0", b"HTTP/1.1"}, line
            headers = {}
            while (row := stream.readline()) != b"\r\n":
                name, _, value = row.decode("latin-1").strip().partition(": ")
                assert name.lower() not in headers
                headers[name.lower()] = value
            body = stream.read(int(headers["content-length"]))
            responses.append(Answer(int(status), headers, body))
    return responses


@given(connection_bytes())
@time_limit()
def test_random_bytes_on_a_connection_get_valid_responses(server: LiveServer, sent: bytes) -> None:
    with open_socket(server.url, sent) as client, contextlib.suppress(ConnectionResetError):
        client.shutdown(socket.SHUT_WR)
        for response in read_responses(client):
            assert response.status < 500, response.body
            assert response.headers.keys() <= KNOWN_HEADERS
    assert exchange(server.url, "GET", "/health").status == 200


AMBIGUOUS_HEADERS = [
    pytest.param("Content-Length: 5\r\nContent-Length: 6", id="two lengths"),
    pytest.param("Content-Length: 5, 6", id="list of lengths"),
    pytest.param("Content-Length: +5", id="signed length"),
    pytest.param("Content-Length: 0x5", id="hexadecimal length"),
    pytest.param("Content-Length: 5\r\nTransfer-Encoding: chunked", id="length and chunked coding"),
    pytest.param("Transfer-Encoding: chunked, identity", id="chunked is not the last coding"),
    pytest.param("Transfer-Encoding: xchunked", id="unknown coding"),
    pytest.param("Transfer-Encoding : chunked", id="space before the colon"),
    pytest.param("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", id="chunked twice"),
    pytest.param("X: y\r\n Content-Length: 5", id="folded line"),
    pytest.param("Content-Length: 5\r\nContent-Length: 5", id="same length twice"),
    pytest.param("X: y\rContent-Length: 5", id="line ends without LF"),
    pytest.param("X: y\0", id="NUL"),
    pytest.param("Host: b", id="two hosts"),
]


@pytest.mark.parametrize("headers", AMBIGUOUS_HEADERS)
def test_ambiguous_headers_are_rejected_and_the_connection_is_closed(
    server: LiveServer, headers: str
) -> None:
    smuggled = b"GET /?Action=ListQueues HTTP/1.1\r\nHost: a\r\n\r\n"
    sent = f"POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n0\r\n\r\n".encode() + smuggled
    with open_socket(server.url, sent) as client:
        responses = read_responses(client)
    assert [response.status for response in responses] == [400]


AMBIGUOUS_CHUNKS = [
    pytest.param(b"-1\r\nx\r\n", id="negative"),
    pytest.param(b"+2\r\n{}\r\n", id="signed"),
    pytest.param(b"0x2\r\n{}\r\n", id="prefixed"),
    pytest.param(b"0_2\r\n{}\r\n", id="with an underscore"),
    pytest.param(b"2 \r\n{}\r\n", id="space after the size"),
    pytest.param(b" 2\r\n{}\r\n", id="space before the size"),
    pytest.param(b"\r\n{}\r\n", id="no size"),
    pytest.param(b"FFFFFFFFFFFFFFFFFF\r\n{}\r\n", id="size of 72 bits"),
    pytest.param(b"2\r\n{}0\r\n", id="longer than its size"),
    pytest.param(b"2\n{}\n", id="lines end without CR"),
    pytest.param(b"2;a\nb\r\n{}\r\n", id="extension with a line feed"),
    pytest.param(b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n", id="length in the trailer"),
]


@pytest.mark.parametrize("chunk", AMBIGUOUS_CHUNKS)
def test_ambiguous_chunks_are_rejected_and_the_connection_is_closed(
    server: LiveServer, chunk: bytes
) -> None:
    smuggled = b"GET /?Action=ListQueues HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with open_socket(server.url, head + chunk + b"0\r\n\r\n" + smuggled) as client:
        responses = read_responses(client)
    assert [response.status for response in responses] == [400]
