"""Databases that fail for a while: no false success, and no command that runs twice."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.util import await_only

from storage.errors import DatabaseUnavailable, DiskFull
from storage.messages import dropped_queues
from storage.queues import QueueChanged
from storage.sql.driver import Driver
from storage.transaction import Transaction
from tests.databases import LONG_TIMEOUTS
from tests.engine.full_disk import limit_pages
from tests.engine.lock_waits import wait_until_done_or_locked
from tests.engine.queue_client import QueueClient, TwoServers, new_message
from tests.engine.recorder import Recording, Watcher, recording_settings, watching
from tests.engine.workloads import run_fifo_requests, run_requests
from tests.waiting import TIMEOUT_SECONDS, TRANSACTION_TIMEOUT_SECONDS

_END_CONNECTIONS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""

_CREATE_TRIGGER_FUNCTION = """CREATE FUNCTION pg_temp.end_own_connection()
    RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"""


async def end_connections(url: str) -> None:
    """End every connection to a database, as a restart of PostgreSQL does."""
    connection = await asyncpg.connect(url)
    await connection.execute(_END_CONNECTIONS)
    await connection.close()


async def test_write_succeeds_after_connections_were_lost(
    two_servers: TwoServers,
) -> None:
    client, _ = two_servers
    await client.send("a")
    await end_connections(client.url)
    await client.send("b")
    assert await client.bodies() == ["a", "b"]


async def test_read_succeeds_after_connections_were_lost(
    two_servers: TwoServers,
) -> None:
    client, _ = two_servers
    await client.counts()
    await end_connections(client.url)
    assert await client.counts() == (0, 0, 0)


async def test_connection_lost_during_a_read_makes_the_database_unavailable(
    two_servers: TwoServers,
) -> None:
    client, _ = two_servers

    def end_own_connection(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(DatabaseUnavailable):
        await client.database.read(end_own_connection)
    assert await client.counts() == (0, 0, 0)


@contextmanager
def losing_connections(part: str, times: int) -> Iterator[list[str]]:
    """End a connection, at most `times` times, before a statement that contains `part`."""
    lost: list[str] = []

    def end_connection(driver: Driver, text: str, *_: object) -> None:
        if part in text and len(lost) < times:
            lost.append(text)
            driver.rows("SELECT pg_terminate_backend(pg_backend_pid())", ())

    with watching(Watcher(statement=end_connection)):
        yield lost


async def test_batch_that_loses_its_connection_before_commit_is_retried_once(
    two_servers: TwoServers,
) -> None:
    client, _ = two_servers
    with losing_connections("INSERT INTO bodies", times=1) as lost:
        await asyncio.gather(*(client.send("x") for _ in range(3)))
    assert len(lost) == 1
    assert await client.counts() == (3, 0, 0)


async def test_batch_that_loses_two_connections_fails(
    two_servers: TwoServers,
) -> None:
    client, _ = two_servers
    with losing_connections("INSERT INTO bodies", times=100) as lost:
        results = await asyncio.gather(
            *(client.send("x") for _ in range(3)), return_exceptions=True
        )
    assert [type(result) for result in results] == [DatabaseUnavailable] * 3
    assert len(lost) == 2
    assert await client.counts() == (0, 0, 0)
    await client.send("y")
    assert await client.bodies() == ["y"]


async def test_transaction_that_loses_its_connection_during_commit_is_not_retried(
    two_servers: TwoServers,
) -> None:
    client, _ = two_servers
    ran: list[int] = []

    def lose_connection_at_commit(transaction: Transaction) -> None:
        ran.append(1)
        transaction.connection.exec_driver_sql("CREATE TEMPORARY TABLE ended (id int)")
        transaction.connection.exec_driver_sql(_CREATE_TRIGGER_FUNCTION)
        transaction.connection.exec_driver_sql(
            "CREATE CONSTRAINT TRIGGER ended AFTER INSERT ON ended DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION pg_temp.end_own_connection()"
        )
        transaction.connection.exec_driver_sql("INSERT INTO ended VALUES (1)")

    with pytest.raises(DatabaseUnavailable):
        await client.database.write(lose_connection_at_commit)
    assert len(ran) == 1
    await client.send("y")
    assert await client.bodies() == ["y"]


async def test_transaction_that_was_never_committed_sends_no_notification(
    two_servers: TwoServers,
) -> None:
    client, _ = two_servers

    def notify_and_end_connection(transaction: Transaction) -> None:
        transaction.notify_receivers(client.queue.id, 0)
        transaction.connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with client.database.waiters.register(client.queue.id) as receiver:
        sleep = asyncio.create_task(receiver.sleep_until(client.clock.now_ms() + 1_000))
        with pytest.raises(DatabaseUnavailable):
            await client.database.write(notify_and_end_connection)
        await client.database.ping()
        assert not sleep.done()
        client.clock.advance(1)
        await asyncio.wait_for(sleep, TIMEOUT_SECONDS)


async def test_sends_fail_while_the_disk_is_full(sqlite: str) -> None:
    client = await QueueClient.open(sqlite)
    await client.send("a")

    await client.database.write(limit_pages)
    big = new_message("x" * 100_000)
    sends = [client.database.submit(client.send_command(big)) for _ in range(3)]
    results = await asyncio.gather(*sends, return_exceptions=True)
    assert [type(result) for result in results] == [DiskFull] * 3
    assert await client.counts() == (1, 0, 0)
    assert await client.bodies() == ["a"]
    await client.database.write(limit_pages, 1_000)
    await client.database.submit(client.send_command(big))
    assert await client.counts() == (1, 1, 0)
    await client.database.close()


async def test_sends_fail_while_another_program_locks_the_file(
    sqlite: str,
) -> None:
    client = await QueueClient.open(sqlite)
    await client.database.write(
        lambda tx: tx.connection.exec_driver_sql("PRAGMA busy_timeout=0").all()
    )
    other_program = sqlite3.connect(Path(sqlite.removeprefix("sqlite:///")), isolation_level=None)
    other_program.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable):
        await client.send("a")
    assert await client.counts() == (0, 0, 0)
    other_program.execute("ROLLBACK")
    other_program.close()
    await client.send("b")
    assert await client.bodies() == ["b"]
    await client.database.close()


async def test_receive_skips_messages_that_another_server_has_locked(
    two_servers: TwoServers,
) -> None:
    one, other = two_servers
    await one.send(*"abcd")

    def lock_while_the_other_claims(transaction: Transaction) -> list[str]:
        transaction.connection.execute(
            sa.text("SELECT 1 FROM messages ORDER BY id LIMIT 2 FOR UPDATE")
        )
        received: list[str] = await_only(
            asyncio.wait_for(other.bodies(3), TRANSACTION_TIMEOUT_SECONDS)
        )
        return received

    assert await one.database.write(lock_while_the_other_claims) == ["c", "d"]
    assert await one.bodies() == ["a", "b"]


async def test_two_servers_never_receive_the_same_message(
    two_servers: TwoServers,
) -> None:
    await two_servers[0].send(*map(str, range(10)))
    await two_servers[1].database.submit(
        two_servers[1].send_command(*[new_message(str(number)) for number in range(10, 200)])
    )

    async def receive_all(client: QueueClient) -> list[str]:
        received: list[str] = []
        while bodies := await client.bodies(7):
            received += bodies
        return received

    received = await asyncio.gather(*map(receive_all, two_servers))
    assert sorted(map(int, received[0] + received[1])) == list(range(200))


async def test_both_transactions_succeed_after_a_deadlock(
    two_fifo_servers: TwoServers,
) -> None:
    # The write locks the message and then the group; the receive locks them in reverse.
    one, other = two_fifo_servers
    await one.send_to("g", "a")
    await one.receive(timeout_s=1)
    one.clock.advance(1)
    receiving: list[asyncio.Task[list[str]]] = []

    def lock_in_reverse(transaction: Transaction) -> None:
        if receiving:
            return
        transaction.connection.exec_driver_sql("SELECT 1 FROM messages FOR UPDATE")
        receiving.append(asyncio.create_task(other.bodies()))
        await_only(wait_until_done_or_locked(receiving[0], one.url))
        transaction.connection.exec_driver_sql("SELECT 1 FROM groups FOR UPDATE")

    await one.database.write(lock_in_reverse)
    assert await receiving[0] == ["a"]


async def test_send_adds_no_message_to_a_queue_that_another_server_purges(
    two_servers: TwoServers,
) -> None:
    one, other = two_servers
    tasks: list[asyncio.Task[None]] = []

    async def purge_and_free() -> None:
        await other.purge()
        while await other.database.write(dropped_queues.free_dropped, 10):
            pass

    def purge_before_insert(_driver: Driver, text: str, *_: object) -> None:
        if "INSERT INTO messages" in text and not tasks:
            tasks.append(asyncio.create_task(purge_and_free()))
            await_only(wait_until_done_or_locked(tasks[0], one.url))

    with watching(Watcher(statement=purge_before_insert)):
        await one.send("a")
    await tasks[0]
    assert (await one.rows())["messages"] == 0


async def test_counts_are_exact_while_another_server_purges(
    two_servers: TwoServers,
) -> None:
    for _ in range(10):
        one, other = two_servers
        await one.refresh()
        other.queue = one.queue
        sends = [one.send("x") for _ in range(3)]
        results = await asyncio.gather(*sends, other.purge(), return_exceptions=True)
        assert {type(result) for result in results} <= {list, QueueChanged, type(None)}
        await one.refresh()
        visible, _, _ = await one.counts()
        assert visible == len(await one.bodies())


READERS = 4
"""Connections for reads: 5 connections, of which one is the writer's."""


class Readers:
    """Reads that use all connections until the block ends."""

    def __init__(self, client: QueueClient) -> None:
        self._stage = client
        self._done = asyncio.Event()

    async def __aenter__(self) -> None:
        started = asyncio.Semaphore(0)

        def wait_for_end(_connection: sa.Connection) -> None:
            started.release()
            await_only(self._done.wait())

        read = self._stage.database.read
        self._reads = [asyncio.create_task(read(wait_for_end)) for _ in range(READERS)]
        for _ in range(READERS):
            await started.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._done.set()
        await asyncio.gather(*self._reads)


async def test_read_without_free_connection_fails_after_the_pool_timeout(
    shared_postgresql: str,
) -> None:
    timeouts = replace(LONG_TIMEOUTS, pool_seconds=0.01)
    client = await QueueClient.open(shared_postgresql, engine_settings=recording_settings(timeouts))
    async with Readers(client):
        with pytest.raises(DatabaseUnavailable):
            await client.counts()
        await client.send("a")  # the writer has its own connection
    assert await client.counts() == (1, 0, 0)
    await client.database.close()


async def test_reads_get_connections_in_the_order_of_their_start(
    shared_postgresql: str,
) -> None:
    client = await QueueClient.open(shared_postgresql)
    started: list[object] = []
    served: list[object] = []

    async def count() -> None:
        for _ in range(10):
            started.append(asyncio.current_task())
            await client.counts()

    async with Readers(client):
        pass  # opens all connections
    engine: Any = client.database._engine

    @sa.event.listens_for(engine._engine.sync_engine, "checkout")
    def serve(*_: object) -> None:
        served.append(asyncio.current_task())

    await asyncio.gather(*(count() for _ in range(40)))
    assert served == started
    await client.database.close()


WORKLOADS = [pytest.param(run_requests, id="standard"), pytest.param(run_fifo_requests, id="fifo")]


@pytest.mark.parametrize("workload", WORKLOADS)
async def test_statements_that_lock_several_rows_lock_them_in_order(
    shared_postgresql: str, workload: Callable[[QueueClient], Awaitable[Recording]]
) -> None:
    client = await QueueClient.open(shared_postgresql)
    record = await workload(client)
    locking = {
        text
        for text in record.texts()
        if re.search(r" FOR (NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)$", text)
        and (" IN (" in text or " = ANY (" in text)
    }
    assert locking
    assert {text for text in locking if "ORDER BY" not in text} == set()
    await client.database.close()
