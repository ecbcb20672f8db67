"""The examination's four rooms: {JSON, Query} x {SQLite, PostgreSQL}, with real clients in them.

Tests share a server for each kind of database, and take fresh queues; one that stops its server,
or sets it up otherwise, starts its own.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.dead_letters import create, redrive
from tests.api.live_server import LiveServer, SleepersClock, config
from tests.api.sqs_clients import Clients, Connect, Sqs, fetch_query_model
from tests.databases import NewDatabase, temporary_database


@pytest.fixture(scope="session")
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    cache = request.config.cache
    assert cache is not None
    with pytest.MonkeyPatch.context() as environment:
        # Neither profiles nor settings of whoever runs the tests are to have a say.
        environment.delenv("AWS_PROFILE", raising=False)
        environment.setenv("AWS_CONFIG_FILE", "/dev/null")
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        made = Clients(fetch_query_model(Path(cache.mkdir("sqs-query-model"))))
        yield made
        made.close()


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
    """Give the URL of a database for a server of the test's own."""
    return new_database()


@pytest.fixture(scope="session")
def clock(database_kind: str) -> SleepersClock:
    return SleepersClock()


@pytest.fixture(scope="session")
def server(new_database: NewDatabase, clock: SleepersClock) -> Iterator[LiveServer]:
    with contextlib.closing(LiveServer(config(new_database()), clock)) as server:
        yield server


@pytest.fixture(params=["json", "query"])
def protocol(request: pytest.FixtureRequest) -> str:
    protocol: str = request.param
    return protocol


@pytest.fixture
def connect(server: LiveServer, protocol: str, clients: Clients) -> Connect:
    """Give clients of the shared server, for an access key and a region."""

    def get(access_key: str = "test", region: str = "us-east-1") -> Sqs:
        return clients.get(protocol, server.url, access_key, region)

    return get


@pytest.fixture
def sqs(connect: Connect) -> Sqs:
    return connect()


@pytest.fixture
def name() -> str:
    """Give a queue name that no other test uses."""
    return f"q-{uuid.uuid4().hex}"


@pytest.fixture
def queue(sqs: Sqs, name: str) -> str:
    """Give the URL of an empty queue."""
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url


@pytest.fixture
def dead(sqs: Sqs, name: str) -> str:
    return create(sqs, f"{name}-dead")


@pytest.fixture
def source(sqs: Sqs, name: str, dead: str) -> str:
    """Give a queue whose messages are received once, and then go to the dead-letter queue."""
    return create(sqs, name, redrive(dead))


@pytest.fixture(scope="session")
def strict_clock(database_kind: str) -> SleepersClock:
    return SleepersClock()


@pytest.fixture(scope="session")
def strict_server(new_database: NewDatabase, strict_clock: SleepersClock) -> Iterator[LiveServer]:
    settings = config(new_database(), cooldowns=True)
    with contextlib.closing(LiveServer(settings, strict_clock)) as server:
        yield server


@pytest.fixture
def strict_sqs(strict_server: LiveServer, protocol: str, clients: Clients) -> Sqs:
    """Give a client of a server that keeps SQS's waits of 60 seconds."""
    return clients.get(protocol, strict_server.url, "test", "us-east-1")
