"""Fair queues: a noisy tenant does not delay the others, and what this costs."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import chain
from typing import Any

import pytest
import sqlalchemy as sa

from storage.messages.commands import Received
from storage.schema import bodies, messages
from storage.transaction import Transaction
from tests.engine.queue_client import QueueClient, new_message, tenant_message
from tests.engine.recorder import recording

BACKLOG = 20_000


def insert(transaction: Transaction, queue_id: int, tenant_id: str, count: int) -> None:
    """Insert the rows of a tenant's backlog, which is faster than sending it."""
    now_ms = transaction.now_ms
    numbers = transaction.take_numbers(count)
    states: list[dict[str, Any]] = [
        {
            "queue_id": queue_id,
            "id": number,
            "visible_at_ms": 0,
            "sent_at_ms": now_ms,
            "receive_count": 0,
            "group_id": None,
            "tenant_id": tenant_id,
            "queued_at_ms": now_ms,
            "body_id": number,
            "size": len(tenant_id),
            "earlier_receives": 0,
        }
        for number in numbers
    ]
    contents: list[dict[str, Any]] = [
        {
            "queue_id": queue_id,
            "id": number,
            "message_id": bytes(16),
            "body": tenant_id,
            "envelope": b"",
        }
        for number in numbers
    ]
    transaction.connection.execute(messages.insert(), states)
    transaction.connection.execute(bodies.insert(), contents)
    transaction.add_to_count(queue_id, count)


async def flood(client: QueueClient, tenant_id: str, count: int) -> None:
    """Add `count` messages of a tenant."""
    await client.database.write(insert, client.queue.id, tenant_id, count)
    client.clock.advance(0.001)


async def send(client: QueueClient, *tenants: str) -> None:
    """Send one message for each tenant, with the tenant's name as its body."""
    await client.database.submit(
        client.send_command(*[tenant_message(one, one) for one in tenants])
    )
    client.clock.advance(0.001)


async def take(client: QueueClient, count: int, timeout_s: float = 3_600) -> list[Received]:
    """Receive `count` messages, ten at a time, and move the clock by a second."""
    received: list[Received] = []
    while len(received) < count:
        found = await client.receive(min(10, count - len(received)), timeout_s)
        assert found
        received += found
    client.clock.advance(1)
    return received


async def test_backlog_of_noisy_tenant_does_not_delay_quiet_tenant(client: QueueClient) -> None:
    await flood(client, "noisy", BACKLOG)
    await take(client, 40)
    await send(client, "quiet", "quiet")
    assert await client.bodies(3) == ["quiet", "quiet", "noisy"]


async def test_tenant_becomes_noisy_within_five_receives_of_one_millisecond(
    client: QueueClient,
) -> None:
    await flood(client, "noisy", 200)
    await send(client, *["quiet"] * 5)
    before = 0
    while "quiet" not in await client.bodies():
        before += 10
    assert before <= 50


@pytest.mark.parametrize(
    ("in_flight", "others", "is_noisy"),
    [
        pytest.param(29, 0, False, id="below-thirty"),
        pytest.param(30, 0, True, id="thirty"),
        pytest.param(30, 270, False, id="a-tenth"),
        pytest.param(31, 270, True, id="more-than-a-tenth"),
    ],
)
async def test_tenant_is_noisy_from_thirty_in_flight_and_more_than_a_tenth(
    client: QueueClient, in_flight: int, others: int, is_noisy: bool
) -> None:
    await send(client, *["tenant"] * in_flight, *[f"other-{n % 27}" for n in range(others)])
    await take(client, in_flight + others)
    await send(client, "tenant")
    await send(client, "quiet")
    assert await client.bodies(1) == (["quiet"] if is_noisy else ["tenant"])


async def test_noisy_tenant_is_served_when_no_other_has_messages(client: QueueClient) -> None:
    await flood(client, "noisy", 100)
    await send(client, "quiet")
    received = await take(client, 101)
    assert Counter(message.body for message in received) == {"noisy": 100, "quiet": 1}
    assert len({message.receipt.number for message in received}) == 101


async def test_noisy_tenant_with_fewest_messages_in_flight_is_served_first(
    client: QueueClient,
) -> None:
    await send(client, *["loud"] * 40, *["louder"] * 60)
    await take(client, 100)
    await send(client, "louder", "louder", "loud", "loud")
    assert await client.bodies(3) == ["loud", "loud", "louder"]


async def test_messages_without_tenant_are_served_like_quiet_tenants(client: QueueClient) -> None:
    await flood(client, "noisy", 100)
    await take(client, 40)
    await send(client, "quiet")
    await client.send("without tenant")
    await send(client, "quiet")
    assert await client.bodies(4) == ["quiet", "without tenant", "quiet", "noisy"]


async def test_messages_without_tenant_never_become_noisy(client: QueueClient) -> None:
    await client.send(*["x"] * 100)
    await take(client, 60)
    await send(client, "tenant")
    assert await client.bodies(1) == ["x"]


async def test_queue_without_tenants_counts_no_tenants(client: QueueClient) -> None:
    await client.send(*["x"] * 100)
    await client.receive()
    with recording() as record:
        await take(client, 50)
    assert not [text for text in record.texts() if "tenant_id" in text and "GROUP BY" in text]


@pytest.mark.parametrize("end", ["deleted", "timeout-ended"])
async def test_tenant_is_quiet_when_its_messages_are_no_longer_in_flight(
    client: QueueClient, end: str
) -> None:
    await flood(client, "noisy", 100)
    received = await take(client, 40, timeout_s=60)
    await send(client, "quiet")
    if end == "deleted":
        await client.delete(*[message.receipt for message in received])
        client.clock.advance(1)
    else:
        client.clock.advance(60)
    assert await client.bodies(1) == ["noisy"]


async def test_messages_of_quiet_tenants_are_served_oldest_first(client: QueueClient) -> None:
    await flood(client, "noisy", 100)
    await take(client, 40)
    for name in ("c", "a", "b", "a", "c"):
        await send(client, name)
    assert await client.bodies(5) == ["c", "a", "b", "a", "c"]


async def test_receives_of_one_batch_divide_the_messages_of_quiet_tenants(
    client: QueueClient,
) -> None:
    await flood(client, "noisy", 100)
    await take(client, 40)
    await send(client, "a", "b", "c")
    answers = await asyncio.gather(*(client.bodies(2) for _ in range(3)))
    assert sorted(chain.from_iterable(answers)) == ["a", "b", "c", "noisy", "noisy", "noisy"]


async def test_delayed_messages_of_quiet_tenants_are_not_received_early(
    client: QueueClient,
) -> None:
    await flood(client, "noisy", 100)
    await take(client, 40)
    late = tenant_message("late", "quiet")._replace(delay_ms=60_000)
    await client.database.submit(client.send_command(late))
    assert await client.bodies(2) == ["noisy", "noisy"]


async def test_receive_moves_exhausted_messages_of_quiet_tenants_and_returns_others(
    client: QueueClient,
) -> None:
    target = await client.another_queue("target")
    await flood(client, "noisy", 1_000)
    await take(client, 40)
    await send(client, *["quiet"] * 20)
    for _ in range(2):
        assert await client.bodies(timeout_s=0.5) == ["quiet"] * 10
    client.clock.advance(1)
    await client.redrive_to("target", 1)
    assert await client.bodies() == ["noisy"] * 10
    assert await target.counts() == (20, 0, 0)


async def test_receive_frees_expired_messages_of_quiet_tenants_and_returns_others(
    client: QueueClient,
) -> None:
    await send(client, *["quiet"] * 15)
    client.clock.advance(client.retention_s - 100)
    await client.receive(10, timeout_s=99)
    await client.receive(10, timeout_s=99)
    await flood(client, "noisy", 1_000)
    await take(client, 40)
    client.clock.advance(99)
    assert await client.bodies() == ["noisy"] * 10
    assert (await client.rows())["messages"] == 1_000


@pytest.mark.parametrize("seed_messages", [200, BACKLOG])
async def test_statements_of_fair_receive_do_not_grow_with_the_backlog(
    client: QueueClient, seed_messages: int
) -> None:
    await flood(client, "noisy", seed_messages)
    await take(client, 40)
    await send(client, "quiet")
    with recording() as record:
        assert await client.bodies(2) == ["quiet", "noisy"]
    assert len(record.statements) <= 11


TENANTS = 2_000


async def add_quiet_tenant_among_many(client: QueueClient) -> None:
    """Send a quiet tenant's message in the middle of a noisy backlog, among tenants without any."""
    late = [tenant_message("late", f"t{number}") for number in range(TENANTS)]
    await client.database.submit(
        client.send_command(*(message._replace(delay_ms=3_600_000) for message in late))
    )
    await flood(client, "noisy", 2_000)
    await take(client, 40)
    await send(client, f"t{TENANTS // 2}")
    await flood(client, "noisy", 2_000)
    await client.receive()


async def test_search_for_quiet_tenants_reads_at_most_a_thousand_rows(client: QueueClient) -> None:
    await add_quiet_tenant_among_many(client)
    with recording() as record:
        assert await client.bodies(1) == ["noisy"]

    def found(connection: sa.Connection) -> list[int]:
        return [
            len(connection.exec_driver_sql(text, parameters).all())
            for text, parameters in record.statements
            if text.startswith(("SELECT", "WITH"))
        ]

    assert max(await client.database.read(found)) <= 1_000


async def test_search_for_quiet_tenants_continues_where_the_last_one_ended(
    client: QueueClient,
) -> None:
    await add_quiet_tenant_among_many(client)
    bodies = [body for _ in range(TENANTS // 200 + 1) for body in await client.bodies(1)]
    assert bodies.count(f"t{TENANTS // 2}") == 1


async def test_newest_message_of_quiet_tenant_is_found_at_once(client: QueueClient) -> None:
    await add_quiet_tenant_among_many(client)
    await send(client, "t7")
    assert await client.bodies(1) == ["t7"]


async def test_messages_of_many_quiet_tenants_are_served_before_noisy_ones(
    client: QueueClient,
) -> None:
    await add_quiet_tenant_among_many(client)
    await send(client, *(f"t{number}" for number in range(30)))
    await flood(client, "noisy", 100)
    bodies = [body for _ in range(3) for body in await client.bodies()]
    assert Counter(bodies) == Counter(f"t{number}" for number in range(30))


async def test_each_message_is_received_once_while_tenants_change(client: QueueClient) -> None:
    await flood(client, "noisy", 300)
    seen: Counter[int] = Counter()
    for number in range(30):
        await send(client, f"tenant-{number % 7}")
        await client.database.submit(client.send_command(new_message("without tenant")))
        received = await client.receive(7)
        seen.update(message.receipt.number for message in received)
        await client.delete(*[message.receipt for message in received[::2]])
        client.clock.advance(0.3)
    assert set(seen.values()) == {1}
    client.clock.advance(60)
    while received := await client.receive():
        seen.update(message.receipt.number for message in received)
        await client.delete(*[message.receipt for message in received])
    assert len(seen) == 360
