"""What commands tell those who wait in line: news leaves with the COMMIT, and looks hand on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from storage import queues
from storage.messages.commands import Release
from storage.messages.receive import Received
from tests.engine.recorder import listening
from tests.engine.stage import RETENTION_S, Stage, new_message, turn


class Receiver:
    """One long poll: in line; clear; look; sleep until news or the deadline; look again."""

    def __init__(self, stage: Stage, maximum: int, timeout_s: float, wait_s: float) -> None:
        self.looks = 0
        self._stage = stage
        self._command = (maximum, timeout_s)
        self._deadline_ms = stage.clock.now_ms() + round(wait_s * 1000)
        self.task = asyncio.create_task(self._receive())

    async def _receive(self) -> Sequence[Received]:
        database, clock = self._stage.database, self._stage.clock
        with database.waiters.join(self._stage.queue.id) as place:
            while True:
                place.clear()
                self.looks += 1
                received = await self._look()
                if received or database.waiters.closed or clock.now_ms() >= self._deadline_ms:
                    return received
                await place.sleep_until(self._deadline_ms)

    async def _look(self) -> Sequence[Received]:
        """Claim; who goes away meanwhile wants nothing, and gives back what it got."""
        database = self._stage.database
        command = self._stage.receiving(*self._command, in_line=True)
        claim = database.submit(command)
        try:
            received: Sequence[Received] = await asyncio.shield(claim)
        except asyncio.CancelledError:
            command.withdraw()
            claim.add_done_callback(lambda claim: database.submit(Release(claim.result())))
            raise
        return received

    @property
    def bodies(self) -> list[str] | None:
        return [message.body for message in self.task.result()] if self.task.done() else None


class Room:
    """Receivers that wait for one queue."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.receivers: list[Receiver] = []

    async def enter(
        self, count: int, maximum: int = 1, timeout_s: float = 30, wait_s: float = 20
    ) -> None:
        for _ in range(count):
            self.receivers.append(Receiver(self.stage, maximum, timeout_s, wait_s))
        await self.quiet()

    async def quiet(self) -> None:
        """Let all looks come to their end: whoever was to be woken has been."""
        unchanged, before = 0, None
        # A claim may be given back, the release wake another, and that one look: three commits.
        while unchanged < 4:
            await turn()
            await self.stage.database.write(lambda _: None)
            looks = [receiver.looks for receiver in self.receivers]
            unchanged = unchanged + 1 if looks == before else 0
            before = looks

    async def answers(self) -> list[list[str] | None]:
        await self.quiet()
        return [receiver.bodies for receiver in self.receivers]

    async def empty(self) -> None:
        for receiver in self.receivers:
            receiver.task.cancel()
        await asyncio.gather(*(r.task for r in self.receivers), return_exceptions=True)


@pytest_asyncio.fixture
async def room(stage: Stage) -> AsyncIterator[Room]:
    room = Room(stage)
    yield room
    await room.empty()


async def test_a_sent_message_goes_to_the_one_who_waited_longest(room: Room) -> None:
    await room.enter(3)
    await room.stage.send("a")
    assert await room.answers() == [["a"], None, None]
    assert [receiver.looks for receiver in room.receivers] == [2, 1, 1]


async def test_messages_of_one_command_go_to_as_many(room: Room) -> None:
    await room.enter(4)
    await room.stage.send(*"abc")
    assert await room.answers() == [["a"], ["b"], ["c"], None]


async def test_an_empty_wait_costs_two_looks(room: Room) -> None:
    await room.enter(1)
    room.stage.clock.advance(19.999)
    assert await room.answers() == [None]
    room.stage.clock.advance(0.001)
    assert await room.answers() == [[]]
    assert room.receivers[0].looks == 2


async def test_a_delayed_message_comes_at_its_moment(room: Room) -> None:
    await room.enter(2)
    await room.stage.send("a", delay_s=5)
    room.stage.clock.advance(4.999)
    assert await room.answers() == [None, None]
    room.stage.clock.advance(0.001)
    assert await room.answers() == [["a"], None]


async def test_messages_delayed_to_different_moments_all_come(room: Room) -> None:
    await room.enter(3)
    for delay_s in (9, 3, 6):
        await room.stage.send(f"after {delay_s}", delay_s=delay_s)
    for _ in range(3):
        room.stage.clock.advance(3)
        await room.quiet()
    assert await room.answers() == [["after 3"], ["after 6"], ["after 9"]]


async def test_a_message_in_flight_comes_back_to_one_who_waits(room: Room) -> None:
    await room.stage.send("a")
    await room.stage.receive_one(timeout_s=5)
    await room.enter(2)
    room.stage.clock.advance(5)
    assert await room.answers() == [["a"], None]


async def test_a_message_delayed_before_anybody_waited_comes_at_its_moment(room: Room) -> None:
    await room.stage.send("a", delay_s=5)
    await room.enter(1)
    room.stage.clock.advance(5)
    assert await room.answers() == [["a"]]


async def test_a_timeout_changed_to_zero_wakes_one(room: Room) -> None:
    await room.stage.send("a")
    received = await room.stage.receive_one()
    await room.enter(2)
    await room.stage.change(received.receipt, 0)
    assert await room.answers() == [["a"], None]


async def test_a_shortened_timeout_is_the_next_known_moment(room: Room) -> None:
    await room.stage.send("a")
    received = await room.stage.receive_one(timeout_s=15)
    await room.enter(1)
    await room.stage.change(received.receipt, 5)
    room.stage.clock.advance(5)
    assert await room.answers() == [["a"]]


async def test_a_lengthened_timeout_does_not_end_the_wait(room: Room) -> None:
    await room.stage.send("a")
    received = await room.stage.receive_one(timeout_s=5)
    await room.enter(1)
    await room.stage.change(received.receipt, 10)
    room.stage.clock.advance(5)
    assert await room.answers() == [None]
    room.stage.clock.advance(5)
    assert await room.answers() == [["a"]]


async def test_a_released_claim_wakes_one(room: Room) -> None:
    await room.stage.send("a")
    claim = await room.stage.receive_one()
    await room.enter(2)
    await room.stage.release(claim)
    assert await room.answers() == [["a"], None]


async def test_a_look_hands_on_that_there_is_more(stage: Stage) -> None:
    arrivals = stage.database.waiters
    with arrivals.join(stage.queue.id) as looking, arrivals.join(stage.queue.id) as next_in_line:
        await stage.send("a", "b", delay_s=1)
        sleep = asyncio.create_task(next_in_line.sleep_until(stage.clock.now_ms() + 20_000))
        await turn()
        stage.clock.advance(1)
        await turn()  # the alarm wakes the first in line alone
        assert not sleep.done()
        looking.clear()
        assert len(await stage.database.submit(stage.receiving(1, in_line=True))) == 1
        await asyncio.wait_for(sleep, timeout=5)


async def test_a_look_that_leaves_nothing_wakes_nobody(stage: Stage) -> None:
    arrivals = stage.database.waiters
    with arrivals.join(stage.queue.id) as looking, arrivals.join(stage.queue.id) as next_in_line:
        await stage.send("a", "b", delay_s=1)
        sleep = asyncio.create_task(next_in_line.sleep_until(stage.clock.now_ms() + 20_000))
        await turn()
        stage.clock.advance(1)
        await turn()
        looking.clear()
        assert len(await stage.database.submit(stage.receiving(2, in_line=True))) == 2
        await turn()
        assert not sleep.done()
        stage.clock.advance(29)
        await asyncio.wait_for(sleep, timeout=5)


async def test_a_look_asks_for_the_next_moment_only_if_somebody_else_waits(stage: Stage) -> None:
    arrivals = stage.database.waiters
    await stage.receive()  # the first look at a queue counts what is in flight
    asked = []
    for others in (0, 1):
        await stage.send("a")
        with arrivals.join(stage.queue.id) as looking, contextlib.ExitStack() as rest:
            for _ in range(others):
                rest.enter_context(arrivals.join(stage.queue.id))
            looking.clear()
            with listening() as heard:
                await stage.database.submit(stage.receiving(1, in_line=True))
            asked.append(len(heard.statements))
    assert asked[1] == asked[0] + 1


async def test_of_what_became_visible_together_everybody_gets_something(room: Room) -> None:
    await room.stage.send(*"abc")
    await room.stage.receive(timeout_s=5)
    await room.enter(4)
    room.stage.clock.advance(5)
    assert await room.answers() == [["a"], ["b"], ["c"], None]


async def test_a_look_of_one_not_in_line_hands_on_as_well(room: Room) -> None:
    await room.stage.send(*"ab")
    await room.stage.receive(timeout_s=5)
    await room.enter(1)
    room.stage.clock.advance(5)
    taken = await room.stage.bodies(1)
    (answer,) = await room.answers()
    assert sorted([*taken, *(answer or [])]) == ["a", "b"]


@pytest.mark.parametrize("turns", range(6))
async def test_a_receiver_that_goes_when_woken_leaves_the_message_to_the_next(
    room: Room, turns: int
) -> None:
    await room.enter(2)
    await room.stage.send("a")
    if turns:
        await turn(turns - 1)
    gone = room.receivers.pop(0)
    if not gone.task.cancel():
        return  # it was quicker, and has the message
    assert await room.answers() == [["a"]]
    assert gone.task.cancelled()


async def test_a_claim_given_back_after_its_receiver_went_goes_to_the_next(room: Room) -> None:
    await room.stage.send("a")
    claim = room.stage.database.submit(room.stage.receiving())
    await room.enter(1)
    room.stage.database.submit(Release(await claim))
    assert await room.answers() == [["a"]]


async def test_expired_messages_wake_nobody_to_an_answer(room: Room) -> None:
    await room.stage.database.submit(room.stage.sending(*[new_message("old")] * 6_000))
    room.stage.clock.advance(RETENTION_S)
    await room.enter(1)
    assert await room.answers() == [None]
    assert (await room.stage.rows())["messages"] == 0
    await room.stage.send("young")
    assert await room.answers() == [["young"]]


async def test_receivers_of_a_purged_queue_look_again(room: Room) -> None:
    await room.enter(2)
    await room.stage.database.write(queues.purge, room.stage.queue)
    await room.quiet()
    for receiver in room.receivers:
        assert isinstance(receiver.task.exception(), queues.QueueChanged)


async def test_closed_lines_answer_all_who_wait(room: Room) -> None:
    await room.enter(3)
    room.stage.database.waiters.close()
    assert await room.answers() == [[], [], []]


async def test_lines_are_gone_when_all_are_answered(room: Room) -> None:
    await room.enter(3)
    await room.stage.send(*"abc", "later", delay_s=1)
    room.stage.clock.advance(1)
    assert None not in await room.answers()
    assert room.stage.database.waiters._lines == {}
