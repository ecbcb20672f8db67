"""The scenarios: each prepares its queues, then runs a closed loop.

A step makes one request after the other on one connection. Results count messages, or requests
where the name says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.client import (
    Connection,
    Load,
    Request,
    Step,
    json_request,
    query_request,
    queue_url,
    run,
)
from tests.bench.processes import Server, Usage, stored_bytes

BODY = "x" * 200
LARGE_BODY = "x" * 1_000_000

SENDS = "the database alone, sends by 64"
SINGLE_SENDS = "the database alone, sends by 1"
RECEIVES = "the database alone, receives by 64"
DELETES = "the database alone, deletes by 64"
CYCLES = "the database alone, all three by 64"
CYCLES_BY_PGBENCH = "pgbench, all three by 1, 64 clients"


class Size(NamedTuple):
    """The size of a run: messages of each scenario, queues of `many-queues`, and so on."""

    messages: int
    queues: int
    backlogs: tuple[int, ...]
    receivers: int
    watched_seconds: float
    rounds: int


class Result(NamedTuple):
    """The result of a scenario; CPU and disk are the server's, per message.

    `ceiling` names the result of the database alone for the same work.
    """

    name: str
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    peak_mb: float
    disk_bytes: float = 0.0
    ceiling: str = ""


class Bench:
    """A server under load."""

    def __init__(self, server: Server, size: Size, database: Path | None = None) -> None:
        self.server = server
        self.size = size
        self._database = database
        self._queues = 0

    async def queue(self, *, fifo: bool = False, **attributes: str) -> str:
        """Create a queue for one scenario, and return its URL."""
        self._queues += 1
        name = f"bench-{time.time_ns()}-{self._queues}"
        if fifo:
            name += ".fifo"
            attributes |= {"FifoQueue": "true", "ContentBasedDeduplication": "false"}
        connection = await Connection.open(self.server.url)
        await connection.call("CreateQueue", QueueName=name, Attributes=attributes)
        connection.close()
        return queue_url(name)

    async def measure(
        self,
        name: str,
        step: Step,
        *,
        connections: int = 64,
        messages: int | None = None,
        each: int = 1,
        ceiling: str = "",
    ) -> Result:
        """Run a closed loop; `each` is how many messages one turn moves."""
        turns = max((messages or self.size.messages) // connections // each, 1)
        before, stored = self.server.usage(), self._stored()
        load = await run(self.server.url, connections, turns, step)
        result = _result(name, load, before, self.server.usage())
        grown = (self._stored() - stored) / load.requests
        return result._replace(disk_bytes=grown, ceiling=ceiling)

    def _stored(self) -> int:
        return stored_bytes(self._database) if self._database else 0

    async def fill(self, url: str, messages: int, entry: Callable[[int], dict[str, Any]]) -> None:
        """Send messages in batches of ten; `entry` returns further parameters of a message."""
        connections = min(32, max(messages // 10, 1))

        async def send(connection: Connection, first: int, last: int) -> None:
            for start in range(first, last, 10):
                entries = [
                    {"Id": str(number), "MessageBody": BODY, **entry(number)}
                    for number in range(start, min(start + 10, last))
                ]
                await connection.call("SendMessageBatch", QueueUrl=url, Entries=entries)

        share = -(-messages // connections)
        opened = [await Connection.open(self.server.url) for _ in range(connections)]
        await asyncio.gather(
            *(
                send(connection, n * share, min((n + 1) * share, messages))
                for n, connection in enumerate(opened)
            )
        )
        for connection in opened:
            connection.close()


def _result(name: str, load: Load, before: Usage, after: Usage) -> Result:
    cpu_us = (after.cpu_seconds - before.cpu_seconds) / load.requests * 1e6
    return Result(
        name,
        load.requests / load.seconds,
        load.percentile(0.5),
        load.percentile(0.99),
        cpu_us,
        after.peak_bytes / 1e6,
    )


def plain(_: int) -> dict[str, Any]:
    """Return no further parameters of a message."""
    return {}


def own_group(worker: int) -> dict[str, Any]:
    """Return the parameters of a message in a group that one worker has for itself."""
    return {"MessageGroupId": f"g{worker}"}


def repeat(request: Request, each: int = 1) -> Step:
    """Return a step of one request that moves `each` messages and must succeed."""

    async def step(connection: Connection, _: int) -> int:
        await ask(connection, request)
        return each

    return step


async def ask(connection: Connection, request: Request | bytes) -> None:
    """Send a request that must succeed.

    Raises:
        RuntimeError: it failed.
    """
    answer = await connection.ask(request)
    if answer.status != 200:
        raise RuntimeError(f"{answer.status} {answer.body[:500]!r}")


def cycle(url: str, group: Callable[[int], dict[str, Any]] = plain, body: str = BODY) -> Step:
    """Return a step that sends a message, receives one, and deletes it; it counts messages."""
    sent = 0

    async def step(connection: Connection, worker: int) -> int:
        nonlocal sent
        sent += 1
        particular = group(worker)
        if particular:
            particular = {**particular, "MessageDeduplicationId": f"{worker}-{sent}"}
        await connection.call("SendMessage", QueueUrl=url, MessageBody=body, **particular)
        return await _receive_and_delete(connection, url)

    return step


def per_request(step: Step, others: int) -> Step:
    """Count the requests of a step: `others`, and a delete of each message that it counts."""

    async def counted(connection: Connection, worker: int) -> int:
        return others + await step(connection, worker)

    return counted


async def _receive_and_delete(connection: Connection, url: str) -> int:
    """Receive a message and delete it; return how many there were."""
    received = await connection.call("ReceiveMessage", QueueUrl=url)
    messages = received.get("Messages", ())
    for message in messages:
        handle = message["ReceiptHandle"]
        await connection.call("DeleteMessage", QueueUrl=url, ReceiptHandle=handle)
    return len(messages)


def send_in_tens(url: str) -> Step:
    """Return a step that sends ten messages in one request."""
    entries = [{"Id": str(number), "MessageBody": BODY} for number in range(10)]
    return repeat(json_request("SendMessageBatch", QueueUrl=url, Entries=entries), 10)


def receive_in_tens(url: str) -> Step:
    """Return a step that receives ten messages and deletes them in one request."""

    async def step(connection: Connection, _: int) -> int:
        received = await connection.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10)
        messages = received.get("Messages", [])
        if messages:
            entries = [
                {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
                for place, message in enumerate(messages)
            ]
            await connection.call("DeleteMessageBatch", QueueUrl=url, Entries=entries)
        return len(messages)

    return step


async def sends(bench: Bench) -> list[Result]:
    """Measure single sends on 1, 64 and 256 connections, batches, and the Query protocol."""
    url = await bench.queue()
    one = json_request("SendMessage", QueueUrl=url, MessageBody=BODY)
    query = query_request("SendMessage", QueueUrl=url, MessageBody=BODY)
    few = bench.size.messages // 10
    return [
        await bench.measure(
            "send, 1 connection", repeat(one), connections=1, messages=few, ceiling=SINGLE_SENDS
        ),
        await bench.measure("send", repeat(one), ceiling=SENDS),
        await bench.measure("send, 256 connections", repeat(one), connections=256, ceiling=SENDS),
        await bench.measure("send in tens", send_in_tens(url), each=10, ceiling=SENDS),
        await bench.measure("send, Query protocol", repeat(query), ceiling=SENDS),
    ]


async def receives(bench: Bench) -> list[Result]:
    """Measure receives and deletes, one at a time and in tens."""
    singly, in_tens = await bench.queue(), await bench.queue()
    await bench.fill(singly, bench.size.messages // 2, plain)
    await bench.fill(in_tens, bench.size.messages, plain)

    async def one(connection: Connection, _: int) -> int:
        return 1 + await _receive_and_delete(connection, singly)

    return [
        await bench.measure("receive and delete, per request", one, each=2, ceiling=CYCLES),
        await bench.measure(
            "receive and delete in tens", receive_in_tens(in_tens), each=10, ceiling=CYCLES
        ),
    ]


async def cycles(bench: Bench) -> list[Result]:
    """Measure send, receive and delete of standard, FIFO and large messages."""
    standard, fifo, large = await bench.queue(), await bench.queue(fifo=True), await bench.queue()
    of_standard = per_request(cycle(standard), 2)
    few = max(bench.size.messages // 50, 16)
    return [
        await bench.measure("cycle, per request", of_standard, each=3, ceiling=CYCLES),
        await bench.measure(
            "cycle, 256 connections, per request",
            of_standard,
            connections=256,
            each=3,
            ceiling=CYCLES,
        ),
        await bench.measure(
            "FIFO cycle of 64 groups, per request",
            per_request(cycle(fifo, own_group), 2),
            each=3,
            ceiling=CYCLES,
        ),
        await bench.measure(
            "cycle of 1 MB, per request",
            per_request(cycle(large, body=LARGE_BODY), 2),
            connections=8,
            messages=few,
            each=3,
        ),
    ]


async def wake(bench: Bench, times: int) -> Load:
    """Send to a waiting receiver; return the delays until it has the messages."""
    url = await bench.queue()
    receiver = await Connection.open(bench.server.url)
    latencies: list[float] = []

    async def step(connection: Connection, _: int) -> int:
        waiting = asyncio.ensure_future(
            receiver.call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
        )
        await asyncio.sleep(0.005)
        began = time.perf_counter()
        await connection.call("SendMessage", QueueUrl=url, MessageBody=BODY)
        (message,) = (await waiting)["Messages"]
        latencies.append(time.perf_counter() - began)
        handle = message["ReceiptHandle"]
        await connection.call("DeleteMessage", QueueUrl=url, ReceiptHandle=handle)
        return 1

    load = await run(bench.server.url, 1, times, step)
    receiver.close()
    return load._replace(latencies=latencies)


async def wake_ups(bench: Bench) -> list[Result]:
    """Measure the delay from a send to a waiting receiver, and a receive of nothing."""
    few = max(bench.size.messages // 100, 10)
    before = bench.server.usage()
    woken = _result("send to a waiting receiver", await wake(bench, few), before, before)
    empty = repeat(json_request("ReceiveMessage", QueueUrl=await bench.queue()))
    return [
        woken,
        await bench.measure("receive from an empty queue", empty, connections=1, messages=few),
    ]


async def many_queues(bench: Bench) -> list[Result]:
    """Measure sends to many queues in turn."""
    urls = [await bench.queue() for _ in range(bench.size.queues)]
    requests = [json_request("SendMessage", QueueUrl=url, MessageBody=BODY) for url in urls]
    turn = 0

    async def step(connection: Connection, _: int) -> int:
        nonlocal turn
        turn += 1
        answer = await connection.ask(requests[turn * 7919 % len(requests)])
        return int(answer.status == 200)

    return [await bench.measure(f"send to {len(urls)} queues", step)]


async def backlogs(bench: Bench) -> list[Result]:
    """Measure the cycle with growing backlogs: standard, FIFO, and behind a blocked group."""
    results = []
    for backlog in bench.size.backlogs:
        standard, fifo, blocked = (
            await bench.queue(),
            await bench.queue(fifo=True),
            await bench.queue(fifo=True),
        )
        await bench.fill(standard, backlog, plain)
        await bench.fill(fifo, backlog, lambda n: _in_group(f"b{n % 1000}", n))
        await bench.fill(blocked, backlog // 2, lambda n: _in_group("blocked", n))
        holder = await Connection.open(bench.server.url)
        await holder.call("ReceiveMessage", QueueUrl=blocked, VisibilityTimeout=43_200)
        holder.close()

        for name, step in (
            ("cycle", cycle(standard)),
            ("FIFO cycle", cycle(fifo, own_group)),
            ("FIFO cycle beside a blocked group", cycle(blocked, own_group)),
        ):
            label = f"{name}, {backlog:,} waiting, per request"
            results.append(await bench.measure(label, per_request(step, 2), each=3, ceiling=CYCLES))
    return results


def _in_group(group: str, number: int) -> dict[str, Any]:
    return {"MessageGroupId": group, "MessageDeduplicationId": str(number)}


SCENARIOS: dict[str, Callable[[Bench], Awaitable[list[Result]]]] = {
    "sends": sends,
    "receives": receives,
    "cycles": cycles,
    "wake-ups": wake_ups,
    "many-queues": many_queues,
    "backlogs": backlogs,
}
