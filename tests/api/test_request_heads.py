"""Limits of request lines and headers, and of the memory that incomplete ones take."""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import select
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from protocol.errors import RequestThrottled
from queueserver.http.errors import sqs_error
from tests.api.live_server import AlarmCountingClock, LiveServer, Start, starting_servers
from tests.api.raw_http import (
    exchange,
    json_headers,
    open_socket,
    read_until_closed,
    request_bytes,
)
from tests.api.server_process import ServerProcess
from tests.api.sqs_clients import Sqs, bodies
from tests.certificates import Files
from tests.waiting import TIMEOUT_SECONDS

KIB = 1024
MIB = 1024 * KIB
LONGEST_LINE = 256 * KIB
LONGEST_HEADERS = 64 * KIB
SECRET = "TOPSECRET"
CLIENTS = 400
"""Clients that would take 100 MiB and more, if nothing limited it."""
MOST_BYTES = 48 * MIB
"""The limit of 16 MiB for slow senders, and what the connections themselves take."""


@pytest.fixture
def own_clock() -> AlarmCountingClock:
    return AlarmCountingClock()


@pytest.fixture
def start(sqlite: str, own_clock: AlarmCountingClock, tls: Files | None) -> Iterator[Start]:
    """Return a function that starts a server with a queue."""
    with starting_servers(sqlite, own_clock, **({} if tls is None else tls.settings)) as start:
        yield start


@pytest.fixture
def own_server(start: Start) -> LiveServer:
    return start()


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def get(target: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: a", *headers, "", ""]).encode()


def padded(target: str, length: int) -> str:
    return target + "x" * (length - len(target))


def headers_of(length: int) -> list[str]:
    """Return headers that have `length` bytes together with `Host: a`, in fields of 1 KiB."""
    left = length - len("Host: a\r\n")
    lines: list[str] = []
    while left:
        count = left if left < 2 * KIB else KIB
        lines.append(f"X-{len(lines):03}: ".ljust(count - 2, "x"))
        left -= count
    return lines


@pytest.mark.parametrize("length", [8_100, 9_000, 65_600, 200_000])
def test_message_in_the_request_line_is_sent(
    server: LiveServer, sqs: Sqs, queue: str, length: int
) -> None:
    path = f"{urlsplit(queue).path}?Action=SendMessage&MessageBody={'x' * length}"
    assert exchange(server.url, "GET", path).status == 200
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["x" * length]


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        pytest.param(get(padded("/", LONGEST_LINE)), 404, id="longest URI"),
        pytest.param(get(padded("/", LONGEST_LINE + 1)), 414, id="longer URI"),
        pytest.param(get(padded("/", 3_000_000)), 414, id="much longer URI"),
        pytest.param(get("/", *headers_of(LONGEST_HEADERS)), 404, id="longest headers"),
        pytest.param(get("/", *headers_of(LONGEST_HEADERS + 1)), 431, id="longer headers"),
        pytest.param(get("/", "X: " + "x" * 3_000_000), 431, id="long header"),
        pytest.param(get("/", "X" * 3_000_000 + ": x"), 431, id="long header name"),
        pytest.param(get("/", *["X: y"] * 127), 404, id="most headers"),
        pytest.param(get("/", *["X: y"] * 128), 431, id="more headers"),
        pytest.param(get("/", *["X: y"] * 300_000), 431, id="many more headers"),
        pytest.param(
            get(padded("/", LONGEST_LINE), *headers_of(LONGEST_HEADERS)), 404, id="longest head"
        ),
        pytest.param(
            get(padded("/", LONGEST_LINE), *headers_of(LONGEST_HEADERS))[:-4],
            None,
            id="longest head, incomplete",
        ),
        pytest.param(
            get("/", *headers_of(60 * KIB), *[f"Y{n}: ".ljust(30 * KIB, "x") for n in range(10)])[
                :-4
            ],
            431,
            id="longer headers, incomplete",
        ),
    ],
)
def test_head_is_limited_and_a_longer_one_is_answered_as_too_long(
    own_server: LiveServer, request_head: bytes, status: int | None
) -> None:
    with open_socket(own_server.url, request_head) as client:
        if status is None:
            client.sendall(b"\r\n\r\n")
            status = 404
        answer = client.recv(65_536)
    head, _, text = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    if status != 404:
        code = b"RequestUriTooLong" if status == 414 else b"RequestHeaderSectionTooLarge"
        assert b"<Code>%b</Code>" % code in text


def test_head_that_is_too_long_is_logged_without_its_content(
    own_server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for request in (get(padded(f"/{SECRET}", 300_000)), get("/", f"X: {SECRET}" + "x" * 70_000)):
        with open_socket(own_server.url, request) as client:
            read_until_closed(client)
    lines = [message for message in caplog.messages if "cannot be read" in message]
    assert [line.partition(" and ")[0] for line in lines] == [
        "request cannot be read, answering RequestUriTooLong (414)",
        "request cannot be read, answering RequestHeaderSectionTooLarge (431)",
    ]
    assert not [record for record in caplog.records if SECRET in logging.Formatter().format(record)]


# Memory


@pytest.mark.parametrize(
    "half",
    [
        pytest.param(get(padded("/", 255 * KIB))[:-4], id="request line"),
        pytest.param(get(padded("/", 200 * KIB), *headers_of(60 * KIB))[:-4], id="with headers"),
        pytest.param(get(padded("/\U0001f600", 255 * KIB), "X: x")[:-4], id="not ASCII"),
        pytest.param(
            request_bytes("ListQueues") + get(padded("/", 255 * KIB))[:-4],
            id="behind a request",
        ),
        pytest.param(
            request_bytes("ReceiveMessage", QueueUrl="q", WaitTimeSeconds=20)
            + get(padded("/", 255 * KIB))[:-4],
            id="behind a long poll",
        ),
    ],
)
def test_memory_of_incomplete_heads_is_bounded(tmp_path: Path, half: bytes) -> None:
    with ServerProcess("--buffer-mib", "16", directory=tmp_path) as server:
        create = json.dumps({"QueueName": "q"})
        exchange(server.url, headers=json_headers("CreateQueue"), body=create)
        before = resident_bytes(server.pid)
        with contextlib.ExitStack() as stack:
            for _ in range(CLIENTS):
                client = stack.enter_context(open_socket(server.url, b""))
                with contextlib.suppress(ConnectionError):
                    client.sendall(half)
            assert exchange(server.url, "GET", "/health").status == 200
            assert resident_bytes(server.pid) - before < MOST_BYTES


def test_incomplete_heads_share_the_limit_of_slow_bodies(start: Start) -> None:
    server = start(buffer_mib=16)
    half = get(padded("/", 255 * KIB))[:-4]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(open_socket(server.url, half)) for _ in range(80)]
        # The longest-running one is discarded, with an answer.
        answer = read_until_closed(clients[0])
        assert answer.startswith(b"HTTP/1.0 403 ")
        assert b"<Code>RequestThrottled</Code>" in answer
        clients[-1].sendall(b"\r\n\r\n")
        assert clients[-1].recv(65_536).startswith(b"HTTP/1.1 404 ")


def test_body_that_is_discarded_for_its_memory_is_throttled() -> None:
    error = web.RequestPayloadError("discarded")
    error.__cause__ = RequestThrottled()
    assert sqs_error(error, "id").code == "RequestThrottled"


def test_heads_of_waiting_receivers_take_at_most_half_of_the_limit(
    start: Start, own_clock: AlarmCountingClock
) -> None:
    server = start(buffer_mib=16)
    path = f"/000000000000/q?Action=ReceiveMessage&WaitTimeSeconds=20&x={'x' * 250_000}"
    # A request keeps its path and its URL.
    accepted = 8 * MIB // (2 * len(get(path)))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(open_socket(server.url, get(path))) for _ in range(20)]
        waiting = set(clients)
        while len(waiting) > accepted:
            for client in select.select(waiting, [], [], TIMEOUT_SECONDS)[0]:
                assert client.recv(65_536).startswith(b"HTTP/1.0 403 ")
                waiting.remove(client)
        own_clock.wait_for_alarms(20, accepted)
        own_clock.advance(20)
        for client in waiting:
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        # The memory is free again.
        with open_socket(server.url, get(padded("/", 250_000))) as client:
            assert client.recv(65_536).startswith(b"HTTP/1.1 404 ")


def test_incomplete_head_behind_a_request_is_closed_after_the_request_timeout(start: Start) -> None:
    server = start(request_timeout=1, idle_timeout=300)
    sent = request_bytes("ListQueues") + get(padded("/", 10_000))[:-4]
    with open_socket(server.url, sent) as client:
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(65_536) == b""
