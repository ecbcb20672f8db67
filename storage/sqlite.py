"""SQLite, in a file or in memory: one process, one connection that writes, on a thread of its own.

A whole transaction runs on that thread in one go, so that the event loop is interrupted once and
not for every statement. Reads of a file go beside it, on connections of their own. Refuses a file
that another server has, and one that is not queueserver's.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from storage import schema
from storage.faults import DatabaseUnusable

T = TypeVar("T")

_READERS = 4

_RESERVED_BLOCK = 10_000
"""Numbers that are reserved at a time; a restart skips what is left of the block."""


class SqliteEngine:
    """A SQLite database, by its path; without one it is in memory and ends with the process."""

    def __init__(self, address: sa.URL) -> None:
        self._path = "" if address.database in (None, ":memory:") else str(address.database)
        self._lock = _lock_file(Path(self._path)) if self._path else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite writer")
        self._engine = sa.create_engine(
            address.set(drivername="sqlite+pysqlite"),
            poolclass=StaticPool,
            hide_parameters=True,
            # The one connection is made by whoever comes first, and then used by the thread alone.
            connect_args={"isolation_level": None, "check_same_thread": False},
        )
        _prepare_connections(self._engine, "BEGIN IMMEDIATE")
        self._readers = _create_readers(address) if self._path else None
        self._next_number = self._reserved_number = 0

    async def prepare(self) -> bytes:
        """Make or migrate the tables; give the database's secret."""
        return await self._on_thread(self._prepare)

    def _prepare(self) -> bytes:
        with self._engine.connect() as connection:
            # Nothing is changed in a file before it is known to be ours.
            schema.version(connection)
            connection.rollback()
            # Write ahead: readers go on beside the writer, and a COMMIT is one append, one sync.
            connection.connection.execute("PRAGMA journal_mode=WAL")
            schema.migrate(connection)
            connection.commit()
            return schema.secret(connection)

    async def transact(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function in a transaction of the writer, and commit."""
        return await self._on_thread(lambda: self._transact(function))

    def _transact(self, function: Callable[[sa.Connection], T]) -> T:
        try:
            with self._engine.begin() as connection:
                return function(connection)
        except BaseException:
            # What a failed transaction reserved is reserved again, in the next one.
            self._reserved_number = self._next_number
            raise

    async def read(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function that only reads; in memory, between the writer's transactions."""
        if self._readers is None:
            return await self.transact(function)
        async with self._readers.connect() as connection:
            return await connection.run_sync(function)

    def take_numbers(self, connection: sa.Connection, count: int) -> Sequence[int]:
        """Take the next numbers: strictly increasing, and never again after any crash."""
        if self._next_number + count > self._reserved_number:
            self._reserve_numbers(connection, count)
        first = self._next_number
        self._next_number += count
        return range(first, first + count)

    def _reserve_numbers(self, connection: sa.Connection, count: int) -> None:
        """Note in this very transaction how far numbers are used up, before any of them is."""
        value = schema.properties.c.value
        is_ours = schema.properties.c.name == "reserved_numbers"
        stored = int(connection.scalar(sa.select(value).where(is_ours)) or 1)
        self._next_number = max(self._next_number, stored)
        self._reserved_number = self._next_number + count + _RESERVED_BLOCK
        row = {"value": str(self._reserved_number)}
        if not connection.execute(schema.properties.update().where(is_ours), row).rowcount:
            row["name"] = "reserved_numbers"
            connection.execute(schema.properties.insert(), row)

    async def close(self) -> None:
        """Let go of the file; a transaction that runs is finished first."""
        await self._on_thread(self._engine.dispose)
        self._thread.shutdown()
        if self._readers is not None:
            await self._readers.dispose()
        if self._lock is not None:
            os.close(self._lock)

    async def _on_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def where(self) -> str:
        """Name the database in an error."""
        return self._path or "the database in memory"


def _create_readers(address: sa.URL) -> AsyncEngine:
    readers = create_async_engine(
        address.set(drivername="sqlite+aiosqlite"),
        pool_size=_READERS,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"isolation_level": None},
    )
    _prepare_connections(readers.sync_engine, "BEGIN")
    return readers


def _prepare_connections(engine: sa.Engine, begin: str) -> None:
    """Settle what holds for every connection, and begin transactions ourselves.

    The driver would begin one only before the first change, and so break a read's unity; a writer
    takes the write lock at once, never half-way through.
    """

    def set_pragmas(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in ("synchronous=FULL", "busy_timeout=5000", "cache_size=-65536"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    sa.event.listen(engine, "connect", set_pragmas)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))


def _lock_file(path: Path) -> int:
    """Lock a SQLite file against other servers for as long as this process lives.

    The lock is on the file itself, so that no second path to it gets around it, and is flock's,
    which is apart from SQLite's own. The descriptor stays open until the database is closed:
    closing it earlier would undo SQLite's locks.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise DatabaseUnusable(f"cannot open {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise DatabaseUnusable(f"{path} is in use by another queueserver") from error
    return descriptor
