"""Long polls: which receiver is woken, when, and what happens when a receiver is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from storage import queues
from storage.messages.commands import ReceiveAttempt, Release
from storage.waiting.polling import short_poll
from tests.engine.queue_client import RETENTION_S, QueueClient, new_message, run_event_loop
from tests.engine.receivers import Receivers
from tests.engine.recorder import recording
from tests.waiting import TIMEOUT_SECONDS


@pytest_asyncio.fixture
async def receivers(client: QueueClient) -> AsyncIterator[Receivers]:
    """Yield receivers of an empty standard queue, and cancel their long polls."""
    receivers = Receivers(client)
    yield receivers
    await receivers.cancel_all()


async def test_sent_message_goes_to_receiver_that_waited_longest(receivers: Receivers) -> None:
    await receivers.start(3)
    await receivers.client.send("a")
    assert await receivers.answers() == [["a"], None, None]
    assert [poll.claims for poll in receivers.polls] == [2, 1, 1]


async def test_each_message_of_a_send_wakes_one_receiver(receivers: Receivers) -> None:
    await receivers.start(4)
    await receivers.client.send(*"abc")
    assert await receivers.answers() == [["a"], ["b"], ["c"], None]


async def test_long_poll_without_messages_claims_twice(receivers: Receivers) -> None:
    await receivers.start(1)
    receivers.client.clock.advance(19.999)
    assert await receivers.answers() == [None]
    receivers.client.clock.advance(0.001)
    assert await receivers.answers() == [[]]
    assert receivers.polls[0].claims == 2


async def test_delayed_message_wakes_receiver_when_it_becomes_visible(receivers: Receivers) -> None:
    await receivers.start(2)
    await receivers.client.send("a", delay_s=5)
    receivers.client.clock.advance(4.999)
    assert await receivers.answers() == [None, None]
    receivers.client.clock.advance(0.001)
    assert await receivers.answers() == [["a"], None]


async def test_messages_with_different_delays_are_all_received(receivers: Receivers) -> None:
    await receivers.start(3)
    for delay_s in (9, 3, 6):
        await receivers.client.send(f"after {delay_s}", delay_s=delay_s)
    for _ in range(3):
        receivers.client.clock.advance(3)
        await receivers.wait_until_idle()
    assert await receivers.answers() == [["after 3"], ["after 6"], ["after 9"]]


async def test_end_of_visibility_timeout_wakes_receiver(receivers: Receivers) -> None:
    await receivers.client.send("a")
    await receivers.client.receive_one(timeout_s=5)
    await receivers.start(2)
    receivers.client.clock.advance(5)
    assert await receivers.answers() == [["a"], None]


async def test_message_delayed_before_the_long_poll_wakes_receiver(receivers: Receivers) -> None:
    await receivers.client.send("a", delay_s=5)
    await receivers.start(1)
    receivers.client.clock.advance(5)
    assert await receivers.answers() == [["a"]]


async def test_visibility_timeout_changed_to_zero_wakes_one_receiver(receivers: Receivers) -> None:
    await receivers.client.send("a")
    received = await receivers.client.receive_one()
    await receivers.start(2)
    await receivers.client.change(received.receipt, 0)
    assert await receivers.answers() == [["a"], None]


async def test_shortened_visibility_timeout_wakes_receiver_earlier(receivers: Receivers) -> None:
    await receivers.client.send("a")
    received = await receivers.client.receive_one(timeout_s=15)
    await receivers.start(1)
    await receivers.client.change(received.receipt, 5)
    receivers.client.clock.advance(5)
    assert await receivers.answers() == [["a"]]


async def test_extended_visibility_timeout_does_not_end_long_poll(receivers: Receivers) -> None:
    await receivers.client.send("a")
    received = await receivers.client.receive_one(timeout_s=5)
    await receivers.start(1)
    await receivers.client.change(received.receipt, 10)
    receivers.client.clock.advance(5)
    assert await receivers.answers() == [None]
    receivers.client.clock.advance(5)
    assert await receivers.answers() == [["a"]]


async def test_release_wakes_one_receiver(receivers: Receivers) -> None:
    await receivers.client.send("a")
    claim = await receivers.client.receive_one()
    await receivers.start(2)
    await receivers.client.release(claim)
    assert await receivers.answers() == [["a"], None]


async def test_claim_wakes_next_receiver_for_messages_it_leaves(client: QueueClient) -> None:
    waiters = client.database.waiters
    with waiters.register(client.queue.id) as first, waiters.register(client.queue.id) as second:
        await client.send("a", "b", delay_s=1)
        sleep = asyncio.create_task(second.sleep_until(client.clock.now_ms() + 20_000))
        await run_event_loop()
        client.clock.advance(1)
        await run_event_loop()  # the alarm wakes only the first receiver
        assert not sleep.done()
        first.clear()
        received = await client.database.submit(client.receive_command(1, is_waiting=True))
        assert len(received) == 1
        await asyncio.wait_for(sleep, TIMEOUT_SECONDS)


async def test_claim_of_all_messages_wakes_no_receiver(client: QueueClient) -> None:
    waiters = client.database.waiters
    with waiters.register(client.queue.id) as first, waiters.register(client.queue.id) as second:
        await client.send("a", "b", delay_s=1)
        sleep = asyncio.create_task(second.sleep_until(client.clock.now_ms() + 20_000))
        await run_event_loop()
        client.clock.advance(1)
        await run_event_loop()
        first.clear()
        received = await client.database.submit(client.receive_command(2, is_waiting=True))
        assert len(received) == 2
        await run_event_loop()
        assert not sleep.done()
        client.clock.advance(29)
        await asyncio.wait_for(sleep, TIMEOUT_SECONDS)


async def test_claim_reads_next_visible_time_only_if_another_receiver_waits(
    client: QueueClient,
) -> None:
    waiters = client.database.waiters
    await client.receive()  # the first claim counts the messages in flight
    statements = []
    for others in (0, 1):
        await client.send("a")
        with waiters.register(client.queue.id) as first, contextlib.ExitStack() as rest:
            for _ in range(others):
                rest.enter_context(waiters.register(client.queue.id))
            first.clear()
            with recording() as record:
                await client.database.submit(client.receive_command(1, is_waiting=True))
            statements.append(len(record.statements))
    assert statements[1] == statements[0] + 1


async def test_messages_that_become_visible_together_wake_all_receivers(
    receivers: Receivers,
) -> None:
    await receivers.client.send(*"abc")
    await receivers.client.receive(timeout_s=5)
    await receivers.start(4)
    receivers.client.clock.advance(5)
    assert await receivers.answers() == [["a"], ["b"], ["c"], None]


async def test_short_poll_wakes_waiting_receiver_for_messages_it_leaves(
    receivers: Receivers,
) -> None:
    await receivers.client.send(*"ab")
    await receivers.client.receive(timeout_s=5)
    await receivers.start(1)
    receivers.client.clock.advance(5)
    taken = await receivers.client.bodies(1)
    (answer,) = await receivers.answers()
    assert sorted([*taken, *(answer or [])]) == ["a", "b"]


@pytest.mark.parametrize("iterations", range(6))
async def test_receiver_cancelled_after_wake_up_leaves_message_to_the_next(
    receivers: Receivers, iterations: int
) -> None:
    await receivers.start(2)
    await receivers.client.send("a")
    if iterations:
        await run_event_loop(iterations - 1)
    cancelled = receivers.polls.pop(0)
    if not cancelled.task.cancel():
        return  # it has received the message already
    assert await receivers.answers() == [["a"]]
    assert cancelled.task.cancelled()


async def test_message_released_for_cancelled_receiver_goes_to_the_next(
    receivers: Receivers,
) -> None:
    await receivers.client.send("a")
    claim = receivers.client.database.submit(receivers.client.receive_command())
    await receivers.start(1)
    receivers.client.database.submit(Release(await claim))
    assert await receivers.answers() == [["a"]]


async def test_receiver_whose_claim_fails_leaves_message_to_the_next(client: QueueClient) -> None:
    stale = Receivers(await client.another_queue("stale"))
    current = Receivers(client)
    stale.client.queue = client.queue
    await stale.start(1)
    # From its next claim on, this receiver has another revision of the queue than the database.
    stale.client.queue = replace(client.queue, revision=client.queue.revision + 1)
    await current.start(1)
    await current.client.send("a")
    assert await current.answers() == [["a"]]
    assert isinstance(stale.polls[0].task.exception(), queues.QueueChanged)


async def test_receiver_cancelled_before_its_claim_runs_claims_nothing(fifo: QueueClient) -> None:
    await fifo.send_to("g", "a")
    attempt = ReceiveAttempt("attempt", [])
    poll = asyncio.create_task(short_poll(fifo.database, fifo.receive_command(attempt=attempt)))
    await run_event_loop(1)
    poll.cancel()
    assert await fifo.bodies() == ["a"]
    assert poll.cancelled()


async def test_expired_messages_do_not_end_long_poll(receivers: Receivers) -> None:
    await receivers.client.database.submit(
        receivers.client.send_command(*[new_message("old")] * 6_000)
    )
    receivers.client.clock.advance(RETENTION_S)
    await receivers.start(1)
    assert await receivers.answers() == [None]
    assert (await receivers.client.rows())["messages"] == 0
    await receivers.client.send("young")
    assert await receivers.answers() == [["young"]]


async def test_purge_wakes_all_receivers(receivers: Receivers) -> None:
    await receivers.start(2)
    await receivers.client.database.write(queues.purge, receivers.client.queue)
    await receivers.wait_until_idle()
    for poll in receivers.polls:
        assert isinstance(poll.task.exception(), queues.QueueChanged)


async def test_close_ends_all_long_polls(receivers: Receivers) -> None:
    await receivers.start(3)
    receivers.client.database.waiters.close()
    assert await receivers.answers() == [[], [], []]


async def test_waiters_use_no_memory_after_all_long_polls(receivers: Receivers) -> None:
    await receivers.start(3)
    await receivers.client.send(*"abc", "later", delay_s=1)
    receivers.client.clock.advance(1)
    assert None not in await receivers.answers()
    assert receivers.client.database.waiters.queue_count == 0
