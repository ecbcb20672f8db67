"""The limits of pending writes and reads, and how writes are cut into batches."""

from __future__ import annotations

import asyncio
import threading

import pytest
import sqlalchemy as sa

from queueserver.utf8 import utf8_bytes
from storage import queues
from storage.commits.write_queue import LIMIT, LIMIT_BYTES, WriteQueue
from storage.database import Database
from storage.errors import DatabaseBusy
from storage.messages.commands import Receipt, Receive, Release
from tests.engine.queue_client import QueueClient, new_message
from tests.engine.recorder import ignore, recording, recording_settings
from tests.waiting import TIMEOUT_SECONDS

MIB = 1024 * 1024


async def reopen(client: QueueClient, limit: int = LIMIT, limit_bytes: int = LIMIT_BYTES) -> None:
    """Open the database again with other limits of waiting writes."""
    await client.database.close()
    client.database = await Database.open(
        client.url,
        client.clock,
        limit=limit,
        limit_bytes=limit_bytes,
        engine_settings=recording_settings(),
    )


async def test_writes_beyond_the_limit_are_rejected_and_the_others_run(
    client: QueueClient,
) -> None:
    await reopen(client, limit=2)
    accepted = [client.database.submit(client.send_command(new_message("x"))) for _ in range(2)]
    with pytest.raises(DatabaseBusy):
        client.database.submit(client.send_command(new_message("x")))
    await asyncio.gather(*accepted)
    await client.send("x")
    assert await client.counts() == (3, 0, 0)


async def test_writes_beyond_the_byte_limit_are_rejected(
    client: QueueClient,
) -> None:
    await reopen(client, limit_bytes=2 * MIB)
    big = new_message("x" * MIB)
    accepted = [client.database.submit(client.send_command(big))]
    with pytest.raises(DatabaseBusy):
        client.database.submit(client.send_command(big))
    accepted.append(client.database.submit(client.send_command(new_message("small"))))
    await asyncio.gather(*accepted)
    assert await client.counts() == (2, 0, 0)


@pytest.mark.parametrize("letter", ["x", "é", "€", "😀", "\ud800"])
async def test_byte_limit_counts_bytes_and_not_characters(client: QueueClient, letter: str) -> None:
    writes = WriteQueue(client.database.hints, LIMIT, limit_bytes=2 * MIB)
    half = client.send_command(new_message(letter * (MIB // utf8_bytes(letter) - 8)))
    for _ in range(2):
        writes.add(half, ignore)
    with pytest.raises(DatabaseBusy):
        writes.add(half, ignore)


async def test_command_larger_than_the_byte_limit_runs_alone(client: QueueClient) -> None:
    await reopen(client, limit_bytes=1)
    await client.send("longer than that")
    assert await client.bodies() == ["longer than that"]


async def test_changes_of_queues_count_as_memory(client: QueueClient) -> None:
    await reopen(client, limit_bytes=MIB)
    changes = [
        client.database.write(queues.change_tags, client.queue, {"number": str(number)})
        for number in range(20)
    ]
    results = await asyncio.gather(*changes, return_exceptions=True)
    rejected = [result for result in results if isinstance(result, DatabaseBusy)]
    assert 0 < len(rejected) < 20


async def test_reads_beyond_the_limit_are_rejected_and_the_others_run(client: QueueClient) -> None:
    await reopen(client, limit=3)
    for _ in range(2):
        reads = [client.counts() for _ in range(5)]
        results = await asyncio.gather(*reads, return_exceptions=True)
        assert results[:3] == [(0, 0, 0)] * 3
        assert [type(result) for result in results[3:]] == [DatabaseBusy, DatabaseBusy]
    await client.send("writes have a limit of their own")


async def test_full_limit_of_reads_does_not_fail_the_health_check(client: QueueClient) -> None:
    await reopen(client, limit=1)
    reading = asyncio.create_task(client.counts())
    await asyncio.sleep(0)  # the read is pending
    with pytest.raises(DatabaseBusy):
        await client.counts()
    await client.database.ping()
    await reading


async def test_cancelled_reads_are_pending_no_longer(sqlite: str) -> None:
    client = await QueueClient.open(sqlite)
    begun, may_end = threading.Semaphore(0), threading.Event()

    def read(_: sa.Connection) -> None:
        begun.release()
        may_end.wait(TIMEOUT_SECONDS)

    await reopen(client, limit=10)
    for _ in range(20):
        reads = [asyncio.create_task(client.database.read(read)) for _ in range(10)]
        await asyncio.sleep(0)
        for one in reads:
            one.cancel()
        assert all(await asyncio.gather(*[_is_cancelled(one) for one in reads]))
    may_end.set()
    assert await client.counts() == (0, 0, 0)
    # Each of SQLite's four threads had begun one read; no other read has been left for them.
    assert begun._value <= 4
    await client.database.close()


async def _is_cancelled(task: asyncio.Task[None]) -> bool:
    await asyncio.wait([task])
    return task.cancelled()


async def test_release_is_accepted_by_a_full_write_queue(client: QueueClient) -> None:
    await reopen(client, limit=1)
    await client.send("a")
    received = await client.receive_one()
    waiting = client.database.submit(client.send_command(new_message("b")))
    await asyncio.gather(waiting, client.database.submit(Release([received])))
    assert sorted(await client.bodies()) == ["a", "b"]


async def test_batch_takes_a_limited_number_of_bytes(client: QueueClient) -> None:
    big = client.send_command(*[new_message("x" * MIB)] * 8)
    with recording() as record:
        await asyncio.gather(*(client.database.submit(big) for _ in range(8)))
    assert record.commits == 2


async def test_number_of_receives_in_a_batch_depends_on_the_estimated_body_length(
    client: QueueClient,
) -> None:
    hints = client.database.hints

    def write_queue(count: int) -> WriteQueue:
        writes = WriteQueue(hints, LIMIT, LIMIT_BYTES)
        for _ in range(count):
            writes.add(receive(), ignore)
        return writes

    def receive() -> Receive:
        queue = client.queue
        return Receive(queue.id, queue.revision, queue.kind, 10, 30_000, False, 120_000)

    assert len(write_queue(1_000).take().works) == 4, "no estimate yet: the maximum length"
    await client.send(*["short"] * 200)
    while await client.receive(10):
        pass
    for _ in range(60):
        await client.send("short")
        await client.receive(1)
    assert len(write_queue(1_000).take().works) == 1_000
    await client.send("x" * 100_000)
    assert len(write_queue(1_000).take().works) < 40, "a long body was sent"


async def test_deletes_of_long_bodies_are_not_a_small_batch(client: QueueClient) -> None:
    def is_small(count: int) -> bool:
        writes = WriteQueue(client.database.hints, LIMIT, LIMIT_BYTES)
        for number in range(count):
            receipts = [Receipt(client.queue.id, number, 1)] * 10
            writes.add(client.delete_command(*receipts), ignore)
        return writes.take().is_small

    client.database.hints.of(client.queue.id).body_bytes = MIB
    assert not is_small(1)
    client.database.hints.of(client.queue.id).body_bytes = 200
    assert is_small(64)
