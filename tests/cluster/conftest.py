"""Fixtures of the cluster tests: their PostgreSQL, and whether they run long."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.postgres import Postgres


@pytest.fixture(scope="session")
def is_long() -> bool:
    """Return whether the tests are to run with large loads and many faults."""
    return "QUEUESERVER_CLUSTER_LONG" in os.environ


@pytest.fixture(scope="session")
def directory() -> Iterator[Path]:
    """Yield a directory for files that PostgreSQL and the servers write."""
    with tempfile.TemporaryDirectory(prefix="queueserver-cluster-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="session")
def primary(directory: Path, is_long: bool) -> Iterator[Postgres]:
    """Yield a PostgreSQL that tests share; a test that stops it starts it again."""
    server = Postgres.create(directory / "primary", durable=is_long)
    yield server
    server.end()
