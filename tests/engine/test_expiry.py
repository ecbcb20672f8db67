"""Retention: an expired message cannot be received, even before its rows are freed."""

from __future__ import annotations

import asyncio

from sqlalchemy.util import await_only

from storage import move_tasks
from storage.messages import expiry
from storage.transaction import Transaction
from tests.engine.queue_client import RETENTION_S, QueueClient, TwoServers, new_message, queue_name
from tests.waiting import TRANSACTION_TIMEOUT_SECONDS


async def free_all(client: QueueClient, limit: int = 500) -> int:
    """Free all expired messages of the queue; return their number."""
    freed = 0
    while step := await client.database.write(expiry.free_expired, client.queue.id, limit):
        freed += step
    return freed


async def test_message_is_received_until_its_retention_ends(client: QueueClient) -> None:
    await client.send("a")
    client.clock.advance(RETENTION_S - 0.001)
    assert await client.bodies(timeout_s=0) == ["a"]
    client.clock.advance(0.001)
    assert await client.bodies() == []


async def test_counts_exclude_expired_messages_that_are_not_freed(client: QueueClient) -> None:
    await client.send(*"abc")
    await client.send("delayed", delay_s=RETENTION_S * 2)
    await client.receive_one(timeout_s=RETENTION_S * 2)
    client.clock.advance(RETENTION_S - 1)
    await client.send("young")
    assert await client.counts() == (3, 1, 1)
    client.clock.advance(1)
    assert await client.counts() == (1, 0, 0)
    assert (await client.rows())["messages"] == 5


async def test_counts_are_zero_when_all_messages_have_expired(client: QueueClient) -> None:
    await client.send(*"abc")
    await client.receive_one(timeout_s=RETENTION_S * 2)
    client.clock.advance(RETENTION_S)
    assert await client.counts() == (0, 0, 0)


async def test_counts_are_exact_when_a_received_message_expires(
    client: QueueClient,
) -> None:
    await client.send("old")
    client.clock.advance(RETENTION_S - 10)
    await client.receive_one(timeout_s=5)
    await client.send("young", "younger")
    client.clock.advance(5)
    assert await client.counts() == (3, 0, 0)
    client.clock.advance(5)
    assert await client.counts() == (2, 0, 0)
    assert await client.bodies() == ["young", "younger"]
    assert await client.counts() == (0, 2, 0)


async def test_receive_finds_a_message_behind_thousands_of_expired_ones(
    client: QueueClient,
) -> None:
    await client.database.submit(client.send_command(*[new_message("old")] * 3_000))
    client.clock.advance(RETENTION_S - 1)
    await client.send("young")
    client.clock.advance(1)
    assert await client.bodies(1) == ["young"]


async def test_second_receive_finds_a_message_behind_more_expired_ones_than_one_receive_frees(
    client: QueueClient,
) -> None:
    await client.database.submit(client.send_command(*[new_message("old")] * 6_000))
    client.clock.advance(RETENTION_S - 1)
    await client.send("young")
    client.clock.advance(1)
    received = await client.bodies() + await client.bodies()
    assert received == ["young"]


async def test_all_messages_among_expired_ones_are_received(client: QueueClient) -> None:
    await client.send(*["old"] * 20)
    client.clock.advance(RETENTION_S - 100)
    await client.receive(timeout_s=50)
    await client.send(*["young"] * 5)
    client.clock.advance(100)
    receives = [client.database.submit(client.receive_command(3)) for _ in range(3)]
    received = [message.body for receive in receives for message in await receive]
    assert received == ["young"] * 5
    assert await client.counts() == (0, 5, 0)


async def test_change_of_expired_message_reports_that_it_does_not_exist(
    client: QueueClient,
) -> None:
    await client.send("a")
    received = await client.receive_one(timeout_s=RETENTION_S * 2)
    client.clock.advance(RETENTION_S - 0.001)
    assert await client.change(received.receipt, 10)
    client.clock.advance(0.001)
    assert not await client.change(received.receipt, 10)


async def test_delete_of_expired_message_keeps_counts_exact(client: QueueClient) -> None:
    await client.send("a")
    received = await client.receive_one()
    client.clock.advance(RETENTION_S)
    await client.send("b")
    await client.delete(received.receipt)
    assert await client.counts() == (1, 0, 0)


async def test_longer_retention_restores_expired_messages_that_are_not_freed(
    client: QueueClient,
) -> None:
    await client.send("a")
    await client.set_retention(60)
    client.clock.advance(60)
    assert await client.counts() == (0, 0, 0)
    await client.set_retention(120)
    assert await client.counts() == (1, 0, 0)
    assert await client.bodies() == ["a"]


async def test_only_expired_messages_are_freed_in_steps(client: QueueClient) -> None:
    await client.send(*["old"] * 7)
    client.clock.advance(RETENTION_S - 1)
    await client.receive(2, timeout_s=RETENTION_S)
    await client.send("young", "younger")
    assert await free_all(client) == 0
    client.clock.advance(1)
    for freed in (3, 3, 1, 0):
        step = await client.database.write(expiry.free_expired, client.queue.id, 3)
        assert step == freed
        assert await client.counts() == (2, 0, 0)
    rows = await client.rows()
    assert rows["messages"] == rows["bodies"] == 2
    assert await client.bodies() == ["young", "younger"]


async def test_only_queues_with_expired_messages_are_listed(client: QueueClient) -> None:
    old, young, empty = client.queue, await client.create("young"), await client.create("empty")
    await client.send("a")
    client.clock.advance(10)
    await client.send("as new as the other queue's")
    client.queue = young
    await client.send("b")

    async def found(expired_ms: int) -> object:
        all_queues, now_ms = (empty, young, old), expired_ms + RETENTION_S * 1000
        return await client.database.read(expiry.queues_with_expired, all_queues, now_ms)

    now_ms = client.clock.now_ms()
    assert await found(now_ms - 10_001) == []
    assert await found(now_ms - 10_000) == [old.id]
    assert await found(now_ms - 1) == [old.id]
    assert await found(now_ms) == [young.id, old.id]


async def test_receive_frees_expired_messages_that_it_finds_with_their_bodies(
    client: QueueClient,
) -> None:
    await client.send(*["old"] * 20)
    client.clock.advance(RETENTION_S)
    assert await client.bodies() == []
    rows = await client.rows()
    assert rows["messages"] == rows["bodies"] == 0


async def test_two_servers_that_free_the_same_messages_count_them_once(
    two_servers: TwoServers,
) -> None:
    one, other = two_servers
    await one.send(*["old"] * 5)
    one.clock.advance(RETENTION_S)
    await one.send(*["young"] * 3)
    step = (one.queue.id, 500)

    def free_on_both_servers(transaction: Transaction) -> tuple[int, int]:
        freed = expiry.free_expired(transaction, *step)
        second = other.database.write(expiry.free_expired, *step)
        return freed, await_only(asyncio.wait_for(second, TRANSACTION_TIMEOUT_SECONDS))

    assert await one.database.write(free_on_both_servers) == (5, 0)
    assert await one.counts() == (3, 0, 0)


async def dead_letter(client: QueueClient, *names: str) -> None:
    """Send messages to another queue, and let its redrive policy move them to this one."""
    source = await client.another_queue("another-source")
    await source.redrive_to(client.queue.name, 1)
    await source.send(*names)
    await source.receive(timeout_s=0)
    assert await source.receive() == []


async def dead_letter_out_of_order(client: QueueClient) -> None:
    """Move three old messages behind a newer one; leave one of them in flight, and delay one."""
    source = await client.another_queue("source")
    await source.redrive_to(client.queue.name, 1)
    await source.send("old", "older", "in flight")
    client.clock.advance(1_000)
    await dead_letter(client, "young")
    await source.receive(timeout_s=0)
    assert await source.receive() == []
    await client.send("new")
    await client.send("delayed", delay_s=RETENTION_S)
    received = {message.body: message for message in await client.receive(timeout_s=0)}
    assert set(received) == {"old", "older", "in flight", "young", "new"}
    await client.change(received["in flight"].receipt, RETENTION_S * 2)
    client.clock.advance(RETENTION_S - 1_001)


async def test_counts_exclude_expired_dead_letters_behind_newer_ones(
    client: QueueClient,
) -> None:
    await dead_letter_out_of_order(client)
    assert await client.counts() == (4, 1, 1)
    client.clock.advance(1)
    assert await client.counts() == (2, 0, 1)
    assert (await client.rows())["messages"] == 6
    client.clock.advance(998)
    assert await client.counts() == (2, 0, 1)
    client.clock.advance(2)
    assert await client.counts() == (0, 0, 0)


async def test_expired_dead_letters_behind_newer_ones_are_freed(
    client: QueueClient,
) -> None:
    await dead_letter_out_of_order(client)
    queue_id = client.queue.id

    async def found(expired_ms: int) -> object:
        now_ms = expired_ms + RETENTION_S * 1000
        return await client.database.read(expiry.queues_with_expired, [client.queue], now_ms)

    assert await found(client.expired_ms() + 999) == []
    assert await found(client.expired_ms() + 1_000) == [queue_id]
    client.clock.advance(1)
    for freed in (2, 1, 0):
        step = await client.database.write(expiry.free_expired, queue_id, 2)
        assert step == freed
        assert await client.counts() == (2, 0, 1)
    rows = await client.rows()
    assert rows["messages"] == rows["bodies"] == 3
    assert await found(client.expired_ms()) == []


async def test_move_task_restarts_the_retention_of_dead_letters(client: QueueClient) -> None:
    home = await client.another_queue("home")
    await dead_letter(client, "a")
    client.clock.advance(1_000)
    write = client.database.write
    await write(move_tasks.start, "task", client.queue, queue_name("home"), None, 1)
    assert await write(move_tasks.step, "task", 10)
    now_ms = client.clock.now_ms() - 1 + RETENTION_S * 1000
    assert await home.database.read(expiry.queues_with_expired, [home.queue], now_ms) == []
    assert await home.counts() == (1, 0, 0)
