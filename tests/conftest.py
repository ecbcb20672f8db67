"""Databases for tests: SQLite in a temporary directory, and a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import postgresql_server, temporary_database


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Yield the URL of a PostgreSQL server on which databases may be created and dropped."""
    with postgresql_server() as url:
        yield url


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[str]:
    """Yield the URL of an empty PostgreSQL database."""
    with temporary_database(postgres_url) as url:
        yield url


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """Return the URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'queueserver.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty database: once of SQLite, once of PostgreSQL."""
    url: str = request.getfixturevalue(request.param)
    return url
