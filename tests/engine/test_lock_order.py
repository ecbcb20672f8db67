"""Lock order: a transaction locks receive attempts, then FIFO groups, then their messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.util import await_only

from storage.locking import GroupNotLocked
from storage.messages.commands import Outcome, ReceiveAttempt
from storage.messages.rows import NewInGroup
from storage.transaction import Transaction
from tests.engine.lock_waits import wait_until_done_or_locked
from tests.engine.queue_client import QueueClient, TwoServers, fifo_message

ATTEMPT = ReceiveAttempt("again", [])


async def repeat_attempt(client: QueueClient) -> None:
    """Receive again with the same attempt id."""
    again = await client.database.submit(client.receive_command(1, attempt=ATTEMPT))
    assert [received.body for received in again] == ["a"]


async def change_delay(client: QueueClient) -> None:
    """Change the queue's delay."""
    await client.set_delay(5)


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


async def test_attempts_are_locked_before_groups_of_the_same_batch(
    two_fifo_servers: TwoServers,
) -> None:
    # A receive alone locks its attempt first, so the reverse order would deadlock.
    one, other = two_fifo_servers
    await one.send_to("g", "a")
    await one.send_to("h", "b")
    await other.database.submit(other.receive_command(1, attempt=ATTEMPT))
    (received,) = await other.receive(1)
    acting: list[asyncio.Future[Any]] = []

    def lock_the_attempt(transaction: Transaction) -> None:
        transaction.connection.execute(sa.text("SELECT 1 FROM receive_attempts FOR UPDATE"))
        acting.append(other.database.submit(other.delete_command(received.receipt)))
        acting.append(other.database.submit(other.receive_command(1, attempt=ATTEMPT)))
        await_only(wait_until_done_or_locked(acting[1], one.url))
        free = transaction.connection.execute(
            sa.text("SELECT group_id FROM groups FOR UPDATE SKIP LOCKED")
        )
        assert len(free.all()) == 2

    await one.database.write(lock_the_attempt)
    outcomes, again = await asyncio.gather(*acting)
    assert outcomes == [Outcome.DONE]
    assert [message.body for message in again] == ["a"]


async def test_groups_of_attempts_are_locked_in_order_with_the_others_of_the_batch(
    two_fifo_servers: TwoServers,
) -> None:
    # Locks on groups in two steps of one batch could deadlock with a batch of another server.
    one, other = two_fifo_servers
    await one.send_to("g", "a")
    await one.send_to("h", "b")
    await other.database.submit(other.receive_command(1, attempt=ATTEMPT))
    acting: list[asyncio.Future[Any]] = []

    def lock_the_first_group(transaction: Transaction) -> None:
        transaction.connection.execute(
            sa.text("SELECT 1 FROM groups WHERE group_id = 'g' FOR UPDATE")
        )
        acting.append(other.database.submit(other.send_command(fifo_message("c", "h"))))
        acting.append(other.database.submit(other.receive_command(1, attempt=ATTEMPT)))
        await_only(wait_until_done_or_locked(acting[1], one.url))
        free = transaction.connection.execute(
            sa.text("SELECT group_id FROM groups WHERE group_id = 'h' FOR UPDATE SKIP LOCKED")
        )
        assert len(free.all()) == 1

    await one.database.write(lock_the_first_group)
    _, again = await asyncio.gather(*acting)
    assert [message.body for message in again] == ["a"]


async def test_attempts_of_one_batch_are_locked_in_order(
    two_fifo_servers: TwoServers,
) -> None:
    one, other = two_fifo_servers
    first, second = ReceiveAttempt("1", []), ReceiveAttempt("2", [])
    for group_id, attempt in (("g", first), ("h", second)):
        await one.send_to(group_id, "a")
        await other.database.submit(other.receive_command(1, attempt=attempt))
    acting: list[asyncio.Future[Any]] = []

    def lock_the_first_attempt(transaction: Transaction) -> None:
        transaction.connection.execute(
            sa.text("SELECT 1 FROM receive_attempts WHERE attempt_id = '1' FOR UPDATE")
        )
        acting.append(other.database.submit(other.receive_command(1, attempt=second)))
        acting.append(other.database.submit(other.receive_command(1, attempt=first)))
        await_only(wait_until_done_or_locked(acting[1], one.url))
        free = transaction.connection.execute(
            sa.text("SELECT 1 FROM receive_attempts WHERE attempt_id = '2' FOR UPDATE SKIP LOCKED")
        )
        assert len(free.all()) == 1

    await one.database.write(lock_the_first_attempt)
    assert [len(messages) for messages in await asyncio.gather(*acting)] == [1, 1]


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
        groups = transaction.fifo_groups.lock_all({(fifo.queue.id, "g")})
        groups.append([NewInGroup(fifo.queue.id, "h", 1, transaction.now_ms)])

    with pytest.raises(GroupNotLocked):
        await fifo.database.write(add)
    assert (await fifo.fifo_rows())["groups"] == 0
