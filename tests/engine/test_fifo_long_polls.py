"""Long polls of FIFO queues: which changes of a message group wake a receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.engine.queue_client import RETENTION_S, QueueClient
from tests.engine.receivers import Receivers


@pytest_asyncio.fixture
async def receivers(fifo: QueueClient) -> AsyncIterator[Receivers]:
    """Yield receivers of an empty FIFO queue, and cancel their long polls."""
    receivers = Receivers(fifo)
    yield receivers
    await receivers.cancel_all()


async def test_first_message_that_expires_in_flight_unblocks_its_group(
    receivers: Receivers,
) -> None:
    client = receivers.client
    await client.send_to("g", "old")
    client.clock.advance(RETENTION_S - 100)
    await client.receive(timeout_s=43_200)
    await client.send_to("g", "young")
    await receivers.start(1, wait_s=1_000)
    client.clock.advance(99.999)
    assert await receivers.answers() == [None]
    client.clock.advance(0.001)
    assert await receivers.answers() == [["young"]]
    assert (await client.rows())["messages"] == 1


async def test_longer_retention_keeps_a_group_blocked_and_wakes_no_receiver(
    receivers: Receivers,
) -> None:
    client = receivers.client
    await client.send_to("g", "a", "b")
    await client.set_retention(60)
    client.clock.advance(50)
    await client.receive(1, timeout_s=1_000)
    await client.set_retention(RETENTION_S)
    await receivers.start(1, wait_s=2_000)
    client.clock.advance(500)
    assert await receivers.answers() == [None]
    assert receivers.polls[0].claims <= 2
    client.clock.advance(500)
    assert await receivers.answers() == [["a"]]


async def test_delete_of_the_last_message_in_flight_wakes_one_receiver(
    receivers: Receivers,
) -> None:
    await receivers.client.send_to("g", *"abc")
    received = await receivers.client.receive(2)
    await receivers.start(2)
    await receivers.client.delete(received[0].receipt)
    assert await receivers.answers() == [None, None]
    await receivers.client.delete(received[1].receipt)
    assert await receivers.answers() == [["c"], None]


async def test_end_of_the_first_messages_visibility_timeout_wakes_one_receiver(
    receivers: Receivers,
) -> None:
    await receivers.client.send_to("g", *"ab")
    await receivers.client.receive(1, timeout_s=5)
    await receivers.start(2)
    receivers.client.clock.advance(5)
    assert await receivers.answers() == [["a"], None]


async def test_first_message_changed_to_timeout_zero_wakes_one_receiver(
    receivers: Receivers,
) -> None:
    await receivers.client.send_to("g", *"ab")
    received = await receivers.client.receive(2)
    await receivers.start(2)
    await receivers.client.change(received[1].receipt, 0)
    assert await receivers.answers() == [None, None]
    await receivers.client.change(received[0].receipt, 0)
    answers = await receivers.answers()
    assert answers in ([["a"], None], [None, ["a"]])


async def test_released_message_of_a_group_wakes_one_receiver(receivers: Receivers) -> None:
    await receivers.client.send_to("g", *"ab")
    received = await receivers.client.receive(1)
    await receivers.start(2)
    await receivers.client.release(*received)
    assert await receivers.answers() == [["a"], None]


async def test_each_group_wakes_one_receiver(receivers: Receivers) -> None:
    await receivers.start(4)
    for group in ("g", "h", "g", "i"):
        await receivers.client.send_to(group, group)
    answers = await receivers.answers()
    assert answers.count(None) == 1
    assert sorted(answer[0] for answer in answers if answer) == ["g", "h", "i"]


async def test_message_sent_to_blocked_group_wakes_no_receiver(receivers: Receivers) -> None:
    await receivers.client.send_to("g", "a")
    await receivers.client.receive()
    await receivers.start(2)
    await receivers.client.send_to("g", *"bcd")
    assert await receivers.answers() == [None, None]
    assert sum(poll.claims for poll in receivers.polls) <= 5


async def test_changed_queue_delay_wakes_receivers_at_the_new_time(receivers: Receivers) -> None:
    await receivers.client.send_to("g", "a", delay_s=60)
    await receivers.client.send_to("h", "b", delay_s=60)
    await receivers.start(2)
    await receivers.client.set_delay(5)
    await receivers.wait_until_idle()
    await receivers.cancel_all()
    receivers.polls.clear()
    await receivers.client.refresh()
    await receivers.start(2)
    receivers.client.clock.advance(5)
    assert await receivers.answers() == [["a"], ["b"]]
