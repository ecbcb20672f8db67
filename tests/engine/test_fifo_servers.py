"""FIFO queues that several servers of one database work on at once."""

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
from tests.engine.recorder import recording
from tests.engine.stage import Stage, fifo_message
from tests.engine.test_fifo import named
from tests.engine.test_outages import done_or_waiting


async def race(*servers: Stage) -> None:
    """Let two servers meet in the same group in every way that they can, many times over."""
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


async def test_a_delete_waits_for_the_group_before_it_holds_the_message(
    two_fifo_servers: tuple[Stage, Stage],
) -> None:
    """A receive holds the group first, too: so the two never wait for each other."""
    one, other = two_fifo_servers
    await one.send_to("g", "a")
    received = await one.receive_one()
    deleting: list[asyncio.Task[list[Outcome]]] = []

    def hold_the_group(transaction: Transaction) -> None:
        transaction.connection.execute(sa.text("SELECT 1 FROM groups FOR UPDATE"))
        deleting.append(asyncio.create_task(other.delete(received.receipt)))
        await_only(done_or_waiting(deleting[0], one.url))
        # What the other holds would not be waited for.
        free = transaction.connection.execute(
            sa.text("SELECT id FROM messages FOR UPDATE SKIP LOCKED")
        )
        assert free.scalars().all() == [received.receipt.number]

    await one.database.write(hold_the_group)
    assert await deleting[0] == [Outcome.DONE]


async def test_what_has_expired_is_freed_when_its_group_is_held(
    two_fifo_servers: tuple[Stage, Stage],
) -> None:
    """Upkeep that held messages first would wait for receives that wait for it, over and over."""
    one, other = two_fifo_servers
    (number,) = await one.send_to("g", "a")
    one.clock.advance(one.retention_s)
    freeing: list[asyncio.Task[int]] = []

    def hold_the_group(transaction: Transaction) -> None:
        transaction.connection.execute(sa.text("SELECT 1 FROM groups FOR UPDATE"))
        free = other.database.write(expiry.free_expired, one.queue.id, 10)
        freeing.append(asyncio.create_task(free))
        await_only(done_or_waiting(freeing[0], one.url))
        left = transaction.connection.execute(
            sa.text("SELECT id FROM messages FOR UPDATE SKIP LOCKED")
        )
        assert left.scalars().all() == [number]

    await one.database.write(hold_the_group)
    assert await freeing[0] == 1
    assert (await one.keys())["groups"] == 0


async def test_two_servers_lose_no_group_and_leave_no_empty_one(
    two_fifo_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_fifo_servers
    await race(one, other)
    left = sum(await one.counts())
    found = 0
    while received := await other.receive():
        found += len(received)
        await one.delete(*[message.receipt for message in received])
    assert found == left
    assert (await one.keys())["groups"] == 0


async def test_two_servers_that_begin_the_same_groups_collide_once_and_not_over_and_over(
    emptied_postgresql: str,
) -> None:
    """Where consumers keep up, groups begin with nearly every send."""
    settings = WriterSettings(conflicts_likely_seconds=60.0)
    one = await Stage.open(emptied_postgresql, kind=FIFO, settings=settings)
    other = await Stage.open(emptied_postgresql, one.clock, FIFO, settings)
    await asyncio.gather(one.receive(), other.receive())
    with recording() as said:
        for _ in range(20):
            await send_crosswise(one, other, "abc")
            received = [message for _ in "abc" for message in await one.receive(10)]
            assert len(received) == 6
            await other.delete(*[message.receipt for message in received])
    assert said.rollbacks <= 2  # one of each
    await other.database.close()
    await one.database.close()


async def send_crosswise(one: Stage, other: Stage, groups: Sequence[str]) -> None:
    """Let two servers send to the same groups at once, the other one in the reverse order."""
    sends = ((one, groups), (other, groups[::-1]))
    await asyncio.gather(
        *(
            server.database.submit(server.sending(*[fifo_message("x", group) for group in order]))
            for server, order in sends
        )
    )


async def test_servers_that_send_to_old_groups_and_new_ones_wait_in_no_circle(
    two_fifo_servers: tuple[Stage, Stage], caplog: pytest.LogCaptureFixture
) -> None:
    """The one has just collided and the other has not; PostgreSQL ends one of two in a circle."""
    one, other = two_fifo_servers
    await asyncio.gather(one.receive(), other.receive())
    await one.send_to("old", "x")
    one.database.writer.conflicts_likely_until = inf
    with caplog.at_level(logging.DEBUG, "storage.commits.writer"):
        for number in range(40):
            await send_crosswise(one, other, [f"new{number}", "old"])
            other.database.writer.conflicts_likely_until = -inf
    conflicts = [record.getMessage() for record in caplog.records]
    assert all(conflict.startswith("write conflict: ") for conflict in conflicts)
    assert not any("deadlock" in conflict for conflict in conflicts)


@pytest.mark.parametrize("is_contended", [False, True], ids=["alone", "contended"])
async def test_what_was_sent_before_begins_no_group(
    two_fifo_servers: tuple[Stage, Stage], is_contended: bool
) -> None:
    one, other = two_fifo_servers
    other.database.writer.conflicts_likely_until = inf if is_contended else -inf
    await one.database.submit(one.sending(fifo_message("x", "g", "known")))
    await other.database.submit(other.sending(fifo_message("x", "h", "known")))
    assert (await one.keys())["groups"] == 1


async def test_two_servers_give_a_group_to_one_receiver(
    two_fifo_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_fifo_servers
    for _ in range(30):
        await one.send_to("g", *"abcd")
        answers = await asyncio.gather(one.receive(2), other.receive(2))
        assert sorted(map(named, answers)) == [[], ["a", "b"]]
        for received in answers:
            await one.delete(*[message.receipt for message in received])
        await one.purge()
        await other.refresh()


async def test_two_servers_number_a_groups_messages_as_they_are_delivered(
    two_fifo_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_fifo_servers
    last = 0
    for _ in range(30):
        await one.send_to("g", "x")
        sends = [server.send_to("g", "x") for server in (one, other) for _ in range(3)]
        looking = asyncio.ensure_future(other.receive())
        await asyncio.gather(*sends)
        received = await looking
        while received := received or await other.receive():
            numbers = [message.receipt.number for message in received]
            assert [last, *numbers] == sorted({last, *numbers})
            last = numbers[-1]
            await one.delete(*[message.receipt for message in received])
            received = []
