"""Long polls: which receiver is woken, when, and what a cancelled receiver leaves behind."""

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
from tests.engine.receivers import Receivers
from tests.engine.recorder import recording
from tests.engine.stage import RETENTION_S, Stage, new_message, turn


@pytest_asyncio.fixture
async def receivers(stage: Stage) -> AsyncIterator[Receivers]:
    receivers = Receivers(stage)
    yield receivers
    await receivers.empty()


async def test_sent_message_goes_to_receiver_that_waited_longest(receivers: Receivers) -> None:
    await receivers.enter(3)
    await receivers.stage.send("a")
    assert await receivers.answers() == [["a"], None, None]
    assert [poll.claims for poll in receivers.polls] == [2, 1, 1]


async def test_each_message_of_a_send_wakes_one_receiver(receivers: Receivers) -> None:
    await receivers.enter(4)
    await receivers.stage.send(*"abc")
    assert await receivers.answers() == [["a"], ["b"], ["c"], None]


async def test_long_poll_without_messages_claims_twice(receivers: Receivers) -> None:
    await receivers.enter(1)
    receivers.stage.clock.advance(19.999)
    assert await receivers.answers() == [None]
    receivers.stage.clock.advance(0.001)
    assert await receivers.answers() == [[]]
    assert receivers.polls[0].claims == 2


async def test_delayed_message_wakes_receiver_when_it_becomes_visible(receivers: Receivers) -> None:
    await receivers.enter(2)
    await receivers.stage.send("a", delay_s=5)
    receivers.stage.clock.advance(4.999)
    assert await receivers.answers() == [None, None]
    receivers.stage.clock.advance(0.001)
    assert await receivers.answers() == [["a"], None]


async def test_messages_with_different_delays_are_all_received(receivers: Receivers) -> None:
    await receivers.enter(3)
    for delay_s in (9, 3, 6):
        await receivers.stage.send(f"after {delay_s}", delay_s=delay_s)
    for _ in range(3):
        receivers.stage.clock.advance(3)
        await receivers.quiet()
    assert await receivers.answers() == [["after 3"], ["after 6"], ["after 9"]]


async def test_end_of_visibility_timeout_wakes_receiver(receivers: Receivers) -> None:
    await receivers.stage.send("a")
    await receivers.stage.receive_one(timeout_s=5)
    await receivers.enter(2)
    receivers.stage.clock.advance(5)
    assert await receivers.answers() == [["a"], None]


async def test_message_delayed_before_the_long_poll_wakes_receiver(receivers: Receivers) -> None:
    await receivers.stage.send("a", delay_s=5)
    await receivers.enter(1)
    receivers.stage.clock.advance(5)
    assert await receivers.answers() == [["a"]]


async def test_visibility_timeout_changed_to_zero_wakes_one_receiver(receivers: Receivers) -> None:
    await receivers.stage.send("a")
    received = await receivers.stage.receive_one()
    await receivers.enter(2)
    await receivers.stage.change(received.receipt, 0)
    assert await receivers.answers() == [["a"], None]


async def test_shortened_visibility_timeout_wakes_receiver_earlier(receivers: Receivers) -> None:
    await receivers.stage.send("a")
    received = await receivers.stage.receive_one(timeout_s=15)
    await receivers.enter(1)
    await receivers.stage.change(received.receipt, 5)
    receivers.stage.clock.advance(5)
    assert await receivers.answers() == [["a"]]


async def test_extended_visibility_timeout_does_not_end_long_poll(receivers: Receivers) -> None:
    await receivers.stage.send("a")
    received = await receivers.stage.receive_one(timeout_s=5)
    await receivers.enter(1)
    await receivers.stage.change(received.receipt, 10)
    receivers.stage.clock.advance(5)
    assert await receivers.answers() == [None]
    receivers.stage.clock.advance(5)
    assert await receivers.answers() == [["a"]]


async def test_release_wakes_one_receiver(receivers: Receivers) -> None:
    await receivers.stage.send("a")
    claim = await receivers.stage.receive_one()
    await receivers.enter(2)
    await receivers.stage.release(claim)
    assert await receivers.answers() == [["a"], None]


async def test_claim_wakes_next_receiver_for_messages_it_leaves(stage: Stage) -> None:
    waiters = stage.database.waiters
    with waiters.register(stage.queue.id) as first, waiters.register(stage.queue.id) as second:
        await stage.send("a", "b", delay_s=1)
        sleep = asyncio.create_task(second.sleep_until(stage.clock.now_ms() + 20_000))
        await turn()
        stage.clock.advance(1)
        await turn()  # the alarm wakes only the first receiver
        assert not sleep.done()
        first.clear()
        received = await stage.database.submit(stage.receiving(1, is_waiting=True))
        assert len(received) == 1
        await asyncio.wait_for(sleep, timeout=5)


async def test_claim_of_all_messages_wakes_no_receiver(stage: Stage) -> None:
    waiters = stage.database.waiters
    with waiters.register(stage.queue.id) as first, waiters.register(stage.queue.id) as second:
        await stage.send("a", "b", delay_s=1)
        sleep = asyncio.create_task(second.sleep_until(stage.clock.now_ms() + 20_000))
        await turn()
        stage.clock.advance(1)
        await turn()
        first.clear()
        received = await stage.database.submit(stage.receiving(2, is_waiting=True))
        assert len(received) == 2
        await turn()
        assert not sleep.done()
        stage.clock.advance(29)
        await asyncio.wait_for(sleep, timeout=5)


async def test_claim_reads_next_visible_time_only_if_another_receiver_waits(stage: Stage) -> None:
    waiters = stage.database.waiters
    await stage.receive()  # the first claim counts the messages in flight
    statements = []
    for others in (0, 1):
        await stage.send("a")
        with waiters.register(stage.queue.id) as first, contextlib.ExitStack() as rest:
            for _ in range(others):
                rest.enter_context(waiters.register(stage.queue.id))
            first.clear()
            with recording() as heard:
                await stage.database.submit(stage.receiving(1, is_waiting=True))
            statements.append(len(heard.statements))
    assert statements[1] == statements[0] + 1


async def test_messages_that_become_visible_together_wake_all_receivers(
    receivers: Receivers,
) -> None:
    await receivers.stage.send(*"abc")
    await receivers.stage.receive(timeout_s=5)
    await receivers.enter(4)
    receivers.stage.clock.advance(5)
    assert await receivers.answers() == [["a"], ["b"], ["c"], None]


async def test_short_poll_wakes_waiting_receiver_for_messages_it_leaves(
    receivers: Receivers,
) -> None:
    await receivers.stage.send(*"ab")
    await receivers.stage.receive(timeout_s=5)
    await receivers.enter(1)
    receivers.stage.clock.advance(5)
    taken = await receivers.stage.bodies(1)
    (answer,) = await receivers.answers()
    assert sorted([*taken, *(answer or [])]) == ["a", "b"]


@pytest.mark.parametrize("turns", range(6))
async def test_receiver_cancelled_after_wake_up_leaves_message_to_the_next(
    receivers: Receivers, turns: int
) -> None:
    await receivers.enter(2)
    await receivers.stage.send("a")
    if turns:
        await turn(turns - 1)
    gone = receivers.polls.pop(0)
    if not gone.task.cancel():
        return  # it has received the message already
    assert await receivers.answers() == [["a"]]
    assert gone.task.cancelled()


async def test_message_released_for_cancelled_receiver_goes_to_the_next(
    receivers: Receivers,
) -> None:
    await receivers.stage.send("a")
    claim = receivers.stage.database.submit(receivers.stage.receiving())
    await receivers.enter(1)
    receivers.stage.database.submit(Release(await claim))
    assert await receivers.answers() == [["a"]]


async def test_receiver_whose_claim_fails_leaves_message_to_the_next(stage: Stage) -> None:
    stale = Receivers(await stage.beside("stale"))
    current = Receivers(stage)
    stale.stage.queue = stage.queue
    await stale.enter(1)
    # From its next claim on, this receiver has another revision of the queue than the database.
    stale.stage.queue = replace(stage.queue, revision=stage.queue.revision + 1)
    await current.enter(1)
    await current.stage.send("a")
    assert await current.answers() == [["a"]]
    assert isinstance(stale.polls[0].task.exception(), queues.QueueChanged)


async def test_receiver_cancelled_before_its_claim_runs_claims_nothing(fifo: Stage) -> None:
    await fifo.send_to("g", "a")
    attempt = ReceiveAttempt("attempt", [])
    poll = asyncio.create_task(short_poll(fifo.database, fifo.receiving(attempt=attempt)))
    await turn(1)
    poll.cancel()
    assert await fifo.bodies() == ["a"]
    assert poll.cancelled()


async def test_expired_messages_do_not_end_long_poll(receivers: Receivers) -> None:
    await receivers.stage.database.submit(receivers.stage.sending(*[new_message("old")] * 6_000))
    receivers.stage.clock.advance(RETENTION_S)
    await receivers.enter(1)
    assert await receivers.answers() == [None]
    assert (await receivers.stage.rows())["messages"] == 0
    await receivers.stage.send("young")
    assert await receivers.answers() == [["young"]]


async def test_purge_wakes_all_receivers(receivers: Receivers) -> None:
    await receivers.enter(2)
    await receivers.stage.database.write(queues.purge, receivers.stage.queue)
    await receivers.quiet()
    for poll in receivers.polls:
        assert isinstance(poll.task.exception(), queues.QueueChanged)


async def test_close_ends_all_long_polls(receivers: Receivers) -> None:
    await receivers.enter(3)
    receivers.stage.database.waiters.close()
    assert await receivers.answers() == [[], [], []]


async def test_waiters_use_no_memory_after_all_long_polls(receivers: Receivers) -> None:
    await receivers.enter(3)
    await receivers.stage.send(*"abc", "later", delay_s=1)
    receivers.stage.clock.advance(1)
    assert None not in await receivers.answers()
    assert receivers.stage.database.waiters.queue_count == 0
