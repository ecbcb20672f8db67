"""SQLite on a disk that is slow or fails, and the length of its write-ahead log."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from storage import time_floor
from storage.commits.writer import WriterSettings
from storage.errors import DatabaseUnavailable
from storage.settings import SqliteLimits, WalLimits
from tests.engine.queue_client import QueueClient, new_message
from tests.engine.recorder import Watcher, recording_settings, watching
from tests.waiting import TIMEOUT_SECONDS


@pytest_asyncio.fixture
async def on_disk(sqlite: str) -> AsyncIterator[QueueClient]:
    """Yield a client of an empty queue of a SQLite file."""
    client = await QueueClient.open(sqlite)
    yield client
    await client.database.close()


@pytest_asyncio.fixture
async def silent(sqlite: str) -> AsyncIterator[QueueClient]:
    """Yield a client of a database that counts as silent from its first failed transaction."""
    client = await QueueClient.open(sqlite, settings=WriterSettings(silent_seconds=-1.0))
    yield client
    await client.database.close()


async def test_commit_that_hangs_blocks_writes_only(sqlite: str) -> None:
    # No commit counts as quick, so each runs on the writer's thread.
    limits = SqliteLimits(quick_commit_seconds=0)
    on_disk = await QueueClient.open(sqlite, engine_settings=recording_settings(sqlite=limits))
    begun, done = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        done.wait(TIMEOUT_SECONDS)

    with watching(Watcher(commit=hang)):
        sending = asyncio.create_task(on_disk.send("a"))
        assert await asyncio.to_thread(begun.wait, TIMEOUT_SECONDS)
        assert await on_disk.counts() == (0, 0, 0)
        assert not sending.done()
        done.set()
        await sending
    assert await on_disk.counts() == (1, 0, 0)
    await on_disk.database.close()


async def test_commits_after_a_slow_commit_run_off_the_event_loop(on_disk: QueueClient) -> None:
    threads: list[int] = []

    def wait_10_ms() -> None:
        threads.append(threading.get_ident())
        # Real time: a COMMIT of 2 ms or more counts as slow.
        threading.Event().wait(0.01)

    with watching(Watcher(commit=wait_10_ms)):
        for _ in range(3):
            await on_disk.send("a")
    assert threading.get_ident() not in threads[1:]


@contextlib.contextmanager
def failing_commits(*first: Exception) -> Iterator[list[Exception]]:
    """Make each COMMIT fail, with the given errors and then with disk errors; yield the errors."""
    errors = chain(first, repeat(sa.exc.OperationalError("COMMIT", {}, OSError("disk I/O error"))))
    failed: list[Exception] = []

    def fail() -> None:
        failed.append(next(errors))
        raise failed[-1]

    with watching(Watcher(commit=fail)):
        yield failed


async def test_failed_commit_is_rolled_back(on_disk: QueueClient) -> None:
    with failing_commits():
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                await on_disk.send("lost")
    await on_disk.send("kept")
    assert await on_disk.bodies() == ["kept"]


async def test_queued_writes_of_a_database_that_does_not_answer_fail_after_one_attempt(
    silent: QueueClient,
) -> None:
    # Each function has its own transaction, and would be tried without the limit.
    write = silent.database.write
    writes = [
        write(time_floor.record),
        silent.send("a"),
        write(time_floor.record),
        silent.send("b"),
    ]
    with failing_commits() as failed:
        results = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(result) for result in results] == [DatabaseUnavailable] * 4
    assert len(failed) == 1
    await silent.send("c")
    assert await silent.bodies() == ["c"]


async def test_callback_of_a_failed_write_may_submit_another(
    silent: QueueClient,
) -> None:
    results: list[object] = []
    ended = asyncio.Event()

    def end(result: object) -> None:
        results.append(result)
        ended.set()

    def send_next(result: object) -> None:
        results.append(result)
        silent.database.submit_with(silent.send_command(new_message("next")), end)

    with failing_commits() as failed:
        silent.database.submit_with(silent.send_command(new_message("a")), send_next)
        await asyncio.wait_for(ended.wait(), TIMEOUT_SECONDS)
    assert [type(result) for result in results] == [DatabaseUnavailable] * 2
    assert len(failed) == 2


async def test_retry_one_by_one_stops_when_the_database_does_not_answer(
    silent: QueueClient,
) -> None:
    sends = [silent.send(body) for body in "abc"]
    with failing_commits(RuntimeError("bad command")) as failed:
        results = await asyncio.gather(*sends, return_exceptions=True)
    assert [type(result) for result in results] == [DatabaseUnavailable] * 3
    assert len(failed) == 2
    await silent.send("d")
    assert await silent.bodies() == ["d"]


@pytest.mark.parametrize(
    ("limits", "keeps_file"),
    [
        # A log of this size is kept, to be overwritten.
        pytest.param(WalLimits(), True, id="short"),
        pytest.param(WalLimits(largest_bytes=1_000_000), False, id="long"),
    ],
)
async def test_long_wal_file_is_truncated(sqlite: str, limits: WalLimits, keeps_file: bool) -> None:
    def wal_bytes() -> int:
        return Path(sqlite.removeprefix("sqlite:///") + "-wal").stat().st_size

    on_disk = await QueueClient.open(
        sqlite, engine_settings=recording_settings(sqlite=SqliteLimits(wal=limits))
    )
    await on_disk.database.submit(on_disk.send_command(new_message("x" * 1_000_000)))
    grown = wal_bytes()
    assert grown > 1_000_000
    engine: Any = on_disk.database._engine
    await engine._wal.checkpoint_fully()
    assert wal_bytes() == (grown if keeps_file else 0)
    await on_disk.send("after")
    assert await on_disk.counts() == (2, 0, 0)
    await on_disk.database.close()


async def test_second_close_has_no_effect(sqlite: str) -> None:
    client = await QueueClient.open(sqlite)
    await client.database.close()
    await client.database.close()


@pytest.mark.parametrize(
    ("length", "statements"),
    [pytest.param(200, 1, id="short"), pytest.param(20_000, 16, id="long")],
)
async def test_long_bodies_are_inserted_one_by_one(
    on_disk: QueueClient, length: int, statements: int
) -> None:
    # A prepared statement keeps the values of all its rows: with long bodies, many megabytes.
    engine: Any = on_disk.database._engine
    texts: list[str] = []
    engine._connection.connection.driver_connection.set_trace_callback(texts.append)
    await on_disk.send(*["x" * length] * 16)
    assert len([text for text in texts if text.startswith("INSERT INTO bodies")]) == statements
    assert await on_disk.counts() == (16, 0, 0)
