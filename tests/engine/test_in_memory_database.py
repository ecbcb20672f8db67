"""The database in memory: one connection for all reads and writes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
import sqlalchemy as sa

from storage.messages import dropped_queues
from tests.engine.queue_client import QueueClient, run_event_loop
from tests.waiting import TIMEOUT_SECONDS


@pytest_asyncio.fixture
async def memory() -> AsyncIterator[QueueClient]:
    """Yield a client of an empty queue of an in-memory database."""
    client = await QueueClient.open("sqlite://")
    yield client
    await client.database.close()


async def test_in_memory_database_sends_receives_deletes_and_purges(memory: QueueClient) -> None:
    await memory.send("a", "b")
    await memory.send("delayed", delay_s=10)
    assert await memory.counts() == (2, 0, 1)
    first = await memory.receive_one()
    assert first.body == "a"
    await memory.delete(first.receipt)
    memory.clock.advance(10)
    assert await memory.bodies() == ["b", "delayed"]
    assert await memory.counts() == (0, 2, 0)
    await memory.purge()
    while await memory.database.write(dropped_queues.free_dropped, 10):
        pass
    assert await memory.rows() == {"messages": 0, "bodies": 0, "backlogs": 1, "dropped_queues": 0}


async def test_concurrent_reads_and_writes_in_memory_succeed(memory: QueueClient) -> None:
    async def cycle(body: str) -> None:
        for _ in range(10):
            await memory.send(body)
            await memory.find()
            (received,) = await memory.receive(1)
            visible, in_flight, delayed = await memory.counts()
            assert 0 <= visible + in_flight + delayed <= 20
            await memory.delete(received.receipt)
            assert await memory.find() is not None

    await asyncio.gather(*(cycle(f"{position}") for position in range(20)))
    assert await memory.counts() == (0, 0, 0)


async def test_read_in_memory_sees_no_uncommitted_write(memory: QueueClient) -> None:
    results = await asyncio.gather(
        *(memory.send(*"abc") if number % 2 else memory.counts() for number in range(40))
    )
    assert {sum(counts) % 3 for counts in results[::2]} == {0}


async def test_write_in_memory_waits_for_a_slow_read(memory: QueueClient) -> None:
    begun, done = threading.Event(), threading.Event()

    def read_slowly(connection: sa.Connection) -> int | None:
        begun.set()
        done.wait(TIMEOUT_SECONDS)
        return connection.scalar(sa.select(sa.literal(1)))

    engine: Any = memory.database._engine
    engine._is_quick = False
    reading = asyncio.create_task(memory.database.read(read_slowly))
    await asyncio.to_thread(begun.wait, TIMEOUT_SECONDS)
    engine._is_quick = True
    sending = asyncio.create_task(memory.send("a"))
    await run_event_loop()
    done.set()
    assert await reading == 1
    await sending
    assert await memory.bodies() == ["a"]


async def test_each_in_memory_database_is_separate(memory: QueueClient) -> None:
    other = await QueueClient.open("sqlite://")
    await memory.send("a")
    assert await other.bodies() == []
    await other.database.close()
    again = await QueueClient.open("sqlite://")
    assert await again.rows() == {"messages": 0, "bodies": 0, "backlogs": 1, "dropped_queues": 0}
    await again.database.close()
