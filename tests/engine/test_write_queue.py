"""The write queue: limits of waiting writes and of one batch, in number and bytes."""

from __future__ import annotations

import asyncio

import pytest

from storage.commits.write_queue import LIMIT, LIMIT_BYTES, WriteQueue
from storage.database import Database
from storage.errors import DatabaseBusy
from storage.messages.commands import Receive, Release
from storage.utf8 import utf8_bytes
from tests.engine.queue_client import QueueClient, new_message
from tests.engine.recorder import recording, recording_settings

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
        writes.add(half, asyncio.get_running_loop().create_future())
    with pytest.raises(DatabaseBusy):
        writes.add(half, asyncio.get_running_loop().create_future())


async def test_command_larger_than_the_byte_limit_runs_alone(client: QueueClient) -> None:
    await reopen(client, limit_bytes=1)
    await client.send("longer than that")
    assert await client.bodies() == ["longer than that"]


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
            writes.add(receive(), asyncio.get_running_loop().create_future())
        return writes

    def receive() -> Receive:
        queue = client.queue
        return Receive(queue.id, queue.revision, queue.kind, 10, 30_000, False, 120_000)

    assert len(write_queue(1_000).take().writes) == 4, "no estimate yet: the maximum length"
    await client.send(*["short"] * 200)
    while await client.receive(10):
        pass
    for _ in range(60):
        await client.send("short")
        await client.receive(1)
    assert len(write_queue(1_000).take().writes) == 1_000
    await client.send("x" * 100_000)
    assert len(write_queue(1_000).take().writes) < 40, "a long body was sent"
