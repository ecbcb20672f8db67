"""A steady load gets no slower, and the database does not grow."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest

from tests.bench.client import Connection, queue_url
from tests.cluster.postgres import Postgres
from tests.cluster.servers import Servers

SHORT_SECONDS = 3.0
_WINDOWS = 6
_CLIENTS = 32
_LARGEST_BYTES = 256 * 1024 * 1024
QUEUE = queue_url("steady")

_SIZES = """SELECT sum(pg_total_relation_size(oid)) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"""


@pytest.fixture
def seconds(is_long: bool) -> float:
    minutes = float(os.environ.get("QUEUESERVER_CLUSTER_MINUTES", "30"))
    return minutes * 60 if is_long else SHORT_SECONDS


class Load:
    """Clients that send, receive and delete; `cycles` counts their cycles in each window."""

    def __init__(self, urls: Sequence[str], seconds: float) -> None:
        self._urls = urls
        self._seconds = seconds
        self._began = time.monotonic()
        self.cycles = [0] * _WINDOWS

    def passed(self) -> float:
        """Return the share of the time that has passed."""
        return (time.monotonic() - self._began) / self._seconds

    async def run(self, number: int) -> None:
        """Send, receive and delete in a loop, on a connection of its own."""
        connection = await Connection.open(self._urls[number % len(self._urls)])
        # On a busy machine, all of the time may pass before the first cycle ends.
        while (passed := self.passed()) < 1 or sum(self.cycles) < _CLIENTS:
            await connection.call("SendMessage", QueueUrl=QUEUE, MessageBody="x" * 200)
            answer = await connection.call("ReceiveMessage", QueueUrl=QUEUE)
            for message in answer.get("Messages", []):
                handle = message["ReceiptHandle"]
                await connection.call("DeleteMessage", QueueUrl=QUEUE, ReceiptHandle=handle)
                self.cycles[min(int(passed * _WINDOWS), _WINDOWS - 1)] += 1
        connection.close()

    async def measure(self, url: str) -> list[int]:
        """Return the size of the database in bytes at the end of each window."""
        database = await asyncpg.connect(url)
        sizes = []
        for window in range(1, _WINDOWS + 1):
            await asyncio.sleep(max(window / _WINDOWS - self.passed(), 0) * self._seconds)
            sizes.append(int(await database.fetchval(_SIZES)))
        await database.close()
        return sizes


async def test_steady_load_gets_no_slower_and_database_does_not_grow(
    directory: Path, is_long: bool, seconds: float
) -> None:
    server = Postgres.create(directory / "steady", durable=is_long)
    try:
        async with Servers(directory, server.url, 2) as servers:
            first = await Connection.open(servers.urls[0])
            await first.call("CreateQueue", QueueName="steady")
            first.close()
            load = Load(servers.urls, seconds)
            measuring = asyncio.create_task(load.measure(server.url))
            await asyncio.gather(*(load.run(number) for number in range(_CLIENTS)))
            sizes = await measuring
    finally:
        server.end()
    rates = [cycles / (seconds / _WINDOWS) for cycles in load.cycles]
    sys.stdout.write(
        f"steady: {sum(load.cycles)} cycles in {seconds:.0f} s; "
        f"per second {[round(rate) for rate in rates]}; kB {[size // 1024 for size in sizes]}\n"
    )
    assert max(sizes) < _LARGEST_BYTES
    if is_long:
        assert min(load.cycles) > 0
        assert rates[-1] >= 0.9 * rates[0]
        assert sizes[-1] < 2 * max(sizes[:3])
