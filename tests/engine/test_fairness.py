"""Fair queues: whom a noisy tenant does not keep waiting, and what that costs."""

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
from tests.engine.recorder import recording
from tests.engine.stage import Stage, new_message, tenant_message

BACKLOG = 20_000


def insert(transaction: Transaction, queue_id: int, tenant_id: str, count: int) -> None:
    """Put a tenant's backlog into a queue more quickly than by sending it."""
    now_ms = transaction.now_ms
    numbers = transaction.take_numbers(count)
    states: list[dict[str, Any]] = [
        {
            "queue_id": queue_id,
            "id": number,
            "visible_at_ms": now_ms,
            "sent_at_ms": now_ms,
            "receive_count": 0,
            "first_received_at_ms": None,
            "group_id": None,
            "tenant_id": tenant_id,
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
            "dead_letter_source": None,
        }
        for number in numbers
    ]
    transaction.connection.execute(messages.insert(), states)
    transaction.connection.execute(bodies.insert(), contents)
    transaction.add_to_count(queue_id, count)


async def flood(stage: Stage, tenant_id: str, count: int) -> None:
    await stage.database.write(insert, stage.queue.id, tenant_id, count)
    stage.clock.advance(0.001)


async def send(stage: Stage, *tenants: str) -> None:
    """Send one message for each, which is called after its tenant."""
    await stage.database.submit(stage.sending(*[tenant_message(one, one) for one in tenants]))
    stage.clock.advance(0.001)


async def take(stage: Stage, count: int, timeout_s: float = 3_600) -> list[Received]:
    """Receive so many, ten by ten, as consumers do, with time in between to be counted."""
    received: list[Received] = []
    while len(received) < count:
        found = await stage.receive(min(10, count - len(received)), timeout_s)
        assert found
        received += found
    stage.clock.advance(1)
    return received


async def test_a_noisy_backlog_does_not_delay_a_quiet_tenant(stage: Stage) -> None:
    await flood(stage, "noisy", BACKLOG)
    await take(stage, 40)
    await send(stage, "quiet", "quiet")
    assert await stage.bodies(3) == ["quiet", "quiet", "noisy"]


async def test_noise_is_noticed_within_a_few_receives_at_a_standing_clock(stage: Stage) -> None:
    await flood(stage, "noisy", 200)
    await send(stage, *["quiet"] * 5)
    before = 0
    while "quiet" not in await stage.bodies():
        before += 10
    assert before <= 50


@pytest.mark.parametrize(
    ("in_flight", "others", "is_noisy"),
    [
        pytest.param(29, 0, False, id="below-thirty"),
        pytest.param(30, 0, True, id="thirty"),
        pytest.param(30, 270, False, id="a-tenth-and-no-more"),
        pytest.param(31, 270, True, id="more-than-a-tenth"),
    ],
)
async def test_a_tenant_is_noisy_from_thirty_and_more_than_a_tenth(
    stage: Stage, in_flight: int, others: int, is_noisy: bool
) -> None:
    await send(stage, *["tenant"] * in_flight, *[f"other-{n % 27}" for n in range(others)])
    await take(stage, in_flight + others)
    await send(stage, "tenant")
    await send(stage, "quiet")
    assert await stage.bodies(1) == (["quiet"] if is_noisy else ["tenant"])


async def test_when_only_a_noisy_tenant_is_left_it_is_served(stage: Stage) -> None:
    await flood(stage, "noisy", 100)
    await send(stage, "quiet")
    received = await take(stage, 101)
    assert Counter(message.body for message in received) == {"noisy": 100, "quiet": 1}
    assert len({message.receipt.number for message in received}) == 101


async def test_among_noisy_tenants_the_one_with_least_in_flight_goes_first(stage: Stage) -> None:
    await send(stage, *["loud"] * 40, *["louder"] * 60)
    await take(stage, 100)
    await send(stage, "louder", "louder", "loud", "loud")
    assert await stage.bodies(3) == ["loud", "loud", "louder"]


async def test_messages_without_a_tenant_are_quiet(stage: Stage) -> None:
    await flood(stage, "noisy", 100)
    await take(stage, 40)
    await send(stage, "quiet")
    await stage.send("nobody's")
    await send(stage, "quiet")
    assert await stage.bodies(4) == ["quiet", "nobody's", "quiet", "noisy"]


async def test_messages_without_a_tenant_never_make_noise(stage: Stage) -> None:
    await stage.send(*["x"] * 100)
    await take(stage, 60)
    await send(stage, "tenant")
    assert await stage.bodies(1) == ["x"]


async def test_queues_whose_messages_have_no_tenant_count_nothing(stage: Stage) -> None:
    await stage.send(*["x"] * 100)
    await stage.receive()
    with recording() as heard:
        await take(stage, 50)
    assert not [text for text in heard.texts() if "tenant_id" in text and "GROUP BY" in text]


@pytest.mark.parametrize("end", ["deleted", "lapsed"])
async def test_noise_ends_with_what_is_in_flight(stage: Stage, end: str) -> None:
    await flood(stage, "noisy", 100)
    received = await take(stage, 40, timeout_s=60)
    await send(stage, "quiet")
    if end == "deleted":
        await stage.delete(*[message.receipt for message in received])
        stage.clock.advance(1)
    else:
        stage.clock.advance(60)
    assert await stage.bodies(1) == ["noisy"]


async def test_quiet_tenants_are_served_oldest_first(stage: Stage) -> None:
    await flood(stage, "noisy", 100)
    await take(stage, 40)
    for name in ("c", "a", "b", "a", "c"):
        await send(stage, name)
    assert await stage.bodies(5) == ["c", "a", "b", "a", "c"]


async def test_receivers_of_a_drain_share_what_is_chosen(stage: Stage) -> None:
    await flood(stage, "noisy", 100)
    await take(stage, 40)
    await send(stage, "a", "b", "c")
    answers = await asyncio.gather(*(stage.bodies(2) for _ in range(3)))
    assert sorted(chain.from_iterable(answers)) == ["a", "b", "c", "noisy", "noisy", "noisy"]


async def test_delayed_messages_of_quiet_tenants_are_not_early(stage: Stage) -> None:
    await flood(stage, "noisy", 100)
    await take(stage, 40)
    late = tenant_message("late", "quiet")._replace(delay_ms=60_000)
    await stage.database.submit(stage.sending(late))
    assert await stage.bodies(2) == ["noisy", "noisy"]


async def test_exhausted_messages_of_quiet_tenants_do_not_hide_the_others(stage: Stage) -> None:
    target = await stage.beside("target")
    await flood(stage, "noisy", 1_000)
    await take(stage, 40)
    await send(stage, *["quiet"] * 20)
    for _ in range(2):
        assert await stage.bodies(timeout_s=0.5) == ["quiet"] * 10
    stage.clock.advance(1)
    await stage.redrive_to("target", 1)
    assert await stage.bodies() == ["noisy"] * 10
    assert await target.counts() == (20, 0, 0)


async def test_expired_messages_of_quiet_tenants_do_not_hide_the_others(stage: Stage) -> None:
    await send(stage, *["quiet"] * 15)
    stage.clock.advance(stage.retention_s - 100)
    await stage.receive(10, timeout_s=99)
    await stage.receive(10, timeout_s=99)
    await flood(stage, "noisy", 1_000)
    await take(stage, 40)
    stage.clock.advance(99)
    assert await stage.bodies() == ["noisy"] * 10
    assert (await stage.rows())["messages"] == 1_000


@pytest.mark.parametrize("seed_messages", [200, BACKLOG])
async def test_the_cost_does_not_depend_on_the_backlog(stage: Stage, seed_messages: int) -> None:
    await flood(stage, "noisy", seed_messages)
    await take(stage, 40)
    await send(stage, "quiet")
    with recording() as heard:
        assert await stage.bodies(2) == ["quiet", "noisy"]
    assert len(heard.statements) <= 11


TENANTS = 2_000


async def surround(stage: Stage) -> None:
    """Put a quiet tenant's message in the middle of noise, and tenants around that have none."""
    late = [tenant_message("late", f"t{number}") for number in range(TENANTS)]
    await stage.database.submit(
        stage.sending(*(message._replace(delay_ms=3_600_000) for message in late))
    )
    await flood(stage, "noisy", 2_000)
    await take(stage, 40)
    await send(stage, f"t{TENANTS // 2}")
    await flood(stage, "noisy", 2_000)
    await stage.receive()


async def test_a_look_is_at_so_many_rows_whatever_the_tenants(stage: Stage) -> None:
    await surround(stage)
    with recording() as heard:
        assert await stage.bodies(1) == ["noisy"]

    def found(connection: sa.Connection) -> list[int]:
        return [
            len(connection.exec_driver_sql(text, parameters).all())
            for text, parameters in heard.statements
            if text.startswith(("SELECT", "WITH"))
        ]

    assert max(await stage.database.read(found)) <= 1_000


async def test_many_tenants_are_all_reached_by_going_on_where_a_look_ended(stage: Stage) -> None:
    await surround(stage)
    bodies = [body for _ in range(TENANTS // 200 + 1) for body in await stage.bodies(1)]
    assert bodies.count(f"t{TENANTS // 2}") == 1


async def test_the_newest_message_of_a_quiet_tenant_is_met_at_once(stage: Stage) -> None:
    await surround(stage)
    await send(stage, "t7")
    assert await stage.bodies(1) == ["t7"]


async def test_quiet_tenants_that_were_met_are_served_before_noisy_ones(stage: Stage) -> None:
    await surround(stage)
    await send(stage, *(f"t{number}" for number in range(30)))
    await flood(stage, "noisy", 100)
    bodies = [body for _ in range(3) for body in await stage.bodies()]
    assert Counter(bodies) == Counter(f"t{number}" for number in range(30))


async def test_nothing_is_given_twice_or_lost_when_tenants_come_and_go(stage: Stage) -> None:
    await flood(stage, "noisy", 300)
    seen: Counter[int] = Counter()
    for number in range(30):
        await send(stage, f"tenant-{number % 7}")
        await stage.database.submit(stage.sending(new_message("nobody's")))
        received = await stage.receive(7)
        seen.update(message.receipt.number for message in received)
        await stage.delete(*[message.receipt for message in received[::2]])
        stage.clock.advance(0.3)
    assert set(seen.values()) == {1}
    stage.clock.advance(60)
    while received := await stage.receive():
        seen.update(message.receipt.number for message in received)
        await stage.delete(*[message.receipt for message in received])
    assert len(seen) == 360
