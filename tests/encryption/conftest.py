"""Fixtures: servers with master keys on a database, and the rows that they store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clock import ManualClock
from tests.encryption.encrypting_server import Start, starting
from tests.encryption.stored_rows import StoredRows, stored_rows


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def start(database_url: str, clock: ManualClock) -> Iterator[Start]:
    """Yield a function that starts servers on the test's database."""
    with starting(database_url, clock) as start:
        yield start


@pytest.fixture
def rows(database_url: str) -> Iterator[StoredRows]:
    """Yield the rows of the test's database, which a server creates."""
    with stored_rows(database_url) as rows:
        yield rows
