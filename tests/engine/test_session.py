"""How transactions begin and end on PostgreSQL, and what becomes of sessions in the pool."""

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
from tests.engine.recorder import recorded
from tests.engine.stage import Stage

PATIENCE_SECONDS = 9
"""Less than the 10 seconds for which PostgreSQL itself lets a transaction be idle."""


async def names(stage: Stage) -> list[tuple[str, int]]:
    def read(connection: sa.Connection) -> list[tuple[str, int]]:
        query = sa.select(deletions.c.name, deletions.c.deleted_at_ms).order_by("deleted_at_ms")
        return [(row.name, row.deleted_at_ms) for row in connection.execute(query)]

    return await stage.database.read(read)


def note(transaction: Transaction, *moments: int) -> None:
    rows = [
        {"account": "1", "region": "r", "name": str(at_ms), "deleted_at_ms": at_ms}
        for at_ms in moments
    ]
    transaction.connection.execute(deletions.insert(), rows)


_RENUMBER = Statement(
    deletions.update()
    .where(deletions.c.deleted_at_ms == bindparam("at"))
    .values(deleted_at_ms=bindparam("new"))
)


async def test_statement_that_runs_with_commit_takes_any_integers(stage: Stage) -> None:
    await stage.database.write(note, -5, 7)

    def renumber(transaction: Transaction) -> None:
        each = [{"at": -5, "new": -(2**63)}, {"at": 7, "new": 2**63 - 1}]
        _RENUMBER.change_with_commit(transaction.connection, each)

    await stage.database.write(renumber)
    assert await names(stage) == [("-5", -(2**63)), ("7", 2**63 - 1)]


@pytest.mark.parametrize("payload", ["it's", "a;b", "A", "", "a\nb", "\\"])
async def test_notification_with_commit_rejects_characters_that_need_quoting(
    two_servers: tuple[Stage, Stage], payload: str
) -> None:
    def notify(transaction: Transaction) -> None:
        driver_of(transaction.connection).notify_with_commit("queueserver", payload)

    with pytest.raises(ValueError, match="not a payload"):
        await two_servers[0].database.write(notify)


async def test_statement_that_runs_with_commit_does_not_run_after_a_failure(stage: Stage) -> None:
    await stage.database.write(note, 1)

    def renumber_and_fail(transaction: Transaction) -> None:
        _RENUMBER.change_with_commit(transaction.connection, [{"at": 1, "new": 2}])
        raise LookupError

    with pytest.raises(LookupError):
        await stage.database.write(renumber_and_fail)
    await stage.send("x")
    assert await names(stage) == [("1", 1)]


async def test_statement_that_fails_with_commit_rolls_back_the_transaction(
    two_servers: tuple[Stage, Stage],
) -> None:
    stage, _ = two_servers

    def renumber_too_high(transaction: Transaction) -> None:
        note(transaction, 1)
        _RENUMBER.change_with_commit(transaction.connection, [{"at": 1, "new": 2**63}])

    with pytest.raises(sa.exc.DBAPIError):
        await stage.database.write(renumber_too_high)
    assert await names(stage) == []
    await stage.send("x")
    assert await stage.bodies() == ["x"]


@pytest.mark.parametrize("value", ["1", "1); DROP TABLE messages; --", 1.5, b"1", None])
async def test_statement_that_runs_with_commit_takes_nothing_but_integers(
    two_servers: tuple[Stage, Stage], value: object
) -> None:
    stage, _ = two_servers

    def renumber(transaction: Transaction) -> None:
        each = [{"at": 1, "new": cast("int", value)}]
        _RENUMBER.change_with_commit(transaction.connection, each)

    with pytest.raises((TypeError, ValueError)):
        await stage.database.write(renumber)


def listen_to_writer(stage: Stage) -> list[str]:
    """Give what will be said, from now on, to begin and to end transactions of the writer."""
    said: list[str] = []

    def note_words(record: Any) -> None:  # noqa: ANN401 (it has no type)
        if re.match("BEGIN|COMMIT|ROLLBACK", record.query):
            said.append(record.query.partition(";")[0])

    engine: Any = stage.database._engine
    engine._writer_connection.add_query_logger(note_words)
    return said


async def words_of_works(stage: Stage, works: int) -> list[str]:
    """Tell how transactions are begun and ended where several wait in line."""
    await stage.database.write(note, 0)
    said = listen_to_writer(stage)
    await asyncio.gather(*(stage.database.write(note, at_ms) for at_ms in range(1, works + 1)))
    return said


async def test_each_transaction_is_begun_and_ended(two_servers: tuple[Stage, Stage]) -> None:
    stage, _ = two_servers
    assert await words_of_works(stage, 4) == ["BEGIN", "COMMIT"] * 4


async def test_where_sessions_are_pooled_each_transaction_is_begun_and_ended(
    postgresql: str,
) -> None:
    clock = ManualClock()
    database = await Database.open(postgresql, clock, poll_seconds=10, engine_settings=recorded())
    stage = Stage(postgresql, clock, database)
    assert await words_of_works(stage, 2) == ["BEGIN", "COMMIT"] * 2
    await database.close()


async def test_a_transaction_that_fails_leaves_nothing_begun(
    two_servers: tuple[Stage, Stage],
) -> None:
    stage, other = two_servers
    await stage.database.write(note, 0)
    said = listen_to_writer(stage)

    def note_and_fail(transaction: Transaction) -> None:
        note(transaction, 2)
        raise LookupError

    write = stage.database.write
    works = [write(note, 1), write(note_and_fail), write(note, 3), write(note, 4)]
    ends = await asyncio.gather(*works, return_exceptions=True)
    assert [type(end) for end in ends] == [NoneType, LookupError, NoneType, NoneType]
    assert await names(other) == [("0", 0), ("1", 1), ("3", 3), ("4", 4)]
    done = ["BEGIN", "COMMIT"]
    assert said == [*done, "BEGIN", "ROLLBACK", *done, *done]
    assert await other.database.read(idle_in_transaction) == 0


async def test_a_transaction_that_was_begun_and_is_lost_is_begun_anew(
    two_servers: tuple[Stage, Stage],
) -> None:
    stage, _ = two_servers
    runs: list[int] = []

    def lose_at_first(transaction: Transaction) -> None:
        runs.append(1)
        if len(runs) == 1:
            transaction.connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        note(transaction, 2)

    write = stage.database.write
    await asyncio.gather(write(note, 1), write(lose_at_first), write(note, 3))
    assert len(runs) == 2
    assert await names(stage) == [("1", 1), ("2", 2), ("3", 3)]


async def test_a_read_that_fails_leaves_no_transaction_behind(
    two_servers: tuple[Stage, Stage],
) -> None:
    stage, _ = two_servers

    def fail(connection: sa.Connection) -> None:
        connection.execute(sa.text("SELECT 1"))
        raise LookupError

    with pytest.raises(LookupError):
        await stage.database.read(fail)
    assert await stage.database.read(idle_in_transaction) == 0


async def test_a_read_that_is_cancelled_leaves_no_transaction_behind(
    two_servers: tuple[Stage, Stage],
) -> None:
    stage, other = two_servers
    for turns in range(10):
        await stage.database.ping()
        read = asyncio.create_task(stage.database.ping())
        # The first that it waits for, long before these turns are over, is that it can begin.
        for _ in range(turns):
            await asyncio.sleep(0)
        read.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await read
        async with asyncio.timeout(PATIENCE_SECONDS):
            # PostgreSQL notices in a moment that somebody has hung up.
            while await other.database.read(idle_in_transaction):
                pass


def idle_in_transaction(connection: sa.Connection) -> int:
    found: int = connection.execute(
        sa.text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND state LIKE 'idle in transaction%'"
        )
    ).scalar_one()
    return found
