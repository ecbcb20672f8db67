"""Messages of a standard queue: send, receive, delete, change of visibility, release."""

from __future__ import annotations

import asyncio

import pytest

from storage.messages.commands import Outcome, Receipt, Release
from tests.engine.queue_client import QueueClient, new_message

ODD_TEXTS = [
    pytest.param(" ", id="one-space"),
    pytest.param("\t\n\r\r\n a \r", id="white-space"),
    pytest.param("\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467", id="emoji"),
    pytest.param("\ufffd\ue000\ud7ff", id="limits-of-the-basic-plane"),
    pytest.param("\U00010000\U0010fffd", id="limits-of-the-other-planes"),
    pytest.param("'; DROP TABLE messages; -- :queue $1 ? %s", id="sql"),
    pytest.param("x" * 1_048_576, id="1-mib"),
    pytest.param("\u20ac" * 349_525, id="1-mib-of-three-byte-characters"),
]


@pytest.mark.parametrize("count", [1, 3, 4, 5, 21, 63, 64, 65, 213])
async def test_any_number_of_messages_is_sent_in_order(client: QueueClient, count: int) -> None:
    sent = [f"{number}" for number in range(count)]
    await client.send(*sent)
    assert await client.counts() == (count, 0, 0)
    received: list[str] = []
    while len(received) < count:
        received += await client.bodies()
    assert received == sent


@pytest.mark.parametrize("body", ODD_TEXTS)
async def test_body_is_received_as_it_was_sent(client: QueueClient, body: str) -> None:
    await client.send(body)
    assert await client.bodies() == [body]


async def test_receives_of_one_batch_apply_each_their_own_visibility_timeout(
    client: QueueClient,
) -> None:
    await client.send(*"abcdef")
    times_s = {5: 1, 60: 2, 0: 1}
    await asyncio.gather(*(client.receive(n, timeout_s=time_s) for time_s, n in times_s.items()))
    assert await client.counts() == (3, 3, 0)
    client.clock.advance(5)
    assert await client.counts() == (4, 2, 0)
    client.clock.advance(55)
    assert await client.counts() == (6, 0, 0)


async def test_all_fields_of_a_message_are_received(client: QueueClient) -> None:
    sent = new_message("body")._replace(
        message_id=bytes(range(16)), envelope=b"\x00\xff{}", group_id="g"
    )
    ((number, message_id),) = await client.database.submit(client.send_command(sent))
    assert message_id == sent.message_id
    client.clock.advance(2)
    received = await client.receive_one()
    assert received.receipt == (client.queue.id, number, 1)
    assert received[1:5] == (bytes(range(16)), "body", b"\x00\xff{}", "g")
    now_ms = client.clock.now_ms()
    assert received[5:] == (False, now_ms - 2_000, now_ms, now_ms, None)


async def test_messages_are_received_in_the_order_of_sending(client: QueueClient) -> None:
    for body in "abcde":
        await client.send(body)
    assert await client.bodies(2) == ["a", "b"]
    assert await client.bodies() == ["c", "d", "e"]


async def test_messages_of_one_command_keep_their_order(client: QueueClient) -> None:
    await client.send(*"abcdefghij")
    assert await client.bodies() == list("abcdefghij")


async def test_receive_returns_no_more_than_its_maximum(client: QueueClient) -> None:
    await client.send(*"abc")
    assert len(await client.receive(2)) == 2


async def test_receive_returns_messages_of_its_own_queue_only(client: QueueClient) -> None:
    await client.send("a")
    first, client.queue = client.queue, await client.create("others")
    assert await client.bodies() == []
    assert await client.counts() == (0, 0, 0)
    client.queue = first
    assert await client.bodies() == ["a"]


async def test_counts_are_exact_at_every_step_of_a_message(client: QueueClient) -> None:
    assert await client.counts() == (0, 0, 0)
    await client.send("now")
    await client.send("later", delay_s=10)
    assert await client.counts() == (1, 0, 1)
    received = await client.receive_one(timeout_s=5)
    assert await client.counts() == (0, 1, 1)
    client.clock.advance(5)
    assert await client.counts() == (1, 0, 1)
    client.clock.advance(5)
    assert await client.counts() == (2, 0, 0)
    assert await client.change(received.receipt, 60)
    assert await client.counts() == (1, 1, 0)
    await client.delete(received.receipt)
    assert await client.counts() == (1, 0, 0)
    last = await client.receive_one(timeout_s=1)
    await client.delete(last.receipt)
    assert await client.counts() == (0, 0, 0)
    assert (await client.rows())["messages"] == (await client.rows())["bodies"] == 0


async def test_received_message_is_not_visible_until_its_timeout_ends(
    client: QueueClient,
) -> None:
    await client.send("a")
    await client.receive_one(timeout_s=30)
    client.clock.advance(29.999)
    assert await client.bodies() == []
    client.clock.advance(0.001)
    assert await client.bodies() == ["a"]


async def test_message_received_with_timeout_zero_stays_visible(client: QueueClient) -> None:
    await client.send("a")
    assert await client.bodies(timeout_s=0) == ["a"]
    assert await client.counts() == (1, 0, 0)
    assert (await client.receive_one(timeout_s=0)).receipt.receive_count == 2


async def test_delayed_message_becomes_visible_when_its_delay_ends(client: QueueClient) -> None:
    await client.send("a", delay_s=900)
    client.clock.advance(899.999)
    assert await client.bodies() == []
    client.clock.advance(0.001)
    assert await client.bodies() == ["a"]


async def test_receives_are_counted_and_the_time_of_the_first_is_kept(client: QueueClient) -> None:
    await client.send("a")
    client.clock.advance(1)
    first_ms = client.clock.now_ms()
    for receive_count in (1, 2, 3):
        received = await client.receive_one(timeout_s=1)
        assert received.receipt.receive_count == receive_count
        assert received.first_received_at_ms == first_ms
        assert received.received_at_ms == client.clock.now_ms()
        client.clock.advance(1)


async def test_receipt_of_earlier_receive_changes_visibility(client: QueueClient) -> None:
    await client.send("a")
    old = await client.receive_one(timeout_s=0)
    await client.receive_one(timeout_s=30)
    assert await client.change(old.receipt, 0)
    assert await client.counts() == (1, 0, 0)


async def test_receipt_of_earlier_receive_deletes(client: QueueClient) -> None:
    await client.send("a")
    old = await client.receive_one(timeout_s=0)
    await client.receive_one(timeout_s=30)
    await client.delete(old.receipt)
    assert await client.counts() == (0, 0, 0)
    client.clock.advance(30)
    assert await client.bodies() == []


async def test_changed_visibility_timeout_starts_at_the_change(client: QueueClient) -> None:
    await client.send("a")
    received = await client.receive_one(timeout_s=30)
    client.clock.advance(20)
    assert await client.change(received.receipt, 20)
    client.clock.advance(19.999)
    assert await client.bodies() == []
    client.clock.advance(0.001)
    assert await client.bodies() == ["a"]


async def test_visibility_timeout_changed_to_zero_makes_message_visible_at_once(
    client: QueueClient,
) -> None:
    await client.send("a")
    received = await client.receive_one()
    assert await client.change(received.receipt, 0)
    assert (await client.receive_one()).receipt.receive_count == 2


async def test_old_receipt_can_put_a_visible_message_in_flight(client: QueueClient) -> None:
    await client.send("a")
    received = await client.receive_one(timeout_s=0)
    assert await client.change(received.receipt, 10)
    assert await client.counts() == (0, 1, 0)


async def test_change_of_deleted_message_reports_that_it_does_not_exist(
    client: QueueClient,
) -> None:
    await client.send("a")
    received = await client.receive_one()
    await client.delete(received.receipt)
    assert not await client.change(received.receipt, 10)


async def test_changes_of_one_command_have_their_own_outcomes(client: QueueClient) -> None:
    await client.send(*"abc")
    a, b, c = await client.receive()
    await client.delete(b.receipt)
    never = Receipt(client.queue.id, 999_999_999, 1)
    answer = await client.database.submit(
        client.change_command(
            (a.receipt, 0), (b.receipt, 0), (never, 0), (c.receipt, 0), (a.receipt, 9)
        )
    )
    done, missing = Outcome.DONE, Outcome.MISSING
    assert answer == [done, missing, missing, done, done]
    assert await client.bodies() == ["c"]


async def test_second_delete_of_a_message_has_no_effect(client: QueueClient) -> None:
    await client.send(*"ab")
    received = await client.receive_one()
    await client.delete(received.receipt)
    await client.delete(received.receipt)
    assert await client.counts() == (1, 0, 0)


async def test_receipt_twice_in_one_delete_deletes_one_message(
    client: QueueClient,
) -> None:
    await client.send(*"abc")
    received = await client.receive_one()
    await client.delete(received.receipt, received.receipt)
    assert await client.counts() == (2, 0, 0)


async def test_receipt_in_several_deletes_of_one_batch_deletes_one_message(
    client: QueueClient,
) -> None:
    await client.send(*"abc")
    old = await client.receive_one(timeout_s=0)
    new = await client.receive_one()
    submitted = [client.database.submit(client.delete_command(r.receipt)) for r in (old, new, old)]
    for future in submitted:
        await future
    assert await client.counts() == (2, 0, 0)


async def test_delete_runs_before_a_change_of_the_same_batch(client: QueueClient) -> None:
    await client.send("a")
    received = await client.receive_one()
    change = client.database.submit(client.change_command((received.receipt, 0)))
    delete = client.database.submit(client.delete_command(received.receipt))
    await delete
    assert await change == [Outcome.MISSING]
    assert await client.counts() == (0, 0, 0)


async def test_receive_gets_a_message_sent_in_the_same_batch(client: QueueClient) -> None:
    receive = client.database.submit(client.receive_command())
    send = client.database.submit(client.send_command(new_message("a")))
    await send
    assert [received.body for received in await receive] == ["a"]


async def test_receives_of_one_batch_divide_the_messages_among_them(client: QueueClient) -> None:
    await client.send(*"abcde")
    receives = [
        client.database.submit(client.receive_command(maximum)) for maximum in (2, 1, 10, 10)
    ]
    assert [[r.body for r in await receive] for receive in receives] == [
        ["a", "b"],
        ["c"],
        ["d", "e"],
        [],
    ]


async def test_released_claim_is_undone(client: QueueClient) -> None:
    await client.send("a")
    claim = await client.receive_one()
    await client.release(claim)
    assert await client.counts() == (1, 0, 0)
    client.clock.advance(1)
    again = await client.receive_one()
    assert again.receipt.receive_count == 1
    assert again.first_received_at_ms == client.clock.now_ms()


async def test_release_keeps_the_count_of_earlier_receives(client: QueueClient) -> None:
    await client.send("a")
    first_ms = client.clock.now_ms()
    await client.receive_one(timeout_s=1)
    client.clock.advance(1)
    await client.release(await client.receive_one())
    again = await client.receive_one()
    assert again.receipt.receive_count == 2
    assert again.first_received_at_ms == first_ms


async def test_release_of_an_expired_claim_does_not_release_the_next_claim(
    client: QueueClient,
) -> None:
    await client.send("a")
    expired = await client.receive_one(timeout_s=1)
    client.clock.advance(1)
    await client.receive_one(timeout_s=30)
    await client.release(expired)
    assert await client.counts() == (0, 1, 0)
    client.clock.advance(30)
    assert (await client.receive_one()).receipt.receive_count == 3


async def test_release_of_a_deleted_message_restores_nothing(client: QueueClient) -> None:
    await client.send("a")
    claim = await client.receive_one()
    await client.delete(claim.receipt)
    await client.release(claim)
    assert await client.counts() == (0, 0, 0)


async def test_receive_gets_a_message_released_in_the_same_batch(
    client: QueueClient,
) -> None:
    await client.send("a")
    claim = await client.receive_one()
    receive = client.database.submit(client.receive_command())
    client.database.submit(Release([claim]))
    assert [r.receipt.receive_count for r in await receive] == [1]


async def test_withdrawn_receive_claims_nothing(client: QueueClient) -> None:
    await client.send("a")
    command = client.receive_command()
    receive = client.database.submit(command)
    command.withdraw()
    assert await receive == []
    assert await client.counts() == (1, 0, 0)


@pytest.mark.parametrize(
    "places",
    [
        pytest.param([4], id="one"),
        pytest.param([2, 3, 4], id="no-gap"),
        pytest.param([4, 2, 3], id="no-gap-in-another-order"),
        pytest.param([1, 9, 2, 4], id="gaps-between-first-and-last"),
        pytest.param([3, 3, 5], id="twice"),
        pytest.param(list(range(10)), id="all"),
    ],
)
async def test_delete_and_receive_affect_no_messages_between_their_own(
    client: QueueClient, places: list[int]
) -> None:
    sent = await client.send(*"0123456789")
    receipts = [Receipt(client.queue.id, sent[place], 0) for place in places]
    await client.delete(*receipts)
    kept = [str(place) for place in range(10) if place not in places]
    assert await client.bodies(3) == kept[:3]
    assert await client.counts() == (len(kept[3:]), len(kept[:3]), 0)
    assert await client.bodies() == kept[3:]
    assert await client.rows() == {
        "messages": len(kept),
        "bodies": len(kept),
        "backlogs": 1,
        "dropped_queues": 0,
    }
