"""SQLite, in a file or in memory: one process, and one connection that writes.

A whole transaction runs in one go: on the event loop as long as the disk is quick, because two
changes of thread cost more than such a COMMIT, and on a thread when it is not, so that a slow disk
stops nothing but the writer. Reads of a file, in one go on threads, and the copying of its log, go
beside the writer, on connections of their own. Refuses a file that another server has, and one
that is not queueserver's.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import StaticPool

from storage import migrations, schema, time_floor
from storage.clock import Clock
from storage.engine import Capabilities
from storage.errors import DatabaseUnusable
from storage.notifications import NotificationHandler, Notifications
from storage.sql.driver import driver_of, report_rollback

T = TypeVar("T")

log = logging.getLogger(__name__)

_READERS = 4

_QUICK_SECONDS = 0.002
_LONG_SECONDS = 0.05
"""A COMMIT, or a whole transaction, that takes longer sends the next one to the writer's thread."""

_PATIENCE = "PRAGMA busy_timeout=5000"
_NO_PATIENCE = "PRAGMA busy_timeout=0"
"""How long a thread waits for another program that holds the file's lock; the loop does not."""

_CHECKPOINT_SECONDS = 0.25
"""How long what was committed stays in the log alone, before it is copied to the file."""

_LONG_LOG_PAGES = 1_000
"""From when on the log is worth a moment of the writer, to be begun anew.

What is written over is synced in half the time that it takes while the file grows."""

_LARGEST_LOG_BYTES = 32 * 1024 * 1024
"""What the log's file may keep for good; a burst makes it larger, and it is cut down after that."""

_RESERVED_BLOCK = 10_000
"""Numbers that are reserved at a time; a restart skips what is left of the block."""


class SqliteEngine:
    """A SQLite database, by its path; without one it is in memory and ends with the process."""

    capabilities = Capabilities(has_concurrent_writers=False)

    def __init__(self, address: sa.URL) -> None:
        self._path = "" if address.database in (None, ":memory:") else str(address.database)
        self._lock = _lock_file(Path(self._path)) if self._path else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite writer")
        self._engine = sa.create_engine(
            address.set(drivername="sqlite+pysqlite"),
            poolclass=StaticPool,
            hide_parameters=True,
            # One connection, used by one at a time: by the writer's thread, or by the loop.
            connect_args={"isolation_level": None, "check_same_thread": False},
        )
        _prepare_connections(self._engine, "wal_autocheckpoint=0")
        self._connection: sa.Connection
        self._is_closed = False
        self._turn = threading.Lock()
        self._is_quick = False
        self._log = _Log(self._path) if self._path else None
        self._readers = _create_readers(address) if self._path else None
        self._reading = ThreadPoolExecutor(_READERS, thread_name_prefix="sqlite reader")
        self._next_number = self._reserved_number = 0

    async def open(self, clock: Clock) -> bytes:
        """Make or migrate the tables, and set the clock; give the database's secret."""
        secret, reached_ms = await self._on_thread(self._prepare)
        clock.raise_floor(reached_ms)
        return secret

    def _prepare(self) -> tuple[bytes, int]:
        self._connection = connection = self._engine.connect()
        # Nothing is changed in a file before it is known to be ours.
        migrations.version(connection)
        migrations.probe(connection)
        connection.rollback()
        # Write ahead: readers go on beside the writer, and a COMMIT is one append, one sync.
        connection.connection.execute("PRAGMA journal_mode=WAL")
        secret = self._transact(_migrate)
        reached_ms = _reached_ms(connection)
        # From now on the loop may be the one that meets another program's lock.
        connection.connection.execute(_NO_PATIENCE)
        return secret, reached_ms

    def listen(self, handler: NotificationHandler) -> None:
        """Tell that there is no other server, so that this one does all that there is to do."""
        handler.set_leader(True)

    def notify(self, _connection: sa.Connection, _sent: Notifications, _now_ms: int) -> None:
        """Tell nobody: there is no other server."""

    async def transact(
        self,
        function: Callable[[sa.Connection], T],
        is_small: bool,
        _has_more: Callable[[], bool],
    ) -> T:
        """Run a function in a transaction of the writer, and commit."""
        if self._log is not None and self._log.is_long:
            await self._log.finish()
        result = await self._run(function, is_small)
        if self._log is not None:
            self._log.written()
        return result

    async def _run(self, function: Callable[[sa.Connection], T], is_small: bool) -> T:
        # In memory, a read may be running on the thread; the loop waits for nobody's turn.
        if is_small and self._is_quick and self._turn.acquire(blocking=False):
            try:
                return self._transact(function)
            except sa.exc.OperationalError as error:
                # Somebody else is writing to the file: wait for that where it stops nobody else.
                if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
                    raise
            finally:
                self._turn.release()
        return await self._on_thread(lambda: self._transact_in_turn(function))

    def _transact_in_turn(self, function: Callable[[sa.Connection], T]) -> T:
        with self._turn:
            driver = self._connection.connection
            driver.execute(_PATIENCE)
            try:
                return self._transact(function)
            finally:
                driver.execute(_NO_PATIENCE)

    def _transact(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function in a transaction, and commit.

        It is begun and ended here, at a fraction of what it costs by SQLAlchemy, whose listeners
        hear of its end all the same.
        """
        began = perf_counter()
        connection = self._connection
        driver = driver_of(connection)
        try:
            # A writer takes the write lock at once, never half-way through.
            driver.change("BEGIN IMMEDIATE", ())
            result = function(connection)
            done = perf_counter()
            connection.dispatch.commit(connection)
            driver.change("COMMIT", ())
        except BaseException:
            self._roll_back()
            # What a failed transaction reserved is reserved again, in the next one.
            self._reserved_number = self._next_number
            self._is_quick = False
            raise
        ended = perf_counter()
        self._is_quick = ended - done < _QUICK_SECONDS and ended - began < _LONG_SECONDS
        return result

    def _roll_back(self) -> None:
        """Leave no transaction behind: a COMMIT that fails ends none, on either level."""
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            report_rollback(self._connection)
        driver = self._connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection) and driver.in_transaction:
            driver.rollback()

    async def read(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function that only reads; in memory, between the writer's transactions."""
        if self._readers is None:
            return await self._run(function, is_small=True)
        readers = self._readers

        def read() -> T:
            with readers.connect() as connection:
                return function(connection)

        return await asyncio.get_running_loop().run_in_executor(self._reading, read)

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
        """Let go of the file, once a transaction that runs is finished; twice does no harm."""
        if self._is_closed:
            return
        self._is_closed = True
        await asyncio.to_thread(self._reading.shutdown, cancel_futures=True)
        if self._readers is not None:
            self._readers.dispose()
        if self._log is not None:
            await self._log.close()
        # The last connection copies what is left of the log.
        await self._on_thread(self._engine.dispose)
        self._thread.shutdown()
        if self._lock is not None:
            os.close(self._lock)

    async def _on_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def display_url(self) -> str:
        """Name the database in an error."""
        return self._path or "the database in memory"


def _migrate(connection: sa.Connection) -> bytes:
    """Make or migrate the tables; give the database's secret."""
    migrations.migrate(connection)
    return migrations.secret(connection)


def _reached_ms(connection: sa.Connection) -> int:
    """Give the latest moment that is known; a damaged message keeps no server from starting."""
    try:
        reached_ms = time_floor.floor_by_messages_ms(connection)
    except sa.exc.DatabaseError:
        reached_ms = time_floor.floor_ms(connection)
    connection.rollback()
    return reached_ms


def _create_readers(address: sa.URL) -> sa.Engine:
    readers = sa.create_engine(
        address.set(drivername="sqlite+pysqlite"),
        pool_size=_READERS,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"isolation_level": None, "check_same_thread": False},
    )
    _prepare_connections(readers, "cache_size=-1024")
    # The driver would begin one only before the first change, and so break a read's unity.
    sa.event.listen(readers, "begin", lambda connection: driver_of(connection).change("BEGIN", ()))
    return readers


def _prepare_connections(engine: sa.Engine, *more: str) -> None:
    """Settle what holds for every connection.

    Caches, which count in KiB when they are negative, are small: the system's own of the file is
    the large one, and there is one for each connection.
    """

    def set_pragmas(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(_PATIENCE)
        for pragma in ("synchronous=FULL", "cache_size=-8192", *more):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    sa.event.listen(engine, "connect", set_pragmas)


class _Log:
    """The write-ahead log, copied to the file beside the writer, by a connection of its own.

    SQLite would do it in every so many-th COMMIT, and keep all who wait for that one waiting. What
    is copied beside a busy writer is always a little less than what is written, and the log begins
    anew only when nothing is left; so `is_long` asks the writer for the moment that the rest takes.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: aiosqlite.Connection | None = None
        self._copying: asyncio.Task[None] | None = None
        self._has_grown = False
        self.is_long = False

    def written(self) -> None:
        """Note that the log has grown; it will be copied in a while."""
        self._has_grown = True
        if self._copying is None:
            self._copying = asyncio.create_task(self._copy_later(), name="log to file")

    async def _copy_later(self) -> None:
        while self._has_grown:
            await asyncio.sleep(_CHECKPOINT_SECONDS)
            self._has_grown = False
            self.is_long = await self._copy()
        self._copying = None

    async def finish(self) -> None:
        """Copy all of it, while the writer waits."""
        await self._copy()
        self.is_long = False

    async def _copy(self) -> bool:
        """Copy what can be copied without waiting for anybody; tell if the log is long."""
        try:
            if self._connection is None:
                self._connection = await aiosqlite.connect(
                    self._path, isolation_level=None, timeout=0
                )
                await self._connection.execute("PRAGMA synchronous=FULL")
            async with self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)") as cursor:
                _, pages, copied = await cursor.fetchone() or (0, 0, 0)
            if copied == pages and _size(f"{self._path}-wal") > _LARGEST_LOG_BYTES:
                await self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except (sqlite3.Error, OSError) as error:
            # Nothing is lost: it stays in the log, and is copied another time.
            log.warning("the database's log could not be copied to its file: %s", error)
            return False
        return bool(pages > _LONG_LOG_PAGES)

    async def close(self) -> None:
        """Let go of the file; what is not copied stays in the log."""
        if self._copying is not None:
            self._copying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._copying
        if self._connection is not None:
            await self._connection.close()


def _size(path: str) -> int:
    return Path(path).stat().st_size


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
