"""Clocks that are set an hour back or forward: no message is lost or delayed by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from queueserver.background.upkeep import Upkeep
from queueserver.clock import SystemClock
from storage import time_floor
from storage.database import Database
from storage.transaction import Transaction
from tests.clock import MachineClocks, ManualClock
from tests.engine.queue_client import QueueClient
from tests.engine.recorder import recording_settings
from tests.waiting import TIMEOUT_SECONDS

HOUR_SECONDS = 3_600
HOUR_MS = HOUR_SECONDS * 1_000
NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize("steps", [(-1, 2), (1, -1, 1), (-1, -1, 3)], ids=str)
async def test_clock_steps_lose_no_message(client: QueueClient, steps: tuple[int, ...]) -> None:
    sent = ["before", "in flight"]
    await client.send(*sent)
    await client.receive(1)
    for step in steps:
        client.clock.advance(step * HOUR_SECONDS)
        await client.send(f"{step}")
        sent.append(f"{step}")
        assert sum(await client.counts()) == len(sent)
    client.clock.advance(HOUR_SECONDS)
    assert sorted(await client.bodies(10)) == sorted(sent)


@pytest.mark.parametrize("step", [-1, 1])
async def test_clock_steps_do_not_reorder_a_message_group(fifo: QueueClient, step: int) -> None:
    sent = []
    for number in range(6):
        await fifo.send_to("g", f"{number}")
        sent.append(f"{number}")
        fifo.clock.advance(step * HOUR_SECONDS * (1 if number % 2 else -1))
    fifo.clock.advance(2 * HOUR_SECONDS)
    assert await fifo.bodies(10) == sent


# The system clock of a process, while the clock it follows is set


class ObservedClock(SystemClock):
    """A system clock; a test can wait until the clock has been adjusted."""

    def __init__(self) -> None:
        super().__init__()
        self._adjusted_ms = 0.0
        self._is_changed = asyncio.Event()

    def adjust(self, now_ms: float, error_ms: float, /) -> None:
        super().adjust(now_ms, error_ms)
        self._adjusted_ms = now_ms
        self._is_changed.set()

    def raise_floor(self, floor_ms: int, /) -> None:
        super().raise_floor(floor_ms)
        self._is_changed.set()

    async def wait_until(self, now_ms: int) -> None:
        """Wait until time floors of other servers have raised this clock to `now_ms`."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while self.now_ms() < now_ms:
                self._is_changed.clear()
                await self._is_changed.wait()

    async def wait_until_adjusted(self, now_ms: int) -> None:
        """Wait until PostgreSQL's clock, which shows `now_ms`, has been read."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while abs(self._adjusted_ms - now_ms) > 1_000:
                self._is_changed.clear()
                await self._is_changed.wait()


class Servers:
    """Servers of one database; a test sets the clock they follow: the machine's or PostgreSQL's."""

    def __init__(self, url: str, machine: MachineClocks) -> None:
        self._url = url
        self.machine = machine
        self._is_shared = url.startswith("postgresql:")
        self._clocks: list[ObservedClock] = []
        self._stages: list[QueueClient] = []

    async def start(self) -> tuple[QueueClient, ObservedClock]:
        """Start a server with its own clock; return a client of its queue, and the clock."""
        clock = ObservedClock()
        # The database follows `clock`; the client's own clock is not used.
        database = await Database.open(self._url, clock, engine_settings=recording_settings())
        client = QueueClient(self._url, ManualClock(), database)
        client.queue = await client.find() or await client.create("orders")
        self._clocks.append(clock)
        self._stages.append(client)
        return client, clock

    async def stop(self) -> None:
        """Stop all servers."""
        for client in self._stages:
            await client.database.close()
        self._clocks.clear()
        self._stages.clear()

    async def set_clock(self, step_ms: int) -> None:
        """Move the clock that servers follow, and wait until they have read it."""
        self.machine.set_ms(step_ms)
        if not self._is_shared:
            return
        now_ms = self.machine.wall_ns // 1_000_000
        connection = await asyncpg.connect(self._url)
        name = await connection.fetchval("SELECT current_database()")
        # With this search path, the function below replaces PostgreSQL's own.
        await connection.execute(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")
        await connection.execute(
            "CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql "
            f"AS 'SELECT to_timestamp({now_ms}::float8 / 1000)'"
        )
        await connection.close()
        for clock in self._clocks:
            await clock.wait_until_adjusted(now_ms)


@pytest_asyncio.fixture
async def servers(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Servers]:
    """Yield servers of each kind of database, whose clock only the test moves."""
    servers = Servers(database_url, MachineClocks(monkeypatch, NOW_MS * 1_000_000))
    await servers.set_clock(0)
    yield servers
    await servers.stop()


async def test_visible_message_stays_visible_when_the_clock_is_set_back(servers: Servers) -> None:
    client, clock = await servers.start()
    await client.send("before")
    await servers.set_clock(-HOUR_MS)
    assert abs(clock.now_ms() - NOW_MS) < 1_000
    assert await client.bodies() == ["before"]


async def test_visibility_timeout_ends_on_time_when_clock_is_set_back(
    servers: Servers,
) -> None:
    client, _ = await servers.start()
    await client.send("before")
    await client.receive(1, timeout_s=30)
    await servers.set_clock(-HOUR_MS)
    servers.machine.pass_ms(33_000)
    assert await client.bodies() == []
    servers.machine.pass_ms(1_000)
    assert await client.bodies() == ["before"]


async def test_restart_continues_from_the_time_floor_when_the_clock_is_behind(
    servers: Servers,
) -> None:
    client, _ = await servers.start()
    await client.send("before")
    await client.database.write(time_floor.record)
    await servers.stop()
    await servers.set_clock(-HOUR_MS)
    client, clock = await servers.start()
    assert abs(clock.now_ms() - NOW_MS) < 1_000
    assert await client.bodies() == ["before"]
    await servers.set_clock(2 * HOUR_MS)
    assert abs(clock.now_ms() - (NOW_MS + HOUR_MS)) < 1_000


async def test_recorded_time_floor_never_decreases(client: QueueClient) -> None:
    for step in (0, -HOUR_SECONDS, 2 * HOUR_SECONDS):
        client.clock.advance(step)
        await client.database.write(time_floor.record)
    assert await client.database.read(time_floor.floor_ms) == client.clock.now_ms()
    client.clock.advance(-2 * HOUR_SECONDS)
    await client.database.write(time_floor.record)
    expected_ms = client.clock.now_ms() + 2 * HOUR_MS
    assert await client.database.read(time_floor.floor_ms) == expected_ms


async def test_upkeep_records_the_time_floor(client: QueueClient) -> None:
    client.clock.advance(HOUR_SECONDS)
    await Upkeep(client.database, client.clock).run_round()
    assert await client.database.read(time_floor.floor_ms) == client.clock.now_ms()


async def test_close_records_the_time_floor(sqlite: str) -> None:
    client = await QueueClient.open(sqlite)
    client.clock.advance(HOUR_SECONDS)
    await client.reopen()
    assert await client.database.read(time_floor.floor_ms) == client.clock.now_ms()
    await client.database.close()


async def test_newest_message_raises_the_time_floor_after_a_crash(sqlite: str) -> None:
    client = await QueueClient.open(sqlite)
    await client.database.write(time_floor.record)
    other = await client.another_queue("other")
    for one in (client, other, client):
        client.clock.advance(1)
        await one.send("x")
        assert await client.database.read(time_floor.floor_by_messages_ms) == client.clock.now_ms()
    await client.database.close()


@pytest.mark.parametrize(
    ("table", "column", "value", "expected_ms"),
    [
        pytest.param("messages", "sent_at_ms", 5_000_000_000_000, 300_000, id="far-ahead"),
        pytest.param("messages", "sent_at_ms", "'text'", 0, id="not-a-number"),
        pytest.param("properties", "value", "'1e3'", None, id="damaged-floor"),
    ],
)
async def test_damaged_time_floor_is_limited_or_ignored(
    sqlite: str, table: str, column: str, value: object, expected_ms: int | None
) -> None:
    client = await QueueClient.open(sqlite)
    await client.database.write(time_floor.record)
    await client.send("x")

    def damage(transaction: Transaction) -> None:
        where = "" if table == "messages" else " WHERE name = 'reached_ms'"
        transaction.connection.exec_driver_sql(f"UPDATE {table} SET {column} = {value}{where}")

    await client.database.write(damage)
    found_ms = await client.database.read(time_floor.floor_by_messages_ms)
    if expected_ms is None:
        assert found_ms <= 300_000
    else:
        assert found_ms == client.clock.now_ms() + expected_ms
    await client.database.close()


async def test_servers_agree_on_the_time_after_postgresqls_clock_is_set_back(
    postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = Servers(postgresql, MachineClocks(monkeypatch, NOW_MS * 1_000_000))
    await servers.set_clock(0)
    one, clock = await servers.start()
    _, other_clock = await servers.start()
    # A server keeps the time only if it has used it.
    assert abs(other_clock.now_ms() - NOW_MS) < 1_000
    await servers.set_clock(-HOUR_MS)
    await one.database.write(time_floor.record)
    # A server that starts later reads the time floor.
    _, late_clock = await servers.start()
    times_ms = [each.now_ms() for each in (clock, other_clock, late_clock)]
    assert max(times_ms) - min(times_ms) < 1_000
    assert abs(times_ms[0] - NOW_MS) < 1_000
    # So do servers that have started before.
    clock.raise_floor(NOW_MS + 60_000)
    await one.database.write(time_floor.record)
    await other_clock.wait_until(NOW_MS + 60_000)
    await late_clock.wait_until(NOW_MS + 60_000)
    await servers.stop()
