"""Deduplication: which messages are duplicates, for how long, and what their senders get."""

from __future__ import annotations

import asyncio

import pytest

from storage import queues
from storage.messages import deduplication
from storage.messages.commands import SentMessage
from storage.messages.deduplication import DEDUPLICATION_MS
from storage.queues import FIFO_BY_GROUP
from tests.engine.queue_client import QueueClient, TwoServers, fifo_message

INTERVAL_S = DEDUPLICATION_MS / 1000


async def send(client: QueueClient, *names: str) -> list[SentMessage]:
    """Send messages in one command; each is given as `group:deduplication id:body`."""
    messages = []
    for name in names:
        group, key, body = name.split(":")
        messages.append(fifo_message(body, group, key))
    sent: list[SentMessage] = await client.database.submit(client.send_command(*messages))
    return sent


async def test_duplicate_returns_the_original_message_and_is_not_enqueued(
    fifo: QueueClient,
) -> None:
    (first,) = await send(fifo, "g:d:a")
    (second,) = await send(fifo, "g:d:b")
    assert second == first
    received = await fifo.receive()
    assert [(r.body, r.receipt.number, r.message_id) for r in received] == [("a", *first)]


async def test_queue_scope_deduplicates_across_groups(fifo: QueueClient) -> None:
    first, second = await send(fifo, "g:d:a", "h:d:b")
    assert second == first
    assert await fifo.bodies() == ["a"]


async def test_group_scope_deduplicates_within_each_group_only(fifo: QueueClient) -> None:
    client = await fifo.another_queue("by-group", FIFO_BY_GROUP)
    first, other, again = await send(client, "g:d:a", "h:d:b", "g:d:c")
    assert other != first
    assert again == first
    assert await client.bodies() == ["a", "b"]


async def test_group_id_and_deduplication_id_are_separated_unambiguously(fifo: QueueClient) -> None:
    client = await fifo.another_queue("by-group", FIFO_BY_GROUP)
    await send(client, "ab:c:1", "a:bc:2", "a:b-c:3", "a-b:c:4")
    assert await client.bodies() == ["1", "2", "3", "4"]


async def test_deduplication_ids_of_one_queue_do_not_affect_another(fifo: QueueClient) -> None:
    other = await fifo.another_queue("other")
    await asyncio.gather(send(fifo, "g:d:a"), send(other, "g:d:b"))
    assert await fifo.bodies() == ["a"]
    assert await other.bodies() == ["b"]


@pytest.mark.parametrize(
    ("later_s", "is_new"),
    [
        pytest.param(INTERVAL_S - 0.001, False, id="a-millisecond-before"),
        pytest.param(INTERVAL_S, True, id="at-five-minutes"),
        pytest.param(INTERVAL_S + 60, True, id="at-six-minutes"),
    ],
)
@pytest.mark.parametrize("freed", [False, True], ids=["stored", "freed"])
async def test_deduplication_id_is_stored_for_five_minutes(
    fifo: QueueClient, later_s: float, is_new: bool, freed: bool
) -> None:
    (first,) = await send(fifo, "g:d:a")
    fifo.clock.advance(later_s)
    if freed:
        assert await fifo.database.write(deduplication.free_expired, 10) == is_new
    (second,) = await send(fifo, "g:d:b")
    assert (second != first) is is_new
    assert await fifo.bodies() == (["a", "b"] if is_new else ["a"])


async def test_deduplication_interval_starts_at_the_first_send_and_restarts_after_its_end(
    fifo: QueueClient,
) -> None:
    await send(fifo, "g:d:a")
    fifo.clock.advance(INTERVAL_S - 1)
    await send(fifo, "g:d:b")
    fifo.clock.advance(1)
    (second,) = await send(fifo, "g:d:c")
    fifo.clock.advance(INTERVAL_S - 1)
    assert await send(fifo, "g:d:d") == [second]
    assert await fifo.bodies() == ["a", "c"]


async def test_deduplication_id_outlives_its_message_and_a_restart(fifo: QueueClient) -> None:
    (first,) = await send(fifo, "g:d:a")
    received = await fifo.receive_one()
    await fifo.delete(received.receipt)
    await fifo.reopen()
    assert await send(fifo, "g:d:b") == [first]
    assert await fifo.bodies() == []
    assert await fifo.counts() == (0, 0, 0)


async def test_purge_deletes_all_deduplication_ids(fifo: QueueClient) -> None:
    (first,) = await send(fifo, "g:d:a")
    await fifo.purge()
    (second,) = await send(fifo, "g:d:b")
    assert second != first
    assert await fifo.bodies() == ["b"]


async def test_recreated_queue_has_no_deduplication_ids(fifo: QueueClient) -> None:
    await send(fifo, "g:d:a")
    await fifo.database.write(queues.delete, fifo.queue)
    again = await fifo.another_queue(fifo.queue.name)
    await send(again, "g:d:b")
    assert await again.bodies() == ["b"]


async def test_duplicates_in_one_send_return_the_first_message(fifo: QueueClient) -> None:
    a, b, c, d = await send(fifo, "g:d:a", "g:e:b", "g:d:c", "h:e:d")
    assert (c, d) == (a, b)
    assert await fifo.bodies() == ["a", "b"]
    assert await fifo.counts() == (0, 2, 0)


async def test_duplicates_in_one_batch_return_the_first_message(fifo: QueueClient) -> None:
    answers = await asyncio.gather(*(send(fifo, f"g:d:{n}", f"g:{n}:x{n}") for n in range(5)))
    assert len({answer[0] for answer in answers}) == 1
    assert len({answer[1] for answer in answers}) == 5
    assert await fifo.bodies() == ["0", "x0", "x1", "x2", "x3", "x4"]


async def test_deduplication_interval_of_delayed_message_starts_at_its_send(
    fifo: QueueClient,
) -> None:
    message = fifo_message("a", "g", "d", delay_s=900)
    (first,) = await fifo.database.submit(fifo.send_command(message))
    assert await send(fifo, "g:d:b") == [first]
    fifo.clock.advance(INTERVAL_S)
    assert await send(fifo, "g:d:c") != [first]


async def test_expired_deduplication_ids_are_freed_in_steps(fifo: QueueClient) -> None:
    await send(fifo, *(f"g:{n}:x" for n in range(5)))
    fifo.clock.advance(INTERVAL_S)
    (kept,) = await send(fifo, "g:kept:x")
    freed = [await fifo.database.write(deduplication.free_expired, 2) for _ in range(4)]
    assert freed == [2, 2, 1, 0]
    assert (await fifo.fifo_rows())["deduplications"] == 1
    assert await send(fifo, "g:kept:x") == [kept]


async def test_two_servers_enqueue_a_duplicate_once(
    two_fifo_servers: TwoServers,
) -> None:
    one, other = two_fifo_servers
    for number in range(30):
        name = f"g{number}:d{number}:x"
        (first,), (second,) = await asyncio.gather(send(one, name), send(other, name))
        assert first == second
    assert await one.counts() == (30, 0, 0)


async def test_batch_separates_new_known_and_expired_ids(fifo: QueueClient) -> None:
    await send(fifo, "g:expired:a")
    fifo.clock.advance(INTERVAL_S)
    (known,) = await send(fifo, "g:known:b")
    first, *others = await asyncio.gather(
        send(fifo, "g:expired:c", "g:known:d", "g:new:e"),
        send(fifo, "g:new:f", "h:expired:g"),
        send(fifo, "h:other:h"),
    )
    assert first[1] == known
    assert [one for sent in others for one in sent][:2] == [first[2], first[0]]
    assert await fifo.bodies() == ["a", "b", "c", "e", "h"]
    # Each id counts from its first send in the batch.
    fifo.clock.advance(INTERVAL_S - 0.001)
    await send(fifo, "g:expired:x", "g:new:y", "h:other:z")
    assert await fifo.counts() == (5, 0, 0)
