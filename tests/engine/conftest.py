"""Databases with one queue, for tests of the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from storage.queues import FIFO
from storage.schema import metadata
from tests.databases import execute, temporary_database
from tests.engine.queue_client import QueueClient, TwoServers


@pytest.fixture(scope="session")
def session_postgresql(postgres_url: str) -> Iterator[str]:
    """Yield a PostgreSQL database for all tests: creating one takes longer than most tests."""
    with temporary_database(postgres_url) as url:
        yield url


@pytest.fixture
def shared_postgresql(session_postgresql: str) -> Iterator[str]:
    """Yield the shared database, and delete all rows afterwards except its properties."""
    yield session_postgresql
    tables = [table.name for table in metadata.sorted_tables if table.name != "properties"]
    execute(session_postgresql, f"TRUNCATE {', '.join(tables)}")


@pytest.fixture(params=["sqlite", "postgresql"])
def shared_database_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database without queues: once of SQLite, once of PostgreSQL."""
    name = "sqlite" if request.param == "sqlite" else "shared_postgresql"
    url: str = request.getfixturevalue(name)
    return url


@pytest_asyncio.fixture
async def client(shared_database_url: str) -> AsyncIterator[QueueClient]:
    """Yield a client of an empty standard queue, on each kind of database."""
    client = await QueueClient.open(shared_database_url)
    yield client
    await client.database.close()


@pytest_asyncio.fixture
async def fifo(shared_database_url: str) -> AsyncIterator[QueueClient]:
    """Yield a client of an empty FIFO queue, on each kind of database."""
    client = await QueueClient.open(shared_database_url, kind=FIFO)
    yield client
    await client.database.close()


@pytest_asyncio.fixture
async def two_servers(shared_postgresql: str) -> AsyncIterator[TwoServers]:
    """Yield clients of one standard queue on two servers of one PostgreSQL database."""
    one = await QueueClient.open(shared_postgresql)
    other = await QueueClient.open(shared_postgresql, one.clock)
    yield one, other
    await other.database.close()
    await one.database.close()


@pytest_asyncio.fixture
async def two_fifo_servers(
    shared_postgresql: str,
) -> AsyncIterator[TwoServers]:
    """Yield clients of one FIFO queue on two servers of one PostgreSQL database."""
    one = await QueueClient.open(shared_postgresql, kind=FIFO)
    other = await QueueClient.open(shared_postgresql, one.clock, FIFO)
    yield one, other
    await other.database.close()
    await one.database.close()
