"""The limit of messages in flight, and receivers that wait at the limit."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from storage.messages.commands import InFlightLimit, Received
from storage.queues import FIFO
from tests.engine.queue_client import QueueClient, TwoServers, new_message
from tests.engine.receivers import LongPoll, Receivers
from tests.engine.recorder import recording


async def create_limited(client: QueueClient, kind: str, limit: int) -> QueueClient:
    """Create a queue with an in-flight limit, and send three times as many messages."""
    queue = await client.another_queue("limited", kind)
    queue.in_flight_limit = limit
    for number in range(3 * limit):
        if kind == FIFO:
            await queue.send_to(f"g{number}", f"{number}")
        else:
            await queue.send(f"{number}")
    return queue


async def receive_in_one_batch(queue: QueueClient, receivers: int) -> list[int | str]:
    """Receive up to three messages each; return the number of messages or the error's name."""
    answers = await asyncio.gather(
        *(queue.receive(3) for _ in range(receivers)), return_exceptions=True
    )
    return [len(a) if isinstance(a, list) else type(a).__name__ for a in answers]


KINDS = pytest.mark.parametrize("kind", ["standard", "fifo"])


@KINDS
async def test_receives_return_messages_up_to_the_in_flight_limit(
    client: QueueClient, kind: str
) -> None:
    queue = await create_limited(client, kind, 7)
    assert len(await queue.receive(5)) == 5
    assert len(await queue.receive(5)) == 2
    with pytest.raises(InFlightLimit):
        await queue.receive(1)
    assert (await queue.counts())[1] == 7


@KINDS
async def test_receives_of_one_batch_share_the_in_flight_limit(
    client: QueueClient, kind: str
) -> None:
    queue = await create_limited(client, kind, 7)
    assert await receive_in_one_batch(queue, 5) == [3, 3, 1, "InFlightLimit", "InFlightLimit"]


@KINDS
async def test_empty_receive_below_the_in_flight_limit_is_not_rejected(
    client: QueueClient, kind: str
) -> None:
    queue = await create_limited(client, kind, 1)
    queue.in_flight_limit = 7
    assert await receive_in_one_batch(queue, 4) == [3, 0, 0, 0]


async def test_receives_with_timeout_zero_do_not_reach_the_in_flight_limit(
    client: QueueClient,
) -> None:
    queue = await create_limited(client, "standard", 4)
    receivers = Receivers(queue)
    await receivers.start(3, maximum=4, timeout_s=0)
    assert all(await receivers.answers())


@KINDS
async def test_delete_allows_one_more_message_in_flight(client: QueueClient, kind: str) -> None:
    queue = await create_limited(client, kind, 4)
    received = await queue.receive()
    await queue.delete(received[0].receipt)
    assert len(await queue.receive()) == 1
    with pytest.raises(InFlightLimit):
        await queue.receive()


@KINDS
async def test_end_of_visibility_timeout_allows_one_more_message_in_flight(
    client: QueueClient, kind: str
) -> None:
    queue = await create_limited(client, kind, 4)
    await queue.receive(1, timeout_s=5)
    await queue.receive(3, timeout_s=30)
    client.clock.advance(5)
    assert len(await queue.receive()) == 1


async def test_messages_in_flight_before_a_restart_count_towards_the_limit(
    client: QueueClient,
) -> None:
    queue = await create_limited(client, "standard", 4)
    await queue.receive(3)
    await client.reopen()
    queue.database = client.database
    assert len(await queue.receive()) == 1


async def test_delayed_messages_do_not_count_towards_the_limit(client: QueueClient) -> None:
    client.in_flight_limit = 2
    await client.send(*"abcd", delay_s=60)
    await client.send("e")
    assert await client.bodies() == ["e"]


async def test_messages_received_with_timeout_zero_do_not_count_towards_the_limit(
    client: QueueClient,
) -> None:
    queue = await create_limited(client, "standard", 4)
    for _ in range(5):
        assert len(await queue.receive(timeout_s=0)) == 4


@KINDS
async def test_receivers_at_the_limit_sleep_until_a_visibility_timeout_ends(
    client: QueueClient, kind: str
) -> None:
    queue = await create_limited(client, kind, 4)
    await queue.receive(1, timeout_s=15)
    await queue.receive(3, timeout_s=18)
    receivers = Receivers(queue)
    receivers.polls = [LongPoll(queue, 1, 30, 20) for _ in range(3)]
    delayed = [new_message("late", 0.1 * tenth) for tenth in range(1, 150)]
    if kind == "standard":
        await queue.database.submit(queue.send_command(*delayed))
    await receivers.wait_until_idle()
    assert [poll.claims for poll in receivers.polls] == [1, 1, 1]
    queue.clock.advance(14.999)
    await receivers.wait_until_idle()
    assert sum(poll.claims for poll in receivers.polls) <= 6
    queue.clock.advance(0.001)
    answers = await receivers.answers()
    assert sorted(len(answer or []) for answer in answers) == [0, 0, 1]
    assert sum(poll.claims for poll in receivers.polls) <= 10
    queue.clock.advance(3)
    assert all(await receivers.answers())


async def reach_limit(
    client: QueueClient, kind: str, waiting: int
) -> tuple[Receivers, list[Received]]:
    """Put four messages in flight, which are the limit, and start receivers that wait."""
    queue = await create_limited(client, kind, 4)
    received = await queue.receive(4, timeout_s=1_000)
    receivers = Receivers(queue)
    receivers.polls = [LongPoll(queue, 1, 1_000, 20) for _ in range(waiting)]
    await receivers.wait_until_idle()
    assert [poll.claims for poll in receivers.polls] == [1] * waiting
    return receivers, received


@KINDS
@pytest.mark.parametrize("end", ["deleted", "timeout-zero", "released"])
async def test_message_that_leaves_flight_wakes_a_receiver_at_the_limit(
    client: QueueClient, kind: str, end: str
) -> None:
    receivers, received = await reach_limit(client, kind, 3)
    for message in received[:2]:
        if end == "deleted":
            await receivers.client.delete(message.receipt)
        elif end == "timeout-zero":
            await receivers.client.change(message.receipt, 0)
        else:
            await receivers.client.release(message)
    answers = await receivers.answers()
    assert sorted(len(answer or []) for answer in answers) == [0, 1, 1]
    assert (await receivers.client.counts())[1] == 4
    await receivers.cancel_all()


@KINDS
async def test_deletes_wake_one_receiver_at_the_limit_for_each_message(
    client: QueueClient, kind: str
) -> None:
    receivers, received = await reach_limit(client, kind, 5)
    await receivers.client.delete(*[message.receipt for message in received[:3]])
    answers = await receivers.answers()
    assert sorted(len(answer or []) for answer in answers) == [0, 0, 1, 1, 1]
    assert sum(poll.claims for poll in receivers.polls) <= 9
    await receivers.cancel_all()


async def test_deletes_below_the_limit_wake_no_receiver(client: QueueClient) -> None:
    queue = await client.another_queue("unlimited")
    await queue.send(*"abcd")
    received = await queue.receive(4)
    receivers = Receivers(queue)
    await receivers.start(2)
    await queue.delete(*[message.receipt for message in received])
    await receivers.wait_until_idle()
    assert [poll.claims for poll in receivers.polls] == [1, 1]
    await receivers.cancel_all()


async def test_messages_in_flight_are_counted_only_near_the_limit(client: QueueClient) -> None:
    queue = await create_limited(client, "standard", 100)
    if client.url.startswith("postgresql:"):
        queue.in_flight_limit = 1_600  # each server leaves a margin for the others
    await queue.receive(1)
    with recording() as record:
        for _ in range(9):
            await queue.receive(10)
    assert not [text for text in record.texts() if "count(*)" in text]


@KINDS
async def test_two_servers_exceed_the_limit_by_at_most_a_sixteenth(
    two_servers: TwoServers, kind: str
) -> None:
    one, other = two_servers
    queue = await create_limited(one, kind, 64)
    second_queue = await other.another_queue("limited", kind)
    second_queue.in_flight_limit = queue.in_flight_limit
    # Both servers have counted, and found nothing in flight.
    received_count = len(await queue.receive(1)) + len(await second_queue.receive(1))
    for client in (queue, second_queue, queue):
        with contextlib.suppress(InFlightLimit):
            while received := await client.receive(3):
                received_count += len(received)
    assert 64 <= received_count <= 64 + 64 // 16
    assert (await queue.counts())[1] == received_count
