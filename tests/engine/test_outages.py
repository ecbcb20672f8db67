"""Databases that fail for a while: nobody is told of success, nothing is done twice."""

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

from storage.errors import DatabaseUnavailable
from storage.messages import dropped_queues
from storage.queues import QueueChanged
from storage.sql.driver import Driver
from storage.transaction import Transaction
from tests.engine.recorder import Recording, Watcher, recorded, watching
from tests.engine.stage import Stage, new_message
from tests.engine.test_plans import act, act_on_groups
from tests.postgresql import PATIENT_TIMEOUTS

_KILL = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""

_DIE = """CREATE FUNCTION pg_temp.die() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"""

_WAITING = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'"""


async def cut_off(url: str) -> None:
    """End every connection to a database, as a restart of PostgreSQL does."""
    connection = await asyncpg.connect(url)
    await connection.execute(_KILL)
    await connection.close()


async def test_writes_go_on_after_connections_were_lost(two_servers: tuple[Stage, Stage]) -> None:
    stage, _ = two_servers
    await stage.send("a")
    await cut_off(stage.url)
    await stage.send("b")
    assert await stage.bodies() == ["a", "b"]


async def test_reads_go_on_after_connections_were_lost(two_servers: tuple[Stage, Stage]) -> None:
    stage, _ = two_servers
    await stage.counts()
    await cut_off(stage.url)
    assert await stage.counts() == (0, 0, 0)


async def test_a_connection_lost_in_a_read_is_no_fault_of_the_read(
    two_servers: tuple[Stage, Stage],
) -> None:
    stage, _ = two_servers

    def lose(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(DatabaseUnavailable):
        await stage.database.read(lose)
    assert await stage.counts() == (0, 0, 0)


@contextmanager
def losing(words: str, times: int) -> Iterator[list[str]]:
    """Let a connection be lost, so many times, when it is about to say certain words."""
    lost: list[str] = []

    def lose(driver: Driver, text: str, *_: object) -> None:
        if words in text and len(lost) < times:
            lost.append(text)
            driver.rows("SELECT pg_terminate_backend(pg_backend_pid())", ())

    with watching(Watcher(statement=lose)):
        yield lost


async def test_a_drain_that_loses_its_connection_before_it_commits_is_run_again_once(
    two_servers: tuple[Stage, Stage],
) -> None:
    stage, _ = two_servers
    with losing("INSERT INTO bodies", times=1) as lost:
        await asyncio.gather(*(stage.send("x") for _ in range(3)))
    assert len(lost) == 1
    assert await stage.counts() == (3, 0, 0)


async def test_a_drain_that_loses_every_connection_is_given_up(
    two_servers: tuple[Stage, Stage],
) -> None:
    stage, _ = two_servers
    with losing("INSERT INTO bodies", times=100) as lost:
        results = await asyncio.gather(*(stage.send("x") for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [DatabaseUnavailable] * 3
    assert len(lost) == 2
    assert await stage.counts() == (0, 0, 0)
    await stage.send("y")
    assert await stage.bodies() == ["y"]


async def test_a_drain_that_loses_its_connection_while_it_commits_is_not_run_again(
    two_servers: tuple[Stage, Stage],
) -> None:
    stage, _ = two_servers
    ran: list[int] = []

    def die_with_the_commit(transaction: Transaction) -> None:
        ran.append(1)
        transaction.connection.exec_driver_sql("CREATE TEMPORARY TABLE fuse (id int)")
        transaction.connection.exec_driver_sql(_DIE)
        transaction.connection.exec_driver_sql(
            "CREATE CONSTRAINT TRIGGER fuse AFTER INSERT ON fuse DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION pg_temp.die()"
        )
        transaction.connection.exec_driver_sql("INSERT INTO fuse VALUES (1)")

    with pytest.raises(DatabaseUnavailable):
        await stage.database.write(die_with_the_commit)
    assert len(ran) == 1
    await stage.send("y")
    assert await stage.bodies() == ["y"]


async def test_news_that_was_never_committed_reaches_nobody(
    two_servers: tuple[Stage, Stage],
) -> None:
    stage, _ = two_servers

    def lose(transaction: Transaction) -> None:
        transaction.notify_receivers(stage.queue.id, 0)
        transaction.connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with stage.database.waiters.register(stage.queue.id) as place:
        sleep = asyncio.create_task(place.sleep_until(stage.clock.now_ms() + 1_000))
        with pytest.raises(DatabaseUnavailable):
            await stage.database.write(lose)
        await stage.database.ping()
        assert not sleep.done()
        stage.clock.advance(1)
        await asyncio.wait_for(sleep, timeout=5)


async def test_a_full_disk_fails_sends_until_there_is_room(sqlite: str) -> None:
    stage = await Stage.open(sqlite)
    await stage.send("a")

    def limit_pages(transaction: Transaction, extra: int) -> None:
        (pages,) = transaction.connection.exec_driver_sql("PRAGMA page_count").one()
        transaction.connection.exec_driver_sql(f"PRAGMA max_page_count={pages + extra}").all()

    await stage.database.write(limit_pages, 0)
    big = new_message("x" * 100_000)
    sends = [stage.database.submit(stage.sending(big)) for _ in range(3)]
    results = await asyncio.gather(*sends, return_exceptions=True)
    assert [type(result) for result in results] == [DatabaseUnavailable] * 3
    assert await stage.counts() == (1, 0, 0)
    assert await stage.bodies() == ["a"]
    await stage.database.write(limit_pages, 1_000)
    await stage.database.submit(stage.sending(big))
    assert await stage.counts() == (1, 1, 0)
    await stage.database.close()


async def test_a_file_that_somebody_else_keeps_locked_fails_sends_until_it_is_free(
    sqlite: str,
) -> None:
    stage = await Stage.open(sqlite)
    await stage.database.write(
        lambda tx: tx.connection.exec_driver_sql("PRAGMA busy_timeout=0").all()
    )
    with_shell = sqlite3.connect(Path(sqlite.removeprefix("sqlite:///")), isolation_level=None)
    with_shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable):
        await stage.send("a")
    assert await stage.counts() == (0, 0, 0)
    with_shell.execute("ROLLBACK")
    with_shell.close()
    await stage.send("b")
    assert await stage.bodies() == ["b"]
    await stage.database.close()


async def test_messages_that_another_server_is_claiming_are_passed_over(
    two_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_servers
    await one.send(*"abcd")

    def claim_while_the_other_does(transaction: Transaction) -> list[str]:
        transaction.connection.execute(
            sa.text("SELECT 1 FROM messages ORDER BY id LIMIT 2 FOR UPDATE")
        )
        received: list[str] = await_only(asyncio.wait_for(other.bodies(3), timeout=5))
        return received

    assert await one.database.write(claim_while_the_other_does) == ["c", "d"]
    assert await one.bodies() == ["a", "b"]


async def test_two_servers_never_receive_the_same_message(
    two_servers: tuple[Stage, Stage],
) -> None:
    await two_servers[0].send(*map(str, range(10)))
    await two_servers[1].database.submit(
        two_servers[1].sending(*[new_message(str(number)) for number in range(10, 200)])
    )

    async def drain(stage: Stage) -> list[str]:
        mine: list[str] = []
        while bodies := await stage.bodies(7):
            mine += bodies
        return mine

    received = await asyncio.gather(*map(drain, two_servers))
    assert sorted(map(int, received[0] + received[1])) == list(range(200))


async def done_or_waiting(task: asyncio.Future[Any], url: str) -> None:
    """Let a task run until it has ended, or waits for a lock in the database."""
    connection = await asyncpg.connect(url)
    while not task.done() and not await connection.fetchval(_WAITING):
        pass
    await connection.close()


async def test_servers_that_wait_for_each_other_are_set_apart_and_both_succeed(
    two_fifo_servers: tuple[Stage, Stage],
) -> None:
    """A delete holds its message and wants the group; a receive holds that and wants this."""
    one, other = two_fifo_servers
    await one.send_to("g", "a")
    await one.receive(timeout_s=1)
    one.clock.advance(1)
    receiving: list[asyncio.Task[list[str]]] = []

    def cross(transaction: Transaction) -> None:
        if receiving:
            return
        transaction.connection.exec_driver_sql("SELECT 1 FROM messages FOR UPDATE")
        receiving.append(asyncio.create_task(other.bodies()))
        await_only(done_or_waiting(receiving[0], one.url))
        transaction.connection.exec_driver_sql("SELECT 1 FROM groups FOR UPDATE")

    await one.database.write(cross)
    assert await receiving[0] == ["a"]


async def test_nothing_is_sent_to_a_queue_id_that_another_server_has_purged(
    two_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_servers
    tasks: list[asyncio.Task[None]] = []

    async def purge_and_free() -> None:
        await other.purge()
        while await other.database.write(dropped_queues.free_dropped, 10):
            pass

    def purge_in_between(_driver: Driver, text: str, *_: object) -> None:
        if "INSERT INTO messages" in text and not tasks:
            tasks.append(asyncio.create_task(purge_and_free()))
            await_only(done_or_waiting(tasks[0], one.url))

    with watching(Watcher(statement=purge_in_between)):
        await one.send("a")
    await tasks[0]
    assert (await one.rows())["messages"] == 0


async def test_counts_hold_when_one_server_purges_what_another_fills(
    two_servers: tuple[Stage, Stage],
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
"""What is left of 5 connections, of which one is the writer's."""


class Readers:
    """Reads that keep all connections, until they are done."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._done = asyncio.Event()

    async def __aenter__(self) -> None:
        started = asyncio.Semaphore(0)

        def stay(_connection: sa.Connection) -> None:
            started.release()
            await_only(self._done.wait())

        read = self._stage.database.read
        self._reads = [asyncio.create_task(read(stay)) for _ in range(READERS)]
        for _ in range(READERS):
            await started.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._done.set()
        await asyncio.gather(*self._reads)


async def test_a_read_that_gets_no_connection_is_told_to_try_again(
    emptied_postgresql: str,
) -> None:
    timeouts = replace(PATIENT_TIMEOUTS, pool_seconds=0.01)
    stage = await Stage.open(emptied_postgresql, engine_settings=recorded(timeouts))
    async with Readers(stage):
        with pytest.raises(DatabaseUnavailable):
            await stage.counts()
        await stage.send("a")  # the writer has a connection of its own
    assert await stage.counts() == (1, 0, 0)
    await stage.database.close()


async def test_reads_are_served_in_the_order_in_which_they_are_asked_for(
    emptied_postgresql: str,
) -> None:
    stage = await Stage.open(emptied_postgresql)
    asked: list[object] = []
    served: list[object] = []

    async def count() -> None:
        for _ in range(10):
            asked.append(asyncio.current_task())
            await stage.counts()

    async with Readers(stage):
        pass  # all connections are there
    engine: Any = stage.database._engine

    @sa.event.listens_for(engine._engine.sync_engine, "checkout")
    def serve(*_: object) -> None:
        served.append(asyncio.current_task())

    await asyncio.gather(*(count() for _ in range(40)))
    assert served == asked
    await stage.database.close()


ACTS = [pytest.param(act, id="standard"), pytest.param(act_on_groups, id="fifo")]


@pytest.mark.parametrize("act", ACTS)
async def test_servers_wait_for_several_rows_in_one_order(
    emptied_postgresql: str, act: Callable[[Stage], Awaitable[Recording]]
) -> None:
    stage = await Stage.open(emptied_postgresql)
    heard = await act(stage)
    waits = {
        text
        for text in heard.texts()
        if re.search(r" FOR (NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)$", text)
        and (" IN (" in text or " = ANY (" in text)
    }
    assert waits
    assert {text for text in waits if "ORDER BY" not in text} == set()
    await stage.database.close()
