"""Figures besides throughput: start, memory, and effects of a large queue.

They need a server with a SQLite file, because they restart it and measure its files and memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench.client import Connection, json_request
from tests.bench.processes import Server, logged_bytes, started
from tests.bench.scenarios import BODY, Bench, Size, plain


class Fact(NamedTuple):
    """One figure with its unit."""

    name: str
    value: float
    unit: str


async def facts(directory: Path, size: Size) -> list[Fact]:
    """Measure all figures, first on an empty database and then with a backlog."""
    database = directory / "facts.db"
    arguments = ("queueserver", "--port", "0", "--database", f"sqlite:///{database}")
    found = _starts("empty", arguments)
    with started(*arguments) as server:
        found += await _large_message(server, size, database)
        purged, deleted = await Bench(server, size).queue(), await Bench(server, size).queue()
        backlog = max(size.backlogs)
        await Bench(server, size).fill(purged, backlog, plain)
        await Bench(server, size).fill(deleted, backlog, plain)
    waiting = f"with {backlog:,} waiting"
    found += _starts(f"{waiting}, twice", arguments)
    with started(*arguments) as server:
        found += await _counts(server, purged, waiting)
        found += await _disposal(server, size, "PurgeQueue", purged, waiting)
        found += await _disposal(server, size, "DeleteQueue", deleted, waiting)
    return found


def _starts(what: str, arguments: tuple[str, ...]) -> list[Fact]:
    """Start a server three times; return the shortest start, and the memory after it."""
    seconds, bytes_ = [], 0
    for _ in range(3):
        began = time.perf_counter()
        with started(*arguments) as server:
            seconds.append(time.perf_counter() - began)
            bytes_ = server.resident_bytes()
    return [
        Fact(f"start to listening, {what}", min(seconds), "s"),
        Fact(f"resident memory, {what}", bytes_ / 1e6, "MB"),
    ]


async def _large_message(server: Server, size: Size, database: Path) -> list[Fact]:
    """Measure how much the receive of a message of 256 KiB adds to the write-ahead log."""
    url = await Bench(server, size).queue()
    connection = await Connection.open(server.url)
    await connection.call("SendMessage", QueueUrl=url, MessageBody="x" * 262_144)
    before = logged_bytes(database)
    await connection.call("ReceiveMessage", QueueUrl=url)
    after = logged_bytes(database)
    connection.close()
    # SQLite may have restarted the log.
    written = after - before if after >= before else after
    return [Fact("written to the log by the receive of 256 KiB", written / 1024, "KiB")]


async def _counts(server: Server, url: str, waiting: str) -> list[Fact]:
    """Measure GetQueueAttributes while others send."""
    async with _sending(server, url):
        connection = await Connection.open(server.url)
        took = []
        for _ in range(20):
            began = time.perf_counter()
            await connection.call("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])
            took.append(time.perf_counter() - began)
        connection.close()
    return [Fact(f"GetQueueAttributes {waiting}, median", sorted(took)[10] * 1e3, "ms")]


async def _disposal(server: Server, size: Size, action: str, url: str, waiting: str) -> list[Fact]:
    """Measure the purge or deletion of a large queue, and its effect on senders to others."""
    other = await Bench(server, size).queue()
    connection = await Connection.open(server.url)
    async with _sending(server, other) as latencies:
        await asyncio.sleep(0.5)
        quiet, noted = _p99(latencies), len(latencies)
        began = time.perf_counter()
        await connection.call(action, QueueUrl=url)
        answered = time.perf_counter() - began
        await asyncio.sleep(size.watched_seconds)
        while_freed = _p99(latencies[noted:])
    connection.close()
    return [
        Fact(f"{action} {waiting}", answered * 1e3, "ms"),
        Fact(f"p99 of others' sends before {action}", quiet * 1e3, "ms"),
        Fact(f"p99 of others' sends while space is freed after {action}", while_freed * 1e3, "ms"),
    ]


@asynccontextmanager
async def _sending(server: Server, url: str) -> AsyncIterator[list[float]]:
    """Run four senders in a closed loop; yield the list of their latencies in seconds."""
    latencies: list[float] = []
    request = json_request("SendMessage", QueueUrl=url, MessageBody=BODY)
    is_over = False

    async def send() -> None:
        connection = await Connection.open(server.url)
        while not is_over:
            began = time.perf_counter()
            await connection.ask(request)
            latencies.append(time.perf_counter() - began)
        connection.close()

    senders = [asyncio.ensure_future(send()) for _ in range(4)]
    try:
        yield latencies
    finally:
        is_over = True
        await asyncio.gather(*senders)


def _p99(latencies: Sequence[float]) -> float:
    ordered = sorted(latencies)
    return ordered[len(ordered) * 99 // 100] if ordered else 0.0
