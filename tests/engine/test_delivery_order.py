"""The order in which a standard queue delivers: the message sent first comes first."""

from __future__ import annotations

import asyncio

import pytest

from storage.messages.commands import ReceiveIncomplete
from storage.messages.rows import STEP_ROWS
from tests.engine.dead_letters import create_pair, exhaust, send
from tests.engine.queue_client import QueueClient, TwoServers
from tests.engine.recorder import recording


async def test_message_that_comes_back_is_received_before_those_sent_later(
    client: QueueClient,
) -> None:
    await client.send("first")
    await client.receive_one(timeout_s=5)
    client.clock.advance(1)
    await client.send(*(f"later {number}" for number in range(50)))
    client.clock.advance(4)
    assert await client.bodies(2) == ["first", "later 0"]


async def test_delayed_message_is_received_before_those_sent_later(client: QueueClient) -> None:
    await client.send("delayed", delay_s=10)
    client.clock.advance(1)
    await client.send("later")
    client.clock.advance(10)
    await client.send("last")
    assert await client.bodies() == ["delayed", "later", "last"]


async def test_message_made_visible_is_received_first(client: QueueClient) -> None:
    await client.send("first", "second")
    received = await client.receive_one()
    client.clock.advance(1)
    await client.send("third")
    await client.change(received.receipt, 0)
    assert await client.bodies() == ["first", "second", "third"]


async def test_released_message_is_received_first(client: QueueClient) -> None:
    await client.send("first", "second")
    received = await client.receive_one()
    client.clock.advance(1)
    await client.send("third")
    await client.release(received)
    assert await client.bodies() == ["first", "second", "third"]


async def test_messages_that_come_back_together_keep_the_order_of_sending(
    client: QueueClient,
) -> None:
    await client.send("a")
    client.clock.advance(0.001)
    await client.send("b")
    await client.receive_one(timeout_s=9)
    await client.receive_one(timeout_s=3)
    client.clock.advance(10)
    assert await client.bodies() == ["a", "b"]


async def test_third_receive_moves_a_message_to_the_back(client: QueueClient) -> None:
    await client.send("often")
    client.clock.advance(1)
    await client.send(*(f"later {number}" for number in range(4)))
    for _ in range(3):
        assert await client.bodies(1, timeout_s=0) == ["often"]
    client.clock.advance(1)
    assert await client.bodies(2) == ["later 0", "later 1"]
    client.clock.advance(1)
    await client.send("last")
    assert await client.bodies() == ["later 2", "later 3", "often", "last"]


async def test_message_received_often_has_its_place_from_when_it_became_visible(
    client: QueueClient,
) -> None:
    await client.send("often")
    for _ in range(2):
        await client.receive_one(timeout_s=0)
    await client.receive_one(timeout_s=10)
    client.clock.advance(9)
    await client.send("before")
    client.clock.advance(2)
    await client.send("after")
    assert await client.bodies() == ["before", "often", "after"]


async def test_receives_in_an_earlier_queue_do_not_move_a_dead_letter_to_the_back(
    client: QueueClient,
) -> None:
    source, target = await create_pair(client, "standard", 3)
    await send(source, "dead")
    await exhaust(source, 3)
    await source.receive()
    client.clock.advance(1)
    await target.send("later")
    for _ in range(3):
        assert await target.bodies(1, timeout_s=0) == ["dead"]
    client.clock.advance(1)
    assert await target.bodies(1) == ["later"]


async def test_many_messages_that_come_back_are_all_received_in_steps(client: QueueClient) -> None:
    count = 2 * STEP_ROWS + 50
    await client.send(*map(str, range(count)))
    taken = await client.receive(count, timeout_s=5)
    assert len(taken) == count
    client.clock.advance(1)
    await client.send("later")
    client.clock.advance(5)
    received = [body for _ in range(count // 10) for body in await client.bodies()]
    assert received == [str(number) for number in range(count)]
    assert await client.bodies() == ["later"]


@pytest.mark.parametrize("in_flight", [20, 2_000])
async def test_statements_of_a_receive_do_not_grow_with_messages_that_come_back(
    client: QueueClient, in_flight: int
) -> None:
    await client.send(*"x" * in_flight)
    await client.receive(in_flight, timeout_s=5)
    client.clock.advance(5)
    with recording() as record:
        assert len(await client.receive()) == 10
    assert len(record.statements) < 20


async def test_servers_receive_each_message_that_comes_back_once(two_servers: TwoServers) -> None:
    one, other = two_servers
    await one.send(*map(str, range(100)))
    await one.receive(100, timeout_s=5)
    one.clock.advance(5)
    found = await asyncio.gather(*(server.bodies() for server in (one, other) for _ in range(5)))
    received = [body for bodies in found for body in bodies]
    while more := await one.bodies():
        received += more
    assert sorted(received) == sorted(map(str, range(100)))


async def test_receives_are_repeated_if_a_batch_wants_more_than_one_step_marks_ready(
    client: QueueClient,
) -> None:
    count = STEP_ROWS + 100
    # The server learns that messages are small: one batch may then have many receives.
    await client.send(*"x" * 60)
    small = [await client.receive_one() for _ in range(60)]
    await client.delete(*[message.receipt for message in small])
    await client.send(*map(str, range(count)))
    await client.receive(count, timeout_s=5)
    client.clock.advance(5)
    submitted = [client.database.submit(client.receive_command()) for _ in range(count // 10)]
    results = await asyncio.gather(*submitted, return_exceptions=True)
    received = [result for result in results if isinstance(result, list)]
    assert [len(messages) for messages in received] == [10] * (STEP_ROWS // 10)
    assert all(isinstance(result, ReceiveIncomplete | list) for result in results)
    assert len(await client.receive(100)) == 100
