"""Message groups of FIFO queues: order of delivery, and what blocks a group."""

from __future__ import annotations

import asyncio

import pytest

from storage import queues
from storage.messages import dropped_queues, expiry
from storage.messages.commands import Outcome
from tests.engine.queue_client import RETENTION_S, QueueClient, bodies_of, fifo_message
from tests.engine.recorder import recording


async def send_each(client: QueueClient, *names: str) -> None:
    """Send messages a millisecond apart; the body `g1-m1` is sent to the group `g1`."""
    for name in names:
        await client.send_to(name.split("-")[0], name)
        client.clock.advance(0.001)


async def test_receive_takes_whole_groups_in_queue_order(fifo: QueueClient) -> None:
    await send_each(fifo, "g1-m1", "g2-m1", "g1-m2", "g1-m3")
    assert await fifo.bodies() == ["g1-m1", "g1-m2", "g1-m3", "g2-m1"]


async def test_groups_sent_in_one_millisecond_are_served_in_the_order_of_sending(
    fifo: QueueClient,
) -> None:
    groups = ("b", "c", "a", "e", "d")
    await fifo.database.submit(fifo.send_command(*[fifo_message(g, g) for g in groups]))
    assert await fifo.bodies(2) == ["b", "c"]
    assert await fifo.bodies() == ["a", "e", "d"]


async def test_message_in_flight_blocks_its_group_only(fifo: QueueClient) -> None:
    await send_each(fifo, "g1-m1", "g1-m2", "g2-m1")
    assert await fifo.bodies(1) == ["g1-m1"]
    assert await fifo.bodies() == ["g2-m1"]
    assert await fifo.bodies() == []


async def test_messages_before_an_extended_one_become_visible_without_it(fifo: QueueClient) -> None:
    await fifo.send_to("g", *"abcd")
    received = await fifo.receive()
    await fifo.change(received[2].receipt, 100)
    fifo.clock.advance(30)
    assert await fifo.bodies() == ["a", "b"]
    assert await fifo.bodies() == []


async def test_first_message_changed_to_timeout_zero_is_received_without_the_rest_of_its_group(
    fifo: QueueClient,
) -> None:
    await fifo.send_to("g", *"abc")
    received = await fifo.receive()
    await fifo.change(received[0].receipt, 0)
    assert await fifo.bodies() == ["a"]
    assert await fifo.bodies() == []


async def test_later_message_changed_to_timeout_zero_is_blocked_by_those_before_it(
    fifo: QueueClient,
) -> None:
    await fifo.send_to("g", *"abc")
    received = await fifo.receive()
    await fifo.change(received[1].receipt, 0)
    assert await fifo.bodies() == []
    await fifo.delete(received[0].receipt)
    assert await fifo.bodies() == ["b"]


async def test_group_is_unblocked_when_all_its_messages_in_flight_are_deleted(
    fifo: QueueClient,
) -> None:
    await fifo.send_to("g", *"abcd")
    received = await fifo.receive(3)
    await fifo.delete(*[message.receipt for message in received[:2]])
    assert await fifo.bodies() == []
    await fifo.delete(received[2].receipt)
    assert await fifo.bodies() == ["d"]


async def test_delete_of_later_messages_leaves_the_group_blocked(fifo: QueueClient) -> None:
    await fifo.send_to("g", *"abcd")
    received = await fifo.receive(3)
    await fifo.delete(*[message.receipt for message in received[1:]])
    assert await fifo.bodies() == []
    await fifo.delete(received[0].receipt)
    assert await fifo.bodies() == ["d"]


async def test_new_message_does_not_unblock_its_group(fifo: QueueClient) -> None:
    await fifo.send_to("g", "a")
    await fifo.receive()
    await fifo.send_to("g", "b")
    assert await fifo.bodies() == []


async def test_message_that_becomes_visible_again_keeps_its_order(fifo: QueueClient) -> None:
    await fifo.send_to("g", *"abc")
    await fifo.receive(2)
    await fifo.send_to("g", "d")
    fifo.clock.advance(30)
    assert await fifo.bodies() == ["a", "b", "c", "d"]


async def test_served_group_goes_behind_groups_that_were_not_served(fifo: QueueClient) -> None:
    await send_each(fifo, "g1-m1", "g1-m2", "g2-m1", "g2-m2", "g3-m1")
    assert await fifo.bodies(1, timeout_s=0) == ["g1-m1"]
    fifo.clock.advance(0.001)
    assert await fifo.bodies(timeout_s=0) == ["g2-m1", "g2-m2", "g3-m1", "g1-m1", "g1-m2"]


async def test_group_changed_to_timeout_zero_goes_behind_groups_that_were_not_served(
    fifo: QueueClient,
) -> None:
    await send_each(fifo, "g1-m1", "g2-m1")
    received = await fifo.receive_one()
    fifo.clock.advance(0.001)
    await fifo.change(received.receipt, 0)
    assert await fifo.bodies() == ["g2-m1", "g1-m1"]


async def test_group_serves_one_receive_of_a_batch(fifo: QueueClient) -> None:
    await send_each(fifo, *[f"g{group}-m{number}" for group in range(3) for number in range(3)])
    answers = await asyncio.gather(*[fifo.bodies(2) for _ in range(4)])
    assert answers == [["g0-m0", "g0-m1"], ["g1-m0", "g1-m1"], ["g2-m0", "g2-m1"], []]


async def test_receive_of_a_batch_takes_messages_of_several_groups(fifo: QueueClient) -> None:
    await send_each(fifo, *[f"g{group}-m{number}" for group in range(6) for number in range(2)])
    answers = await asyncio.gather(*[fifo.bodies(3) for _ in range(3)])
    assert answers == [
        ["g0-m0", "g0-m1", "g1-m0"],
        ["g2-m0", "g2-m1", "g3-m0"],
        ["g4-m0", "g4-m1", "g5-m0"],
    ]


async def test_receive_gets_a_message_sent_to_a_group_unblocked_in_the_same_batch(
    fifo: QueueClient,
) -> None:
    await fifo.send_to("g", "a")
    received = await fifo.receive_one()
    _, _, bodies = await asyncio.gather(
        fifo.send_to("g", "b"), fifo.delete(received.receipt), fifo.bodies()
    )
    assert bodies == ["b"]


async def test_released_messages_are_first_in_their_group_again(fifo: QueueClient) -> None:
    await fifo.send_to("g", *"abc")
    received = await fifo.receive(2)
    await fifo.release(*received)
    again = await fifo.receive()
    assert bodies_of(again) == ["a", "b", "c"]
    assert [message.receipt.receive_count for message in again] == [1, 1, 1]


async def test_sequence_numbers_increase_within_a_send_and_after_a_restart(
    fifo: QueueClient,
) -> None:
    numbers = await fifo.send_to("a", *"xyz")
    numbers += await fifo.send_to("b", "x")
    await fifo.reopen()
    numbers += await fifo.send_to("a", *"xy")
    assert numbers == sorted(set(numbers))


async def test_blocked_groups_stay_blocked_after_a_restart(fifo: QueueClient) -> None:
    await send_each(fifo, "g1-m1", "g1-m2", "g2-m1")
    (received,) = await fifo.receive(1)
    await fifo.reopen()
    assert await fifo.bodies() == ["g2-m1"]
    await fifo.delete(received.receipt)
    assert await fifo.bodies() == ["g1-m2"]


@pytest.mark.parametrize("act", ["delete", "change"])
@pytest.mark.parametrize("end", ["timeout-ended", "zero", "received-again", "changed-to-zero"])
async def test_expired_receipt_cannot_delete_or_change(
    fifo: QueueClient, act: str, end: str
) -> None:
    await fifo.send_to("g", "a")
    (received,) = await fifo.receive(timeout_s=0 if end == "zero" else 30)
    if end in {"timeout-ended", "received-again"}:
        fifo.clock.advance(30)
    if end == "received-again":
        await fifo.receive()
    if end == "changed-to-zero":
        await fifo.change(received.receipt, 0)
    if act == "delete":
        assert await fifo.delete(received.receipt) == [Outcome.EXPIRED]
    else:
        assert await fifo.try_change(received.receipt, 10) is Outcome.EXPIRED
    assert sum(await fifo.counts()) == 1


async def test_receipt_is_valid_to_the_last_millisecond_of_its_extended_timeout(
    fifo: QueueClient,
) -> None:
    await fifo.send_to("g", "a")
    received = await fifo.receive_one()
    fifo.clock.advance(29.999)
    assert await fifo.try_change(received.receipt, 30) is Outcome.DONE
    fifo.clock.advance(29.999)
    assert await fifo.delete(received.receipt) == [Outcome.DONE]
    assert await fifo.delete(received.receipt) == [Outcome.MISSING]
    assert await fifo.try_change(received.receipt, 30) is Outcome.MISSING


async def test_delayed_message_blocks_its_group_only(fifo: QueueClient) -> None:
    messages = [fifo_message("a", "g", delay_s=5), fifo_message("b", "g")]
    await fifo.database.submit(fifo.send_command(*messages, fifo_message("c", "h")))
    assert await fifo.bodies() == ["c"]
    fifo.clock.advance(5)
    assert await fifo.bodies() == ["a", "b"]


@pytest.mark.parametrize(
    ("before_s", "after_s", "waits_s"),
    [
        pytest.param(0, 20, 20, id="set"),
        pytest.param(60, 20, 20, id="shortened"),
        pytest.param(20, 60, 60, id="lengthened"),
        pytest.param(60, 0, 0, id="removed"),
    ],
)
async def test_changed_queue_delay_applies_to_messages_sent_before(
    fifo: QueueClient, before_s: int, after_s: int, waits_s: int
) -> None:
    await fifo.set_delay(before_s)
    await fifo.send_to("g", "a", "b", delay_s=before_s)
    await fifo.set_delay(after_s)
    if waits_s:
        fifo.clock.advance(waits_s - 0.001)
        assert await fifo.bodies() == []
        fifo.clock.advance(0.001)
    assert await fifo.bodies() == ["a", "b"]


async def test_changed_queue_delay_does_not_apply_to_received_messages(fifo: QueueClient) -> None:
    await fifo.send_to("g", "a", "b")
    await fifo.send_to("h", "c")
    await fifo.receive(1)
    await fifo.set_delay(60)
    fifo.clock.advance(30)
    assert await fifo.bodies() == ["a"]
    fifo.clock.advance(30)
    assert await fifo.bodies() == ["a", "b", "c"]


async def test_changed_queue_delay_does_not_apply_to_messages_of_standard_queue(
    client: QueueClient,
) -> None:
    await client.set_delay(5)
    await client.send("a", delay_s=5)
    await client.set_delay(0)
    assert await client.bodies() == []


async def test_message_that_expires_in_flight_unblocks_its_group_after_a_delete(
    fifo: QueueClient,
) -> None:
    await fifo.send_to("g", *"abc")
    fifo.clock.advance(RETENTION_S - 100)
    received = await fifo.receive(timeout_s=43_200)
    await fifo.send_to("g", "young")
    await fifo.delete(received[0].receipt)
    assert await fifo.bodies() == []
    fifo.clock.advance(100)
    assert await fifo.bodies() == ["young"]


async def test_fifo_receive_finds_a_message_behind_thousands_of_expired_ones(
    fifo: QueueClient,
) -> None:
    old = [fifo_message("old", f"g{position % 700}") for position in range(2_000)]
    await fifo.database.submit(fifo.send_command(*old, *[fifo_message("old", "g")] * 1))
    await fifo.send_to("g", *["old"] * 1_000)
    fifo.clock.advance(RETENTION_S)
    await fifo.send_to("g", "young")
    with recording() as record:
        assert await fifo.bodies(1) == ["young"]
    assert len(record.statements) < 500


async def test_expired_message_in_flight_does_not_block_its_group_after_a_restart(
    fifo: QueueClient,
) -> None:
    await fifo.set_retention(60)
    await fifo.send_to("g", "a", "b")
    fifo.clock.advance(10)
    await fifo.send_to("g", "c")
    _, second = await fifo.receive(2, timeout_s=1_000)
    await fifo.reopen()
    await fifo.delete(second.receipt)
    fifo.clock.advance(50)
    assert await fifo.bodies() == ["c"]


async def statements_of_a_receive(client: QueueClient) -> int:
    """Return the number of statements of a receive."""
    with recording() as record:
        assert await client.bodies(1) == ["free"]
    return len(record.statements)


@pytest.mark.parametrize(
    ("groups", "each"), [pytest.param(1, 20_000, id="deep"), pytest.param(5_000, 2, id="wide")]
)
async def test_statements_of_fifo_receive_do_not_grow_with_blocked_messages(
    fifo: QueueClient, groups: int, each: int
) -> None:
    for group in ("first", "second"):  # the first receive counts the messages in flight
        await fifo.send_to(group, "free")
        before = await statements_of_a_receive(fifo)
    messages = [fifo_message("x", f"g{group}") for group in range(groups) for _ in range(each)]
    for first in range(0, len(messages), 5_000):
        await fifo.database.submit(fifo.send_command(*messages[first : first + 5_000]))
    taken = 0
    while taken < groups:
        answers = await asyncio.gather(*[fifo.receive(1) for _ in range(1 if groups == 1 else 500)])
        taken += sum(map(len, answers))
    await fifo.send_to("other", "free")
    assert await statements_of_a_receive(fifo) == before


async def test_receive_from_ten_groups_takes_at_most_fourteen_statements(fifo: QueueClient) -> None:
    await send_each(fifo, *[f"g{number}-m" for number in range(10)])
    with recording() as record:
        assert len(await fifo.receive()) == 10
    assert len(record.statements) <= 14


async def test_rows_of_purged_fifo_queue_are_freed_in_limited_steps(fifo: QueueClient) -> None:
    await fifo.database.submit(
        fifo.send_command(*[fifo_message("x", f"g{number % 40}") for number in range(120)])
    )
    await fifo.receive()
    await fifo.purge()
    assert await fifo.bodies() == []
    steps = 0
    before = {**await fifo.rows(), **await fifo.fifo_rows()}
    while await fifo.database.write(dropped_queues.free_dropped, 25):
        steps += 1
        after = {**await fifo.rows(), **await fifo.fifo_rows()}
        assert all(before[table] - after[table] <= 25 for table in before)
        before = after
    assert steps >= 120 // 25
    assert await fifo.fifo_rows() == {"groups": 0, "deduplications": 0, "receive_attempts": 0}
    assert await fifo.rows() == {"messages": 0, "bodies": 0, "backlogs": 1, "dropped_queues": 0}
    await fifo.send_to("g0", "new")
    assert await fifo.bodies() == ["new"]


async def test_rows_of_deleted_fifo_queue_are_freed(fifo: QueueClient) -> None:
    await fifo.send_to("g", *"abc")
    await fifo.send_to("h", "d")
    await fifo.database.write(queues.delete, fifo.queue)
    while await fifo.database.write(dropped_queues.free_dropped, 2):
        pass
    assert await fifo.fifo_rows() == {"groups": 0, "deduplications": 0, "receive_attempts": 0}
    assert await fifo.rows() == {"messages": 0, "bodies": 0, "backlogs": 0, "dropped_queues": 0}


async def test_freeing_expired_messages_unblocks_their_groups(fifo: QueueClient) -> None:
    await fifo.send_to("g", "old")
    await fifo.send_to("h", "old")
    fifo.clock.advance(RETENTION_S - 1)
    await fifo.receive(timeout_s=43_200)
    await fifo.send_to("g", "young")
    fifo.clock.advance(1)
    assert await fifo.database.write(expiry.free_expired, fifo.queue.id, 500) == 2
    assert (await fifo.fifo_rows())["groups"] == 1
    assert await fifo.bodies() == ["young"]


async def test_group_without_messages_has_no_row(fifo: QueueClient) -> None:
    await fifo.send_to("g", *"abc")
    received = await fifo.receive()
    await fifo.delete(*[message.receipt for message in received])
    assert (await fifo.fifo_rows())["groups"] == 0
