"""Receive attempts: a receive repeated with the same attempt id returns the same messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from storage.messages import dropped_queues, receive_attempts
from storage.messages.commands import Outcome, ReceiveAttempt, ReceiveAttemptExpired, Received
from storage.messages.receive_attempts import ATTEMPT_MS
from tests.engine.queue_client import QueueClient, TwoServers, fifo_message


async def receive(
    client: QueueClient, name: str = "try", maximum: int = 2, timeout_s: float = 30, asked: int = 1
) -> list[Received]:
    """Receive with an attempt id; `asked` stands for the request's other parameters."""
    command = client.receive_command(
        maximum, timeout_s, attempt=ReceiveAttempt(name, [asked, timeout_s])
    )
    received: list[Received] = await client.database.submit(command)
    return received


async def test_repeated_attempt_returns_the_same_receipts(fifo: QueueClient) -> None:
    await fifo.send_to("g", *"abc")
    first = await receive(fifo)
    fifo.clock.advance(10)
    assert await receive(fifo) == first
    await fifo.reopen()
    assert await receive(fifo) == first
    assert [message.body for message in first] == ["a", "b"]


async def test_repeated_attempt_restarts_the_visibility_timeout(fifo: QueueClient) -> None:
    await fifo.send_to("g", *"abc")
    first = await receive(fifo)
    for _ in range(3):
        fifo.clock.advance(29)
        assert await receive(fifo) == first
    assert await fifo.bodies() == []
    fifo.clock.advance(29.999)
    assert await fifo.delete(first[0].receipt) == [Outcome.DONE]
    assert await fifo.bodies() == []
    fifo.clock.advance(0.001)
    assert await fifo.bodies() == ["b", "c"]


async def test_other_attempt_receives_other_messages(fifo: QueueClient) -> None:
    await fifo.send_to("g", *"ab")
    await fifo.send_to("h", *"cd")
    assert [message.body for message in await receive(fifo, "one")] == ["a", "b"]
    assert [message.body for message in await receive(fifo, "two")] == ["c", "d"]


async def test_attempt_that_received_nothing_can_receive_later(fifo: QueueClient) -> None:
    assert await receive(fifo) == []
    await fifo.send_to("g", "a")
    assert [message.body for message in await receive(fifo)] == ["a"]


Change = Callable[[QueueClient, list[Received]], Awaitable[object]]


async def end_timeout(client: QueueClient, _: list[Received]) -> None:
    """End the visibility timeout of the messages."""
    client.clock.advance(30)


async def end_timeout_and_receive(client: QueueClient, _: list[Received]) -> None:
    """End the visibility timeout, and receive the messages without the attempt."""
    client.clock.advance(30)
    await client.receive()


async def expire(client: QueueClient, _: list[Received]) -> None:
    """End the retention of the messages."""
    await client.set_retention(10)
    client.clock.advance(10)


CHANGES: list[tuple[str, Change]] = [
    ("deleted", lambda client, received: client.delete(received[1].receipt)),
    ("all-deleted", lambda client, all_: client.delete(*[message.receipt for message in all_])),
    ("changed", lambda client, received: client.change(received[0].receipt, 60)),
    ("timeout-zero", lambda client, received: client.change(received[1].receipt, 0)),
    ("timeout-ended", end_timeout),
    ("received-again", end_timeout_and_receive),
    ("expired", expire),
]


@pytest.mark.parametrize("change", [pytest.param(change, id=name) for name, change in CHANGES])
async def test_attempt_expires_when_one_of_its_messages_changes(
    fifo: QueueClient, change: Change
) -> None:
    await fifo.send_to("g", *"abc")
    await change(fifo, await receive(fifo))
    with pytest.raises(ReceiveAttemptExpired):
        await receive(fifo)


async def test_attempt_with_visibility_timeout_zero_expires_at_once(fifo: QueueClient) -> None:
    await fifo.send_to("g", "a")
    await receive(fifo, timeout_s=0)
    with pytest.raises(ReceiveAttemptExpired):
        await receive(fifo, timeout_s=0)


@pytest.mark.parametrize("differs", [{"timeout_s": 40}, {"asked": 2}], ids=["timeout", "maximum"])
async def test_repeated_attempt_with_other_parameters_is_rejected(
    fifo: QueueClient, differs: dict[str, Any]
) -> None:
    await fifo.send_to("g", *"abc")
    first = await receive(fifo)
    with pytest.raises(ReceiveAttemptExpired):
        await receive(fifo, **differs)
    assert await receive(fifo) == first


@pytest.mark.parametrize("freed", [False, True], ids=["stored", "freed"])
async def test_attempt_is_stored_for_five_minutes_from_its_first_receive(
    fifo: QueueClient, freed: bool
) -> None:
    await fifo.send_to("g", "a")
    await fifo.send_to("h", "b")
    first = await receive(fifo, maximum=1, timeout_s=3_600)
    for _ in range(2):
        fifo.clock.advance(ATTEMPT_MS / 2_000 - 0.001)
        assert await receive(fifo, maximum=1, timeout_s=3_600) == first
    fifo.clock.advance(0.002)
    if freed:
        assert await fifo.database.write(receive_attempts.free_expired, 10) == 1
        assert (await fifo.fifo_rows())["receive_attempts"] == 0
    received = await receive(fifo, maximum=1, timeout_s=3_600)
    assert [message.body for message in received] == ["b"]


async def test_attempt_of_one_queue_does_not_affect_another(fifo: QueueClient) -> None:
    other = await fifo.another_queue("other")
    await fifo.send_to("g", "a")
    await other.send_to("g", "b")
    assert [message.body for message in await receive(fifo)] == ["a"]
    assert [message.body for message in await receive(other)] == ["b"]


async def test_purge_deletes_attempts(fifo: QueueClient) -> None:
    await fifo.send_to("g", "a")
    await receive(fifo)
    await fifo.purge()
    await fifo.send_to("g", "b")
    assert [message.body for message in await receive(fifo)] == ["b"]
    while await fifo.database.write(dropped_queues.free_dropped, 1):
        pass
    assert (await fifo.fifo_rows())["receive_attempts"] == 1


async def test_same_attempt_twice_in_one_batch_receives_once(fifo: QueueClient) -> None:
    for group in "gh":
        await fifo.database.submit(fifo.send_command(fifo_message(group, group)))
    one, two, other = await asyncio.gather(
        receive(fifo, maximum=1), receive(fifo, maximum=1), receive(fifo, "other", maximum=1)
    )
    assert one == two
    assert [message.body for message in one + other] == ["g", "h"]


async def test_withdrawn_attempt_receives_and_changes_nothing(fifo: QueueClient) -> None:
    await fifo.send_to("g", *"ab")
    first = await receive(fifo)
    fifo.clock.advance(20)
    command = fifo.receive_command(2, 30, attempt=ReceiveAttempt("try", [1, 30]))
    command.withdraw()
    assert await fifo.database.submit(command) == []
    fifo.clock.advance(10)
    assert [message.body for message in await fifo.receive()] == [m.body for m in first]


async def test_repeated_attempt_blocks_its_group_until_the_new_timeout(fifo: QueueClient) -> None:
    await fifo.send_to("g", *"ab")
    await receive(fifo, maximum=1)
    fifo.clock.advance(20)
    await receive(fifo, maximum=1)
    fifo.clock.advance(20)
    assert await fifo.bodies() == []
    fifo.clock.advance(10)
    assert await fifo.bodies() == ["a", "b"]


async def test_same_attempt_on_two_servers_at_once_returns_the_same_messages(
    two_fifo_servers: TwoServers,
) -> None:
    one, other = two_fifo_servers
    for number in range(20):
        for group in "gh":
            await one.send_to(f"{group}{number}", "x")
        name = f"try {number}"
        first, second = await asyncio.gather(receive(one, name, 1), receive(other, name, 1))
        assert len(first) == 1
        assert first == second
