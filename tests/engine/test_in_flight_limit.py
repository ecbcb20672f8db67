"""The limit of messages in flight: exact, freed by deletes and lapses, and no reason to spin."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from storage.messages.commands import InFlightLimit, Received
from storage.queues import FIFO
from tests.engine.receivers import LongPoll, Receivers
from tests.engine.recorder import recording
from tests.engine.stage import Stage, new_message


async def limited(stage: Stage, kind: str, limit: int) -> Stage:
    """Give a queue with three times as many messages as may be in flight."""
    queue = await stage.beside("limited", kind)
    queue.in_flight_limit = limit
    for number in range(3 * limit):
        if kind == FIFO:
            await queue.send_to(f"g{number}", f"{number}")
        else:
            await queue.send(f"{number}")
    return queue


async def in_a_drain(queue: Stage, receivers: int) -> list[int | str]:
    """Let so many receive up to three at once; tell how many each got, or why none."""
    answers = await asyncio.gather(
        *(queue.receive(3) for _ in range(receivers)), return_exceptions=True
    )
    return [len(a) if isinstance(a, list) else type(a).__name__ for a in answers]


KINDS = pytest.mark.parametrize("kind", ["standard", "fifo"])


@KINDS
async def test_as_many_as_the_limit_are_given_and_no_more(stage: Stage, kind: str) -> None:
    queue = await limited(stage, kind, 7)
    assert len(await queue.receive(5)) == 5
    assert len(await queue.receive(5)) == 2
    with pytest.raises(InFlightLimit):
        await queue.receive(1)
    assert (await queue.counts())[1] == 7


@KINDS
async def test_receivers_of_a_drain_share_what_may_be_given(stage: Stage, kind: str) -> None:
    queue = await limited(stage, kind, 7)
    assert await in_a_drain(queue, 5) == [3, 3, 1, "InFlightLimit", "InFlightLimit"]


@KINDS
async def test_who_goes_without_below_the_limit_is_not_told_of_it(stage: Stage, kind: str) -> None:
    queue = await limited(stage, kind, 1)
    queue.in_flight_limit = 7
    assert await in_a_drain(queue, 4) == [3, 0, 0, 0]


async def test_what_is_not_hidden_leaves_no_limit_behind(stage: Stage) -> None:
    queue = await limited(stage, "standard", 4)
    room = Receivers(queue)
    await room.enter(3, maximum=4, timeout_s=0)
    assert all(await room.answers())


@KINDS
async def test_a_delete_makes_room_for_one(stage: Stage, kind: str) -> None:
    queue = await limited(stage, kind, 4)
    received = await queue.receive()
    await queue.delete(received[0].receipt)
    assert len(await queue.receive()) == 1
    with pytest.raises(InFlightLimit):
        await queue.receive()


@KINDS
async def test_a_lapse_makes_room(stage: Stage, kind: str) -> None:
    queue = await limited(stage, kind, 4)
    await queue.receive(1, timeout_s=5)
    await queue.receive(3, timeout_s=30)
    stage.clock.advance(5)
    assert len(await queue.receive()) == 1


async def test_what_was_in_flight_before_a_restart_counts(stage: Stage) -> None:
    queue = await limited(stage, "standard", 4)
    await queue.receive(3)
    await stage.reopen()
    queue.database = stage.database
    assert len(await queue.receive()) == 1


async def test_delayed_messages_are_not_in_flight(stage: Stage) -> None:
    stage.in_flight_limit = 2
    await stage.send(*"abcd", delay_s=60)
    await stage.send("e")
    assert await stage.bodies() == ["e"]


async def test_what_is_received_without_a_timeout_is_not_in_flight(stage: Stage) -> None:
    queue = await limited(stage, "standard", 4)
    for _ in range(5):
        assert len(await queue.receive(timeout_s=0)) == 4


@KINDS
async def test_at_the_limit_receivers_sleep_until_the_next_lapse(stage: Stage, kind: str) -> None:
    queue = await limited(stage, kind, 4)
    await queue.receive(1, timeout_s=15)
    await queue.receive(3, timeout_s=18)
    room = Receivers(queue)
    room.polls = [LongPoll(queue, 1, 30, 20) for _ in range(3)]
    delayed = [new_message("late", 0.1 * tenth) for tenth in range(1, 150)]
    if kind == "standard":
        await queue.database.submit(queue.sending(*delayed))
    await room.quiet()
    assert [poll.claims for poll in room.polls] == [1, 1, 1]
    queue.clock.advance(14.999)
    await room.quiet()
    assert sum(poll.claims for poll in room.polls) <= 6
    queue.clock.advance(0.001)
    answers = await room.answers()
    assert sorted(len(answer or []) for answer in answers) == [0, 0, 1]
    assert sum(poll.claims for poll in room.polls) <= 10
    queue.clock.advance(3)
    assert all(await room.answers())


async def at_the_limit(stage: Stage, kind: str, waiting: int) -> tuple[Receivers, list[Received]]:
    """Let four messages be in flight, which are as many as may be, and receivers wait."""
    queue = await limited(stage, kind, 4)
    received = await queue.receive(4, timeout_s=1_000)
    room = Receivers(queue)
    room.polls = [LongPoll(queue, 1, 1_000, 20) for _ in range(waiting)]
    await room.quiet()
    assert [poll.claims for poll in room.polls] == [1] * waiting
    return room, received


@KINDS
@pytest.mark.parametrize("end", ["deleted", "shown", "released"])
async def test_who_waits_at_the_limit_is_woken_by_what_makes_room(
    stage: Stage, kind: str, end: str
) -> None:
    room, received = await at_the_limit(stage, kind, 3)
    for message in received[:2]:
        if end == "deleted":
            await room.stage.delete(message.receipt)
        elif end == "shown":
            await room.stage.change(message.receipt, 0)
        else:
            await room.stage.release(message)
    answers = await room.answers()
    assert sorted(len(answer or []) for answer in answers) == [0, 1, 1]
    assert (await room.stage.counts())[1] == 4
    await room.empty()


@KINDS
async def test_a_batch_of_deletes_wakes_as_many_as_it_makes_room_for(
    stage: Stage, kind: str
) -> None:
    room, received = await at_the_limit(stage, kind, 5)
    await room.stage.delete(*[message.receipt for message in received[:3]])
    answers = await room.answers()
    assert sorted(len(answer or []) for answer in answers) == [0, 0, 1, 1, 1]
    assert sum(poll.claims for poll in room.polls) <= 9
    await room.empty()


async def test_deletes_below_the_limit_wake_nobody(stage: Stage) -> None:
    queue = await stage.beside("unlimited")
    await queue.send(*"abcd")
    received = await queue.receive(4)
    room = Receivers(queue)
    await room.enter(2)
    await queue.delete(*[message.receipt for message in received])
    await room.quiet()
    assert [poll.claims for poll in room.polls] == [1, 1]
    await room.empty()


async def test_the_count_is_made_only_when_claims_come_near_the_limit(stage: Stage) -> None:
    queue = await limited(stage, "standard", 100)
    if stage.url.startswith("postgresql:"):
        queue.in_flight_limit = 1_600  # there may be other servers, for which room is left
    await queue.receive(1)
    with recording() as heard:
        for _ in range(9):
            await queue.receive(10)
    assert not [text for text in heard.texts() if "count(*)" in text]


@KINDS
async def test_servers_that_share_a_queue_share_its_limit(
    two_servers: tuple[Stage, Stage], kind: str
) -> None:
    one, other = two_servers
    queue = await limited(one, kind, 64)
    elsewhere = await other.beside("limited", kind)
    elsewhere.in_flight_limit = queue.in_flight_limit
    # Both have counted, and found all the room there is.
    given = len(await queue.receive(1)) + len(await elsewhere.receive(1))
    for stage in (queue, elsewhere, queue):
        with contextlib.suppress(InFlightLimit):
            while received := await stage.receive(3):
                given += len(received)
    assert 64 <= given <= 64 + 64 // 16
    assert (await queue.counts())[1] == given
