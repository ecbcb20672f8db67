"""Transactions on PostgreSQL: how they begin and end, and sessions that return to the pool."""

from __future__ import annotations

import asyncio
import contextlib
import re
from types import NoneType
from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy import bindparam

from storage.database import Database
from storage.schema import deletions
from storage.sql.driver import driver_of
from storage.sql.statement import Statement
from storage.transaction import Transaction
from tests.clock import ManualClock
from tests.engine.queue_client import QueueClient, TwoServers
from tests.engine.recorder import recording_settings
from tests.waiting import TRANSACTION_TIMEOUT_SECONDS


async def names(client: QueueClient) -> list[tuple[str, int]]:
    """Return the rows that `insert` added."""

    def read(connection: sa.Connection) -> list[tuple[str, int]]:
        query = sa.select(deletions.c.name, deletions.c.deleted_at_ms).order_by("deleted_at_ms")
        return [(row.name, row.deleted_at_ms) for row in connection.execute(query)]

    return await client.database.read(read)


def insert(transaction: Transaction, *times_ms: int) -> None:
    """Insert a deletion for each time, with the time as its name."""
    rows = [
        {"account": "1", "region": "r", "name": str(at_ms), "deleted_at_ms": at_ms}
        for at_ms in times_ms
    ]
    transaction.connection.execute(deletions.insert(), rows)


_RENUMBER = Statement(
    deletions.update()
    .where(deletions.c.deleted_at_ms == bindparam("at"))
    .values(deleted_at_ms=bindparam("new"))
)


async def test_statement_that_runs_with_commit_takes_any_integers(client: QueueClient) -> None:
    await client.database.write(insert, -5, 7)

    def renumber(transaction: Transaction) -> None:
        each = [{"at": -5, "new": -(2**63)}, {"at": 7, "new": 2**63 - 1}]
        _RENUMBER.change_with_commit(transaction.connection, each)

    await client.database.write(renumber)
    assert await names(client) == [("-5", -(2**63)), ("7", 2**63 - 1)]


@pytest.mark.parametrize("payload", ["it's", "a;b", "A", "", "a\nb", "\\"])
async def test_notification_with_commit_rejects_characters_that_need_quoting(
    two_servers: TwoServers, payload: str
) -> None:
    def notify(transaction: Transaction) -> None:
        driver_of(transaction.connection).notify_with_commit("queueserver", payload)

    with pytest.raises(ValueError, match="not a payload"):
        await two_servers[0].database.write(notify)


async def test_statement_that_runs_with_commit_does_not_run_after_a_failure(
    client: QueueClient,
) -> None:
    await client.database.write(insert, 1)

    def renumber_and_fail(transaction: Transaction) -> None:
        _RENUMBER.change_with_commit(transaction.connection, [{"at": 1, "new": 2}])
        raise LookupError

    with pytest.raises(LookupError):
        await client.database.write(renumber_and_fail)
    await client.send("x")
    assert await names(client) == [("1", 1)]


async def test_statement_that_fails_with_commit_rolls_back_the_transaction(
    two_servers: TwoServers,
) -> None:
    client, _ = two_servers

    def renumber_too_high(transaction: Transaction) -> None:
        insert(transaction, 1)
        _RENUMBER.change_with_commit(transaction.connection, [{"at": 1, "new": 2**63}])

    with pytest.raises(sa.exc.DBAPIError):
        await client.database.write(renumber_too_high)
    assert await names(client) == []
    await client.send("x")
    assert await client.bodies() == ["x"]


@pytest.mark.parametrize("value", ["1", "1); DROP TABLE messages; --", 1.5, b"1", None])
async def test_statement_that_runs_with_commit_takes_nothing_but_integers(
    two_servers: TwoServers, value: object
) -> None:
    client, _ = two_servers

    def renumber(transaction: Transaction) -> None:
        each = [{"at": 1, "new": cast("int", value)}]
        _RENUMBER.change_with_commit(transaction.connection, each)

    with pytest.raises((TypeError, ValueError)):
        await client.database.write(renumber)


def record_writer(client: QueueClient) -> list[str]:
    """Return a list to which each BEGIN, COMMIT and ROLLBACK of the writer is added from now on."""
    statements: list[str] = []

    def append(record: Any) -> None:  # noqa: ANN401 (asyncpg has no types)
        if re.match("BEGIN|COMMIT|ROLLBACK", record.query):
            statements.append(record.query.partition(";")[0])

    engine: Any = client.database._engine
    engine._writer_connection.add_query_logger(append)
    return statements


async def run_transactions(client: QueueClient, count: int) -> list[str]:
    """Queue transactions; return the statements that begin and end them."""
    await client.database.write(insert, 0)
    statements = record_writer(client)
    await asyncio.gather(*(client.database.write(insert, at_ms) for at_ms in range(1, count + 1)))
    return statements


async def test_each_transaction_has_its_own_begin_and_commit(
    two_servers: TwoServers,
) -> None:
    client, _ = two_servers
    assert await run_transactions(client, 4) == ["BEGIN", "COMMIT"] * 4


async def test_each_transaction_behind_a_pooler_has_its_own_begin_and_commit(
    postgresql: str,
) -> None:
    clock = ManualClock()
    database = await Database.open(
        postgresql, clock, poll_seconds=10, engine_settings=recording_settings()
    )
    client = QueueClient(postgresql, clock, database)
    assert await run_transactions(client, 2) == ["BEGIN", "COMMIT"] * 2
    await database.close()


async def test_failed_transaction_leaves_no_open_transaction(
    two_servers: TwoServers,
) -> None:
    client, other = two_servers
    await client.database.write(insert, 0)
    statements = record_writer(client)

    def insert_and_fail(transaction: Transaction) -> None:
        insert(transaction, 2)
        raise LookupError

    write = client.database.write
    writes = [write(insert, 1), write(insert_and_fail), write(insert, 3), write(insert, 4)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(result) for result in results] == [NoneType, LookupError, NoneType, NoneType]
    assert await names(other) == [("0", 0), ("1", 1), ("3", 3), ("4", 4)]
    committed = ["BEGIN", "COMMIT"]
    assert statements == [*committed, "BEGIN", "ROLLBACK", *committed, *committed]
    assert await other.database.read(idle_in_transaction) == 0


async def test_transaction_that_loses_its_connection_is_retried(
    two_servers: TwoServers,
) -> None:
    client, _ = two_servers
    runs: list[int] = []

    def lose_at_first(transaction: Transaction) -> None:
        runs.append(1)
        if len(runs) == 1:
            transaction.connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        insert(transaction, 2)

    write = client.database.write
    await asyncio.gather(write(insert, 1), write(lose_at_first), write(insert, 3))
    assert len(runs) == 2
    assert await names(client) == [("1", 1), ("2", 2), ("3", 3)]


async def test_failed_read_leaves_no_open_transaction(
    two_servers: TwoServers,
) -> None:
    client, _ = two_servers

    def fail(connection: sa.Connection) -> None:
        connection.execute(sa.text("SELECT 1"))
        raise LookupError

    with pytest.raises(LookupError):
        await client.database.read(fail)
    assert await client.database.read(idle_in_transaction) == 0


async def test_cancelled_read_leaves_no_open_transaction(
    two_servers: TwoServers,
) -> None:
    client, other = two_servers
    for iterations in range(10):
        await client.database.ping()
        read = asyncio.create_task(client.database.ping())
        # The read waits for its BEGIN within these iterations of the event loop.
        for _ in range(iterations):
            await asyncio.sleep(0)
        read.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await read
        async with asyncio.timeout(TRANSACTION_TIMEOUT_SECONDS):
            # Real time: PostgreSQL notices the closed connection within milliseconds.
            while await other.database.read(idle_in_transaction):
                pass


def idle_in_transaction(connection: sa.Connection) -> int:
    """Return the number of sessions that keep a transaction open."""
    found: int = connection.execute(
        sa.text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND state LIKE 'idle in transaction%'"
        )
    ).scalar_one()
    return found
