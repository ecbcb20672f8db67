"""What the proofs of a cluster stand on: a PostgreSQL of their own, and how large they are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.postgres import Postgres


@pytest.fixture(scope="session")
def is_long() -> bool:
    """Tell whether the proofs are to be as large as they are in earnest, or quick."""
    return "QUEUESERVER_CLUSTER_LONG" in os.environ


@pytest.fixture(scope="session")
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="queueserver-cluster-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="session")
def primary(directory: Path, is_long: bool) -> Iterator[Postgres]:
    """Give a PostgreSQL that tests share; whoever stops it starts it again."""
    server = Postgres.create(directory / "primary", durable=is_long)
    yield server
    server.end()
