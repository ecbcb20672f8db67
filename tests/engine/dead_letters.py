"""Queues with a dead-letter queue, and where their messages are."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from storage.messages.commands import Received
from storage.schema import bodies, messages
from tests.engine.queue_client import QueueClient

KINDS = pytest.mark.parametrize("kind", ["standard", "fifo"])


async def create_pair(
    client: QueueClient, kind: str, maximum_receives: int = 1
) -> tuple[QueueClient, QueueClient]:
    """Create a queue and its dead-letter queue, and return clients of both."""
    source, target = (
        await client.another_queue("source", kind),
        await client.another_queue("target", kind),
    )
    await source.redrive_to("target", maximum_receives)
    return source, target


async def send(client: QueueClient, *names: str) -> None:
    """Send messages, in a FIFO queue to one group."""
    group = client.send if client.queue.kind == "standard" else lambda *n: client.send_to("g", *n)
    await group(*names)


async def exhaust(client: QueueClient, times: int = 1) -> list[Received]:
    """Receive all messages with timeout 0; return those of the last receive."""
    for _ in range(times):
        received = await client.receive(timeout_s=0)
    client.clock.advance(0.001)
    return received


async def locations(client: QueueClient) -> dict[str, list[int]]:
    """Return the ids of the queues that have each body."""

    def read(connection: sa.Connection) -> dict[str, list[int]]:
        content = {row.id: row for row in connection.execute(sa.select(bodies))}
        found: dict[str, list[int]] = {row.body: [] for row in content.values()}
        for row in connection.execute(sa.select(messages)):
            found[content[row.body_id].body].append(row.queue_id)
        return found

    return await client.database.read(read)
