"""The memory of an idle connection and of a waiting receiver, and the CPU time of those who wait.

Each figure has a new server: memory that a server has used and freed would hide what comes next.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.bench.client import Connection, json_request, opened, queue_url, run
from tests.bench.facts import Fact
from tests.bench.processes import Server, started
from tests.bench.scenarios import BODY, Bench, Size, repeat

_WARM_UP_REQUESTS = 10


async def measure(directory: Path, size: Size, checkout: Path) -> list[Fact]:
    """Measure idle connections of one server, and waiting receivers of another."""
    found = []
    for name, measure_one in (("idle", _idle_connections), ("waiting", _receivers)):
        flags = ("--port", "0", "--database", f"sqlite:///{directory / name}.db")
        with started("queueserver", *flags, checkout=checkout) as server:
            found += await measure_one(server, size)
    return found


async def _idle_connections(server: Server, size: Size) -> list[Fact]:
    """Measure the memory of connections that have sent one request."""
    await _warmed_up(server, size)
    request = json_request("ReceiveMessage", QueueUrl=await Bench(server, size).queue())
    before = server.resident_bytes()
    async with opened(server.url, size.receivers) as connections:
        for connection in connections:
            await connection.ask(request)
        grown = server.resident_bytes() - before
    many = f"{size.receivers:,} idle connections after one request"
    return [Fact(f"{many}: memory of each", grown / size.receivers / 1e3, "KB")]


async def _receivers(server: Server, size: Size) -> list[Fact]:
    """Measure CPU and memory of a server on which receivers wait."""
    await _warmed_up(server, size)
    connection = await Connection.open(server.url)
    names = [f"waited-for-{number}" for number in range(max(size.receivers // 10, 1))]
    for name in names:
        await connection.call("CreateQueue", QueueName=name)
    before = server.resident_bytes()
    async with opened(server.url, size.receivers) as connections:
        waiting = [
            asyncio.ensure_future(_wait(each, names[number % len(names)]))
            for number, each in enumerate(connections)
        ]
        # Within this time all wait; then the server has nothing to do.
        await asyncio.sleep(size.watched_seconds + size.receivers / 1000)
        grown, usage = server.resident_bytes() - before, server.usage()
        await asyncio.sleep(size.watched_seconds)
        busy = (server.usage().cpu_seconds - usage.cpu_seconds) / size.watched_seconds
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    connection.close()
    many = f"{size.receivers:,} receivers waiting on {len(names):,} queues"
    return [
        Fact(f"{many}: of a core", busy * 100, "%"),
        Fact(f"{many}: memory of each", grown / size.receivers / 1e3, "KB"),
    ]


async def _warmed_up(server: Server, size: Size) -> None:
    """Send a few requests: the first ones allocate memory that stays."""
    url = await Bench(server, size).queue()
    send = json_request("SendMessage", QueueUrl=url, MessageBody=BODY)
    receive = json_request("ReceiveMessage", QueueUrl=url)
    for request in (send, receive):
        await run(server.url, 8, _WARM_UP_REQUESTS, repeat(request))


async def _wait(connection: Connection, name: str) -> None:
    await connection.call("ReceiveMessage", QueueUrl=queue_url(name), WaitTimeSeconds=20)
