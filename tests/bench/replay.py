"""What PostgreSQL can do at all: the server's own statements, said again by asyncpg alone.

The engine does its work on one database, and all that it says there is noted; then a new database
is told the same, word for word, in the same transactions and on one connection. Both begin alike,
so that the same rows are met. What is left out is all but the driver and PostgreSQL.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
import uvloop

from storage.messages.commands import NewMessage
from storage.postgresql.connection import Address, AsyncpgConnection
from tests.bench.scenarios import BODY
from tests.engine.stage import Stage
from tests.postgresql import database

ENVELOPE = bytes(24)
_WARM_UP_CYCLES = 5


class Said(NamedTuple):
    """A statement with its parameters: with many sets of them, if it is for each of those."""

    text: str
    parameters: Sequence[Any]
    many: bool


Transactions = list[list[Said]]


class Measured(NamedTuple):
    """What one kind of transaction took: seconds for each, and CPU seconds for all."""

    latencies: list[float]
    cpu_seconds: float


def replay(url: str, cycles: int, count: int) -> list[Measured]:
    """Send, receive and delete so many messages so many times; measure these three apart."""
    with database(url) as first, database(url) as second:
        return uvloop.run(_replay(first, second, cycles + _WARM_UP_CYCLES, count))


async def _replay(first: str, second: str, cycles: int, count: int) -> list[Measured]:
    with _noting() as transactions:
        stage = await Stage.open(first)
        transactions.clear()
        for _ in range(cycles):
            await _cycle(stage, count)
        said = list(transactions)
        await stage.database.close()
        # Only the tables and the queue, whose id is the same.
        await (await Stage.open(second)).database.close()
    connection = await Address(second, is_pooled=False).connect({})
    try:
        return await _say_again(connection, said)
    finally:
        await connection.close()


@contextmanager
def _noting() -> Iterator[Transactions]:
    """Note what the engine says, transaction by transaction."""
    transactions: Transactions = []
    begun: list[Said] = []

    def note(
        _connection: object,
        _cursor: object,
        text: str,
        values: Sequence[Any],
        _context: object,
        many: bool,
    ) -> None:
        begun.append(Said(text, values, many))

    def commit(_connection: object) -> None:
        transactions.append(list(begun))
        begun.clear()

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    sa.event.listen(sa.Engine, "commit", commit)
    try:
        yield transactions
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
        sa.event.remove(sa.Engine, "commit", commit)


async def _cycle(stage: Stage, count: int) -> None:
    """Let each kind of command, so many of it, share a transaction."""
    message = NewMessage(bytes(16), BODY, ENVELOPE, None, 0)
    submit = stage.database.submit
    await asyncio.gather(*(submit(stage.sending(message)) for _ in range(count)))
    received = await asyncio.gather(*(submit(stage.receiving(1)) for _ in range(count)))
    await asyncio.gather(*(submit(stage.deleting(one.receipt)) for (one,) in received))


async def _say_again(connection: AsyncpgConnection, transactions: Transactions) -> list[Measured]:
    measured = [Measured([], 0.0) for _ in range(3)]
    for turn, transaction in enumerate(transactions):
        began, cpu = time.perf_counter(), time.process_time()
        async with connection.transaction():
            for said in transaction:
                if said.many:
                    await connection.executemany(said.text, said.parameters)
                else:
                    await connection.fetch(said.text, *said.parameters)
        if turn >= 3 * _WARM_UP_CYCLES:
            latencies, spent = measured[turn % 3]
            latencies.append(time.perf_counter() - began)
            measured[turn % 3] = Measured(latencies, spent + time.process_time() - cpu)
    if await connection.fetchval("SELECT count(*) FROM bodies"):
        raise RuntimeError("the second database did not do what the first one did")
    return measured
