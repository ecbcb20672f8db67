"""Fixtures that run each API test with both protocols and on both databases.

All tests of one kind of database share a server and use their own queues. A test that stops its
server, or needs other settings, starts its own.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import pytest

from tests.api.dead_letters import create, redrive
from tests.api.live_server import AlarmCountingClock, LiveServer, config
from tests.api.sqs_clients import Clients, Connect, Sqs, open_clients
from tests.certificates import Files, write_files
from tests.databases import NewDatabase, temporary_database

ALLOWED_HOSTS = ("sqs.example.org", "queues.example")
"""The names of the shared server, besides those that every server has."""


@pytest.fixture(scope="session")
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    with open_clients(request.config) as clients:
        yield clients


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture(scope="session")
def new_database(
    database_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NewDatabase]:
    if database_kind == "sqlite":
        yield lambda: f"sqlite:///{tmp_path_factory.mktemp('database') / 'queueserver.db'}"
        return
    server: str = request.getfixturevalue("postgres_url")
    with contextlib.ExitStack() as created:
        yield lambda: created.enter_context(temporary_database(server))


@pytest.fixture
def own_database(new_database: NewDatabase) -> str:
    """Return the URL of an empty database that no other test uses."""
    return new_database()


@pytest.fixture(scope="session")
def clock(database_kind: str) -> AlarmCountingClock:
    return AlarmCountingClock()


@pytest.fixture(scope="session")
def server(new_database: NewDatabase, clock: AlarmCountingClock) -> Iterator[LiveServer]:
    settings = config(new_database(), allowed_hosts=ALLOWED_HOSTS)
    with contextlib.closing(LiveServer(settings, clock)) as server:
        yield server


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Return a certificate for this machine."""
    return write_files(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=[False, True], ids=["http", "https"])
def tls(request: pytest.FixtureRequest, tls_files: Files) -> Files | None:
    """Run a test without TLS, and with it: return the certificate of the server, if it has one."""
    return tls_files if request.param else None


@pytest.fixture(params=["json", "query"])
def protocol(request: pytest.FixtureRequest) -> str:
    protocol: str = request.param
    return protocol


@pytest.fixture
def connect(server: LiveServer, protocol: str, clients: Clients) -> Connect:
    """Return a function that returns the shared server's client for an access key and region."""

    def get(access_key: str = "test", region: str = "us-east-1") -> Sqs:
        return clients.get(protocol, server.url, access_key, region)

    return get


@pytest.fixture
def sqs(connect: Connect) -> Sqs:
    return connect()


@pytest.fixture
def name() -> str:
    """Return a queue name that no other test uses."""
    return f"q-{uuid.uuid4().hex}"


@pytest.fixture
def queue(sqs: Sqs, name: str) -> str:
    """Create an empty queue, and return its URL."""
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url


@pytest.fixture
def dead(sqs: Sqs, name: str) -> str:
    """Create a dead-letter queue, and return its URL."""
    return create(sqs, f"{name}-dead")


@pytest.fixture
def source(sqs: Sqs, name: str, dead: str) -> str:
    """Create a queue with a dead-letter queue and maxReceiveCount 1, and return its URL."""
    return create(sqs, name, redrive(dead))


@pytest.fixture(scope="session")
def cooldown_clock(database_kind: str) -> AlarmCountingClock:
    return AlarmCountingClock()


@pytest.fixture(scope="session")
def cooldown_server(
    new_database: NewDatabase, cooldown_clock: AlarmCountingClock
) -> Iterator[LiveServer]:
    settings = config(new_database(), cooldowns=True)
    with contextlib.closing(LiveServer(settings, cooldown_clock)) as server:
        yield server


@pytest.fixture
def cooldown_sqs(cooldown_server: LiveServer, protocol: str, clients: Clients) -> Sqs:
    """Return a client of a server that enforces SQS's cooldowns of 60 seconds."""
    return clients.get(protocol, cooldown_server.url, "test", "us-east-1")
