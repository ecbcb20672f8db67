"""Steps: one transaction removes a limited number of messages, and of bytes of their bodies."""

from __future__ import annotations

import asyncio

import pytest

from storage.messages import dropped_queues, expiry
from storage.messages.commands import NewMessage, Receive, ReceiveAttempt, ReceiveIncomplete
from storage.messages.rows import CONTENT_BYTES, STEP_BYTES, STEP_ROWS
from storage.waiting.polling import long_poll, short_poll
from tests.engine.dead_letters import KINDS, create_pair, send
from tests.engine.full_disk import limit_pages
from tests.engine.queue_client import (
    RETENTION_S,
    QueueClient,
    fifo_message,
    new_message,
    tenant_message,
)
from tests.waiting import TIMEOUT_SECONDS

MIB = 1024 * 1024
COUNT = 2 * STEP_ROWS + 50


async def left(client: QueueClient) -> int:
    """Return how many messages all queues together have."""
    return (await client.rows())["messages"]


@KINDS
async def test_receive_moves_a_step_of_exhausted_messages_in_one_transaction(
    client: QueueClient, kind: str
) -> None:
    source, target = await create_pair(client, kind)
    new = [new_message("x")] * COUNT
    if kind == "fifo":
        new = [fifo_message("x", f"g{number}") for number in range(COUNT)]
    await client.database.submit(source.send_command(*new))
    await source.receive(COUNT, timeout_s=0)
    client.clock.advance(1)
    moved = []
    for _ in range(2):
        before = (await target.counts())[0]
        with pytest.raises(ReceiveIncomplete):
            await client.database.submit(source.receive_command())
        moved.append((await target.counts())[0] - before)
    assert moved == [STEP_ROWS] * 2


async def test_receive_moves_a_step_of_one_long_group(fifo: QueueClient) -> None:
    source, target = await create_pair(fifo, "fifo")
    await fifo.database.submit(source.send_command(*[fifo_message("x") for _ in range(COUNT)]))
    await source.receive(COUNT, timeout_s=0)
    fifo.clock.advance(1)
    with pytest.raises(ReceiveIncomplete):
        await fifo.database.submit(source.receive_command())
    assert (await target.counts())[0] == STEP_ROWS


async def test_exhausted_message_behind_more_than_a_step_of_others_is_moved(
    client: QueueClient,
) -> None:
    source, target = await create_pair(client, "standard")
    await source.send(*["x"] * (STEP_ROWS + 50), delay_s=1)
    await source.send("y")
    await source.receive(1, timeout_s=0)
    client.clock.advance(2)
    # Each claim marks a step of delayed messages ready.
    for _ in range(2):
        await source.receive(1)
    received = await source.receive(COUNT)
    assert [message.body for message in received] == ["x"] * (STEP_ROWS + 48)
    assert (await target.counts())[0] == 1


async def test_exhausted_message_that_only_the_second_receive_of_a_batch_reaches_is_moved(
    fifo: QueueClient,
) -> None:
    source, target = await create_pair(fifo, "fifo")
    await source.send_to("b", "y")
    await source.receive(1, timeout_s=1)
    await source.send_to("a", *["x"] * 20)
    fifo.clock.advance(2)
    submit = fifo.database.submit
    first, second = await asyncio.gather(*(submit(source.receive_command()) for _ in range(2)))
    assert (len(first), len(second)) == (10, 0)
    assert (await target.counts())[0] == 1


async def test_receives_of_a_batch_share_one_step(client: QueueClient) -> None:
    pairs = [await client.another_queue(f"source {number}", "standard") for number in range(3)]
    target = await client.another_queue("target", "standard")
    for source in pairs:
        await source.redrive_to("target", 1)
        await send(source, *["x"] * STEP_ROWS)
        await source.receive(STEP_ROWS, timeout_s=0)
    client.clock.advance(1)
    results = await asyncio.gather(
        *(client.database.submit(source.receive_command()) for source in pairs),
        return_exceptions=True,
    )
    assert [isinstance(result, ReceiveIncomplete) for result in results] == [False, True, True]
    assert (await target.counts())[0] == STEP_ROWS


async def test_receive_deletes_a_step_of_large_expired_messages(client: QueueClient) -> None:
    for _ in range(6):
        await client.send("x" * MIB)
    client.clock.advance(RETENTION_S)
    with pytest.raises(ReceiveIncomplete):
        await client.database.submit(client.receive_command())
    assert await left(client) == 6 - STEP_BYTES // MIB


async def test_upkeep_frees_large_messages_in_steps(client: QueueClient) -> None:
    # The size counts bytes: four for each of these characters.
    await client.send(*["\U0001f600" * (MIB // 4)] * 3)
    client.clock.advance(RETENTION_S)
    step = await client.database.write(expiry.free_expired, client.queue.id)
    assert step == STEP_BYTES // MIB
    assert await client.database.write(expiry.free_expired, client.queue.id) == 1


async def test_rows_of_a_dropped_queue_are_freed_in_steps(client: QueueClient) -> None:
    await client.send(*["x" * MIB] * 3)
    await client.send(*["x"] * STEP_ROWS)
    await client.purge()
    counts = []
    while await client.database.write(dropped_queues.free_dropped):
        counts.append(await left(client))
    assert counts == [STEP_ROWS + 1, 1, 0]


async def test_short_poll_returns_a_message_behind_several_steps(client: QueueClient) -> None:
    source, target = await create_pair(client, "standard")
    await client.database.submit(source.send_command(*[new_message("x")] * COUNT))
    await source.receive(COUNT, timeout_s=0)
    client.clock.advance(1)
    await source.send("y")
    assert await source.bodies() == ["y"]
    assert (await target.counts())[0] == COUNT


async def test_receive_finds_a_message_behind_those_that_another_queue_left_no_step_for(
    client: QueueClient,
) -> None:
    one, other = [await client.another_queue(name, "standard") for name in ("one", "other")]
    await client.another_queue("target", "standard")
    for source in (one, other):
        await source.redrive_to("target", 1)
        await send(source, *["x"] * STEP_ROWS)
        await source.receive(STEP_ROWS, timeout_s=0)
    client.clock.advance(1)
    await other.send("y")
    submit = client.database.submit
    first, second = await asyncio.gather(
        *(submit(source.receive_command()) for source in (one, other))
    )
    assert (list(first), [message.body for message in second]) == ([], ["y"])
    assert await other.counts() == (STEP_ROWS, 1, 0)


async def test_queue_delivers_messages_on_a_full_disk_that_has_no_room_for_dead_letters(
    sqlite: str,
) -> None:
    client = await QueueClient.open(sqlite)
    source, target = await create_pair(client, "standard")
    await send(source, *["x"] * COUNT)
    await source.receive(COUNT, timeout_s=0)
    client.clock.advance(1)
    await source.send("y")
    await client.database.write(limit_pages)
    assert await source.bodies(1) == ["y"]
    assert await target.counts() == (0, 0, 0)
    await client.database.close()


@KINDS
async def test_receives_of_a_batch_read_a_limited_number_of_bytes(
    client: QueueClient, kind: str
) -> None:
    source = await client.another_queue("large", kind)
    count = 2 * CONTENT_BYTES // MIB
    for number in range(count):
        body = "x" * (MIB - 100)
        new = new_message(body) if kind == "standard" else fifo_message(body, f"g{number}")
        await client.database.submit(source.send_command(new))
    results = await asyncio.gather(
        *(client.database.submit(source.receive_command(1)) for _ in range(count)),
        return_exceptions=True,
    )
    got = [result for result in results if not isinstance(result, BaseException)]
    assert len(got) == CONTENT_BYTES // MIB + 1
    assert all(len(received) == 1 for received in got)
    others = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(result, ReceiveIncomplete) for result in others)
    assert await source.counts() == (count - len(got), len(got), 0)


async def test_receivers_beyond_the_bytes_of_one_batch_get_messages_of_the_next(
    client: QueueClient,
) -> None:
    count = CONTENT_BYTES // MIB + 4
    for _ in range(count):
        await client.send("x" * (MIB - 100))
    found = await asyncio.gather(*(client.receive(1) for _ in range(count)))
    assert [len(received) for received in found] == [1] * count


async def test_repeated_attempts_beyond_the_bytes_of_one_batch_return_all_their_messages(
    fifo: QueueClient,
) -> None:
    count = CONTENT_BYTES // MIB + 4
    for number in range(count):
        await fifo.send_to(f"g{number}", "x" * (MIB - 100))
    attempts = [ReceiveAttempt(f"a{number}", ()) for number in range(count // 2)]

    async def receive(attempt: ReceiveAttempt) -> list[int]:
        command = fifo.receive_command(2, attempt=attempt)
        return [one.receipt.number for one in await short_poll(fifo.database, command)]

    first = [await receive(attempt) for attempt in attempts]
    assert [len(numbers) for numbers in first] == [2] * len(attempts)
    assert await asyncio.gather(*map(receive, attempts)) == first


@KINDS
async def test_waiting_receiver_checks_a_full_disk_once_a_second(sqlite: str, kind: str) -> None:
    client = await QueueClient.open(sqlite)
    source, _ = await create_pair(client, kind)
    for _ in range(3):
        await send(source, *["x"] * COUNT)
    await source.receive(3 * COUNT, timeout_s=0)
    client.clock.advance(1)
    await client.database.write(limit_pages)
    claims = 0

    def make_command() -> Receive:
        nonlocal claims
        claims += 1
        return source.receive_command(1, is_waiting=True)

    deadline_ms = client.clock.now_ms() + 20_000
    poll = asyncio.create_task(long_poll(client.database, make_command, deadline_ms))
    for _ in range(10):
        client.clock.advance(1)
        await asyncio.sleep(0.05)  # the claims of the writer, which may use a thread
    assert 2 <= claims <= 11
    client.clock.advance(10)
    assert list(await asyncio.wait_for(poll, TIMEOUT_SECONDS)) == []
    await client.database.close()


async def test_receives_of_a_batch_get_large_messages_of_noisy_tenants(client: QueueClient) -> None:
    noisy = [tenant_message("x", "noisy") for _ in range(40)]
    await client.database.submit(client.send_command(*noisy))
    await client.receive(40)
    large = NewMessage(bytes(16), "x" * (MIB - 100), b"", MIB - 100, "noisy", 0)
    for _ in range(20):
        await client.database.submit(client.send_command(large))
    # The estimate of a body's size is wrong: one batch has both receives.
    client.database.writer._hints.of(client.queue.id).body_bytes = 1
    submitted = [client.database.submit(client.receive_command()) for _ in range(2)]
    results = await asyncio.gather(*submitted, return_exceptions=True)
    assert sum(len(received) for received in results if isinstance(received, list)) > 10
