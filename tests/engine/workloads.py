"""Workloads that run every hot statement of the engine once, among large queues."""

from __future__ import annotations

import asyncio
from math import inf
from random import Random

from storage import move_tasks, queue_delays, queues
from storage.messages import deduplication, dropped_queues, expiry, receive_attempts
from storage.messages.commands import ReceiveAttempt
from storage.queue_settings import QueueName, QueueSettings
from storage.queues import FIFO
from tests.engine.queue_client import (
    ACCOUNT,
    REGION,
    QueueClient,
    fifo_message,
    new_message,
    tenant_message,
)
from tests.engine.recorder import Recording, recording

MESSAGES = 20_000


QUEUES = 4


async def fill(client: QueueClient) -> None:
    """Fill several queues with visible, in-flight, delayed and expired messages."""
    names = [f"queue-{position}" for position in range(QUEUES)]
    random = Random(1)
    for name in names:
        client.queue = await client.create(name)
        for age_s in (client.retention_s, 1_000, 10):
            messages = [
                new_message("x", random.choice((0, 0, 0, 900)))
                for _ in range(MESSAGES // QUEUES // 3)
            ]
            await client.database.submit(client.send_command(*messages))
            await client.receive(300, timeout_s=random.choice((5, 3_600)))
            client.clock.advance(0.3 if age_s == 10 else age_s - 10)


async def run_requests(client: QueueClient) -> Recording:
    """Run everything that requests and upkeep do, once, on the last of the queues."""
    database = client.database
    other = QueueClient(client.url, client.clock, database)
    other.queue = await other.create("other")
    await other.send(*"x" * 10)
    other_receipts = [received.receipt for received in await other.receive()]
    with recording() as record:
        await client.send("x", "y")
        received = await client.receive(10)
        receipts = [message.receipt for message in received]
        await client.change(receipts[0], 10)
        await client.delete(*receipts[1:3])
        # Commands of two queues share the statements of one batch.
        await asyncio.gather(
            client.delete(*receipts[3:5]),
            other.delete(*other_receipts[:5]),
            other.change(other_receipts[5], 10),
            client.release(*received[5:]),
            client.receive(),
            other.receive(),
        )
        with database.waiters.register(client.queue.id):
            await client.receive(1)
        await client.counts()
        await other.send("z")
        await run_move_task(client, other, client.queue.full_name)
        now_ms = client.clock.now_ms()
        for time_ms in (now_ms, client.queue.retention_ms):
            await database.read(expiry.queues_with_expired, [client.queue], time_ms)
        await database.write(expiry.free_expired, client.queue.id, 500)
        await client.find("queue-0")
        await database.read(queues.list_after, 0, 200)
        await database.read(
            queues.list_names, client.queue.account, client.queue.region, "q", "", 10
        )
        await database.write(queues.purge, client.queue)
        await database.write(dropped_queues.free_dropped, 500)
    return record


async def run_fifo_requests(client: QueueClient) -> Recording:
    """Run everything that only FIFO queues do, among many blocked groups and one with a backlog."""
    for name in ("groups-0", "groups-1"):
        client.queue = await client.create(name, FIFO)
        many = [fifo_message("x", f"g{number}") for number in range(1_000)]
        await client.database.submit(client.send_command(*many))
        await client.send_to("deep", *["x"] * 1_000)
        await asyncio.gather(*(client.receive(timeout_s=3_600) for _ in range(102)))
        client.clock.advance(1)
    dead = await client.another_queue("dead")
    await client.redrive_to("dead", 1)
    repeated = client.receive_command(2, 20, attempt=ReceiveAttempt("again", []))
    with recording() as record:
        message = fifo_message("x", "deep")
        new = [fifo_message("x", f"new-{number}") for number in range(30)]
        await client.database.submit(client.send_command(message, message, *new))
        # After a write conflict, a server locks new groups before it inserts them.
        client.database.writer.conflicts_likely_until = inf
        await client.database.submit(client.send_command(fifo_message("x", "newest")))
        client.database.writer.conflicts_likely_until = -inf
        received = await client.receive(10, timeout_s=60)
        await client.change(received[0].receipt, 0)
        await asyncio.gather(client.delete(*[r.receipt for r in received[1:5]]), client.receive())
        await client.release(received[6])
        await client.database.submit(repeated)
        await client.database.submit(
            client.receive_command(2, 20, attempt=ReceiveAttempt("again", []))
        )
        with client.database.waiters.register(client.queue.id):
            await client.receive(3, timeout_s=0)
        client.clock.advance(60)
        await client.receive()
        await client.receive(timeout_s=0)
        await client.counts()
        client.clock.advance(600)
        await client.database.submit(client.send_command(message))
        await client.database.write(deduplication.free_expired, 500)
        await client.database.write(receive_attempts.free_expired, 500)
        change = queues.change_attributes
        settings = QueueSettings(0, 5_000, client.queue.redrive)
        await client.database.write(change, client.queue, {}, settings)
        await client.refresh()
        await client.database.write(queue_delays.apply_pending, 500)
        await run_move_task(client, dead)
        await client.database.write(expiry.free_expired, client.queue.id, 10)
        await client.database.write(queues.purge, client.queue)
        for _ in range(6):
            await client.database.write(dropped_queues.free_dropped, 500)
    return record


async def run_move_task(
    client: QueueClient, dead: QueueClient, destination: QueueName | None = None
) -> None:
    """Start, run and list a move task."""
    assert (await dead.counts())[0] > 0
    write = client.database.write
    await write(move_tasks.start, "task", dead.queue, destination, None, 1)
    for _ in range(2):
        await write(move_tasks.step, "task", 100)
    await client.database.read(move_tasks.latest, ACCOUNT, REGION, dead.queue.name, 10)


async def run_fair_queue_requests(client: QueueClient) -> Recording:
    """Receive from a fair queue with noisy and quiet tenants."""
    for name in ("tenants-0", "tenants-1"):
        client.queue = await client.create(name)
        for tenant in ("noisy", *(f"t{number}" for number in range(20)), "noisy"):
            many = [tenant_message("x", tenant)] * (4_000 if tenant == "noisy" else 50)
            await client.database.submit(client.send_command(*many))
            client.clock.advance(0.001)
        await client.receive(60, timeout_s=60)
        client.clock.advance(2)
    with recording() as record:
        await client.send("x")
        await client.receive()
        client.in_flight_limit = 70
        with client.database.waiters.register(client.queue.id):
            await asyncio.gather(client.receive(1), client.receive(10), return_exceptions=True)
    return record
