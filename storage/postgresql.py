"""PostgreSQL: any number of processes, through asyncpg."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from storage import schema
from storage.faults import is_passing

T = TypeVar("T")

_READERS = 4

_MIGRATION_LOCK = 0x7175657565  # "queue"


class PostgresqlEngine:
    """A PostgreSQL database, by its URL."""

    def __init__(self, address: sa.URL) -> None:
        self._address = address
        self._engine = create_async_engine(
            address.set(drivername="postgresql+asyncpg"),
            pool_size=_READERS + 1,
            max_overflow=0,
            # Errors end in the log, and message bodies must not.
            hide_parameters=True,
        )
        sa.event.listen(self._engine.sync_engine, "connect", _set_planner)
        # A read of several statements sees one moment, as it does on SQLite.
        self._readers = self._engine.execution_options(isolation_level="REPEATABLE READ")
        self._writer: AsyncConnection | None = None

    async def prepare(self) -> bytes:
        """Make or migrate the tables; give the database's secret."""
        async with self._engine.begin() as connection:
            # Several servers may start at once; the first makes the tables.
            await connection.execute(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK).select())
            await connection.run_sync(schema.migrate)
            return await connection.run_sync(schema.secret)

    async def transact(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function in a transaction of the writer's connection, and commit."""
        if self._writer is None:
            self._writer = await self._engine.connect()
        try:
            return await self._writer.run_sync(_transact, function)
        except Exception as error:
            if is_passing(error):
                await self._disconnect()
            raise

    async def read(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function that only reads, on a connection of its own."""
        async with self._readers.connect() as connection:
            return await connection.run_sync(function)

    def take_numbers(self, connection: sa.Connection, count: int) -> Sequence[int]:
        """Take the next numbers: increasing, and never given again, to no server."""
        series = sa.func.generate_series(1, count).table_valued("n")
        statement = sa.select(schema.numbers.next_value()).select_from(series)
        return connection.scalars(statement).all()

    async def close(self) -> None:
        """Let go of all connections."""
        await self._disconnect()
        await self._engine.dispose()

    async def _disconnect(self) -> None:
        """Drop the writer's connection, whatever state it is in; the next write makes another."""
        if self._writer is not None:
            connection, self._writer = self._writer, None
            with contextlib.suppress(Exception):
                await connection.invalidate()
            with contextlib.suppress(Exception):
                await connection.close()

    def where(self) -> str:
        """Name the database in an error, without its password."""
        shown = self._address.difference_update_query(["password"])
        return shown.render_as_string(hide_password=True)


def _transact(connection: sa.Connection, function: Callable[[sa.Connection], T]) -> T:
    with connection.begin():
        return function(connection)


def _set_planner(connection: DBAPIConnection, _record: object) -> None:
    """Make every hot statement walk an index from its head.

    The tables' statistics are always out of date, because a queue fills and empties faster than
    they are taken; judging by them, the planner would now and then sort a whole backlog.
    """
    cursor = connection.cursor()
    for what in ("sort", "seqscan", "bitmapscan", "hashjoin", "mergejoin", "material"):
        cursor.execute(f"SET enable_{what} = off")
    cursor.execute("SET jit = off")
    cursor.close()
    connection.commit()
