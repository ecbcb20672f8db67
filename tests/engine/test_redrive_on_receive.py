"""Dead-letter queues: when a receive moves a message there, and what the message keeps."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from storage import queues
from storage.queue_settings import QueueName
from storage.schema import bodies, messages
from storage.sql.driver import Driver
from storage.transaction import Transaction
from tests.engine.dead_letters import KINDS, create_pair, exhaust, locations, send
from tests.engine.queue_client import QueueClient, fifo_message, new_message, tenant_message
from tests.engine.receivers import Receivers
from tests.engine.recorder import Watcher, recording, watching


@KINDS
@pytest.mark.parametrize("maximum_receives", [1, 2, 5])
async def test_receive_after_the_last_allowed_one_moves_the_message(
    client: QueueClient, kind: str, maximum_receives: int
) -> None:
    source, target = await create_pair(client, kind, maximum_receives)
    await send(source, "a")
    for _ in range(maximum_receives):
        assert await source.bodies() == ["a"]
        client.clock.advance(30)
        assert await target.bodies() == []
    assert await locations(client) == {"a": [source.queue.id]}
    assert await source.bodies() == []
    (moved,) = await target.receive()
    assert (moved.body, moved.receipt.receive_count) == ("a", maximum_receives + 1)
    assert await locations(client) == {"a": [target.queue.id]}
    assert (await source.counts(), await target.counts()) == ((0, 0, 0), (0, 1, 0))


@KINDS
async def test_messages_are_moved_in_the_transaction_of_the_receive(
    client: QueueClient, kind: str
) -> None:
    source, target = await create_pair(client, kind)
    await send(source, *"abc")
    await exhaust(source)
    with recording() as record:
        await source.receive()
    assert (record.commits, record.rollbacks) == (1, 0)
    assert await locations(client) == {body: [target.queue.id] for body in "abc"}


@KINDS
async def test_failed_receive_moves_nothing(client: QueueClient, kind: str) -> None:
    source, target = await create_pair(client, kind)
    await send(source, "a")
    await exhaust(source)

    def fail(_driver: Driver, text: str, *_: object) -> None:
        if text.startswith("UPDATE messages SET queue_id"):
            raise RuntimeError

    with watching(Watcher(statement=fail)), pytest.raises(RuntimeError):
        await source.receive()
    assert await locations(client) == {"a": [source.queue.id]}
    assert (await source.counts(), await target.counts()) == ((1, 0, 0), (0, 0, 0))
    assert await source.bodies() == []
    assert await target.bodies() == ["a"]


@KINDS
async def test_receive_moves_exhausted_messages_and_returns_the_others(
    client: QueueClient, kind: str
) -> None:
    source, target = await create_pair(client, kind)
    await send(source, *"ab")
    await exhaust(source)
    await send(source, "c")
    assert await source.bodies() == ["c"]
    assert await target.bodies() == ["a", "b"]


@KINDS
async def test_receive_finds_a_message_behind_hundreds_of_exhausted_ones(
    client: QueueClient, kind: str
) -> None:
    source, target = await create_pair(client, kind)
    for first in range(0, 600, 10):
        await send(source, *(f"{n}" for n in range(first, first + 10)))
    await client.database.write(
        lambda tx: tx.connection.execute(messages.update().values(receive_count=1))
    )
    client.clock.advance(1)
    await send(source, "fresh")
    assert await source.bodies(1) == ["fresh"]
    assert await target.counts() == (600, 0, 0)
    if kind == "fifo":
        assert await target.bodies() == [f"{n}" for n in range(10)]


@KINDS
async def test_moved_message_keeps_its_content_and_gets_a_new_number(
    client: QueueClient, kind: str
) -> None:
    source, target = await create_pair(client, kind)
    message = fifo_message("a", "group") if kind == "fifo" else tenant_message("a", "group")
    await source.database.submit(source.send_command(message))
    (before,) = await exhaust(source)
    client.clock.advance(100)
    await source.receive()
    (after,) = await target.receive()
    kept = ("message_id", "body", "envelope", "group_id", "is_ordered", "first_received_at_ms")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert after.dead_letter_source == source.queue.full_name
    assert before.dead_letter_source is None
    assert after.receipt.number > before.receipt.number
    is_new = after.sent_at_ms > before.sent_at_ms
    assert is_new is (kind == "fifo")


@pytest.mark.parametrize(("kind", "lives"), [("standard", False), ("fifo", True)])
async def test_move_restarts_the_retention_in_fifo_queues_only(
    client: QueueClient, kind: str, lives: bool
) -> None:
    source, target = await create_pair(client, kind)
    await send(source, "a")
    await exhaust(source)
    client.clock.advance(100_000)
    await source.receive()
    client.clock.advance(target.retention_s - 100_000)
    assert await target.bodies() == (["a"] if lives else [])


@KINDS
async def test_receipts_from_before_a_move_have_no_effect(client: QueueClient, kind: str) -> None:
    source, target = await create_pair(client, kind)
    await send(source, "a")
    (before,) = await exhaust(source)
    await source.receive()
    await source.delete(before.receipt)
    await source.release(before)
    assert await target.bodies() == ["a"]


@KINDS
async def test_dead_letter_queues_can_be_chained(client: QueueClient, kind: str) -> None:
    chain = [await client.another_queue(name, kind) for name in ("q1", "q2", "q3")]
    await chain[0].redrive_to("q2", 1)
    await chain[1].redrive_to("q3", 2)
    await send(chain[0], "a")
    await exhaust(chain[0])
    assert await chain[0].bodies() == []
    (second,) = await exhaust(chain[1], 2)
    assert second.receipt.receive_count == 3
    assert await chain[1].bodies() == []
    (third,) = await chain[2].receive()
    assert (third.receipt.receive_count, third.dead_letter_source) == (4, chain[1].queue.full_name)


@KINDS
async def test_dead_letter_queue_delivers_what_moved_to_it_in_the_same_batch(
    client: QueueClient, kind: str
) -> None:
    chain = [await client.another_queue(name, kind) for name in ("q1", "q2", "q3")]
    await chain[0].redrive_to("q2", 1)
    await chain[1].redrive_to("q3", 1)
    await send(chain[0], *"abc")
    await exhaust(chain[0])
    answers = await asyncio.gather(*(queue.bodies() for queue in chain))
    left = [await queue.counts() for queue in chain]
    assert answers == [[], ["a", "b", "c"], []]
    assert left == [(0, 0, 0), (0, 3, 0), (0, 0, 0)]


@KINDS
@pytest.mark.parametrize("target", ["source", "never-was"], ids=["itself", "missing"])
async def test_queue_with_invalid_dead_letter_queue_delivers_its_messages(
    client: QueueClient, kind: str, target: str
) -> None:
    source, _ = await create_pair(client, kind)
    await source.redrive_to(target, 1)
    await send(source, *"ab")
    for count in range(1, 5):
        received = await exhaust(source)
        assert [(m.body, m.receipt.receive_count) for m in received] == [("a", count), ("b", count)]
    assert (await source.counts())[0] == 2


async def test_missing_dead_letter_queue_does_not_reorder_a_group(fifo: QueueClient) -> None:
    await fifo.redrive_to("never-was", 1)
    await fifo.send_to("g", *"abc")
    await fifo.bodies(1, timeout_s=0)
    assert await fifo.bodies() == ["a", "b", "c"]


@KINDS
async def test_source_of_deleted_dead_letter_queue_delivers_its_messages(
    client: QueueClient, kind: str
) -> None:
    source, target = await create_pair(client, kind)
    await send(source, "a")
    await exhaust(source)
    await client.database.write(queues.delete, target.queue)
    assert await source.bodies() == ["a"]


@KINDS
async def test_moved_message_wakes_receiver_of_the_dead_letter_queue(
    client: QueueClient, kind: str
) -> None:
    source, target = await create_pair(client, kind)
    await send(source, *"ab")
    await exhaust(source)
    receivers = Receivers(target)
    await receivers.start(3, maximum=1 if kind == "standard" else 2)
    await source.receive()
    expected = [["a"], ["b"], None] if kind == "standard" else [["a", "b"], None, None]
    assert await receivers.answers() == expected
    await receivers.cancel_all()


async def test_group_is_moved_in_order_and_can_be_used_afterwards(fifo: QueueClient) -> None:
    source, target = await create_pair(fifo, "fifo")
    await source.send_to("g", *"abc")
    await source.send_to("h", "d")
    await exhaust(source)
    await source.send_to("g", "e")
    assert await source.bodies() == ["e"]
    await source.send_to("h", "f")
    assert await source.bodies() == ["f"]
    moved = await target.receive()
    assert sorted(m.body for m in moved) == ["a", "b", "c", "d"]
    assert [m.body for m in moved if m.group_id == "g"] == ["a", "b", "c"]
    assert await target.bodies() == []


async def test_moved_messages_follow_those_of_their_group(fifo: QueueClient) -> None:
    source, target = await create_pair(fifo, "fifo")
    await source.send_to("g", "a")
    await exhaust(source)
    await target.send_to("g", "z")
    await source.receive()
    assert await target.bodies(1) == ["z"]
    assert await target.bodies() == []
    fifo.clock.advance(30)
    assert await target.bodies() == ["z", "a"]


async def test_exhausted_messages_behind_one_in_flight_are_not_moved(fifo: QueueClient) -> None:
    source, target = await create_pair(fifo, "fifo", 2)
    await source.send_to("g", *"abc")
    await exhaust(source)
    received = await source.receive()
    for message in received[1:]:
        await source.change(message.receipt, 0)
    assert await source.bodies() == []
    assert await target.counts() == (0, 0, 0)
    await source.delete(received[0].receipt)
    assert await source.bodies() == []
    assert await target.bodies() == ["b", "c"]


async def test_exhausted_message_in_flight_is_not_moved(client: QueueClient) -> None:
    source, target = await create_pair(client, "standard")
    await source.send("a")
    await source.receive(timeout_s=10)
    assert await source.bodies() == []
    assert await target.counts() == (0, 0, 0)


async def test_expired_message_is_not_moved(client: QueueClient) -> None:
    source, target = await create_pair(client, "standard")
    await source.send("a")
    await exhaust(source)
    client.clock.advance(source.retention_s)
    assert await source.bodies() == []
    assert (await client.rows())["messages"] == 0
    assert await target.counts() == (0, 0, 0)


async def test_moved_messages_are_not_deduplicated(
    fifo: QueueClient,
) -> None:
    target = await fifo.another_queue("target")
    for name in ("q1", "q2"):
        source = await fifo.another_queue(name)
        await source.redrive_to("target", 1)
        await source.database.submit(source.send_command(fifo_message(name, "g", "same")))
        await exhaust(source)
        assert await source.bodies() == []
    assert await target.bodies() == ["q1", "q2"]


@KINDS
async def test_each_message_is_in_one_queue_under_concurrent_receives(
    client: QueueClient, kind: str
) -> None:
    source, target = await create_pair(client, kind, 2)
    sent = 0
    for number in range(25):
        make = fifo_message if kind == "fifo" else new_message
        messages = [make(f"{sent + n}") for n in range(4)]
        sent += 4
        await asyncio.gather(
            source.database.submit(source.send_command(*messages)),
            source.receive(3, timeout_s=number % 3),
            target.receive(2, timeout_s=0),
            source.receive(2, timeout_s=0),
        )
        client.clock.advance(0.5)
        found = await locations(client)
        assert len(found) == sent
        assert all(len(queue_ids) == 1 for queue_ids in found.values())
    assert sum(await source.counts()) + sum(await target.counts()) == sent


@KINDS
async def test_damaged_dead_letter_source_keeps_no_message_from_being_received(
    client: QueueClient, kind: str
) -> None:
    source, target = await create_pair(client, kind)
    await send(source, *"ab")
    await exhaust(source)
    await source.receive()

    def damage(transaction: Transaction) -> None:
        numbers = sa.select(bodies.c.id).where(bodies.c.body == "a")
        change = messages.update().where(messages.c.body_id.in_(numbers))
        transaction.connection.execute(change.values(dead_letter_source="damaged"))

    await client.database.write(damage)
    received = {message.body: message for message in await target.receive()}
    assert received["a"].dead_letter_source == QueueName("", "", "damaged")
    assert received["b"].dead_letter_source == source.queue.full_name
