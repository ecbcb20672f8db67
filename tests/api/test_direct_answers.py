"""Answers without a task: which requests get one, and what happens while one is pending.

`locked` keeps SQLite from writing, so that a request stays pending until it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import socket
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import pytest

from queueserver.http.clients.endpoint import NotBegun
from queueserver.http.small_post import SmallPost, SmallPostParser
from tests.api.live_server import AlarmCountingClock, LiveServer, Start, config, starting_servers
from tests.api.raw_http import exchange, head, open_socket, read_until_closed, request_bytes
from tests.certificates import Files
from tests.waiting import wait_until

SEND = request_bytes("SendMessage", QueueUrl="q", MessageBody="x")
RECEIVE = request_bytes("ReceiveMessage", QueueUrl="q")
LONG_POLL = request_bytes("ReceiveMessage", QueueUrl="q", WaitTimeSeconds=20)
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
T = TypeVar("T")

GREETING = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


def send_with(*lines: str, body: bytes = b"{}", first: str = "POST / HTTP/1.1") -> bytes:
    """Return a request with these lines between the request line and Content-Length."""
    length = f"Content-Length: {len(body)}"
    return "\r\n".join([first, *lines, length, "", ""]).encode() + body


# Which requests


def test_parser_returns_path_headers_and_body() -> None:
    data = send_with("Host: h", "X-Amz-Target: AmazonSQS.SendMessage", body=b'{"a":1}')
    post = SmallPostParser().parse(data)
    assert isinstance(post, SmallPost)
    assert post.path == "/"
    assert post.headers == {
        b"host": b"h",
        b"x-amz-target": b"AmazonSQS.SendMessage",
        b"content-length": b"7",
    }
    assert post.body == b'{"a":1}'


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(send_with("Host: h"), id="the root"),
        pytest.param(send_with("Host: h", body=b""), id="no body"),
        pytest.param(send_with("host: h", "content-type: a"), id="names in lower case"),
        pytest.param(send_with("Host: h", first="POST /000000000000/q.fifo HTTP/1.1"), id="queue"),
        pytest.param(send_with("Host: h", "Connection: Keep-Alive"), id="keep-alive"),
        pytest.param(send_with("Host: h", body=b"x" * 30_000), id="30,000 bytes"),
    ],
)
def test_small_post_is_parsed(data: bytes) -> None:
    assert isinstance(SmallPostParser().parse(data), SmallPost)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(GREETING, id="incomplete head"),
        pytest.param(b"\x16\x03\x01" + b"\x00" * 200 + b"\r\n\r\n", id="not HTTP"),
        pytest.param(send_with("Host: h", first="GET / HTTP/1.1"), id="GET"),
        pytest.param(send_with("Host: h", first="post / HTTP/1.1"), id="method in lower case"),
        pytest.param(send_with("Host: h", first="POST /health HTTP/1.1"), id="other path"),
        pytest.param(send_with("Host: h", first="POST /?a=b HTTP/1.1"), id="query string"),
        pytest.param(send_with("Host: h", first="POST http://h/ HTTP/1.1"), id="absolute URL"),
        pytest.param(send_with("Host: h", first="POST / HTTP/1.0"), id="HTTP/1.0"),
        pytest.param(send_with("Host: h", first="POST  / HTTP/1.1"), id="two spaces"),
        pytest.param(send_with("Host: h", "Host: h"), id="header twice"),
        pytest.param(send_with("a: b"), id="no host"),
        pytest.param(send_with("Host: h", "HOST: h"), id="header twice in different case"),
        pytest.param(send_with("Host: h", "Content-Length: 2"), id="two lengths"),
        pytest.param(send_with("Host: h", "Connection: close"), id="close"),
        pytest.param(send_with("Host: h", "Connection: Upgrade", "Upgrade: x"), id="upgrade"),
        pytest.param(send_with("Host: h", "Expect: 100-continue"), id="expect"),
        pytest.param(send_with("Host: h", "Content-Encoding: gzip"), id="compressed"),
        pytest.param(send_with("Host: h", "Origin: http://h"), id="origin"),
        pytest.param(send_with("Host: h", "Sec-Fetch-Site: none"), id="browser"),
        pytest.param(send_with("Host: h", "a b: c"), id="space in a name"),
        pytest.param(send_with("Host: h", "a: b\x01c"), id="control character"),
        pytest.param(send_with("Host: h", "a: b", " c"), id="folded line"),
        pytest.param(send_with(*(f"h{n}: v" for n in range(200))), id="too many headers"),
        pytest.param(send_with("Host: h", f"a: {'x' * 20_000}"), id="long head"),
        pytest.param(send_with("Host: h", body=b"x" * 33_000), id="long body"),
        pytest.param(head("SendMessage", 33_000), id="head of a long body"),
        pytest.param(head("SendMessage", 2**63), id="head of an endless body"),
        pytest.param(SEND + SEND, id="two requests"),
        pytest.param(SEND + b"\r\n", id="an empty line behind it"),
        pytest.param(
            GREETING + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", id="chunks"
        ),
        pytest.param(send_with("Host: h", "Transfer-Encoding: chunked"), id="chunks and a length"),
        pytest.param(GREETING + b"Content-Length: +2\r\n\r\n{}", id="length with a sign"),
        pytest.param(
            GREETING + b"Content-Length: " + b"0" * 5_000 + b"2\r\n\r\n{}", id="length of zeros"
        ),
        pytest.param(SEND + b"\r\n\r\nPO", id="the beginning of another request"),
        pytest.param(GREETING.replace(b"\r\n", b"\n") + b"\r\n\r\n", id="line feeds alone"),
    ],
)
def test_rare_request_is_left_to_aiohttp_and_the_parser_stays_usable(data: bytes) -> None:
    parser = SmallPostParser()
    assert parser.parse(data) is NotBegun.NEEDS_TASK
    assert isinstance(parser.parse(SEND), SmallPost)


@pytest.mark.parametrize("length", [1, 20])
def test_head_of_a_small_post_is_incomplete(length: int) -> None:
    parser = SmallPostParser()
    assert parser.parse(SEND[:-length]) is NotBegun.IS_INCOMPLETE
    assert isinstance(parser.parse(SEND), SmallPost)


# A server


@pytest.fixture
def clock() -> AlarmCountingClock:
    return AlarmCountingClock()


@pytest.fixture
def start(sqlite: str, clock: AlarmCountingClock, tls: Files | None) -> Iterator[Start]:
    with starting_servers(sqlite, clock, **({} if tls is None else tls.settings)) as start:
        yield start


@pytest.fixture
def server(start: Start) -> LiveServer:
    server = start()
    # Host names and queues are cached by their first requests.
    assert exchange(server.url, headers={"Host": "localhost"}).status == 400
    return server


@pytest.fixture
def locked(tmp_path: Path) -> Callable[[], AbstractContextManager[None]]:
    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(tmp_path / "queueserver.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    return locked


def call(server: LiveServer, request: bytes) -> dict[str, Any]:
    """Send a request on a new connection, and return the result."""
    with open_socket(server.url, request) as client:
        answer = read_answer(client)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2] or b"{}")
    return found


def read_answer(client: socket.socket) -> bytes:
    """Read one answer, and nothing of the next one."""
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += receive(client, 1)
    length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    end = len(answer) + length
    while len(answer) < end:
        answer += receive(client, end - len(answer))
    return answer


def receive(client: socket.socket, count: int) -> bytes:
    received = client.recv(count)
    assert received, "the server has closed the connection"
    return received


def tasks_of(server: LiveServer, work: Callable[[], object]) -> list[str]:
    """Return the coroutines that become tasks of the server during `work`.

    Except those of the database, which may commit a batch in a task on a slow disk.
    """
    started: list[str] = []

    def record(
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, T],
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[T]:
        if "Writer" not in str(coroutine) and "WriteAheadLog" not in str(coroutine):
            started.append(str(coroutine))
        return asyncio.Task(coroutine, loop=loop, context=context)

    server.loop.set_task_factory(record)  # type: ignore[arg-type] # typeshed has other options
    try:
        work()
    finally:
        server.loop.set_task_factory(None)
    return started


def test_actions_on_messages_create_no_task(server: LiveServer) -> None:
    def cycle() -> None:
        for _ in range(3):
            client.sendall(SEND)
            assert read_answer(client).startswith(b"HTTP/1.1 200 ")
            client.sendall(RECEIVE)
            _, _, body = read_answer(client).partition(b"\r\n\r\n")
            handle = json.loads(body)["Messages"][0]["ReceiptHandle"]
            client.sendall(request_bytes("DeleteMessage", QueueUrl="q", ReceiptHandle=handle))
            assert read_answer(client).startswith(b"HTTP/1.1 200 ")

    with open_socket(server.url, SEND) as client:
        read_answer(client)
        assert call(server, RECEIVE)["Messages"]
        assert tasks_of(server, cycle) == []


def test_body_in_a_second_packet_creates_no_task(server: LiveServer) -> None:
    head_bytes = SEND.index(b"\r\n\r\n") + 4

    def receive_twice() -> None:
        # As if two packets had come, with no time between them in which the server can stall.
        (connection,) = server.connections.connections
        connection.data_received(SEND[:head_bytes])
        connection.data_received(SEND[head_bytes:])

    def send() -> None:
        server.loop.call_soon_threadsafe(receive_twice)
        assert read_answer(client).startswith(b"HTTP/1.1 200 ")

    with open_socket(server.url, SEND) as client:
        read_answer(client)
        wait_until(lambda: server.connections.count() == 1)
        assert tasks_of(server, send) == []


def test_head_without_its_body_is_answered_like_any_slow_request(start: Start) -> None:
    server = start(request_timeout=1)
    with open_socket(server.url, SEND) as client:
        read_answer(client)
        client.sendall(head("SendMessage", 100))
        assert b" 408 " in read_until_closed(client).partition(b"\r\n")[0]


# While a request is pending


def test_requests_behind_a_pending_one_are_answered_in_order(
    server: LiveServer, locked: Callable[[], AbstractContextManager[None]]
) -> None:
    with open_socket(server.url, SEND) as client:
        read_answer(client)
        with locked():
            client.sendall(SEND)
            wait_until(lambda: server.has_pending_answer())
            client.sendall(HEALTH + RECEIVE)
        assert b"MessageId" in read_answer(client)
        assert b'"ok"' in read_answer(client)
        assert b'"Messages"' in read_answer(client)


@pytest.mark.parametrize("receive", [RECEIVE, LONG_POLL], ids=["short poll", "long poll"])
def test_message_of_a_receiver_that_has_gone_is_visible_at_once(
    server: LiveServer, locked: Callable[[], AbstractContextManager[None]], receive: bytes
) -> None:
    call(server, SEND)
    client = open_socket(server.url, request_bytes("ListQueues"))
    read_answer(client)
    with locked():
        client.sendall(receive)
        wait_until(lambda: server.has_pending_answer())
        began = perf_counter()
        client.close()
        wait_until(lambda: not server.has_pending_answer())
        # The receive has not ended because SQLite waits at most 5 s for the lock.
        assert perf_counter() - began < 4
    received = call(server, request_bytes("ReceiveMessage", QueueUrl="q", AttributeNames=["All"]))
    assert received["Messages"][0]["Attributes"]["ApproximateReceiveCount"] == "1"


@pytest.mark.parametrize("request_", [SEND, RECEIVE, LONG_POLL], ids=["send", "short", "long"])
def test_half_closed_client_gets_its_pending_answer(
    server: LiveServer, locked: Callable[[], AbstractContextManager[None]], request_: bytes
) -> None:
    with open_socket(server.url, RECEIVE) as client:
        read_answer(client)
        with locked():
            client.sendall(request_)
            wait_until(lambda: server.has_pending_answer())
            client.shutdown(1)
            wait_until(lambda: server.has_half_closed_client())
        if request_ is LONG_POLL:
            wait_until(lambda: not server.has_pending_answer())
            call(server, SEND)
        answer = read_until_closed(client)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nConnection: close\r\n" in answer


def test_stop_answers_a_pending_request_and_closes_its_connection(
    sqlite: str, clock: AlarmCountingClock, locked: Callable[[], AbstractContextManager[None]]
) -> None:
    server = LiveServer(config(sqlite), clock)
    call(server, request_bytes("CreateQueue", QueueName="q"))
    with open_socket(server.url, SEND) as client:
        read_answer(client)
        with locked():
            client.sendall(SEND)
            wait_until(lambda: server.has_pending_answer())
            stopping = threading.Thread(target=server.close)
            stopping.start()
            wait_until(lambda: server.connections.is_stopping)
        answer = read_until_closed(client)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nConnection: close\r\n" in answer
        stopping.join()


def test_pending_request_keeps_its_connection_open(
    start: Start, locked: Callable[[], AbstractContextManager[None]]
) -> None:
    server = start(idle_timeout=1)
    with open_socket(server.url, SEND) as client:
        read_answer(client)
        with locked():
            client.sendall(SEND)
            # Waits longer than the real idle timeout, which runs on the event loop of the server.
            asyncio.run_coroutine_threadsafe(asyncio.sleep(2.5), server.loop).result()
        assert read_answer(client).startswith(b"HTTP/1.1 200 ")


def test_connection_of_direct_answers_is_closed_after_its_idle_timeout(start: Start) -> None:
    server = start(idle_timeout=2)
    with open_socket(server.url, SEND) as client:
        read_answer(client)
        began = perf_counter()
        client.sendall(SEND)
        read_answer(client)
        assert client.recv(1) == b""
        # Waits for the real idle timeout of 2 s, which runs on the event loop of the server.
        assert perf_counter() - began > 1.5


def test_client_that_reads_no_direct_answer_is_disconnected(start: Start) -> None:
    server = start(request_timeout=1)
    call(server, request_bytes("SendMessage", QueueUrl="q", MessageBody="x" * 60_000))
    receive_again = request_bytes("ReceiveMessage", QueueUrl="q", VisibilityTimeout=0)
    with open_socket(server.url, SEND) as client, contextlib.suppress(ConnectionError):
        read_answer(client)
        for _ in range(1_000):
            client.sendall(receive_again)
            # One request at a time: the server answers each before the next comes.
            call(server, request_bytes("ListQueues"))
    wait_until(lambda: server.connections.count() == 0)


def test_memory_of_a_pending_request_includes_its_bytes_as_they_arrived(
    start: Start, locked: Callable[[], AbstractContextManager[None]]
) -> None:
    server = start(buffer_mib=16)
    call(server, SEND)
    send = request_bytes("SendMessage", QueueUrl="q", MessageBody="x" * 30_000)
    with contextlib.ExitStack() as stack:
        # Each takes 60 KB: the request, and the body in it.
        clients = [stack.enter_context(open_socket(server.url, SEND)) for _ in range(400)]
        for client in clients:
            read_answer(client)
        with locked():
            for client in clients:
                client.sendall(send)
            assert any(b"RequestThrottled" in read_answer(client) for client in clients[300:])


def test_idle_time_begins_when_a_slow_client_has_read_its_direct_answer(start: Start) -> None:
    server = start(idle_timeout=1)
    batch = [{"Id": str(number), "MessageBody": "x" * 100_000} for number in range(10)]
    call(server, request_bytes("SendMessageBatch", QueueUrl="q", Entries=batch))
    receive_all = request_bytes(
        "ReceiveMessage", QueueUrl="q", MaxNumberOfMessages=10, VisibilityTimeout=0
    )
    with open_socket(server.url, RECEIVE, receive_buffer=4_096) as client:
        read_answer(client)
        wait_until(lambda: server.connections.count() == 1)
        (connection,) = server.connections.connections
        assert connection.transport is not None
        sending: socket.socket = connection.transport.get_extra_info("socket")
        sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        client.sendall(receive_all)
        # Begins to read in the second idle timeout, which runs on the event loop of the server.
        asyncio.run_coroutine_threadsafe(asyncio.sleep(1.8), server.loop).result()
        assert server.has_pending_answer()
        read_answer(client)
        began = perf_counter()
        assert client.recv(1) == b""
        assert perf_counter() - began > 0.6


def test_shutdown_waits_once_for_a_pending_request(
    server: LiveServer, locked: Callable[[], AbstractContextManager[None]]
) -> None:
    async def shut_down() -> float:
        (connection,) = server.connections.connections
        began = perf_counter()
        connection.close()
        await connection.shutdown(1.5)
        return perf_counter() - began

    with open_socket(server.url, SEND) as client:
        read_answer(client)
        wait_until(lambda: server.connections.count() == 1)
        with locked():
            client.sendall(SEND)
            wait_until(lambda: server.has_pending_answer())
            # Waits for the real timeout of 1.5 s.
            shutdown = asyncio.run_coroutine_threadsafe(shut_down(), server.loop)
            assert shutdown.result() < 2.5
