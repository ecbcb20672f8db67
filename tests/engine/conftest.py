"""What every examination of the engine stands on."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from storage.queues import FIFO
from storage.schema import metadata
from tests.engine.stage import Stage


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def kept_postgresql(postgres_url: str) -> Iterator[str]:
    """Give a PostgreSQL database that tests share: to make one takes longer than most tests."""
    name = f"engine_{uuid.uuid4().hex}"
    asyncio.run(_execute(postgres_url, f"CREATE DATABASE {name}"))
    yield urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
    asyncio.run(_execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def emptied_postgresql(kept_postgresql: str) -> Iterator[str]:
    """Give the shared database, and empty it afterwards of all but what says whose it is."""
    yield kept_postgresql
    tables = [table.name for table in metadata.sorted_tables if table.name != "properties"]
    asyncio.run(_execute(kept_postgresql, f"TRUNCATE {', '.join(tables)}"))


@pytest.fixture(params=["sqlite", "postgresql"])
def stage_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a database without queues, once for each kind."""
    name = "sqlite" if request.param == "sqlite" else "emptied_postgresql"
    url: str = request.getfixturevalue(name)
    return url


@pytest_asyncio.fixture
async def stage(stage_url: str) -> AsyncIterator[Stage]:
    """Give a database of each kind with one empty queue, at a standing clock."""
    stage = await Stage.open(stage_url)
    yield stage
    await stage.database.close()


@pytest_asyncio.fixture
async def fifo(stage_url: str) -> AsyncIterator[Stage]:
    """Give the same with a FIFO queue."""
    stage = await Stage.open(stage_url, kind=FIFO)
    yield stage
    await stage.database.close()


@pytest_asyncio.fixture
async def two_servers(emptied_postgresql: str) -> AsyncIterator[tuple[Stage, Stage]]:
    """Give two servers on one PostgreSQL database, with one queue and one clock."""
    one = await Stage.open(emptied_postgresql)
    other = await Stage.open(emptied_postgresql, one.clock)
    yield one, other
    await other.database.close()
    await one.database.close()


@pytest_asyncio.fixture
async def two_fifo_servers(emptied_postgresql: str) -> AsyncIterator[tuple[Stage, Stage]]:
    """Give the same with a FIFO queue."""
    one = await Stage.open(emptied_postgresql, kind=FIFO)
    other = await Stage.open(emptied_postgresql, one.clock, FIFO)
    yield one, other
    await other.database.close()
    await one.database.close()
