"""Limits on slow clients and on many connections, while the server serves all others."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import pytest

from tests.api.live_server import AlarmCountingClock, Start, starting_servers
from tests.api.raw_http import (
    Answer,
    exchange,
    head,
    json_headers,
    open_socket,
    parse_error,
    parse_raw_error,
    read_until_closed,
    request_bytes,
)
from tests.api.server_process import ServerProcess
from tests.certificates import Files
from tests.waiting import TIMEOUT_SECONDS

MIB = 1024 * 1024
MANY_CONNECTIONS = 10_000
CONNECTION_LIMIT = 20
MOST_EXCESS_CONNECTIONS = 1_000
"""Connections beyond the limit that are answered 503."""

EXCESS_IDLE_SECONDS = 5.0
LATE_SECONDS = 7.0
"""Less than the 8 s that a stop waits for requests in progress."""


@pytest.fixture
def clock() -> AlarmCountingClock:
    return AlarmCountingClock()


@pytest.fixture
def start(sqlite: str, clock: AlarmCountingClock, tls: Files | None) -> Iterator[Start]:
    """Return a function that starts a server with a request timeout of 1 s."""
    settings = {} if tls is None else tls.settings
    with starting_servers(sqlite, clock, request_timeout=1, **settings) as start:
        yield start


def send(url: str, body: str) -> Answer:
    text = json.dumps({"QueueUrl": "q", "MessageBody": body})
    return exchange(url, headers=json_headers("SendMessage"), body=text)


def read_all(client: socket.socket) -> bytes:
    """Read until the server closes or resets the connection."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65_536):
            answer += piece
    return answer


def trickle(client: socket.socket, content: bytes) -> bytes:
    """Send a byte every 20 ms until the server answers or closes; return the answer."""
    for position in range(len(content)):
        readable, _, _ = select.select([client], [], [], 0.02)
        if readable:
            return read_all(client)
        client.send(content[position : position + 1])
    raise AssertionError("the server accepted all bytes")


class SlowReader:
    """Reads slowly for `seconds`, which is longer than the request timeout, and then the rest.

    `longest_pause` is the longest time, in seconds, between two reads. The server may disconnect
    the reader for a long pause.
    """

    def __init__(self, client: socket.socket, seconds: float) -> None:
        self.answer = b""
        self.longest_pause = 0.0
        began = before = perf_counter()
        while not self.answer.endswith(b"}]}"):
            is_slow = before - began < seconds
            if is_slow:
                select.select([], [], [], 0.02)
            piece = b""
            with contextlib.suppress(ConnectionResetError):
                piece = client.recv(32 * 1024 if is_slow else MIB)
            now = perf_counter()
            self.longest_pause = max(self.longest_pause, now - before)
            before = now
            if not piece:
                break
            self.answer += piece


# A client that is slow to send


def test_stalled_body_is_answered_with_request_timeout(start: Start) -> None:
    server = start()
    with open_socket(server.url, head("ListQueues", 100) + b"{") as client:
        error = parse_raw_error(read_all(client))
    assert (error.status, error.type, error.code) == (408, "close", "RequestTimeout")


def test_trickled_body_is_answered_with_request_timeout(start: Start) -> None:
    server = start()
    with open_socket(server.url, head("ListQueues", 4_000)) as client:
        assert parse_raw_error(trickle(client, b" " * 4_000)).code == "RequestTimeout"


def test_body_missing_after_100_continue_is_answered_with_request_timeout(start: Start) -> None:
    server = start()
    request = head("ListQueues", 10).replace(b"Host:", b"Expect: 100-continue\r\nHost:")
    with open_socket(server.url, request) as client:
        interim, _, answer = read_all(client).partition(b"\r\n\r\n")
    assert interim == b"HTTP/1.1 100 Continue"
    assert parse_raw_error(answer).code == "RequestTimeout"


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(b"", id="first request"),
        pytest.param(head("ListQueues", 2) + b"{}", id="second request"),
    ],
)
def test_connection_is_closed_when_headers_trickle(start: Start, before: bytes) -> None:
    server = start()
    with open_socket(server.url, before) as client:
        if before:
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert trickle(client, head("ListQueues", 2) + b"X-Long: " + b"x" * 4_000) == b""


def test_connection_is_closed_when_headers_stall(start: Start) -> None:
    with open_socket(start().url, head("ListQueues", 2)[:-2]) as client:
        assert read_all(client) == b""


def test_idle_connection_is_closed_after_its_timeout_and_not_before(start: Start) -> None:
    server = start(idle_timeout=2)
    # Begins before the connection is idle, so a late read of the answer cannot shorten the time.
    began = perf_counter()
    with open_socket(server.url, head("ListQueues", 2) + b"{}") as client:
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert client.recv(1) == b""
        # Waits for the real idle timeout of 2 s, which runs on the event loop of the server.
        assert perf_counter() - began > 1.5


def test_long_poll_outlasts_request_and_idle_timeouts(
    start: Start, clock: AlarmCountingClock
) -> None:
    server = start(idle_timeout=1)
    request = request_bytes("ReceiveMessage", QueueUrl="q", WaitTimeSeconds=20)
    with open_socket(server.url, request) as poll:
        clock.wait_for_alarms(20)
        for _ in range(2):
            with open_socket(server.url, head("ListQueues", 100)) as stalled:
                assert parse_raw_error(read_all(stalled)).status == 408
        assert send(server.url, "x").status == 200
        assert b'"Body":"x"' in poll.recv(65_536)


def test_slow_bodies_share_one_buffer_limit_and_the_slowest_is_throttled(start: Start) -> None:
    server = start(buffer_mib=16, request_timeout=20)
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(4):
            client = stack.enter_context(open_socket(server.url, head("ListQueues", 8 * MIB)))
            with contextlib.suppress(ConnectionError):
                client.sendall(b" " * 7 * MIB)
            clients.append(client)
        for client in clients[:2]:
            error = parse_raw_error(read_all(client))
            assert (error.status, error.code) == (403, "RequestThrottled")
        for client in clients[2:]:
            client.sendall(b" " * (MIB - 2) + b"{}")
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")


# A client that never reads


def test_client_that_never_reads_is_disconnected(start: Start) -> None:
    server = start(connection_limit=CONNECTION_LIMIT)
    for _ in range(9):
        assert send(server.url, "x" * 512 * 1024).status == 200
    receive = request_bytes(
        "ReceiveMessage", QueueUrl="q", VisibilityTimeout=0, MaxNumberOfMessages=10
    )
    with open_socket(server.url, receive * 10) as client:
        with open_socket(server.url, head("ListQueues", 100)) as stalled:
            assert parse_raw_error(read_all(stalled)).status == 408
        with contextlib.ExitStack() as stack:
            for _ in range(CONNECTION_LIMIT - 1):
                stack.enter_context(open_socket(server.url, b""))
            # Succeeds only if the client that never reads no longer counts as a connection.
            assert status_after_rejections(server.url) == 200
        assert len(read_all(client)) < 10 * 9 * 512 * 1024
    assert exchange(server.url, "GET", "/health").status == 200


def test_slow_but_steady_reader_receives_the_whole_answer(start: Start) -> None:
    server = start(request_timeout=2)
    for number in range(9):
        assert send(server.url, f"{number}" * 1_000_000).status == 200
    receive = request_bytes(
        "ReceiveMessage", QueueUrl="q", VisibilityTimeout=0, MaxNumberOfMessages=10
    )
    for _ in range(10):
        with open_socket(server.url, b"") as client:
            # A larger buffer would let the kernel read most of the answer ahead of the client.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            client.sendall(receive)
            reader = SlowReader(client, 4)
        # Retry if the machine did not run this reader for half a second.
        if reader.longest_pause < 0.5:
            break
    assert len(reader.answer) > 9 * 1_000_000


# Limits on connections and requests


def test_connection_over_the_limit_is_answered_503_until_others_close(start: Start) -> None:
    server = start(connection_limit=CONNECTION_LIMIT, request_timeout=20)
    request = request_bytes("ListQueues")
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(open_socket(server.url, request)) for _ in range(CONNECTION_LIMIT)
        ]
        for client in clients:
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        with open_socket(server.url, request) as excess:
            error = parse_raw_error(read_all(excess))
        assert (error.status, error.type, error.code) == (503, "close", "ServiceUnavailable")
        assert exchange(server.url, "GET", "/health").status == 200
        clients[0].sendall(request)
        assert clients[0].recv(65_536).startswith(b"HTTP/1.1 200 ")
    assert status_after_rejections(server.url) == 200


def status_after_rejections(url: str) -> int:
    """Call ListQueues until the server no longer rejects the connection; return the status."""
    began = perf_counter()
    while perf_counter() - began < TIMEOUT_SECONDS:
        answer = exchange(url, headers=json_headers("ListQueues"), body="{}")
        if answer.status != 503:
            return answer.status
        assert parse_error(answer).code == "ServiceUnavailable"
    raise AssertionError("the server rejected every connection")


@pytest.mark.parametrize("chunks", [1, 16_384, 16_385, 16_386, 40_000])
def test_connection_stays_usable_after_a_body_of_many_chunks(start: Start, chunks: int) -> None:
    body = json.dumps({"QueueName": "q"}).encode().ljust(chunks)
    first, rest = body[: len(body) - chunks + 1], body[len(body) - chunks + 1 :]
    pieces = b"%x\r\n%b\r\n" % (len(first), first)
    pieces += b"".join(b"1\r\n%c\r\n" % (byte,) for byte in rest) + b"0\r\n\r\n"
    begin = head("CreateQueue", 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    with open_socket(start().url, b"") as client:
        for request in (begin + pieces, head("ListQueues", 2) + b"{}"):
            client.sendall(request)
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert answer.status == 200
            answer.read()


def test_every_connection_beyond_the_limit_is_answered_503_with_retry_after(start: Start) -> None:
    server = start(connection_limit=CONNECTION_LIMIT, request_timeout=20)
    request = request_bytes("ListQueues")
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(open_socket(server.url, request)) for _ in range(CONNECTION_LIMIT)
        ]
        for client in clients:
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        excess = [
            stack.enter_context(open_socket(server.url, request + request))
            for _ in range(10 * CONNECTION_LIMIT)
        ]
        for client in excess:
            answer = read_until_closed(client)
            assert b"\r\nRetry-After: 1\r\n" in answer
            assert parse_raw_error(answer).status == 503


def test_connections_far_beyond_the_limit_are_closed(start: Start) -> None:
    server = start(connection_limit=1, request_timeout=20)
    # Without a handshake of TLS: the last connection is closed before it.
    url = server.url.replace("https://", "http://")
    with contextlib.ExitStack() as stack:
        for _ in range(1 + MOST_EXCESS_CONNECTIONS):
            stack.enter_context(open_socket(url, b""))
        last = stack.enter_context(open_socket(url, b""))
        began = perf_counter()
        assert read_all(last) == b""
        # An excess connection that is not closed at once may be idle for 5 s.
        assert perf_counter() - began < EXCESS_IDLE_SECONDS


def test_health_check_beyond_the_connection_limit_is_answered_and_closed(start: Start) -> None:
    server = start(connection_limit=1, request_timeout=20)
    with contextlib.ExitStack() as stack:
        stack.enter_context(open_socket(server.url, b""))
        stack.enter_context(open_socket(server.url, b""))
        with open_socket(server.url, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n") as excess:
            answer = read_until_closed(excess)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in answer


def test_requests_over_the_pending_limit_are_throttled_and_no_message_is_lost(start: Start) -> None:
    server = start(pending_limit=5)
    request = request_bytes("SendMessage", QueueUrl="q", MessageBody="x")
    accepted = rejected = 0
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(open_socket(server.url, b"")) for _ in range(200)]
        for client in clients:
            client.sendall(request)
        for client in clients:
            answer = client.recv(65_536)
            if answer.startswith(b"HTTP/1.1 200 "):
                accepted += 1
            else:
                error = parse_raw_error(answer)
                assert (error.status, error.type, error.code) == (403, None, "RequestThrottled")
                rejected += 1
    assert (accepted + rejected, bool(accepted), bool(rejected)) == (200, True, True)
    name = "ApproximateNumberOfMessages"
    body = json.dumps({"QueueUrl": "q", "AttributeNames": [name]})
    answer = exchange(server.url, headers=json_headers("GetQueueAttributes"), body=body).body
    assert json.loads(answer)["Attributes"][name] == str(accepted)


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_server_serves_ten_thousand_connections(tmp_path: Path, many_files: None) -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > MANY_CONNECTIONS + 100, (
        "the limit of open files is too low"
    )
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with ServerProcess("--database", "sqlite://", directory=tmp_path) as server:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        request = request_bytes("ListQueues")
        with contextlib.ExitStack() as stack:
            clients = [
                stack.enter_context(open_socket(server.url, b"")) for _ in range(MANY_CONNECTIONS)
            ]
            for _ in range(2):
                for client in clients:
                    client.sendall(request)
                for client in clients:
                    assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
            assert exchange(server.url, "GET", "/health").status == 200
            assert server.stop() == (0, "", "")


# Stop


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(head("ListQueues", 100) + b"{", id="incomplete body"),
        pytest.param(head("ListQueues", 100), id="no body"),
        pytest.param(head("ListQueues", 100)[:-2], id="incomplete headers"),
    ],
)
def test_stop_does_not_wait_for_incomplete_requests(
    tmp_path: Path, sent: bytes, tls: Files | None
) -> None:
    flags = ["--log-level", "warning", *([] if tls is None else tls.flags)]
    with ServerProcess("--database", "sqlite://", *flags, directory=tmp_path) as server:
        with open_socket(server.url, sent) as client:
            assert exchange(server.url, "GET", "/health").status == 200
            began = perf_counter()
            assert server.stop() == (0, "", "")
            # Waits for the real stop of the server process.
            assert perf_counter() - began < LATE_SECONDS
            answer = read_all(client)
        if b"\r\n\r\n" in sent:
            error = parse_raw_error(answer)
            assert (error.status, error.type, error.code) == (503, "close", "ServiceUnavailable")
