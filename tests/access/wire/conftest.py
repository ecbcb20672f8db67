"""Servers with access on for tests of the endpoint: each test runs for both ways of answering.

All tests share two servers, and leave their queues as they were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.access.access_server import AccessServer, access_server
from tests.access.wire.wire_server import PUBLIC_POLICY, QUEUES, USERS, SettableTime, WireServer
from tests.api.live_server import LiveServer
from tests.api.sqs_clients import Clients
from tests.clock import ManualClock

ALLOWED_HOSTS = ["sqs.example.com", "elsewhere.example"]
WAYS = ["direct", "task"]


@contextlib.contextmanager
def wire_server(
    paths: pytest.TempPathFactory, clients: Clients, way: str, **settings: object
) -> Iterator[WireServer]:
    """Run a server that answers small requests without a task, or all requests by tasks."""
    now = SettableTime()
    directory = paths.mktemp(way)
    given = {"allowed_hosts": ALLOWED_HOSTS, **settings}
    opened = access_server(directory, clients, ManualClock(), *USERS, settings=given, now=now)
    with opened as running:
        server = WireServer(running, now)
        for queue in QUEUES:
            server.call("CreateQueue", QueueName=queue)
            server.load(queue)
        server.set_policy("public", PUBLIC_POLICY)
        if way == "task":
            live_server(running).answer_with_tasks_only()
        yield server


def live_server(running: AccessServer) -> LiveServer:
    assert isinstance(running.server, LiveServer)
    return running.server


@pytest.fixture(scope="package", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Return the way in which a server answers small requests."""
    way: str = request.param
    return way


@pytest.fixture(scope="package")
def shared_server(
    tmp_path_factory: pytest.TempPathFactory, clients: Clients, way: str
) -> Iterator[WireServer]:
    with wire_server(tmp_path_factory, clients, way) as server:
        yield server


@pytest.fixture
def server(shared_server: WireServer) -> Iterator[WireServer]:
    """Return the shared server; its time is that of signing, until the test sets it."""
    yield shared_server
    shared_server.now.seconds = shared_server.now.signing_time


@pytest.fixture(params=["json", "query"])
def protocol(request: pytest.FixtureRequest) -> str:
    protocol: str = request.param
    return protocol
