"""Loads on four servers: undisturbed, servers killed, PostgreSQL restarted, crashed, cut off."""

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
from tests.cluster.load import Load, Size, run_disturbed
from tests.cluster.postgres import Postgres
from tests.cluster.servers import RECOVERY_SECONDS, SERVERS, Servers, cluster


def size(is_long: bool, *, visibility_seconds: int = 30) -> Size:
    if is_long:
        return Size(40, 40, 50_000, 500, visibility_seconds)
    return Size(8, 8, 3_000, 80, visibility_seconds)


def standard_and_fifo(servers: Servers, is_long: bool) -> list[Load]:
    """Return a load of each kind, with a short visibility timeout."""
    each = size(is_long, visibility_seconds=4 if is_long else 2)
    return [Load(servers, each, is_fifo=is_fifo) for is_fifo in (False, True)]


def report(title: str, load: Load, began: float) -> None:
    """Print what a load did; pytest shows it with -s, and after a failure."""
    history, counts = load.history, load.counts
    sys.stdout.write(
        f"{title}, {'FIFO' if load.is_fifo else 'standard'}: "
        f"{history.acknowledged_sends()} acknowledged sends, {history.deliveries()} deliveries, "
        f"{history.acknowledged_deletes()} acknowledged deletes "
        f"in {time.monotonic() - began:.1f} s, not done {dict(counts.failed_statuses)}, "
        f"longest answer {counts.longest_answer_seconds:.2f} s\n"
    )


@pytest.mark.parametrize("is_fifo", [False, True], ids=["standard", "fifo"])
async def test_four_servers_lose_nothing_and_deliver_each_message_once(
    primary: Postgres, directory: Path, is_long: bool, is_fifo: bool
) -> None:
    async with cluster(primary, directory) as servers:
        load = Load(servers, size(is_long), is_fifo=is_fifo)
        began = time.monotonic()
        await load.run()
        report("undisturbed", load, began)
    assert load.findings() == []
    assert load.counts.failed_statuses == {}
    sent = {send.body for send in load.history.sends if send.outcome == "done"}
    assert load.history.deliveries() == len(sent)


async def run_and_check(
    title: str,
    loads: Sequence[Load],
    disturb: Callable[[], Awaitable[None]],
    answer_limit_seconds: float = RECOVERY_SECONDS,
) -> None:
    """Run disturbed loads, and assert that no promise is broken and no answer is late."""
    began = time.monotonic()
    await run_disturbed(loads, disturb)
    for load in loads:
        report(title, load, began)
    for load in loads:
        assert load.findings(answer_limit_seconds) == []
        assert set(load.counts.failed_statuses) <= {0, 503}


async def test_acknowledged_messages_survive_killed_servers(
    primary: Postgres, directory: Path, is_long: bool
) -> None:
    rng = random.Random(2)
    async with cluster(primary, directory) as servers:

        async def kill() -> None:
            for _ in range(30 if is_long else 2):
                await asyncio.sleep(rng.uniform(0.1, 0.8))
                server = rng.choice(servers.all)
                await server.kill()
                await asyncio.sleep(rng.uniform(0, 0.3))
                await server.start()

        await run_and_check("killed", standard_and_fifo(servers, is_long), kill)


async def test_servers_answer_503_while_postgresql_is_down_and_recover(
    primary: Postgres, directory: Path, is_long: bool
) -> None:
    recoveries = []
    async with cluster(primary, directory) as servers:

        async def disturb() -> None:
            for mode in ("fast", None, "immediate") * (10 if is_long else 1):
                await asyncio.sleep(0.5)
                if mode is None:
                    await terminate_connections(primary)
                else:
                    await asyncio.to_thread(primary.stop, mode)
                    await asyncio.sleep(0.5)
                    await asyncio.to_thread(primary.start)
                recoveries.append(await servers.recover())

        loads = standard_and_fifo(servers, is_long)
        await run_and_check("PostgreSQL down", loads, disturb)
    sys.stdout.write(f"recovered after {max(recoveries):.2f} s at most\n")
    assert max(recoveries) < RECOVERY_SECONDS
    assert not any(0 in load.counts.failed_statuses for load in loads)


async def test_answers_come_within_the_timeouts_while_postgresql_is_frozen(
    primary: Postgres, directory: Path, is_long: bool
) -> None:
    if not is_long:
        pytest.skip("it takes as long as the timeouts")
    recoveries = []
    async with cluster(primary, directory) as servers:

        async def freeze() -> None:
            await asyncio.sleep(1)
            primary.freeze()
            try:
                await asyncio.sleep(3 * PostgresqlTimeouts().statement_seconds)
            finally:
                primary.thaw()
            recoveries.append(await servers.recover())

        # A request may wait for another's statement, and then for its own.
        timeouts = PostgresqlTimeouts()
        limit = 2 * (timeouts.statement_seconds + timeouts.connect_seconds)
        await run_and_check("frozen", standard_and_fifo(servers, is_long), freeze, limit)
    sys.stdout.write(f"recovered after {recoveries[0]:.2f} s\n")
    assert recoveries[0] < RECOVERY_SECONDS


async def terminate_connections(primary: Postgres) -> None:
    connection = await asyncpg.connect(primary.url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name LIKE 'queueserver%'"
    )
    await connection.close()


async def test_promoted_standby_has_every_acknowledged_message(
    directory: Path, is_long: bool
) -> None:
    primary = Postgres.create(directory / "failing", durable=is_long)
    standby = primary.standby(directory / "standby")
    # The standby comes first: servers must skip it until it is promoted.
    url = f"postgresql://postgres@{standby.host},{primary.host}/postgres"
    recoveries = []
    try:
        async with Servers(directory, url, SERVERS) as servers:

            async def fail_over() -> None:
                await asyncio.sleep(5 if is_long else 1)
                await asyncio.to_thread(primary.kill)
                await asyncio.sleep(0.5)
                await asyncio.to_thread(standby.promote)
                recoveries.append(await servers.recover())
                await asyncio.sleep(0.5)

            await run_and_check("failover", standard_and_fifo(servers, is_long), fail_over)
    finally:
        standby.end()
        primary.end()
    sys.stdout.write(f"recovered after {recoveries[0]:.2f} s\n")
    assert recoveries[0] < RECOVERY_SECONDS
