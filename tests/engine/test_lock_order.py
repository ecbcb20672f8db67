"""Lock order: a transaction locks groups of FIFO queues before their messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.util import await_only

from storage import queues
from storage.locking import GroupNotLocked
from storage.messages.commands import ReceiveAttempt
from storage.messages.fifo_groups import NewInGroup
from storage.transaction import Transaction
from tests.engine.lock_waits import wait_until_done_or_locked
from tests.engine.queue_client import SETTINGS, QueueClient, TwoServers

ATTEMPT = ReceiveAttempt("again", [])


async def repeat_attempt(client: QueueClient) -> None:
    """Receive again with the same attempt id."""
    again = await client.database.submit(client.receive_command(1, attempt=ATTEMPT))
    assert [received.body for received in again] == ["a"]


async def change_delay(client: QueueClient) -> None:
    """Change the queue's delay."""
    change = queues.change_attributes
    await client.database.write(change, client.queue, {}, SETTINGS, delay_ms=5_000)


@pytest.mark.parametrize("act", [repeat_attempt, change_delay])
async def test_group_is_locked_before_its_messages(
    two_fifo_servers: TwoServers, act: Callable[[QueueClient], Awaitable[None]]
) -> None:
    # A delete locks the group first, so the reverse order would deadlock.
    one, other = two_fifo_servers
    await one.send_to("g", "a")
    await other.database.submit(other.receive_command(1, attempt=ATTEMPT))
    acting: list[asyncio.Task[Any]] = []

    def lock_the_group(transaction: Transaction) -> None:
        transaction.connection.execute(sa.text("SELECT 1 FROM groups FOR UPDATE"))
        acting.append(asyncio.ensure_future(act(other)))
        await_only(wait_until_done_or_locked(acting[0], one.url))
        free = transaction.connection.execute(
            sa.text("SELECT id FROM messages FOR UPDATE SKIP LOCKED")
        )
        assert len(free.all()) == 1

    await one.database.write(lock_the_group)
    await acting[0]


async def test_change_of_group_that_is_not_locked_fails(
    two_fifo_servers: TwoServers,
) -> None:
    client, _ = two_fifo_servers
    await client.send_to("g", "a")

    def change(transaction: Transaction) -> None:
        transaction.fifo_groups.mark_dirty(client.queue.id, "g")

    with pytest.raises(GroupNotLocked):
        await client.database.write(change)


async def test_message_is_added_only_to_group_that_is_locked_for_sending(fifo: QueueClient) -> None:
    def add(transaction: Transaction) -> None:
        groups = transaction.fifo_groups.lock_for_send({(fifo.queue.id, "g")})
        groups.append([NewInGroup(fifo.queue.id, "h", 1, transaction.now_ms)])

    with pytest.raises(GroupNotLocked):
        await fifo.database.write(add)
    assert (await fifo.fifo_rows())["groups"] == 0
