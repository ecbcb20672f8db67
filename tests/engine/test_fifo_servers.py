"""FIFO queues that two servers of one database use together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from math import inf

import pytest
import sqlalchemy as sa
from sqlalchemy.util import await_only

from storage.commits.writer import WriterSettings
from storage.messages import expiry
from storage.messages.commands import Outcome
from storage.queues import FIFO
from storage.transaction import Transaction
from tests.engine.lock_waits import wait_until_done_or_locked
from tests.engine.queue_client import QueueClient, TwoServers, bodies_of, fifo_message
from tests.engine.recorder import recording


async def race(*servers: QueueClient) -> None:
    """Send to, receive from and delete from the same groups on two servers at once."""
    one, other = servers
    for number in range(40):
        group = f"g{number % 3}"
        await asyncio.gather(one.send_to(group, "x"), other.send_to(group, "x"))
        received = await one.receive()
        half = len(received) // 2
        await asyncio.gather(
            one.delete(*[message.receipt for message in received[:half]]),
            other.delete(*[message.receipt for message in received[half:]]),
            *([other.send_to(group, "x")] if number % 2 else []),
        )


async def test_delete_locks_the_group_before_the_message(
    two_fifo_servers: TwoServers,
) -> None:
    # A receive locks the group first too, so the two do not deadlock.
    one, other = two_fifo_servers
    await one.send_to("g", "a")
    received = await one.receive_one()
    deleting: list[asyncio.Task[list[Outcome]]] = []

    def lock_the_group(transaction: Transaction) -> None:
        transaction.connection.execute(sa.text("SELECT 1 FROM groups FOR UPDATE"))
        deleting.append(asyncio.create_task(other.delete(received.receipt)))
        await_only(wait_until_done_or_locked(deleting[0], one.url))
        # SKIP LOCKED would leave out a message that the other server has locked.
        free = transaction.connection.execute(
            sa.text("SELECT id FROM messages FOR UPDATE SKIP LOCKED")
        )
        assert free.scalars().all() == [received.receipt.number]

    await one.database.write(lock_the_group)
    assert await deleting[0] == [Outcome.DONE]


async def test_freeing_locks_the_group_before_its_expired_messages(
    two_fifo_servers: TwoServers,
) -> None:
    # In the reverse order, upkeep and receives would deadlock.
    one, other = two_fifo_servers
    (number,) = await one.send_to("g", "a")
    one.clock.advance(one.retention_s)
    freeing: list[asyncio.Task[int]] = []

    def lock_the_group(transaction: Transaction) -> None:
        transaction.connection.execute(sa.text("SELECT 1 FROM groups FOR UPDATE"))
        free = other.database.write(expiry.free_expired, one.queue.id, 10)
        freeing.append(asyncio.create_task(free))
        await_only(wait_until_done_or_locked(freeing[0], one.url))
        left = transaction.connection.execute(
            sa.text("SELECT id FROM messages FOR UPDATE SKIP LOCKED")
        )
        assert left.scalars().all() == [number]

    await one.database.write(lock_the_group)
    assert await freeing[0] == 1
    assert (await one.fifo_rows())["groups"] == 0


async def test_two_servers_lose_no_message_and_leave_no_empty_group(
    two_fifo_servers: TwoServers,
) -> None:
    one, other = two_fifo_servers
    await race(one, other)
    left = sum(await one.counts())
    found = 0
    while received := await other.receive():
        found += len(received)
        await one.delete(*[message.receipt for message in received])
    assert found == left
    assert (await one.fifo_rows())["groups"] == 0


async def test_two_servers_that_create_the_same_groups_have_one_write_conflict_each(
    shared_postgresql: str,
) -> None:
    # Nearly every send creates its group if consumers keep up with the senders.
    settings = WriterSettings(conflicts_likely_seconds=60.0)
    one = await QueueClient.open(shared_postgresql, kind=FIFO, settings=settings)
    other = await QueueClient.open(shared_postgresql, one.clock, FIFO, settings)
    await asyncio.gather(one.receive(), other.receive())
    with recording() as record:
        for _ in range(20):
            await send_reversed(one, other, "abc")
            received = [message for _ in "abc" for message in await one.receive(10)]
            assert len(received) == 6
            await other.delete(*[message.receipt for message in received])
    assert record.rollbacks <= 2  # one on each server
    await other.database.close()
    await one.database.close()


async def send_reversed(one: QueueClient, other: QueueClient, groups: Sequence[str]) -> None:
    """Send to the same groups on two servers at once, on the second in the reverse order."""
    sends = ((one, groups), (other, groups[::-1]))
    await asyncio.gather(
        *(
            server.database.submit(
                server.send_command(*[fifo_message("x", group) for group in order])
            )
            for server, order in sends
        )
    )


async def test_sends_to_existing_and_new_groups_do_not_deadlock(
    two_fifo_servers: TwoServers, caplog: pytest.LogCaptureFixture
) -> None:
    # Only the first server has just had a write conflict; a deadlock would be logged.
    one, other = two_fifo_servers
    await asyncio.gather(one.receive(), other.receive())
    await one.send_to("old", "x")
    one.database.writer.conflicts_likely_until = inf
    with caplog.at_level(logging.DEBUG, "storage.commits.writer"):
        for number in range(40):
            await send_reversed(one, other, [f"new{number}", "old"])
            other.database.writer.conflicts_likely_until = -inf
    conflicts = [record.getMessage() for record in caplog.records]
    assert all(conflict.startswith("write conflict: ") for conflict in conflicts)
    assert not any("deadlock" in conflict for conflict in conflicts)


@pytest.mark.parametrize("is_contended", [False, True], ids=["alone", "contended"])
async def test_duplicate_creates_no_group(two_fifo_servers: TwoServers, is_contended: bool) -> None:
    one, other = two_fifo_servers
    other.database.writer.conflicts_likely_until = inf if is_contended else -inf
    await one.database.submit(one.send_command(fifo_message("x", "g", "known")))
    await other.database.submit(other.send_command(fifo_message("x", "h", "known")))
    assert (await one.fifo_rows())["groups"] == 1


async def test_two_servers_deliver_a_group_to_one_receiver(
    two_fifo_servers: TwoServers,
) -> None:
    one, other = two_fifo_servers
    for _ in range(30):
        await one.send_to("g", *"abcd")
        answers = await asyncio.gather(one.receive(2), other.receive(2))
        assert sorted(map(bodies_of, answers)) == [[], ["a", "b"]]
        for received in answers:
            await one.delete(*[message.receipt for message in received])
        await one.purge()
        await other.refresh()


async def test_message_numbers_of_a_group_increase_in_delivery_order_on_two_servers(
    two_fifo_servers: TwoServers,
) -> None:
    one, other = two_fifo_servers
    last = 0
    for _ in range(30):
        await one.send_to("g", "x")
        sends = [server.send_to("g", "x") for server in (one, other) for _ in range(3)]
        receiving = asyncio.ensure_future(other.receive())
        await asyncio.gather(*sends)
        received = await receiving
        while received := received or await other.receive():
            numbers = [message.receipt.number for message in received]
            assert [last, *numbers] == sorted({last, *numbers})
            last = numbers[-1]
            await one.delete(*[message.receipt for message in received])
            received = []
