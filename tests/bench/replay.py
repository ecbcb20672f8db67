"""The ceiling of PostgreSQL: the server's own statements, replayed by asyncpg alone.

The engine works on one database, and its statements are recorded; then they run again on a new
database, in the same transactions and on one connection. Both databases start alike, so that the
statements meet the same rows. The result is the cost of the driver and of PostgreSQL.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import uvloop

from storage.messages.commands import NewMessage
from storage.postgresql.connection import Address, AsyncpgConnection
from storage.settings import PostgresqlTimeouts
from storage.sql.driver import Driver
from tests.bench.scenarios import BODY
from tests.databases import temporary_database
from tests.engine.queue_client import QueueClient
from tests.engine.recorder import Watcher, watching

ENVELOPE = bytes(24)
_WARM_UP_CYCLES = 5


class Recorded(NamedTuple):
    """A statement with its parameters, or with many sets of parameters."""

    text: str
    parameters: Sequence[Any]
    is_many: bool


Transactions = list[list[Recorded]]


class Measured(NamedTuple):
    """The cost of one kind of transaction: seconds for each, and CPU seconds for all."""

    latencies: list[float]
    cpu_seconds: float


def replay(url: str, cycles: int, count: int) -> list[Measured]:
    """Send, receive and delete `count` messages `cycles` times; measure the three separately."""
    with temporary_database(url) as first, temporary_database(url) as second:
        return uvloop.run(_replay(first, second, cycles + _WARM_UP_CYCLES, count))


async def _replay(first: str, second: str, cycles: int, count: int) -> list[Measured]:
    with _recording() as transactions:
        stage = await QueueClient.open(first)
        transactions.clear()
        for _ in range(cycles):
            await _cycle(stage, count)
        recorded = list(transactions)
        await stage.database.close()
        # Create the tables and the queue, which gets the same id.
        await (await QueueClient.open(second)).database.close()
    connection = await Address(second, PostgresqlTimeouts(), is_pooled=False).connect({})
    try:
        return await _run_again(connection, recorded)
    finally:
        await connection.close()


@contextmanager
def _recording() -> Iterator[Transactions]:
    """Record the engine's statements, transaction by transaction."""
    transactions: Transactions = []
    running: list[Recorded] = []

    def record(_driver: Driver, text: str, parameters: Sequence[Any], is_many: bool) -> None:
        running.append(Recorded(text, parameters, is_many))

    def commit() -> None:
        transactions.append(list(running))
        running.clear()

    with watching(Watcher(statement=record, commit=commit)):
        yield transactions


async def _cycle(stage: QueueClient, count: int) -> None:
    """Run a transaction of `count` commands of each kind."""
    message = NewMessage(bytes(16), BODY, ENVELOPE, len(BODY) + len(ENVELOPE), None, 0)
    submit = stage.database.submit
    await asyncio.gather(*(submit(stage.send_command(message)) for _ in range(count)))
    received = await asyncio.gather(*(submit(stage.receive_command(1)) for _ in range(count)))
    await asyncio.gather(*(submit(stage.delete_command(one.receipt)) for (one,) in received))


async def _run_again(connection: AsyncpgConnection, transactions: Transactions) -> list[Measured]:
    measured = [Measured([], 0.0) for _ in range(3)]
    for turn, transaction in enumerate(transactions):
        began, cpu = time.perf_counter(), time.process_time()
        async with connection.transaction():
            for statement in transaction:
                if statement.is_many:
                    await connection.executemany(statement.text, statement.parameters)
                else:
                    await connection.fetch(statement.text, *statement.parameters)
        if turn >= 3 * _WARM_UP_CYCLES:
            latencies, spent = measured[turn % 3]
            latencies.append(time.perf_counter() - began)
            measured[turn % 3] = Measured(latencies, spent + time.process_time() - cpu)
    if await connection.fetchval("SELECT count(*) FROM bodies"):
        raise RuntimeError("the second database did not do what the first one did")
    return measured
