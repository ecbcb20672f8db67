"""Retention: an expired message is gone for everybody, long before its space is freed."""

from __future__ import annotations

import asyncio

from sqlalchemy.util import await_only

from storage import move_tasks
from storage.messages import expiry
from storage.transaction import Transaction
from tests.engine.stage import RETENTION_S, Stage, named, new_message


async def free_all(stage: Stage, limit: int = 500) -> int:
    freed = 0
    while step := await stage.database.write(expiry.free_expired, stage.queue.id, limit):
        freed += step
    return freed


async def test_a_message_lives_until_its_retention_is_over(stage: Stage) -> None:
    await stage.send("a")
    stage.clock.advance(RETENTION_S - 0.001)
    assert await stage.bodies(timeout_s=0) == ["a"]
    stage.clock.advance(0.001)
    assert await stage.bodies() == []


async def test_counts_leave_expired_messages_out_before_they_are_freed(stage: Stage) -> None:
    await stage.send(*"abc")
    await stage.send("delayed", delay_s=RETENTION_S * 2)
    await stage.receive_one(timeout_s=RETENTION_S * 2)
    stage.clock.advance(RETENTION_S - 1)
    await stage.send("young")
    assert await stage.counts() == (3, 1, 1)
    stage.clock.advance(1)
    assert await stage.counts() == (1, 0, 0)
    assert (await stage.rows())["messages"] == 5


async def test_counts_hold_when_all_messages_have_expired(stage: Stage) -> None:
    await stage.send(*"abc")
    await stage.receive_one(timeout_s=RETENTION_S * 2)
    stage.clock.advance(RETENTION_S)
    assert await stage.counts() == (0, 0, 0)


async def test_counts_hold_when_an_expired_message_was_received_and_lapsed(stage: Stage) -> None:
    await stage.send("old")
    stage.clock.advance(RETENTION_S - 10)
    await stage.receive_one(timeout_s=5)
    await stage.send("young", "younger")
    stage.clock.advance(5)
    assert await stage.counts() == (3, 0, 0)
    stage.clock.advance(5)
    assert await stage.counts() == (2, 0, 0)
    assert await stage.bodies() == ["young", "younger"]
    assert await stage.counts() == (0, 2, 0)


async def test_thousands_of_expired_messages_do_not_hide_a_live_one(stage: Stage) -> None:
    await stage.database.submit(stage.sending(*[new_message("old")] * 3_000))
    stage.clock.advance(RETENTION_S - 1)
    await stage.send("young")
    stage.clock.advance(1)
    assert await stage.bodies(1) == ["young"]


async def test_however_many_have_expired_some_receive_gets_past_them(stage: Stage) -> None:
    await stage.database.submit(stage.sending(*[new_message("old")] * 6_000))
    stage.clock.advance(RETENTION_S - 1)
    await stage.send("young")
    stage.clock.advance(1)
    received = await stage.bodies() + await stage.bodies()
    assert received == ["young"]


async def test_live_messages_among_expired_ones_are_all_received(stage: Stage) -> None:
    await stage.send(*["old"] * 20)
    stage.clock.advance(RETENTION_S - 100)
    await stage.receive(timeout_s=50)
    await stage.send(*["young"] * 5)
    stage.clock.advance(100)
    receives = [stage.database.submit(stage.receiving(3)) for _ in range(3)]
    received = [message.body for receive in receives for message in await receive]
    assert received == ["young"] * 5
    assert await stage.counts() == (0, 5, 0)


async def test_changing_an_expired_message_says_that_it_does_not_exist(stage: Stage) -> None:
    await stage.send("a")
    received = await stage.receive_one(timeout_s=RETENTION_S * 2)
    stage.clock.advance(RETENTION_S - 0.001)
    assert await stage.change(received.receipt, 10)
    stage.clock.advance(0.001)
    assert not await stage.change(received.receipt, 10)


async def test_deleting_an_expired_message_keeps_counts_right(stage: Stage) -> None:
    await stage.send("a")
    received = await stage.receive_one()
    stage.clock.advance(RETENTION_S)
    await stage.send("b")
    await stage.delete(received.receipt)
    assert await stage.counts() == (1, 0, 0)


async def test_a_longer_retention_gives_messages_back_that_are_not_freed(stage: Stage) -> None:
    await stage.send("a")
    await stage.set_retention(60)
    stage.clock.advance(60)
    assert await stage.counts() == (0, 0, 0)
    await stage.set_retention(120)
    assert await stage.counts() == (1, 0, 0)
    assert await stage.bodies() == ["a"]


async def test_freeing_takes_the_expired_in_steps_and_nothing_else(stage: Stage) -> None:
    await stage.send(*["old"] * 7)
    stage.clock.advance(RETENTION_S - 1)
    await stage.receive(2, timeout_s=RETENTION_S)
    await stage.send("young", "younger")
    assert await free_all(stage) == 0
    stage.clock.advance(1)
    for freed in (3, 3, 1, 0):
        step = await stage.database.write(expiry.free_expired, stage.queue.id, 3)
        assert step == freed
        assert await stage.counts() == (2, 0, 0)
    rows = await stage.rows()
    assert rows["messages"] == rows["bodies"] == 2
    assert await stage.bodies() == ["young", "younger"]


async def test_only_queues_with_expired_messages_are_found(stage: Stage) -> None:
    old, young, empty = stage.queue, await stage.create("young"), await stage.create("empty")
    await stage.send("a")
    stage.clock.advance(10)
    await stage.send("as young as the other queue's")
    stage.queue = young
    await stage.send("b")

    async def found(expired_ms: int) -> object:
        all_queues, now_ms = (empty, young, old), expired_ms + RETENTION_S * 1000
        return await stage.database.read(expiry.queues_with_expired, all_queues, now_ms)

    now_ms = stage.clock.now_ms()
    assert await found(now_ms - 10_001) == []
    assert await found(now_ms - 10_000) == [old.id]
    assert await found(now_ms - 1) == [old.id]
    assert await found(now_ms) == [young.id, old.id]


async def test_expired_messages_met_by_a_receive_are_freed_with_their_bodies(stage: Stage) -> None:
    await stage.send(*["old"] * 20)
    stage.clock.advance(RETENTION_S)
    assert await stage.bodies() == []
    rows = await stage.rows()
    assert rows["messages"] == rows["bodies"] == 0


async def test_two_servers_that_free_the_same_messages_count_them_once(
    two_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_servers
    await one.send(*["old"] * 5)
    one.clock.advance(RETENTION_S)
    await one.send(*["young"] * 3)
    step = (one.queue.id, 500)

    def free_while_the_other_tries(transaction: Transaction) -> tuple[int, int]:
        freed = expiry.free_expired(transaction, *step)
        others = other.database.write(expiry.free_expired, *step)
        return freed, await_only(asyncio.wait_for(others, timeout=5))

    assert await one.database.write(free_while_the_other_tries) == (5, 0)
    assert await one.counts() == (3, 0, 0)


async def bury(stage: Stage, *names: str) -> None:
    """Let a redrive move messages to the queue that were sent just now."""
    source = await stage.beside("another-source")
    await source.redrive_to(stage.queue.name, 1)
    await source.send(*names)
    await source.receive(timeout_s=0)
    assert await source.receive() == []


async def dead_letters_in_any_order(stage: Stage) -> None:
    """Move three old messages behind a younger one; hide one of them, and delay a new one."""
    source = await stage.beside("source")
    await source.redrive_to(stage.queue.name, 1)
    await source.send("old", "older", "hidden")
    stage.clock.advance(1_000)
    await bury(stage, "young")
    await source.receive(timeout_s=0)
    assert await source.receive() == []
    await stage.send("new")
    await stage.send("delayed", delay_s=RETENTION_S)
    received = {message.body: message for message in await stage.receive(timeout_s=0)}
    assert set(received) == {"old", "older", "hidden", "young", "new"}
    await stage.change(received["hidden"].receipt, RETENTION_S * 2)
    stage.clock.advance(RETENTION_S - 1_001)


async def test_counts_leave_out_expired_dead_letters_behind_younger_ones(stage: Stage) -> None:
    await dead_letters_in_any_order(stage)
    assert await stage.counts() == (4, 1, 1)
    stage.clock.advance(1)
    assert await stage.counts() == (2, 0, 1)
    assert (await stage.rows())["messages"] == 6
    stage.clock.advance(998)
    assert await stage.counts() == (2, 0, 1)
    stage.clock.advance(2)
    assert await stage.counts() == (0, 0, 0)


async def test_expired_dead_letters_behind_younger_ones_are_found_and_freed(stage: Stage) -> None:
    await dead_letters_in_any_order(stage)
    queue_id = stage.queue.id

    async def found(expired_ms: int) -> object:
        now_ms = expired_ms + RETENTION_S * 1000
        return await stage.database.read(expiry.queues_with_expired, [stage.queue], now_ms)

    assert await found(stage.expired_ms() + 999) == []
    assert await found(stage.expired_ms() + 1_000) == [queue_id]
    stage.clock.advance(1)
    for freed in (2, 1, 0):
        step = await stage.database.write(expiry.free_expired, queue_id, 2)
        assert step == freed
        assert await stage.counts() == (2, 0, 1)
    rows = await stage.rows()
    assert rows["messages"] == rows["bodies"] == 3
    assert await found(stage.expired_ms()) == []


async def test_a_task_puts_dead_letters_back_in_order(stage: Stage) -> None:
    home = await stage.beside("home")
    await bury(stage, "a")
    stage.clock.advance(1_000)
    write = stage.database.write
    await write(move_tasks.start, "task", stage.queue, named("home"), None, 1)
    assert await write(move_tasks.step, "task", 10)
    now_ms = stage.clock.now_ms() - 1 + RETENTION_S * 1000
    assert await home.database.read(expiry.queues_with_expired, [home.queue], now_ms) == []
    assert await home.counts() == (1, 0, 0)
