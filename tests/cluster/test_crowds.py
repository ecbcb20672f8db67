"""Crowds at four servers: undisturbed, servers killed, PostgreSQL restarted, crashed, cut off."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from tests.api.databases import execute
from tests.cluster.crowd import Client, Crowd, Size
from tests.cluster.history import History
from tests.cluster.postgres import Postgres
from tests.cluster.servers import Servers

RECOVERY_SECONDS = 5.0
_SERVERS = 4

KINDS = pytest.mark.parametrize("ordered", [False, True], ids=["standard", "fifo"])
Disturb: TypeAlias = Callable[[], Awaitable[None]]


def size(is_long: bool, *, timeout_seconds: int = 30) -> Size:
    if is_long:
        return Size(40, 40, 50_000, 500, timeout_seconds)
    return Size(8, 8, 3_000, 80, timeout_seconds)


@asynccontextmanager
async def cluster(
    primary: Postgres, directory: Path, count: int = _SERVERS
) -> AsyncIterator[Servers]:
    """Give servers on a database of their own."""
    name = f"cluster_{random.randrange(10**9)}"
    await asyncio.to_thread(execute, primary.url, f"CREATE DATABASE {name}")
    url = primary.url.rpartition("/")[0] + f"/{name}"
    async with Servers(directory, url, count) as servers:
        yield servers
    await asyncio.to_thread(execute, primary.url, f"DROP DATABASE {name} WITH (FORCE)")


def report(title: str, crowd: Crowd, began: float) -> None:
    """Say what was done; it is shown with -s, and when something is wrong."""
    history = crowd.history
    seconds = time.monotonic() - began
    sys.stdout.write(
        f"{title}: {len(history.acknowledged)} sent, {len(history.got)} received, "
        f"{len(history.deleted)} deleted in {seconds:.1f} s, refused {dict(history.refused)}, "
        f"longest {history.longest:.2f} s\n"
    )


@KINDS
async def test_a_crowd_at_four_servers_loses_nothing_and_shares_nothing(
    primary: Postgres, directory: Path, is_long: bool, ordered: bool
) -> None:
    async with cluster(primary, directory) as servers:
        crowd = Crowd(servers.urls, size(is_long), ordered=ordered)
        began = time.monotonic()
        await crowd.work()
        report("undisturbed", crowd, began)
    assert crowd.history.violations(ordered=ordered) == []
    assert dict(crowd.history.refused) == {}
    assert len(crowd.history.got) == len(crowd.history.acknowledged)


@KINDS
async def test_servers_that_are_killed_lose_nothing_that_was_acknowledged(
    primary: Postgres, directory: Path, is_long: bool, ordered: bool
) -> None:
    chances = random.Random(2)
    async with cluster(primary, directory) as servers:

        async def kill() -> None:
            for _ in range(20 if is_long else 3):
                await asyncio.sleep(chances.uniform(0.1, 0.8))
                server = chances.choice(servers.all)
                await server.kill()
                await asyncio.sleep(chances.uniform(0, 0.3))
                await server.start()

        crowd = Crowd(servers.urls, size(is_long, timeout_seconds=4), ordered=ordered)
        began = time.monotonic()
        await crowd.work(kill)
        report("killed", crowd, began)
    assert crowd.history.violations(ordered=ordered) == []
    assert crowd.history.longest < RECOVERY_SECONDS


async def all_recover(servers: Servers) -> float:
    """Tell how long it takes until every server has answered a write with success."""
    began = time.monotonic()

    async def recover(url: str) -> None:
        client = Client([url], History(), 0)
        status = 0
        while status != 200:
            status, _, _ = await client.ask("CreateQueue", QueueName="recovered")
        client.close()

    await asyncio.gather(*(recover(url) for url in servers.urls))
    return time.monotonic() - began


@pytest.mark.parametrize("how", ["restart", "crash", "cut"])
@KINDS
async def test_a_postgresql_that_goes_away_is_told_and_found_again(
    primary: Postgres, directory: Path, is_long: bool, ordered: bool, how: str
) -> None:
    recoveries = []
    async with cluster(primary, directory) as servers:

        async def disturb() -> None:
            for _ in range(5 if is_long else 1):
                await asyncio.sleep(1)
                if how == "cut":
                    await cut(primary)
                else:
                    mode = "fast" if how == "restart" else "immediate"
                    await asyncio.to_thread(primary.stop, mode)
                    await asyncio.sleep(1)
                    await asyncio.to_thread(primary.start)
                recoveries.append(await all_recover(servers))

        crowd = Crowd(servers.urls, size(is_long, timeout_seconds=4), ordered=ordered)
        began = time.monotonic()
        await crowd.work(disturb)
        report(f"{how}, back after {max(recoveries):.2f} s", crowd, began)
    assert crowd.history.violations(ordered=ordered) == []
    assert max(recoveries) < RECOVERY_SECONDS
    assert crowd.history.longest < RECOVERY_SECONDS
    assert set(crowd.history.refused) <= {503}


async def cut(primary: Postgres) -> None:
    connection = await asyncpg.connect(primary.url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name LIKE 'queueserver%'"
    )
    await connection.close()
