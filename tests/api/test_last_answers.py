"""Answers that arrive although the client still sends, has closed its side, or sends garbage."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, sleep

import pytest

from tests.api.live_server import AlarmCountingClock, LiveServer, Start, starting_servers
from tests.api.raw_http import (
    exchange,
    head,
    json_headers,
    open_socket,
    parse_raw_error,
    read_until_closed,
    request_bytes,
)
from tests.api.server_process import ServerProcess
from tests.certificates import Files
from tests.waiting import TIMEOUT_SECONDS, poll_until_timeout

MIB = 1024 * 1024
LIST = request_bytes("ListQueues")
RECEIVE = request_bytes("ReceiveMessage", QueueUrl="q", WaitTimeSeconds=20)
NOT_HTTP = b"this is not HTTP\r\n\r\n"

LATE_SECONDS = 7.0
"""Less than the 8 s that a stop waits for requests in progress."""


@pytest.fixture
def clock() -> AlarmCountingClock:
    return AlarmCountingClock()


@pytest.fixture
def start(sqlite: str, clock: AlarmCountingClock, tls: Files | None) -> Iterator[Start]:
    """Return a function that starts a server with a queue."""
    with starting_servers(sqlite, clock, **({} if tls is None else tls.settings)) as start:
        yield start


@pytest.fixture
def server(start: Start) -> LiveServer:
    return start()


def call(server: LiveServer, action: str, **parameters: object) -> object:
    body = json.dumps(parameters)
    answer = exchange(server.url, headers=json_headers(action), body=body)
    assert answer.status == 200, answer.body
    return json.loads(answer.body or b"null")


def statuses(answers: bytes) -> list[int]:
    """Return the statuses of the answers in the bytes that a server has sent."""
    found = []
    while answers:
        first, _, rest = answers.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in first.split(b"\r\n")[1:])
        found.append(int(first.split()[1]))
        answers = rest[int(fields.get(b"content-length", 0)) :]
    return found


def chunked(action: str, *chunks: bytes) -> bytes:
    begin = head(action, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    return begin + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


# A request that is rejected while its bytes are still coming


def with_expect(request: bytes) -> bytes:
    return request.replace(b"Host:", b"Expect: 100-continue\r\nHost:")


@pytest.mark.parametrize(
    ("request_head", "count", "status"),
    [
        pytest.param(head("ListQueues", 64 * MIB), 64 * MIB, 413, id="long body"),
        pytest.param(with_expect(head("ListQueues", 64 * MIB)), 64 * MIB, 413, id="expected body"),
        pytest.param(
            head("ListQueues", 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
            + b"4000000\r\n",
            64 * MIB,
            413,
            id="long chunk",
        ),
        pytest.param(
            head("ListQueues", 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
            + b"no length\r\n",
            64 * MIB,
            400,
            id="chunk without length",
        ),
        pytest.param(
            head("ListQueues", 64 * MIB).replace(b"Host:", b"Content-Encoding: gzip\r\nHost:"),
            64 * MIB,
            413,
            id="long compressed body",
        ),
        pytest.param(
            head("ListQueues", 7 * MIB).replace(b"Host:", b"Content-Encoding: gzip\r\nHost:")
            + b"no gzip",
            7 * MIB - 7,
            400,
            id="invalid compressed body",
        ),
        pytest.param(
            head("ListQueues", 7 * MIB).replace(b"Host:", b"Content-Encoding: gzip\r\nHost:")
            + gzip.compress(b" " * 60_000_000),
            5 * MIB,
            413,
            id="compression bomb",
        ),
        pytest.param(b"GET /", 64 * MIB, 414, id="long URI"),
        pytest.param(b"GET / HTTP/1.1\r\nX: ", 64 * MIB, 431, id="long header"),
        pytest.param(NOT_HTTP, 64 * MIB, 400, id="not HTTP"),
    ],
)
def test_request_rejected_while_it_arrives_is_answered(
    server: LiveServer, request_head: bytes, count: int, status: int
) -> None:
    for _ in range(3):
        with open_socket(server.url, request_head) as client:
            client.sendall(b"x" * count)
            assert statuses(read_until_closed(client)) == [status]


def test_body_beyond_the_limit_of_connections_is_answered_503(start: Start) -> None:
    server = start(connection_limit=1)
    with contextlib.ExitStack() as stack:
        stack.enter_context(open_socket(server.url, b""))
        stack.enter_context(open_socket(server.url, b""))
        for _ in range(5):
            with open_socket(server.url, head("ListQueues", 20 * MIB)) as client:
                client.sendall(b"x" * 20 * MIB)
                assert statuses(read_until_closed(client)) == [503]


def test_body_that_times_out_is_answered_while_bytes_arrive(start: Start) -> None:
    server = start(request_timeout=1)
    with open_socket(server.url, head("ListQueues", 100_000)) as client:
        client.settimeout(0.02)
        answer = b""
        for _ in poll_until_timeout():
            client.sendall(b" ")
            with contextlib.suppress(TimeoutError):
                answer = client.recv(65_536)
                break
        client.settimeout(TIMEOUT_SECONDS)
        client.sendall(b" " * 10)
        assert parse_raw_error(answer + read_until_closed(client)).code == "RequestTimeout"


def test_connection_of_a_client_that_sends_without_end_is_closed(start: Start) -> None:
    server = start(request_timeout=1)
    began = perf_counter()
    with open_socket(server.url, NOT_HTTP) as client, contextlib.suppress(ConnectionError):
        for _ in poll_until_timeout():
            client.sendall(b"x" * 1_000)
    # Waits for the real request timeout of 1 s.
    assert perf_counter() - began < TIMEOUT_SECONDS / 2


def test_client_that_keeps_its_connection_after_the_last_answer_is_disconnected(
    start: Start,
) -> None:
    server = start(connection_limit=1)
    with open_socket(server.url, NOT_HTTP) as client:
        read_until_closed(client)
        for _ in poll_until_timeout():
            # 503 while the server waits for the client to close.
            if exchange(server.url, headers=json_headers("ListQueues"), body="{}").status == 200:
                return
    raise AssertionError("the connection still counts")


def test_stop_does_not_wait_for_clients_that_keep_their_connections(
    tmp_path: Path, tls: Files | None
) -> None:
    flags = ["--log-level", "warning", *([] if tls is None else tls.flags)]
    with ServerProcess("--database", "sqlite://", *flags, directory=tmp_path) as server:
        last = LIST.replace(b"Host:", b"Connection: close\r\nHost:")
        with open_socket(server.url, last) as client:
            assert statuses(read_until_closed(client)) == [200]
            began = perf_counter()
            assert server.stop() == (0, "", "")
            # Waits for the real stop of the server process.
            assert perf_counter() - began < LATE_SECONDS


# A client that closes its sending side after its request


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(LIST, [200], id="small request"),
        pytest.param(request_bytes("FooBar"), [400], id="unknown action"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", [200], id="health"),
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", [404], id="HTTP/1.0"),
        pytest.param(chunked("ListQueues", b"{", b"}"), [200], id="chunked"),
        pytest.param(
            request_bytes("SendMessage", QueueUrl="q", MessageBody="x" * 1_000_000),
            [200],
            id="long body",
        ),
        pytest.param(LIST * 5, [200] * 5, id="several requests"),
        pytest.param(LIST + NOT_HTTP, [200, 400], id="garbage behind a request"),
        pytest.param(LIST * 3 + LIST[:-1], [200] * 3 + [400], id="incomplete body behind"),
        pytest.param(LIST + LIST[:50], [200], id="incomplete head behind"),
        pytest.param(LIST[:-1], [400], id="incomplete body"),
        pytest.param(chunked("ListQueues", b"{}")[:-4], [400], id="incomplete chunks"),
        pytest.param(LIST[:50], [], id="incomplete head"),
    ],
)
def test_half_closed_client_gets_its_answers(
    server: LiveServer, request_: bytes, expected: list[int]
) -> None:
    for _ in range(5):
        with open_socket(server.url, request_) as client:
            client.shutdown(socket.SHUT_WR)
            assert statuses(read_until_closed(client)) == expected


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_half_closed_receiver_gets_a_message_that_comes_later(
    server: LiveServer, clock: AlarmCountingClock, seconds: float
) -> None:
    with open_socket(server.url, RECEIVE) as client:
        if seconds:
            clock.wait_for_alarms(20)
        client.shutdown(socket.SHUT_WR)
        clock.wait_for_alarms(20)
        # Gives the server real time to find out whether the client still reads.
        client.settimeout(seconds or None)
        beginning = b""
        with contextlib.suppress(TimeoutError):
            beginning = client.recv(1)
        client.settimeout(TIMEOUT_SECONDS)
        call(server, "SendMessage", QueueUrl="q", MessageBody="later")
        answer = beginning + read_until_closed(client)
    assert statuses(answer) == [200]
    assert b'"Body":"later"' in answer


def test_half_closed_receiver_gets_an_empty_answer_at_the_end(
    server: LiveServer, clock: AlarmCountingClock
) -> None:
    with open_socket(server.url, RECEIVE) as client:
        client.shutdown(socket.SHUT_WR)
        clock.wait_for_alarms(20)
        clock.advance(20)
        answer = read_until_closed(client)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n{}")


def test_client_that_closes_its_side_while_it_reads_gets_its_answers_alone(
    server: LiveServer,
) -> None:
    for _ in range(9):
        call(server, "SendMessage", QueueUrl="q", MessageBody="x" * 1_000_000)
    receive = request_bytes("ReceiveMessage", QueueUrl="q", MaxNumberOfMessages=10)
    with open_socket(server.url, b"") as client:
        # A larger buffer would let the kernel take most of the answer ahead of the client.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        client.sendall(receive + LIST)
        beginning = client.recv(1)
        client.shutdown(socket.SHUT_WR)
        # Gives the server real time to send bytes that belong to no answer.
        sleep(0.3)
        answers = beginning + read_until_closed(client)
    assert len(answers) > 9 * 1_000_000
    assert b"]}HTTP/1.1 200 " in answers


@pytest.mark.parametrize("is_half_closed", [False, True])
def test_receiver_that_has_gone_claims_no_message(
    server: LiveServer, clock: AlarmCountingClock, is_half_closed: bool
) -> None:
    with open_socket(server.url, RECEIVE) as client:
        clock.wait_for_alarms(20)
        if is_half_closed:
            client.shutdown(socket.SHUT_WR)
            # The first byte of the answer shows that the server has found out that it is read.
            assert client.recv(1) == b"H"
    clock.wait_for_alarms(20, 0)
    call(server, "SendMessage", QueueUrl="q", MessageBody="x")
    names = ["ApproximateReceiveCount"]
    received = call(server, "ReceiveMessage", QueueUrl="q", AttributeNames=names)
    assert '"ApproximateReceiveCount": "1"' in json.dumps(received)


# Several requests on one connection


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(LIST + NOT_HTTP, [200, 400], id="garbage"),
        pytest.param(LIST * 3 + NOT_HTTP + LIST, [200] * 3 + [400], id="garbage between"),
        pytest.param(
            LIST + b"GET / HTTP/1.1\r\nno header\r\n\r\n", [200, 400], id="invalid header"
        ),
        pytest.param(
            chunked("ListQueues", b"{}") + LIST + NOT_HTTP, [200, 200, 400], id="chunked first"
        ),
        pytest.param(
            chunked("ListQueues", b"{}")[:-2] + b"Trailer: x\r\n\r\n" + LIST + NOT_HTTP,
            [200, 200, 400],
            id="trailer first",
        ),
        pytest.param(LIST + b"\r\n\r\n" + LIST + NOT_HTTP, [200, 200, 400], id="empty lines"),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3 + NOT_HTTP, [404] * 3 + [400], id="no bodies"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nFOO / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            [404, 400],
            id="unknown method with a length",
        ),
        pytest.param(LIST * 200 + NOT_HTTP, [200] * 200 + [400], id="many requests"),
        pytest.param(LIST + b"GET /" + b"x" * 300_000, [200, 414], id="long URI"),
        pytest.param(
            LIST.replace(b"Host:", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHost:") * 2 + NOT_HTTP,
            [200, 200, 400],
            id="POST with upgrade to HTTP/2",
        ),
        *(
            pytest.param(
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                b"Upgrade: %b\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"
                % protocol
                + LIST
                + NOT_HTTP,
                [404, 200, 400],
                id=f"upgrade to {protocol.decode()}",
            )
            for protocol in (b"h2c", b"websocket", b"nonsense")
        ),
        pytest.param(
            b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n" + LIST + NOT_HTTP,
            [404, 200, 400],
            id="CONNECT",
        ),
    ],
)
@pytest.mark.parametrize("pieces", ["whole", "bytes", "halves"])
def test_requests_before_garbage_are_answered_first(
    server: LiveServer, sent: bytes, expected: list[int], pieces: str
) -> None:
    sizes = {"whole": len(sent), "bytes": 1 + len(sent) // 5_000, "halves": len(sent) // 2}
    with open_socket(server.url, b"") as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start_at in range(0, len(sent), sizes[pieces]):
            client.sendall(sent[start_at : start_at + sizes[pieces]])
        assert statuses(read_until_closed(client)) == expected


def test_long_poll_before_garbage_is_answered_first(
    server: LiveServer, clock: AlarmCountingClock
) -> None:
    with open_socket(server.url, RECEIVE + NOT_HTTP) as client:
        clock.wait_for_alarms(20)
        call(server, "SendMessage", QueueUrl="q", MessageBody="x")
        answers = read_until_closed(client)
    assert b'"Body":"x"' in answers
    assert statuses(answers) == [200, 400]
