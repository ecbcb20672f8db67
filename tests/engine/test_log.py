"""SQLite's log: copied to the file beside the writer, and begun anew when it is long."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from storage import sqlite as sqlite_module
from storage.sqlite import SqliteEngine
from tests.bench.processes import logged_bytes
from tests.engine.stage import Stage, turn

FRAME = 4_096 + 24


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


async def copied(stage: Stage) -> None:
    """Wait until what was written so far has been copied."""
    engine = stage.database._engine
    assert isinstance(engine, SqliteEngine)
    assert engine._log is not None
    while engine._log._copying is not None:
        await asyncio.gather(engine._log._copying)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "_CHECKPOINT_SECONDS", 0)


async def test_what_is_committed_is_copied_from_the_log_to_the_file(
    sqlite: str, tmp_path: Path
) -> None:
    stage = await Stage.open(sqlite)
    await stage.send("a", "b", "c")
    await copied(stage)
    alone = shutil.copy(file_of(sqlite), tmp_path / "alone.db")
    with contextlib.closing(sqlite3.connect(alone)) as connection:
        found = connection.execute("SELECT body FROM bodies ORDER BY id").fetchall()
    await stage.database.close()
    assert found == [("a",), ("b",), ("c",)]


async def test_a_log_that_is_copied_begins_anew(sqlite: str) -> None:
    stage = await Stage.open(sqlite)
    await stage.send(*["x" * 10_000] * 100)
    assert logged_bytes(file_of(sqlite)) > 100 * FRAME
    await copied(stage)
    await stage.send("y")
    assert logged_bytes(file_of(sqlite)) < 20 * FRAME
    await stage.database.close()


async def test_a_long_log_is_finished_while_the_writer_waits(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "_LONG_LOG_PAGES", 10)
    stage = await Stage.open(sqlite)
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


async def test_a_slow_disk_stops_the_writer_alone(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "_QUICK_SECONDS", -1)
    stage = await Stage.open(sqlite)
    await stage.send("a")
    sending = asyncio.ensure_future(stage.send("b"))
    await turn(1)
    # The transaction is somewhere else: the loop has come back meanwhile.
    assert not sending.done()
    await sending
    assert await stage.bodies() == ["a", "b"]
    await stage.database.close()


async def test_on_a_quick_disk_the_loop_commits(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "_QUICK_SECONDS", 60)
    stage = await Stage.open(sqlite)
    await stage.send("a")
    sending = asyncio.ensure_future(stage.send("b"))
    await turn(10)
    assert sending.done()
    await stage.database.close()
