"""Migrations of queues whose attributes are damaged."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3

import pytest
import sqlalchemy as sa

from storage import migrations
from storage.schema import queues as queue_table
from tests.engine.earlier_versions import path_of, restore


def test_damaged_attributes_of_a_queue_become_the_defaults(
    sqlite: str, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.run(restore(sqlite, 1))
    with contextlib.closing(sqlite3.connect(path_of(sqlite))) as connection, connection:
        name, attributes = connection.execute("SELECT name, attributes FROM queues").fetchone()
        damaged = json.dumps({**json.loads(attributes), "MessageRetentionPeriod": "3456x00"})
        connection.execute("UPDATE queues SET attributes = ? WHERE name = ?", (damaged, name))
    engine = sa.create_engine(sqlite)
    with engine.begin() as migrated:
        migrations.migrate(migrated)
        query = sa.select(queue_table.c.retention_ms).where(queue_table.c.name == name)
        assert migrated.scalar(query) == 345_600_000
    engine.dispose()
    assert f"damaged attributes of a queue, using defaults: queue={name}" in caplog.text


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("null", id="no mapping"),
        pytest.param('{"DelaySeconds": "x"}', id="no number"),
        pytest.param('{"DelaySeconds": Infinity}', id="no integer"),
        pytest.param('{"DelaySeconds": "99999999999999999999"}', id="too long"),
    ],
)
def test_damaged_delay_of_a_queue_becomes_zero(
    sqlite: str, caplog: pytest.LogCaptureFixture, damaged: str
) -> None:
    asyncio.run(restore(sqlite, 2))
    with contextlib.closing(sqlite3.connect(path_of(sqlite))) as connection, connection:
        connection.execute("UPDATE queues SET attributes = ? WHERE name = 'slow'", (damaged,))
    engine = sa.create_engine(sqlite)
    with engine.begin() as migrated:
        migrations.migrate(migrated)
        query = sa.select(queue_table.c.delay_ms).where(queue_table.c.name == "slow")
        assert migrated.scalar(query) == 0
    engine.dispose()
    assert "damaged attributes of a queue, using defaults: queue=slow" in caplog.text
