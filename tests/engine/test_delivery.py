"""Send, receive, delete, change visibility, release: what becomes of messages over time."""

from __future__ import annotations

import asyncio

import pytest

from storage.messages.commands import Outcome, Receipt, Release
from tests.engine.stage import Stage, new_message

ODD_TEXTS = [
    pytest.param("", id="empty"),
    pytest.param("\t\n\r\r\n a \r", id="white-space"),
    pytest.param("\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467", id="emoji"),
    pytest.param("\ufffd\ue000\ud7ff", id="edges-of-the-basic-plane"),
    pytest.param("\U00010000\U0010fffd", id="edges-of-the-other-planes"),
    pytest.param("'; DROP TABLE messages; -- :queue $1 ? %s", id="what-looks-like-sql"),
    pytest.param("x" * 1_048_576, id="1-mib"),
    pytest.param("\u20ac" * 349_525, id="1-mib-of-three-bytes"),
]


@pytest.mark.parametrize("body", ODD_TEXTS)
async def test_a_body_comes_back_as_it_was_sent(stage: Stage, body: str) -> None:
    await stage.send(body)
    assert await stage.bodies() == [body]


async def test_receives_that_share_a_drain_hide_each_for_its_own_time(stage: Stage) -> None:
    await stage.send(*"abcdef")
    times_s = {5: 1, 60: 2, 0: 1}
    await asyncio.gather(*(stage.receive(n, timeout_s=time_s) for time_s, n in times_s.items()))
    assert await stage.counts() == (3, 3, 0)
    stage.clock.advance(5)
    assert await stage.counts() == (4, 2, 0)
    stage.clock.advance(55)
    assert await stage.counts() == (6, 0, 0)


async def test_all_parts_of_a_message_come_back(stage: Stage) -> None:
    sent = new_message("body")._replace(
        message_id=bytes(range(16)), envelope=b"\x00\xff{}", group_id="g"
    )
    ((number, message_id),) = await stage.database.submit(stage.sending(sent))
    assert message_id == sent.message_id
    stage.clock.advance(2)
    received = await stage.receive_one()
    assert received.receipt == (stage.queue.id, number, 1)
    assert received[1:5] == (bytes(range(16)), "body", b"\x00\xff{}", "g")
    now_ms = stage.clock.now_ms()
    assert received[5:] == (False, now_ms - 2_000, now_ms, now_ms, None)


async def test_messages_come_in_the_order_they_were_sent(stage: Stage) -> None:
    for body in "abcde":
        await stage.send(body)
    assert await stage.bodies(2) == ["a", "b"]
    assert await stage.bodies() == ["c", "d", "e"]


async def test_messages_of_one_command_keep_their_order(stage: Stage) -> None:
    await stage.send(*"abcdefghij")
    assert await stage.bodies() == list("abcdefghij")


async def test_no_more_is_received_than_was_asked_for(stage: Stage) -> None:
    await stage.send(*"abc")
    assert len(await stage.receive(2)) == 2


async def test_queues_do_not_see_each_others_messages(stage: Stage) -> None:
    await stage.send("a")
    first, stage.queue = stage.queue, await stage.create("others")
    assert await stage.bodies() == []
    assert await stage.counts() == (0, 0, 0)
    stage.queue = first
    assert await stage.bodies() == ["a"]


async def test_counts_follow_every_step_of_a_message(stage: Stage) -> None:
    assert await stage.counts() == (0, 0, 0)
    await stage.send("now")
    await stage.send("later", delay_s=10)
    assert await stage.counts() == (1, 0, 1)
    received = await stage.receive_one(timeout_s=5)
    assert await stage.counts() == (0, 1, 1)
    stage.clock.advance(5)
    assert await stage.counts() == (1, 0, 1)
    stage.clock.advance(5)
    assert await stage.counts() == (2, 0, 0)
    assert await stage.change(received.receipt, 60)
    assert await stage.counts() == (1, 1, 0)
    await stage.delete(received.receipt)
    assert await stage.counts() == (1, 0, 0)
    last = await stage.receive_one(timeout_s=1)
    await stage.delete(last.receipt)
    assert await stage.counts() == (0, 0, 0)
    assert (await stage.rows())["messages"] == (await stage.rows())["bodies"] == 0


async def test_a_received_message_is_hidden_until_its_timeout_has_passed(stage: Stage) -> None:
    await stage.send("a")
    await stage.receive_one(timeout_s=30)
    stage.clock.advance(29.999)
    assert await stage.bodies() == []
    stage.clock.advance(0.001)
    assert await stage.bodies() == ["a"]


async def test_a_message_received_with_timeout_zero_stays_visible(stage: Stage) -> None:
    await stage.send("a")
    assert await stage.bodies(timeout_s=0) == ["a"]
    assert await stage.counts() == (1, 0, 0)
    assert (await stage.receive_one(timeout_s=0)).receipt.receive_count == 2


async def test_a_delayed_message_comes_when_its_delay_has_passed(stage: Stage) -> None:
    await stage.send("a", delay_s=900)
    stage.clock.advance(899.999)
    assert await stage.bodies() == []
    stage.clock.advance(0.001)
    assert await stage.bodies() == ["a"]


async def test_what_became_visible_first_comes_first(stage: Stage) -> None:
    await stage.send("delayed", delay_s=10)
    await stage.send("received")
    await stage.receive_one(timeout_s=5)
    stage.clock.advance(20)
    await stage.send("new")
    assert await stage.bodies() == ["received", "delayed", "new"]


async def test_receives_are_counted_and_the_first_is_remembered(stage: Stage) -> None:
    await stage.send("a")
    stage.clock.advance(1)
    first_ms = stage.clock.now_ms()
    for receive_count in (1, 2, 3):
        received = await stage.receive_one(timeout_s=1)
        assert received.receipt.receive_count == receive_count
        assert received.first_received_at_ms == first_ms
        assert received.received_at_ms == stage.clock.now_ms()
        stage.clock.advance(1)


async def test_receipts_of_earlier_receives_still_change_visibility(stage: Stage) -> None:
    await stage.send("a")
    old = await stage.receive_one(timeout_s=0)
    await stage.receive_one(timeout_s=30)
    assert await stage.change(old.receipt, 0)
    assert await stage.counts() == (1, 0, 0)


async def test_receipts_of_earlier_receives_still_delete(stage: Stage) -> None:
    await stage.send("a")
    old = await stage.receive_one(timeout_s=0)
    await stage.receive_one(timeout_s=30)
    await stage.delete(old.receipt)
    assert await stage.counts() == (0, 0, 0)
    stage.clock.advance(30)
    assert await stage.bodies() == []


async def test_a_changed_timeout_counts_from_the_change(stage: Stage) -> None:
    await stage.send("a")
    received = await stage.receive_one(timeout_s=30)
    stage.clock.advance(20)
    assert await stage.change(received.receipt, 20)
    stage.clock.advance(19.999)
    assert await stage.bodies() == []
    stage.clock.advance(0.001)
    assert await stage.bodies() == ["a"]


async def test_timeout_zero_shows_a_message_in_flight_at_once(stage: Stage) -> None:
    await stage.send("a")
    received = await stage.receive_one()
    assert await stage.change(received.receipt, 0)
    assert (await stage.receive_one()).receipt.receive_count == 2


async def test_a_visible_message_can_be_hidden_by_an_old_receipt(stage: Stage) -> None:
    await stage.send("a")
    received = await stage.receive_one(timeout_s=0)
    assert await stage.change(received.receipt, 10)
    assert await stage.counts() == (0, 1, 0)


async def test_changing_a_deleted_message_says_that_it_does_not_exist(stage: Stage) -> None:
    await stage.send("a")
    received = await stage.receive_one()
    await stage.delete(received.receipt)
    assert not await stage.change(received.receipt, 10)


async def test_changes_of_one_command_are_answered_one_by_one(stage: Stage) -> None:
    await stage.send(*"abc")
    a, b, c = await stage.receive()
    await stage.delete(b.receipt)
    never = Receipt(stage.queue.id, 999_999_999, 1)
    answer = await stage.database.submit(
        stage.changing((a.receipt, 0), (b.receipt, 0), (never, 0), (c.receipt, 0), (a.receipt, 9))
    )
    done, missing = Outcome.DONE, Outcome.MISSING
    assert answer == [done, missing, missing, done, done]
    assert await stage.bodies() == ["c"]


async def test_deleting_twice_is_as_good_as_once(stage: Stage) -> None:
    await stage.send(*"ab")
    received = await stage.receive_one()
    await stage.delete(received.receipt)
    await stage.delete(received.receipt)
    assert await stage.counts() == (1, 0, 0)


async def test_one_receipt_named_twice_in_a_command_deletes_one_message(stage: Stage) -> None:
    await stage.send(*"abc")
    received = await stage.receive_one()
    await stage.delete(received.receipt, received.receipt)
    assert await stage.counts() == (2, 0, 0)


async def test_one_receipt_in_commands_of_a_drain_deletes_one_message(stage: Stage) -> None:
    await stage.send(*"abc")
    old = await stage.receive_one(timeout_s=0)
    new = await stage.receive_one()
    submitted = [stage.database.submit(stage.deleting(r.receipt)) for r in (old, new, old)]
    for future in submitted:
        await future
    assert await stage.counts() == (2, 0, 0)


async def test_a_delete_wins_over_a_change_in_the_same_drain(stage: Stage) -> None:
    await stage.send("a")
    received = await stage.receive_one()
    change = stage.database.submit(stage.changing((received.receipt, 0)))
    delete = stage.database.submit(stage.deleting(received.receipt))
    await delete
    assert await change == [Outcome.MISSING]
    assert await stage.counts() == (0, 0, 0)


async def test_a_receive_is_given_what_the_same_drain_sent(stage: Stage) -> None:
    receive = stage.database.submit(stage.receiving())
    send = stage.database.submit(stage.sending(new_message("a")))
    await send
    assert [received.body for received in await receive] == ["a"]


async def test_receives_of_one_drain_share_out_what_there_is(stage: Stage) -> None:
    await stage.send(*"abcde")
    receives = [stage.database.submit(stage.receiving(maximum)) for maximum in (2, 1, 10, 10)]
    assert [[r.body for r in await receive] for receive in receives] == [
        ["a", "b"],
        ["c"],
        ["d", "e"],
        [],
    ]


async def test_a_released_claim_is_as_if_it_had_never_been(stage: Stage) -> None:
    await stage.send("a")
    claim = await stage.receive_one()
    await stage.release(claim)
    assert await stage.counts() == (1, 0, 0)
    stage.clock.advance(1)
    again = await stage.receive_one()
    assert again.receipt.receive_count == 1
    assert again.first_received_at_ms == stage.clock.now_ms()


async def test_a_released_claim_leaves_earlier_receives_counted(stage: Stage) -> None:
    await stage.send("a")
    first_ms = stage.clock.now_ms()
    await stage.receive_one(timeout_s=1)
    stage.clock.advance(1)
    await stage.release(await stage.receive_one())
    again = await stage.receive_one()
    assert again.receipt.receive_count == 2
    assert again.first_received_at_ms == first_ms


async def test_a_claim_made_anew_is_not_released_by_the_one_before(stage: Stage) -> None:
    await stage.send("a")
    lapsed = await stage.receive_one(timeout_s=1)
    stage.clock.advance(1)
    await stage.receive_one(timeout_s=30)
    await stage.release(lapsed)
    assert await stage.counts() == (0, 1, 0)
    stage.clock.advance(30)
    assert (await stage.receive_one()).receipt.receive_count == 3


async def test_releasing_a_deleted_claim_brings_nothing_back(stage: Stage) -> None:
    await stage.send("a")
    claim = await stage.receive_one()
    await stage.delete(claim.receipt)
    await stage.release(claim)
    assert await stage.counts() == (0, 0, 0)


async def test_a_receive_in_the_drain_of_a_release_is_given_the_message(stage: Stage) -> None:
    await stage.send("a")
    claim = await stage.receive_one()
    receive = stage.database.submit(stage.receiving())
    stage.database.submit(Release([claim]))
    assert [r.receipt.receive_count for r in await receive] == [1]


async def test_a_withdrawn_receive_takes_nothing(stage: Stage) -> None:
    await stage.send("a")
    command = stage.receiving()
    receive = stage.database.submit(command)
    command.withdraw()
    assert await receive == []
    assert await stage.counts() == (1, 0, 0)
