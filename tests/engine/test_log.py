"""SQLite's log: copied to the file beside the writer, and begun anew when it is long."""

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
from tests.engine.recorder import Watcher, recorded, watching
from tests.engine.stage import Stage, new_message, turn

FRAME = 4_096 + 24


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


async def copied(stage: Stage) -> None:
    """Wait until what was written so far has been copied."""
    engine = stage.database._engine
    assert isinstance(engine, SqliteEngine)
    assert engine._wal is not None
    while engine._wal._task is not None:
        await asyncio.gather(engine._wal._task)


AT_ONCE = WalLimits(checkpoint_seconds=0)


async def open_stage(sqlite: str, limits: SqliteLimits | WalLimits = AT_ONCE) -> Stage:
    """Open a database whose log is copied at once, if nothing else is said."""
    if isinstance(limits, WalLimits):
        limits = SqliteLimits(wal=limits)
    return await Stage.open(sqlite, engine_settings=recorded(sqlite=limits))


async def test_what_is_committed_is_copied_from_the_log_to_the_file(
    sqlite: str, tmp_path: Path
) -> None:
    stage = await open_stage(sqlite)
    await stage.send("a", "b", "c")
    await copied(stage)
    alone = shutil.copy(file_of(sqlite), tmp_path / "alone.db")
    with contextlib.closing(sqlite3.connect(alone)) as connection:
        found = connection.execute("SELECT body FROM bodies ORDER BY id").fetchall()
    await stage.database.close()
    assert found == [("a",), ("b",), ("c",)]


async def test_a_log_that_is_copied_begins_anew(sqlite: str) -> None:
    stage = await open_stage(sqlite)
    await stage.send(*["x" * 10_000] * 100)
    assert logged_bytes(file_of(sqlite)) > 100 * FRAME
    await copied(stage)
    await stage.send("y")
    assert logged_bytes(file_of(sqlite)) < 20 * FRAME
    await stage.database.close()


async def test_a_long_log_is_finished_while_the_writer_waits(sqlite: str) -> None:
    stage = await open_stage(sqlite, replace(AT_ONCE, long_pages=10))
    reader = sqlite3.connect(file_of(sqlite), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM bodies").fetchone()
    await stage.send(*["x" * 10_000] * 100)
    # What somebody still reads cannot be copied over.
    await copied(stage)
    grown = logged_bytes(file_of(sqlite))
    assert grown > 100 * FRAME
    reader.close()
    await stage.send("y")
    await stage.send("z")
    assert logged_bytes(file_of(sqlite)) < 20 * FRAME
    await stage.database.close()


async def test_a_log_does_not_grow_beside_a_writer_that_never_rests(sqlite: str) -> None:
    stage = await open_stage(sqlite, WalLimits(long_pages=50, checkpoint_seconds=0.01))
    longest = 0
    for _ in range(2_000):
        await stage.send("x" * 1_000)
        longest = max(longest, logged_bytes(file_of(sqlite)))
    await stage.database.close()
    assert longest < 1_000 * FRAME


async def threads_of(*work: Awaitable[Any]) -> list[int]:
    """Tell where the transactions of some work ran."""
    found: list[int] = []

    with watching(Watcher(commit=lambda: found.append(threading.get_ident()))):
        for one in work:
            await one
    assert found
    return found


@pytest.mark.parametrize(
    ("quick_seconds", "long_seconds"),
    [pytest.param(-1, 60, id="slow-disk"), pytest.param(60, -1, id="long-transactions")],
)
async def test_what_takes_long_stops_the_writer_alone(
    sqlite: str, quick_seconds: int, long_seconds: int
) -> None:
    limits = SqliteLimits(
        quick_commit_seconds=quick_seconds, quick_transaction_seconds=long_seconds, wal=AT_ONCE
    )
    stage = await open_stage(sqlite, limits)
    await stage.send("first")
    assert threading.get_ident() not in await threads_of(stage.send("a"), stage.send("b"))
    await stage.database.close()


async def test_on_a_quick_disk_the_loop_commits_what_is_light(sqlite: str) -> None:
    limits = SqliteLimits(quick_commit_seconds=60, quick_transaction_seconds=60, wal=AT_ONCE)
    stage = await open_stage(sqlite, limits)
    await stage.send("first")
    here = threading.get_ident()
    assert set(await threads_of(stage.send("a"), stage.send("b"))) == {here}
    assert await stage.database.write(lambda _: threading.get_ident()) != here
    heavy = new_message("x" * 1_000_000)
    assert here not in await threads_of(stage.database.submit(stage.sending(heavy, heavy, heavy)))
    await stage.database.close()


async def test_another_program_that_holds_the_file_stops_the_writer_alone(sqlite: str) -> None:
    stage = await open_stage(sqlite)
    await stage.send("first")
    other = sqlite3.connect(file_of(sqlite), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    sending = asyncio.ensure_future(stage.send("b"))
    # The loop is free meanwhile: else this would not come to an end before the other does.
    await turn(1_000)
    assert not sending.done()
    other.execute("COMMIT")
    other.close()
    await sending
    assert await stage.bodies() == ["first", "b"]
    await stage.database.close()


async def test_a_start_waits_for_another_program_that_holds_the_file(sqlite: str) -> None:
    await (await open_stage(sqlite)).database.close()
    other = sqlite3.connect(file_of(sqlite), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    starting = asyncio.ensure_future(open_stage(sqlite))
    done, _ = await asyncio.wait([starting], timeout=0.2)
    assert not done
    other.execute("COMMIT")
    other.close()
    stage = await starting
    await stage.send("first")
    await stage.database.close()


async def test_in_memory_reads_and_writes_take_turns() -> None:
    stage = await open_stage("sqlite://")

    async def meddle(number: int) -> None:
        for turn_ in range(20):
            await stage.send(f"{number} {turn_}")
            await stage.counts()
            with pytest.raises(ValueError, match="not this time"):
                await stage.database.write(fail)
            await stage.counts()

    def fail(_transaction: object) -> None:
        raise ValueError("not this time")

    await asyncio.gather(*(meddle(number) for number in range(8)))
    assert await stage.counts() == (160, 0, 0)
    await stage.database.close()
