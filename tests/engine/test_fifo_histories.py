"""FIFO queues compared with a model of them: random histories, and fifty consumers at once."""

from __future__ import annotations

import asyncio

import pytest

from storage.queues import FIFO
from tests.clock import ManualClock
from tests.engine.fifo_history import Crowd, History
from tests.engine.queue_client import QueueClient

HISTORIES = 60


@pytest.mark.parametrize("first", range(0, HISTORIES, 20))
async def test_random_histories_agree_with_the_model(shared_database_url: str, first: int) -> None:
    client = await QueueClient.open(shared_database_url, ManualClock(), FIFO)
    for seed in range(first, first + 20):
        client.queue = await client.create(f"history-{seed}.fifo", FIFO)
        await History(client, seed).run(reopens=shared_database_url.startswith("sqlite"))
    await client.database.close()


async def test_fifty_consumers_delete_every_message_once_in_group_order(fifo: QueueClient) -> None:
    is_quick = fifo.url.startswith("sqlite")
    crowd = Crowd(fifo, 200, 20_000) if is_quick else Crowd(fifo, 100, 4_000)
    await crowd.fill()
    await asyncio.gather(*(crowd.consume() for _ in range(50)))
    assert not any(crowd.remaining.values())
    assert await fifo.counts() == (0, 0, 0)
    assert (await fifo.fifo_rows())["groups"] == 0
