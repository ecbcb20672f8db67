"""Crowds at four servers: undisturbed, servers killed, PostgreSQL restarted, crashed, cut off."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import asyncpg
import pytest

from storage.settings import PostgresqlTimeouts
from tests.cluster.crowd import Crowd, Size, disturbed
from tests.cluster.postgres import Postgres
from tests.cluster.room import RECOVERY_SECONDS, SERVERS, all_recover, cluster
from tests.cluster.servers import Servers


def size(is_long: bool, *, timeout_seconds: int = 30) -> Size:
    if is_long:
        return Size(40, 40, 50_000, 500, timeout_seconds)
    return Size(8, 8, 3_000, 80, timeout_seconds)


def crowds(servers: Servers, is_long: bool) -> list[Crowd]:
    """Give one crowd of each kind; what is lost on its way to them comes again soon."""
    each = size(is_long, timeout_seconds=4 if is_long else 2)
    return [Crowd(servers.urls, each, ordered=ordered) for ordered in (False, True)]


def report(title: str, crowd: Crowd, began: float) -> None:
    """Say what was done; it is shown with -s, and when something is wrong."""
    history = crowd.history
    seconds = time.monotonic() - began
    sys.stdout.write(
        f"{title}, {'FIFO' if crowd.ordered else 'standard'}: {len(history.acknowledged)} sent, "
        f"{len(history.got)} received, {len(history.deleted)} deleted in {seconds:.1f} s, "
        f"refused {dict(history.refused)}, longest {history.longest:.2f} s\n"
    )


@pytest.mark.parametrize("ordered", [False, True], ids=["standard", "fifo"])
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


async def examine(
    title: str,
    working: Sequence[Crowd],
    disturb: Callable[[], Awaitable[None]],
    longest_seconds: float = RECOVERY_SECONDS,
) -> None:
    """Disturb crowds at work; nothing may be wrong, and nobody may wait for too long."""
    began = time.monotonic()
    await disturbed(working, disturb)
    for crowd in working:
        report(title, crowd, began)
    for crowd in working:
        assert crowd.history.violations(ordered=crowd.ordered) == []
        assert crowd.history.longest < longest_seconds
        assert set(crowd.history.refused) <= {0, 503}


async def test_servers_that_are_killed_lose_nothing_that_was_acknowledged(
    primary: Postgres, directory: Path, is_long: bool
) -> None:
    chances = random.Random(2)
    async with cluster(primary, directory) as servers:

        async def kill() -> None:
            for _ in range(30 if is_long else 2):
                await asyncio.sleep(chances.uniform(0.1, 0.8))
                server = chances.choice(servers.all)
                await server.kill()
                await asyncio.sleep(chances.uniform(0, 0.3))
                await server.start()

        await examine("killed", crowds(servers, is_long), kill)


async def test_a_postgresql_that_goes_away_is_told_and_found_again(
    primary: Postgres, directory: Path, is_long: bool
) -> None:
    recoveries = []
    async with cluster(primary, directory) as servers:

        async def disturb() -> None:
            for mode in ("fast", None, "immediate") * (10 if is_long else 1):
                await asyncio.sleep(0.5)
                if mode is None:
                    await cut(primary)
                else:
                    await asyncio.to_thread(primary.stop, mode)
                    await asyncio.sleep(0.5)
                    await asyncio.to_thread(primary.start)
                recoveries.append(await all_recover(servers))

        working = crowds(servers, is_long)
        await examine("PostgreSQL away", working, disturb)
    sys.stdout.write(f"back after {max(recoveries):.2f} s at most\n")
    assert max(recoveries) < RECOVERY_SECONDS
    assert not any(0 in crowd.history.refused for crowd in working)


async def test_nobody_waits_for_ever_for_a_postgresql_that_is_frozen(
    primary: Postgres, directory: Path, is_long: bool
) -> None:
    if not is_long:
        pytest.skip("it takes as long as the timeouts")
    recoveries = []
    timeouts = PostgresqlTimeouts()
    async with cluster(primary, directory) as servers:

        async def freeze() -> None:
            await asyncio.sleep(1)
            primary.freeze()
            try:
                await asyncio.sleep(3 * timeouts.statement_seconds)
            finally:
                primary.thaw()
            recoveries.append(await all_recover(servers))

        # Who asks while a statement waits, waits for that one and then for one of its own.
        longest = 2 * (timeouts.statement_seconds + timeouts.connect_seconds)
        await examine("frozen", crowds(servers, is_long), freeze, longest)
    sys.stdout.write(f"back after {recoveries[0]:.2f} s\n")
    assert recoveries[0] < RECOVERY_SECONDS


async def cut(primary: Postgres) -> None:
    connection = await asyncpg.connect(primary.url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name LIKE 'queueserver%'"
    )
    await connection.close()


async def test_a_standby_that_is_promoted_has_all_that_was_acknowledged(
    directory: Path, is_long: bool
) -> None:
    primary = Postgres.create(directory / "failing", durable=is_long)
    standby = primary.standby(directory / "standby")
    # The standby comes first, and must be passed over until it is promoted.
    url = f"postgresql://postgres@{standby.host},{primary.host}/postgres"
    recoveries = []
    try:
        async with Servers(directory, url, SERVERS) as servers:

            async def fail_over() -> None:
                await asyncio.sleep(5 if is_long else 1)
                await asyncio.to_thread(primary.kill)
                await asyncio.sleep(0.5)
                await asyncio.to_thread(standby.promote)
                recoveries.append(await all_recover(servers))
                await asyncio.sleep(0.5)

            await examine("failover", crowds(servers, is_long), fail_over)
    finally:
        standby.end()
        primary.end()
    sys.stdout.write(f"back after {recoveries[0]:.2f} s\n")
    assert recoveries[0] < RECOVERY_SECONDS
