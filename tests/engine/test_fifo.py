"""Message groups: what a FIFO queue delivers, in which order, and what blocks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from storage import queues
from storage.messages import dropped_queues, expiry
from storage.messages.commands import Outcome, Received
from tests.engine.receivers import Receivers
from tests.engine.recorder import recording
from tests.engine.stage import RETENTION_S, SETTINGS, Stage, fifo_message


@pytest_asyncio.fixture
async def room(fifo: Stage) -> AsyncIterator[Receivers]:
    room = Receivers(fifo)
    yield room
    await room.empty()


async def send_each(stage: Stage, *names: str) -> None:
    """Send messages called `group-body`, a millisecond apart."""
    for name in names:
        await stage.send_to(name.split("-")[0], name)
        stage.clock.advance(0.001)


def named(received: Sequence[Received]) -> list[str]:
    return [message.body for message in received]


async def test_a_receive_takes_whole_groups_in_queue_order(fifo: Stage) -> None:
    await send_each(fifo, "g1-m1", "g2-m1", "g1-m2", "g1-m3")
    assert await fifo.bodies() == ["g1-m1", "g1-m2", "g1-m3", "g2-m1"]


async def test_groups_sent_in_one_moment_are_served_as_they_were_sent(fifo: Stage) -> None:
    groups = ("b", "c", "a", "e", "d")
    await fifo.database.submit(fifo.sending(*[fifo_message(g, g) for g in groups]))
    assert await fifo.bodies(2) == ["b", "c"]
    assert await fifo.bodies() == ["a", "e", "d"]


async def test_a_message_in_flight_blocks_its_group_alone(fifo: Stage) -> None:
    await send_each(fifo, "g1-m1", "g1-m2", "g2-m1")
    assert await fifo.bodies(1) == ["g1-m1"]
    assert await fifo.bodies() == ["g2-m1"]
    assert await fifo.bodies() == []


async def test_what_is_before_an_extended_message_lapses_alone(fifo: Stage) -> None:
    await fifo.send_to("g", *"abcd")
    received = await fifo.receive()
    await fifo.change(received[2].receipt, 100)
    fifo.clock.advance(30)
    assert await fifo.bodies() == ["a", "b"]
    assert await fifo.bodies() == []


async def test_a_head_that_is_shown_is_received_alone(fifo: Stage) -> None:
    await fifo.send_to("g", *"abc")
    received = await fifo.receive()
    await fifo.change(received[0].receipt, 0)
    assert await fifo.bodies() == ["a"]
    assert await fifo.bodies() == []


async def test_a_later_message_that_is_shown_waits_for_those_before_it(fifo: Stage) -> None:
    await fifo.send_to("g", *"abc")
    received = await fifo.receive()
    await fifo.change(received[1].receipt, 0)
    assert await fifo.bodies() == []
    await fifo.delete(received[0].receipt)
    assert await fifo.bodies() == ["b"]


async def test_deleting_all_that_is_in_flight_unlocks_and_some_does_not(fifo: Stage) -> None:
    await fifo.send_to("g", *"abcd")
    received = await fifo.receive(3)
    await fifo.delete(*[message.receipt for message in received[:2]])
    assert await fifo.bodies() == []
    await fifo.delete(received[2].receipt)
    assert await fifo.bodies() == ["d"]


async def test_deleting_from_the_middle_keeps_the_group_locked(fifo: Stage) -> None:
    await fifo.send_to("g", *"abcd")
    received = await fifo.receive(3)
    await fifo.delete(*[message.receipt for message in received[1:]])
    assert await fifo.bodies() == []
    await fifo.delete(received[0].receipt)
    assert await fifo.bodies() == ["d"]


async def test_new_messages_do_not_unlock_a_group(fifo: Stage) -> None:
    await fifo.send_to("g", "a")
    await fifo.receive()
    await fifo.send_to("g", "b")
    assert await fifo.bodies() == []


async def test_what_comes_back_keeps_its_place(fifo: Stage) -> None:
    await fifo.send_to("g", *"abc")
    await fifo.receive(2)
    await fifo.send_to("g", "d")
    fifo.clock.advance(30)
    assert await fifo.bodies() == ["a", "b", "c", "d"]


async def test_a_group_that_was_served_goes_behind_those_that_were_not(fifo: Stage) -> None:
    await send_each(fifo, "g1-m1", "g1-m2", "g2-m1", "g2-m2", "g3-m1")
    assert await fifo.bodies(1, timeout_s=0) == ["g1-m1"]
    fifo.clock.advance(0.001)
    assert await fifo.bodies(timeout_s=0) == ["g2-m1", "g2-m2", "g3-m1", "g1-m1", "g1-m2"]


async def test_a_group_that_is_shown_again_goes_behind_those_that_were_not_served(
    fifo: Stage,
) -> None:
    await send_each(fifo, "g1-m1", "g2-m1")
    received = await fifo.receive_one()
    fifo.clock.advance(0.001)
    await fifo.change(received.receipt, 0)
    assert await fifo.bodies() == ["g2-m1", "g1-m1"]


async def test_a_group_serves_one_receiver_of_a_drain(fifo: Stage) -> None:
    await send_each(fifo, *[f"g{group}-m{number}" for group in range(3) for number in range(3)])
    answers = await asyncio.gather(*[fifo.bodies(2) for _ in range(4)])
    assert answers == [["g0-m0", "g0-m1"], ["g1-m0", "g1-m1"], ["g2-m0", "g2-m1"], []]


async def test_a_receiver_of_a_drain_is_filled_from_several_groups(fifo: Stage) -> None:
    await send_each(fifo, *[f"g{group}-m{number}" for group in range(6) for number in range(2)])
    answers = await asyncio.gather(*[fifo.bodies(3) for _ in range(3)])
    assert answers == [
        ["g0-m0", "g0-m1", "g1-m0"],
        ["g2-m0", "g2-m1", "g3-m0"],
        ["g4-m0", "g4-m1", "g5-m0"],
    ]


async def test_a_drain_sends_deletes_and_receives_in_this_group(fifo: Stage) -> None:
    await fifo.send_to("g", "a")
    received = await fifo.receive_one()
    _, _, bodies = await asyncio.gather(
        fifo.send_to("g", "b"), fifo.delete(received.receipt), fifo.bodies()
    )
    assert bodies == ["b"]


async def test_a_claim_given_back_is_the_head_again(fifo: Stage) -> None:
    await fifo.send_to("g", *"abc")
    received = await fifo.receive(2)
    await fifo.release(*received)
    again = await fifo.receive()
    assert named(again) == ["a", "b", "c"]
    assert [message.receipt.receive_count for message in again] == [1, 1, 1]


async def test_sequence_numbers_increase_in_batches_and_after_reopening(fifo: Stage) -> None:
    numbers = await fifo.send_to("a", *"xyz")
    numbers += await fifo.send_to("b", "x")
    await fifo.reopen()
    numbers += await fifo.send_to("a", *"xy")
    assert numbers == sorted(set(numbers))


async def test_groups_and_what_blocks_them_survive_reopening(fifo: Stage) -> None:
    await send_each(fifo, "g1-m1", "g1-m2", "g2-m1")
    (received,) = await fifo.receive(1)
    await fifo.reopen()
    assert await fifo.bodies() == ["g2-m1"]
    await fifo.delete(received.receipt)
    assert await fifo.bodies() == ["g1-m2"]


@pytest.mark.parametrize("act", ["delete", "change"])
@pytest.mark.parametrize("end", ["lapsed", "zero", "received-again", "shown"])
async def test_a_receipt_whose_time_is_over_has_expired(fifo: Stage, act: str, end: str) -> None:
    await fifo.send_to("g", "a")
    (received,) = await fifo.receive(timeout_s=0 if end == "zero" else 30)
    if end in {"lapsed", "received-again"}:
        fifo.clock.advance(30)
    if end == "received-again":
        await fifo.receive()
    if end == "shown":
        await fifo.change(received.receipt, 0)
    if act == "delete":
        assert await fifo.delete(received.receipt) == [Outcome.EXPIRED]
    else:
        assert await fifo.try_change(received.receipt, 10) is Outcome.EXPIRED
    assert sum(await fifo.counts()) == 1


async def test_a_receipt_lives_to_the_last_millisecond_and_as_long_as_extended(fifo: Stage) -> None:
    await fifo.send_to("g", "a")
    received = await fifo.receive_one()
    fifo.clock.advance(29.999)
    assert await fifo.try_change(received.receipt, 30) is Outcome.DONE
    fifo.clock.advance(29.999)
    assert await fifo.delete(received.receipt) == [Outcome.DONE]
    assert await fifo.delete(received.receipt) == [Outcome.MISSING]
    assert await fifo.try_change(received.receipt, 30) is Outcome.MISSING


async def test_a_delayed_message_holds_up_its_group_alone(fifo: Stage) -> None:
    messages = [fifo_message("a", "g", delay_s=5), fifo_message("b", "g")]
    await fifo.database.submit(fifo.sending(*messages, fifo_message("c", "h")))
    assert await fifo.bodies() == ["c"]
    fifo.clock.advance(5)
    assert await fifo.bodies() == ["a", "b"]


@pytest.mark.parametrize(
    ("before_s", "after_s", "waits_s"),
    [
        pytest.param(0, 20, 20, id="set"),
        pytest.param(60, 20, 20, id="shortened"),
        pytest.param(20, 60, 60, id="lengthened"),
        pytest.param(60, 0, 0, id="taken-away"),
    ],
)
async def test_a_changed_delay_holds_for_messages_sent_before(
    fifo: Stage, before_s: int, after_s: int, waits_s: int
) -> None:
    await fifo.send_to("g", "a", "b", delay_s=before_s)
    await fifo.database.write(
        queues.change_attributes, fifo.queue, {}, SETTINGS, delay_ms=after_s * 1000
    )
    await fifo.refresh()
    if waits_s:
        fifo.clock.advance(waits_s - 0.001)
        assert await fifo.bodies() == []
        fifo.clock.advance(0.001)
    assert await fifo.bodies() == ["a", "b"]


async def test_a_changed_delay_leaves_alone_what_was_received(fifo: Stage) -> None:
    await fifo.send_to("g", "a", "b")
    await fifo.send_to("h", "c")
    await fifo.receive(1)
    await fifo.database.write(queues.change_attributes, fifo.queue, {}, SETTINGS, delay_ms=60_000)
    await fifo.refresh()
    fifo.clock.advance(30)
    assert await fifo.bodies() == ["a"]
    fifo.clock.advance(30)
    assert await fifo.bodies() == ["a", "b", "c"]


async def test_a_standard_queue_keeps_its_messages_delays(stage: Stage) -> None:
    await stage.send("a", delay_s=5)
    await stage.database.write(queues.change_attributes, stage.queue, {}, SETTINGS, delay_ms=0)
    await stage.refresh()
    assert await stage.bodies() == []


async def test_a_head_that_expires_in_flight_unblocks_its_group(room: Receivers) -> None:
    stage = room.stage
    await stage.send_to("g", "old")
    stage.clock.advance(RETENTION_S - 100)
    await stage.receive(timeout_s=43_200)
    await stage.send_to("g", "young")
    await room.enter(1, wait_s=1_000)
    stage.clock.advance(99.999)
    assert await room.answers() == [None]
    stage.clock.advance(0.001)
    assert await room.answers() == [["young"]]
    assert (await stage.rows())["messages"] == 1


async def test_a_head_that_expires_in_flight_unblocks_its_group_after_a_delete(fifo: Stage) -> None:
    await fifo.send_to("g", *"abc")
    fifo.clock.advance(RETENTION_S - 100)
    received = await fifo.receive(timeout_s=43_200)
    await fifo.send_to("g", "young")
    await fifo.delete(received[0].receipt)
    assert await fifo.bodies() == []
    fifo.clock.advance(100)
    assert await fifo.bodies() == ["young"]


async def test_thousands_of_expired_messages_do_not_hide_one_that_has_not(fifo: Stage) -> None:
    old = [fifo_message("old", f"g{position % 700}") for position in range(2_000)]
    await fifo.database.submit(fifo.sending(*old, *[fifo_message("old", "g")] * 1))
    await fifo.send_to("g", *["old"] * 1_000)
    fifo.clock.advance(RETENTION_S)
    await fifo.send_to("g", "young")
    with recording() as heard:
        assert await fifo.bodies(1) == ["young"]
    assert len(heard.statements) < 200


async def test_longer_retention_lets_a_head_in_flight_block_on_without_waking_anybody(
    room: Receivers,
) -> None:
    stage = room.stage
    await stage.send_to("g", "a", "b")
    await stage.set_retention(60)
    stage.clock.advance(50)
    await stage.receive(1, timeout_s=1_000)
    await stage.set_retention(RETENTION_S)
    await room.enter(1, wait_s=2_000)
    stage.clock.advance(500)
    assert await room.answers() == [None]
    assert room.polls[0].claims <= 2
    stage.clock.advance(500)
    assert await room.answers() == [["a"]]


async def test_an_expired_head_in_flight_blocks_nothing_after_a_restart(fifo: Stage) -> None:
    await fifo.set_retention(60)
    await fifo.send_to("g", "a", "b")
    fifo.clock.advance(10)
    await fifo.send_to("g", "c")
    _, second = await fifo.receive(2, timeout_s=1_000)
    await fifo.reopen()
    await fifo.delete(second.receipt)
    fifo.clock.advance(50)
    assert await fifo.bodies() == ["c"]


async def test_deleting_what_is_in_flight_wakes_one(room: Receivers) -> None:
    await room.stage.send_to("g", *"abc")
    received = await room.stage.receive(2)
    await room.enter(2)
    await room.stage.delete(received[0].receipt)
    assert await room.answers() == [None, None]
    await room.stage.delete(received[1].receipt)
    assert await room.answers() == [["c"], None]


async def test_the_lapse_of_a_head_wakes_one(room: Receivers) -> None:
    await room.stage.send_to("g", *"ab")
    await room.stage.receive(1, timeout_s=5)
    await room.enter(2)
    room.stage.clock.advance(5)
    assert await room.answers() == [["a"], None]


async def test_a_head_that_is_shown_wakes_one(room: Receivers) -> None:
    await room.stage.send_to("g", *"ab")
    received = await room.stage.receive(2)
    await room.enter(2)
    await room.stage.change(received[1].receipt, 0)
    assert await room.answers() == [None, None]
    await room.stage.change(received[0].receipt, 0)
    answers = await room.answers()
    assert answers in ([["a"], None], [None, ["a"]])


async def test_a_claim_given_back_wakes_one(room: Receivers) -> None:
    await room.stage.send_to("g", *"ab")
    received = await room.stage.receive(1)
    await room.enter(2)
    await room.stage.release(*received)
    assert await room.answers() == [["a"], None]


async def test_groups_wake_as_many_as_they_serve(room: Receivers) -> None:
    await room.enter(4)
    for group in ("g", "h", "g", "i"):
        await room.stage.send_to(group, group)
    answers = await room.answers()
    assert answers.count(None) == 1
    assert sorted(answer[0] for answer in answers if answer) == ["g", "h", "i"]


async def test_what_is_sent_to_a_blocked_group_ends_no_wait(room: Receivers) -> None:
    await room.stage.send_to("g", "a")
    await room.stage.receive()
    await room.enter(2)
    await room.stage.send_to("g", *"bcd")
    assert await room.answers() == [None, None]
    assert sum(poll.claims for poll in room.polls) <= 5


async def test_a_changed_delay_wakes_who_waits(room: Receivers) -> None:
    await room.stage.send_to("g", "a", delay_s=60)
    await room.stage.send_to("h", "b", delay_s=60)
    await room.enter(2)
    change = queues.change_attributes
    await room.stage.database.write(change, room.stage.queue, {}, SETTINGS, delay_ms=5_000)
    await room.quiet()
    await room.empty()
    room.polls.clear()
    await room.stage.refresh()
    await room.enter(2)
    room.stage.clock.advance(5)
    assert await room.answers() == [["a"], ["b"]]


async def statements_of_a_receive(stage: Stage) -> int:
    with recording() as heard:
        assert await stage.bodies(1) == ["free"]
    return len(heard.statements)


@pytest.mark.parametrize(
    ("groups", "each"), [pytest.param(1, 20_000, id="deep"), pytest.param(5_000, 2, id="wide")]
)
async def test_what_is_blocked_costs_a_receive_no_statement(
    fifo: Stage, groups: int, each: int
) -> None:
    for group in ("first", "second"):  # the first receive of all counts what is in flight
        await fifo.send_to(group, "free")
        before = await statements_of_a_receive(fifo)
    messages = [fifo_message("x", f"g{group}") for group in range(groups) for _ in range(each)]
    for first in range(0, len(messages), 5_000):
        await fifo.database.submit(fifo.sending(*messages[first : first + 5_000]))
    taken = 0
    while taken < groups:
        answers = await asyncio.gather(*[fifo.receive(1) for _ in range(1 if groups == 1 else 500)])
        taken += sum(map(len, answers))
    await fifo.send_to("other", "free")
    assert await statements_of_a_receive(fifo) == before


async def test_many_small_groups_cost_a_receive_few_statements(fifo: Stage) -> None:
    await send_each(fifo, *[f"g{number}-m" for number in range(10)])
    with recording() as heard:
        assert len(await fifo.receive()) == 10
    assert len(heard.statements) <= 14


async def test_purging_frees_groups_ids_and_messages_in_bounded_steps(fifo: Stage) -> None:
    await fifo.database.submit(
        fifo.sending(*[fifo_message("x", f"g{number % 40}") for number in range(120)])
    )
    await fifo.receive()
    await fifo.purge()
    assert await fifo.bodies() == []
    steps = 0
    before = {**await fifo.rows(), **await fifo.keys()}
    while await fifo.database.write(dropped_queues.free_dropped, 25):
        steps += 1
        after = {**await fifo.rows(), **await fifo.keys()}
        assert all(before[table] - after[table] <= 25 for table in before)
        before = after
    assert steps >= 120 // 25
    assert await fifo.keys() == {"groups": 0, "deduplications": 0, "receive_attempts": 0}
    assert await fifo.rows() == {"messages": 0, "bodies": 0, "backlogs": 1, "dropped_queues": 0}
    await fifo.send_to("g0", "new")
    assert await fifo.bodies() == ["new"]


async def test_deleting_a_queue_frees_groups_and_ids(fifo: Stage) -> None:
    await fifo.send_to("g", *"abc")
    await fifo.send_to("h", "d")
    await fifo.database.write(queues.delete, fifo.queue)
    while await fifo.database.write(dropped_queues.free_dropped, 2):
        pass
    assert await fifo.keys() == {"groups": 0, "deduplications": 0, "receive_attempts": 0}
    assert await fifo.rows() == {"messages": 0, "bodies": 0, "backlogs": 0, "dropped_queues": 0}


async def test_freeing_expired_heads_unblocks_what_is_behind_them(fifo: Stage) -> None:
    await fifo.send_to("g", "old")
    await fifo.send_to("h", "old")
    fifo.clock.advance(RETENTION_S - 1)
    await fifo.receive(timeout_s=43_200)
    await fifo.send_to("g", "young")
    fifo.clock.advance(1)
    assert await fifo.database.write(expiry.free_expired, fifo.queue.id, 500) == 2
    assert (await fifo.keys())["groups"] == 1
    assert await fifo.bodies() == ["young"]


async def test_a_group_without_messages_leaves_no_row(fifo: Stage) -> None:
    await fifo.send_to("g", *"abc")
    received = await fifo.receive()
    await fifo.delete(*[message.receipt for message in received])
    assert (await fifo.keys())["groups"] == 0
