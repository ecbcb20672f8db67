"""Standard queues compared with a model of them: random histories, and fifty consumers at once.

All commands of a round are submitted together, so queues share transactions as they do in a busy
server. The seed repeats a history that fails.
"""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from storage.messages import dropped_queues
from tests.engine.queue_client import QueueClient
from tests.engine.standard_history import Crowd, History, run_together

HISTORIES = 60
ROUNDS = 60
COUNTED_IN_A_ROUND = 6


async def begin(client: QueueClient, seed: int) -> list[History]:
    """Create the queues; return their histories."""
    histories = []
    for position in range(HISTORIES):
        actor = QueueClient(client.url, client.clock, client.database)
        actor.queue = await client.create(f"queue-{position}")
        histories.append(History(actor, seed * HISTORIES + position))
    return histories


@pytest.mark.parametrize("seed", [1])
async def test_random_histories_agree_with_the_model(client: QueueClient, seed: int) -> None:
    random = Random(seed)
    histories = await begin(client, seed)
    for number in range(ROUNDS):
        await run_together([history.step() for history in histories])
        counted = random.sample(histories, COUNTED_IN_A_ROUND)
        await run_together([history.check_counts() for history in counted])
        client.clock.advance(random.choice((0, 0.5, 1, 5)))
        if number % 20 == 19:
            await client.reopen()
            for history in histories:
                history.client.database = client.database
    await run_together([history.check_counts() for history in histories])
    while await client.database.write(dropped_queues.free_dropped, 100):
        pass
    client.clock.advance(60)
    await run_together([history.empty() for history in histories])
    rows = await client.rows()
    assert rows == {"messages": 0, "bodies": 0, "backlogs": HISTORIES + 1, "dropped_queues": 0}


async def test_fifty_consumers_delete_every_message_and_share_none(client: QueueClient) -> None:
    crowd = Crowd(client, 20_000 if client.url.startswith("sqlite") else 4_000)
    await crowd.fill()
    await asyncio.gather(*(crowd.consume() for _ in range(50)))
    assert await client.counts() == (0, 0, 0)
    rows = await client.rows()
    assert (rows["messages"], rows["bodies"]) == (0, 0)
