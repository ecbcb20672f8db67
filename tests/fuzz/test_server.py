"""A whole server, sent anything: every answer is SQS's, none is a 500, and it goes on serving."""

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
from tests.fuzz.in_time import in_time

HEADERS = {
    "connection",
    "content-length",
    "content-type",
    "date",
    "server",
    "x-amzn-query-error",
    "x-amzn-requestid",
    "x-content-type-options",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Give a server that has the queues that are asked for, messages and all."""
    path: Path = tmp_path_factory.mktemp("fuzz") / "queueserver.db"
    with contextlib.closing(LiveServer(config(f"sqlite:///{path}"), ManualClock())) as server:
        for name in inputs.QUEUES:
            attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
            body = json.dumps({"QueueName": name, "Attributes": attributes})
            assert (
                exchange(server.url, headers=json_headers("CreateQueue"), body=body).status == 200
            )
        yield server


def examine(answer: Answer) -> None:
    """See that an answer is one of SQS's, and that nothing was slipped into its headers."""
    assert answer.headers.keys() <= HEADERS
    assert answer.status < 500, answer.body
    if answer.status == 404 and answer.body in {b"<UnknownOperationException/>", b""}:
        return
    if answer.status != 200:
        parse_error(answer)
    elif answer.headers["content-type"] != "text/xml" and answer.body:
        json.loads(answer.body)


def without_waits(parameters: dict[str, object]) -> dict[str, object]:
    """Leave out what would rightly take its time; and the queues are to stay as they are."""
    waits = {"WaitTimeSeconds"}
    return {name: value for name, value in parameters.items() if name not in waits}


REQUESTS = inputs.requests.filter(lambda request: request[0] != "DeleteQueue")


@given(REQUESTS)
@in_time()
def test_nearly_right_json_is_answered(
    server: LiveServer, request_: tuple[str, dict[str, object]]
) -> None:
    action, parameters = request_
    body = inputs.as_json(without_waits(parameters))
    examine(exchange(server.url, headers=json_headers(action), body=body))


@given(REQUESTS)
@in_time()
def test_nearly_right_forms_are_answered(
    server: LiveServer, request_: tuple[str, dict[str, object]]
) -> None:
    action, parameters = request_
    body = inputs.as_form(action, without_waits(parameters))
    examine(exchange(server.url, headers=FORM, body=body))


@given(inputs.actions, inputs.garbage, st.booleans())
@in_time()
def test_any_body_is_answered(server: LiveServer, action: str, body: bytes, is_json: bool) -> None:
    examine(exchange(server.url, headers=json_headers(action) if is_json else FORM, body=body))


# HTTP itself

_VALUES = st.one_of(
    st.text(
        st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=30
    ),
    st.sampled_from(
        ["chunked", "gzip, chunked", "0", "5", "+5", "-1", "5, 5", "0x5", " 5", "100-continue"]
    ),
    st.sampled_from(["close", "keep-alive", "upgrade", "Transfer-Encoding", "x" * 9_000]),
)
_NAMES = st.one_of(
    st.sampled_from(
        ["Host", "Content-Length", "Transfer-Encoding", "Transfer-encoding ", "Connection"]
    ),
    st.sampled_from(
        ["Connection", "Content-Encoding", "Upgrade", "Expect", "TE", "Trailer", "X-Amz-Target"]
    ),
    st.sampled_from(["content-length", "Content-Length\t", "X\x00", "", " Folded", "Date"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=10),
)
_ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n ", "\r\n\t"])
_LINES = st.one_of(
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
def connections(draw: st.DrawFn) -> bytes:
    """Give what a client might send on one connection: a few requests, or what looks like some."""
    sent = b""
    for _ in range(draw(st.integers(1, 3))):
        text = draw(_LINES) + draw(_ENDS)
        for _ in range(draw(st.integers(0, 5))):
            text += f"{draw(_NAMES)}:{draw(_VALUES)}{draw(_ENDS)}"
        sent += (text + draw(st.sampled_from(["\r\n", "\n", ""]))).encode("latin-1") + draw(_BODIES)
    return sent


def answers(client: socket.socket) -> list[Answer]:
    """Read all answers until the server ends the connection."""
    found = []
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
            found.append(Answer(int(status), headers, body))
    return found


@given(connections())
@in_time()
def test_any_bytes_on_a_connection_are_answered_as_sqs_does(
    server: LiveServer, sent: bytes
) -> None:
    with open_socket(server.url, sent) as client, contextlib.suppress(ConnectionResetError):
        client.shutdown(socket.SHUT_WR)
        for answer in answers(client):
            assert answer.status < 500, answer.body
            assert answer.headers.keys() <= HEADERS
    assert exchange(server.url, "GET", "/health").status == 200


TWO_LENGTHS = [
    pytest.param("Content-Length: 5\r\nContent-Length: 6", id="two lengths"),
    pytest.param("Content-Length: 5, 6", id="a list of lengths"),
    pytest.param("Content-Length: +5", id="a signed length"),
    pytest.param("Content-Length: 0x5", id="a hexadecimal length"),
    pytest.param("Content-Length: 5\r\nTransfer-Encoding: chunked", id="length and chunks"),
    pytest.param("Transfer-Encoding: chunked, identity", id="chunks that are not last"),
    pytest.param("Transfer-Encoding: xchunked", id="an unknown coding"),
    pytest.param("Transfer-Encoding : chunked", id="a space before the colon"),
    pytest.param("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", id="chunks twice"),
    pytest.param("X: y\r\n Content-Length: 5", id="a folded line"),
    pytest.param("Content-Length: 5\r\nContent-Length: 5", id="one length twice"),
    pytest.param("X: y\rContent-Length: 5", id="a line that ends half"),
    pytest.param("X: y\0", id="a byte that ends texts"),
    pytest.param("Host: b", id="two hosts"),
]


@pytest.mark.parametrize("lengths", TWO_LENGTHS)
def test_what_two_readers_could_read_in_two_ways_is_refused_and_ends_the_connection(
    server: LiveServer, lengths: str
) -> None:
    smuggled = b"GET /?Action=ListQueues HTTP/1.1\r\nHost: a\r\n\r\n"
    sent = f"POST / HTTP/1.1\r\nHost: a\r\n{lengths}\r\n\r\n0\r\n\r\n".encode() + smuggled
    with open_socket(server.url, sent) as client:
        found = answers(client)
    assert [answer.status for answer in found] == [400]


BAD_CHUNKS = [
    pytest.param(b"-1\r\nx\r\n", id="negative"),
    pytest.param(b"+2\r\n{}\r\n", id="signed"),
    pytest.param(b"0x2\r\n{}\r\n", id="prefixed"),
    pytest.param(b"0_2\r\n{}\r\n", id="with an underscore"),
    pytest.param(b"2 \r\n{}\r\n", id="a space after it"),
    pytest.param(b" 2\r\n{}\r\n", id="a space before it"),
    pytest.param(b"\r\n{}\r\n", id="no size"),
    pytest.param(b"FFFFFFFFFFFFFFFFFF\r\n{}\r\n", id="more than there can be"),
    pytest.param(b"2\r\n{}0\r\n", id="longer than it says"),
    pytest.param(b"2\n{}\n", id="lines that end half"),
    pytest.param(b"2;a\nb\r\n{}\r\n", id="an extension of two lines"),
    pytest.param(b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n", id="a length at last"),
]


@pytest.mark.parametrize("chunk", BAD_CHUNKS)
def test_chunks_that_two_readers_could_read_in_two_ways_end_the_connection(
    server: LiveServer, chunk: bytes
) -> None:
    smuggled = b"GET /?Action=ListQueues HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with open_socket(server.url, head + chunk + b"0\r\n\r\n" + smuggled) as client:
        found = answers(client)
    assert [answer.status for answer in found] == [400]
