"""The databases that tests run on: SQLite in a temporary directory, and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgresql as a_postgresql


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Give the URL of a PostgreSQL in which databases may be made and dropped."""
    with a_postgresql.server() as url:
        yield url


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[str]:
    """Give the URL of an empty PostgreSQL database."""
    with a_postgresql.database(postgres_url) as url:
        yield url


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """Give the URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'queueserver.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty database, once for each kind."""
    url: str = request.getfixturevalue(request.param)
    return url
