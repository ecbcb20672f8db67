"""SQLite's write-ahead log (WAL): checkpoints, its length, and which thread commits."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.settings import SqliteLimits, WalLimits
from storage.sqlite.engine import SqliteEngine
from tests.bench.processes import logged_bytes
from tests.engine.queue_client import QueueClient, new_message, run_event_loop
from tests.engine.recorder import Watcher, recording_settings, watching

FRAME = 4_096 + 24


def file_of(url: str) -> Path:
    """Return the path of a SQLite database."""
    return Path(url.removeprefix("sqlite:///"))


async def wait_for_checkpoint(client: QueueClient) -> None:
    """Wait until a checkpoint has copied the committed pages."""
    engine = client.database._engine
    assert isinstance(engine, SqliteEngine)
    assert engine._wal is not None
    while engine._wal._task is not None:
        await asyncio.gather(engine._wal._task)


NO_PAUSE = WalLimits(checkpoint_seconds=0)


async def open_client(sqlite: str, limits: SqliteLimits | WalLimits = NO_PAUSE) -> QueueClient:
    """Open a database; by default, a checkpoint follows each COMMIT at once."""
    if isinstance(limits, WalLimits):
        limits = SqliteLimits(wal=limits)
    return await QueueClient.open(sqlite, engine_settings=recording_settings(sqlite=limits))


async def test_checkpoint_copies_committed_pages_to_the_database_file(
    sqlite: str, tmp_path: Path
) -> None:
    client = await open_client(sqlite)
    await client.send("a", "b", "c")
    await wait_for_checkpoint(client)
    alone = shutil.copy(file_of(sqlite), tmp_path / "alone.db")
    with contextlib.closing(sqlite3.connect(alone)) as connection:
        found = connection.execute("SELECT body FROM bodies ORDER BY id").fetchall()
    await client.database.close()
    assert found == [("a",), ("b",), ("c",)]


async def test_wal_is_overwritten_from_its_start_after_a_checkpoint(sqlite: str) -> None:
    client = await open_client(sqlite)
    await client.send(*["x" * 10_000] * 100)
    assert logged_bytes(file_of(sqlite)) > 100 * FRAME
    await wait_for_checkpoint(client)
    await client.send("y")
    assert logged_bytes(file_of(sqlite)) < 20 * FRAME
    await client.database.close()


async def test_writer_waits_for_the_checkpoint_of_a_long_wal(sqlite: str) -> None:
    client = await open_client(sqlite, replace(NO_PAUSE, long_pages=10))
    reader = sqlite3.connect(file_of(sqlite), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM bodies").fetchone()
    await client.send(*["x" * 10_000] * 100)
    # The reader prevents that the log is overwritten.
    await wait_for_checkpoint(client)
    grown = logged_bytes(file_of(sqlite))
    assert grown > 100 * FRAME
    reader.close()
    await client.send("y")
    await client.send("z")
    assert logged_bytes(file_of(sqlite)) < 20 * FRAME
    await client.database.close()


async def test_wal_stays_short_under_continuous_writes(sqlite: str) -> None:
    client = await open_client(sqlite, WalLimits(long_pages=50, checkpoint_seconds=0.01))
    longest = 0
    for _ in range(2_000):
        await client.send("x" * 1_000)
        longest = max(longest, logged_bytes(file_of(sqlite)))
    await client.database.close()
    assert longest < 1_000 * FRAME


async def threads_of(*work: Awaitable[Any]) -> list[int]:
    """Await some calls; return the threads on which their transactions were committed."""
    found: list[int] = []

    with watching(Watcher(commit=lambda: found.append(threading.get_ident()))):
        for one in work:
            await one
    assert found
    return found


@pytest.mark.parametrize(
    ("quick_seconds", "long_seconds"),
    [pytest.param(-1, 60, id="slow-commit"), pytest.param(60, -1, id="long-transaction")],
)
async def test_slow_transactions_run_off_the_event_loop(
    sqlite: str, quick_seconds: int, long_seconds: int
) -> None:
    limits = SqliteLimits(
        quick_commit_seconds=quick_seconds,
        quick_transaction_seconds=long_seconds,
        wal=NO_PAUSE,
    )
    client = await open_client(sqlite, limits)
    await client.send("first")
    assert threading.get_ident() not in await threads_of(client.send("a"), client.send("b"))
    await client.database.close()


async def test_small_transactions_on_a_fast_disk_run_on_the_event_loop(sqlite: str) -> None:
    limits = SqliteLimits(quick_commit_seconds=60, quick_transaction_seconds=60, wal=NO_PAUSE)
    client = await open_client(sqlite, limits)
    await client.send("first")
    here = threading.get_ident()
    assert set(await threads_of(client.send("a"), client.send("b"))) == {here}
    assert await client.database.write(lambda _: threading.get_ident()) != here
    heavy = new_message("x" * 1_000_000)
    assert here not in await threads_of(
        client.database.submit(client.send_command(heavy, heavy, heavy))
    )
    await client.database.close()


async def test_lock_of_another_program_blocks_the_writer_but_not_the_event_loop(
    sqlite: str,
) -> None:
    client = await open_client(sqlite)
    await client.send("first")
    other = sqlite3.connect(file_of(sqlite), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    sending = asyncio.ensure_future(client.send("b"))
    # The event loop runs meanwhile; otherwise this line would wait for the other program.
    await run_event_loop(1_000)
    assert not sending.done()
    other.execute("COMMIT")
    other.close()
    await sending
    assert await client.bodies() == ["first", "b"]
    await client.database.close()


async def test_open_waits_for_the_lock_of_another_program(sqlite: str) -> None:
    await (await open_client(sqlite)).database.close()
    other = sqlite3.connect(file_of(sqlite), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    starting = asyncio.ensure_future(open_client(sqlite))
    # Real time: SQLite waits for the lock on another thread, for up to 5 s.
    done, _ = await asyncio.wait([starting], timeout=0.2)
    assert not done
    other.execute("COMMIT")
    other.close()
    client = await starting
    await client.send("first")
    await client.database.close()


async def test_failed_writes_in_memory_do_not_affect_concurrent_reads() -> None:
    client = await open_client("sqlite://")

    async def write_and_read(number: int) -> None:
        for position in range(20):
            await client.send(f"{number} {position}")
            await client.counts()
            with pytest.raises(ValueError, match="failed"):
                await client.database.write(fail)
            await client.counts()

    def fail(_transaction: object) -> None:
        raise ValueError("failed")

    await asyncio.gather(*(write_and_read(number) for number in range(8)))
    assert await client.counts() == (160, 0, 0)
    await client.database.close()
