"""Changes of a FIFO queue's delay, which apply to its messages in steps."""

from __future__ import annotations

from storage import queue_delays
from tests.engine.queue_client import QueueClient, fifo_message

COUNT = 2_600
"""More messages than the first step and two steps of upkeep update."""


async def apply_delay(client: QueueClient) -> int:
    """Apply the changed delay to the remaining messages; return the number of steps."""
    steps = 0
    while await client.database.write(queue_delays.apply_pending, 500):
        steps += 1
    return steps


async def send_many(client: QueueClient, delay_s: int = 0) -> None:
    """Send messages to 1,300 groups."""
    messages = [fifo_message("x", f"g{number % 1_300}", delay_s=delay_s) for number in range(COUNT)]
    await client.database.submit(client.send_command(*messages))


async def test_changed_delay_applies_to_all_messages_in_steps(fifo: QueueClient) -> None:
    await send_many(fifo)
    received = await fifo.receive(timeout_s=1_000)
    await fifo.set_delay(60)
    visible, *rest = await fifo.counts()
    assert (visible, rest) == (COUNT - 1_010, [10, 1_000])
    assert await apply_delay(fifo) == 4
    assert await fifo.counts() == (0, 10, COUNT - 10)
    assert await fifo.bodies() == []
    await fifo.delete(*[message.receipt for message in received])
    assert await fifo.bodies() == []
    fifo.clock.advance(60)
    assert await fifo.counts() == (COUNT - 10, 0, 0)
    assert len(await fifo.bodies()) == 10


async def test_removed_delay_makes_all_messages_visible(fifo: QueueClient) -> None:
    await fifo.set_delay(900)
    await send_many(fifo, delay_s=900)
    await fifo.set_delay(0)
    await apply_delay(fifo)
    assert await fifo.counts() == (COUNT, 0, 0)
    assert [await fifo.bodies() for _ in range(130)] == [["x"] * 10] * 130


async def test_each_step_of_a_changed_delay_updates_a_limited_number_of_messages(
    fifo: QueueClient,
) -> None:
    await send_many(fifo)
    await fifo.set_delay(60)
    delayed = []
    for _ in range(4):
        assert await fifo.database.write(queue_delays.apply_pending, 500)
        delayed.append((await fifo.counts())[2])
    assert delayed == [1_500, 2_000, 2_500, COUNT]


async def test_later_change_of_the_delay_applies_to_all_messages(fifo: QueueClient) -> None:
    await send_many(fifo)
    await fifo.set_delay(60)
    await fifo.set_delay(30)
    await apply_delay(fifo)
    fifo.clock.advance(30)
    assert await fifo.counts() == (COUNT, 0, 0)


async def test_message_sent_after_the_change_keeps_its_own_delay(fifo: QueueClient) -> None:
    await send_many(fifo)
    await fifo.set_delay(60)
    await fifo.send_to("late", "late", delay_s=5)
    await apply_delay(fifo)
    fifo.clock.advance(5)
    assert await fifo.bodies() == ["late"]


async def test_messages_older_than_the_longest_delay_are_not_scanned(
    fifo: QueueClient,
) -> None:
    await send_many(fifo)
    fifo.clock.advance(900)
    await fifo.send_to("young", "young")
    await fifo.set_delay(900)
    assert await apply_delay(fifo) == 1
    assert await fifo.counts() == (COUNT, 0, 1)


async def test_unfinished_change_of_the_delay_survives_a_restart(fifo: QueueClient) -> None:
    await send_many(fifo)
    await fifo.set_delay(60)
    await fifo.reopen()
    await apply_delay(fifo)
    assert await fifo.counts() == (0, 0, COUNT)


async def test_purge_ends_an_unfinished_change_of_the_delay(fifo: QueueClient) -> None:
    await send_many(fifo)
    await fifo.set_delay(60)
    await fifo.purge()
    assert await apply_delay(fifo) == 0
