"""No request keeps the event loop from running anything else for more than 50 ms."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.api.live_server import LiveServer, config
from tests.api.raw_http import open_socket
from tests.clock import ManualClock
from tests.fuzz.loop_pauses import LoopPauses
from tests.fuzz.worst_cases import SETUP, WORST_CASES, json_request
from tests.waiting import TIMEOUT_SECONDS

LONGEST_PAUSE_SECONDS = 0.05
ATTEMPTS = 3
"""A slow machine may exceed the limit once. A request that takes too long does so each time."""

_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    path = tmp_path_factory.mktemp("pauses") / "queueserver.db"
    with contextlib.closing(LiveServer(config(f"sqlite:///{path}"), ManualClock())) as server:
        for action, parameters in SETUP:
            with open_socket(server.url, b"") as client:
                request = json_request(action, json.dumps(parameters).encode())
                assert status_of(client, request) == 200
        yield server


def status_of(client: socket.socket, request: bytes) -> int:
    """Send a request and read the answer without keeping it; return its status."""
    client.sendall(request)
    buffer = bytearray(1 << 20)
    head = b""
    while b"\r\n\r\n" not in head:
        head += buffer[: client.recv_into(buffer)]
    headers, _, body = head.partition(b"\r\n\r\n")
    length = _LENGTH.search(headers + b"\r\n")
    assert length
    unread = int(length[1]) - len(body)
    while unread:
        unread -= client.recv_into(buffer)
    return int(headers.split()[1])


@pytest.mark.parametrize("name", WORST_CASES)
def test_event_loop_runs_during_the_worst_requests(server: LiveServer, name: str) -> None:
    request = WORST_CASES[name]()
    pauses = LoopPauses(server.loop)
    found = []
    for _ in range(ATTEMPTS):
        with open_socket(server.url, b"") as client, pauses.measured():
            assert status_of(client, request) < 500
        found.append(pauses.longest_seconds)
        if found[-1] < LONGEST_PAUSE_SECONDS:
            return
    pytest.fail(f"the event loop paused for {min(found) * 1_000:.0f} ms")


# The measurement itself


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Yield an event loop that runs on another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(TIMEOUT_SECONDS)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def work_in_c() -> None:
    """Use the processor for some tenths of a second, without letting another thread run Python."""
    sorted(range(3_000_000), key=float)


def work_in_steps() -> None:
    """Use the processor for as long, letting other threads run."""
    for _ in range(1_000):
        sorted(range(3_000), key=float)


@pytest.mark.parametrize(
    ("work", "in_thread", "is_noticed"),
    [
        pytest.param(work_in_c, False, True, id="on the loop"),
        pytest.param(work_in_steps, False, True, id="on the loop, in steps"),
        pytest.param(work_in_c, True, True, id="in a thread that lets nothing else run"),
        pytest.param(work_in_steps, True, False, id="in a thread, in steps"),
    ],
)
def test_measurement_notices_what_keeps_the_loop_from_running(
    loop: asyncio.AbstractEventLoop, work: Callable[[], None], in_thread: bool, is_noticed: bool
) -> None:
    async def run() -> None:
        if in_thread:
            await asyncio.to_thread(work)
        else:
            work()

    pauses = LoopPauses(loop)
    with pauses.measured():
        asyncio.run_coroutine_threadsafe(run(), loop).result(TIMEOUT_SECONDS)
    assert (pauses.longest_seconds > LONGEST_PAUSE_SECONDS) is is_noticed
