"""Receives that named themselves, and are given again what they were given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from storage.messages import dropped_queues, receive_attempts
from storage.messages.commands import Outcome, ReceiveAttempt, ReceiveAttemptExpired, Received
from storage.messages.receive_attempts import ATTEMPT_MS
from tests.engine.stage import Stage, fifo_message


async def attempt(
    stage: Stage, name: str = "try", maximum: int = 2, timeout_s: float = 30, asked: int = 1
) -> list[Received]:
    command = stage.receiving(maximum, timeout_s, attempt=ReceiveAttempt(name, [asked, timeout_s]))
    received: list[Received] = await stage.database.submit(command)
    return received


async def test_a_repeated_attempt_is_given_the_same_receipts(fifo: Stage) -> None:
    await fifo.send_to("g", *"abc")
    first = await attempt(fifo)
    fifo.clock.advance(10)
    assert await attempt(fifo) == first
    await fifo.reopen()
    assert await attempt(fifo) == first
    assert [message.body for message in first] == ["a", "b"]


async def test_a_repeated_attempt_restarts_the_visibility_timeout(fifo: Stage) -> None:
    await fifo.send_to("g", *"abc")
    first = await attempt(fifo)
    for _ in range(3):
        fifo.clock.advance(29)
        assert await attempt(fifo) == first
    assert await fifo.bodies() == []
    fifo.clock.advance(29.999)
    assert await fifo.delete(first[0].receipt) == [Outcome.DONE]
    assert await fifo.bodies() == []
    fifo.clock.advance(0.001)
    assert await fifo.bodies() == ["b", "c"]


async def test_another_attempt_is_given_other_messages(fifo: Stage) -> None:
    await fifo.send_to("g", *"ab")
    await fifo.send_to("h", *"cd")
    assert [message.body for message in await attempt(fifo, "one")] == ["a", "b"]
    assert [message.body for message in await attempt(fifo, "two")] == ["c", "d"]


async def test_an_attempt_that_was_given_nothing_may_be_given_something(fifo: Stage) -> None:
    assert await attempt(fifo) == []
    await fifo.send_to("g", "a")
    assert [message.body for message in await attempt(fifo)] == ["a"]


Meets = Callable[[Stage, list[Received]], Awaitable[object]]


async def lapse(stage: Stage, _: list[Received]) -> None:
    stage.clock.advance(30)


async def lapse_and_be_received(stage: Stage, _: list[Received]) -> None:
    stage.clock.advance(30)
    await stage.receive()


async def expire(stage: Stage, _: list[Received]) -> None:
    await stage.set_retention(10)
    stage.clock.advance(10)


MEETS: list[tuple[str, Meets]] = [
    ("deleted", lambda stage, received: stage.delete(received[1].receipt)),
    ("all-deleted", lambda stage, all_: stage.delete(*[message.receipt for message in all_])),
    ("changed", lambda stage, received: stage.change(received[0].receipt, 60)),
    ("shown", lambda stage, received: stage.change(received[1].receipt, 0)),
    ("lapsed", lapse),
    ("received-again", lapse_and_be_received),
    ("expired", expire),
]


@pytest.mark.parametrize("meets", [pytest.param(meets, id=name) for name, meets in MEETS])
async def test_an_attempt_is_spent_when_its_messages_have_met_anything(
    fifo: Stage, meets: Meets
) -> None:
    await fifo.send_to("g", *"abc")
    await meets(fifo, await attempt(fifo))
    with pytest.raises(ReceiveAttemptExpired):
        await attempt(fifo)


async def test_an_attempt_that_left_its_messages_visible_is_spent(fifo: Stage) -> None:
    await fifo.send_to("g", "a")
    await attempt(fifo, timeout_s=0)
    with pytest.raises(ReceiveAttemptExpired):
        await attempt(fifo, timeout_s=0)


@pytest.mark.parametrize("differs", [{"timeout_s": 40}, {"asked": 2}], ids=["timeout", "maximum"])
async def test_an_attempt_with_other_parameters_is_refused(
    fifo: Stage, differs: dict[str, Any]
) -> None:
    await fifo.send_to("g", *"abc")
    first = await attempt(fifo)
    with pytest.raises(ReceiveAttemptExpired):
        await attempt(fifo, **differs)
    assert await attempt(fifo) == first


@pytest.mark.parametrize("freed", [False, True], ids=["kept", "freed"])
async def test_an_attempt_is_known_for_five_minutes_from_its_first_time(
    fifo: Stage, freed: bool
) -> None:
    await fifo.send_to("g", "a")
    await fifo.send_to("h", "b")
    first = await attempt(fifo, maximum=1, timeout_s=3_600)
    for _ in range(2):
        fifo.clock.advance(ATTEMPT_MS / 2_000 - 0.001)
        assert await attempt(fifo, maximum=1, timeout_s=3_600) == first
    fifo.clock.advance(0.002)
    if freed:
        assert await fifo.database.write(receive_attempts.free_expired, 10) == 1
        assert (await fifo.keys())["receive_attempts"] == 0
    received = await attempt(fifo, maximum=1, timeout_s=3_600)
    assert [message.body for message in received] == ["b"]


async def test_attempts_are_each_queues_own(fifo: Stage) -> None:
    other = await fifo.beside("other")
    await fifo.send_to("g", "a")
    await other.send_to("g", "b")
    assert [message.body for message in await attempt(fifo)] == ["a"]
    assert [message.body for message in await attempt(other)] == ["b"]


async def test_a_purge_forgets_attempts(fifo: Stage) -> None:
    await fifo.send_to("g", "a")
    await attempt(fifo)
    await fifo.purge()
    await fifo.send_to("g", "b")
    assert [message.body for message in await attempt(fifo)] == ["b"]
    while await fifo.database.write(dropped_queues.free_dropped, 1):
        pass
    assert (await fifo.keys())["receive_attempts"] == 1


async def test_the_same_attempt_twice_in_a_drain_is_one(fifo: Stage) -> None:
    for group in "gh":
        await fifo.database.submit(fifo.sending(fifo_message(group, group)))
    one, two, other = await asyncio.gather(
        attempt(fifo, maximum=1), attempt(fifo, maximum=1), attempt(fifo, "other", maximum=1)
    )
    assert one == two
    assert [message.body for message in one + other] == ["g", "h"]


async def test_an_attempt_that_was_withdrawn_takes_and_changes_nothing(fifo: Stage) -> None:
    await fifo.send_to("g", *"ab")
    first = await attempt(fifo)
    fifo.clock.advance(20)
    command = fifo.receiving(2, 30, attempt=ReceiveAttempt("try", [1, 30]))
    command.withdraw()
    assert await fifo.database.submit(command) == []
    fifo.clock.advance(10)
    assert [message.body for message in await fifo.receive()] == [m.body for m in first]


async def test_a_repeated_attempt_holds_its_group_until_then(fifo: Stage) -> None:
    await fifo.send_to("g", *"ab")
    await attempt(fifo, maximum=1)
    fifo.clock.advance(20)
    await attempt(fifo, maximum=1)
    fifo.clock.advance(20)
    assert await fifo.bodies() == []
    fifo.clock.advance(10)
    assert await fifo.bodies() == ["a", "b"]
