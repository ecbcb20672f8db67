"""The SQLite engine, for a file or a database in memory: one process, one connection that writes.

A write transaction runs in one go. If the disk is fast it runs on the event loop, because two
thread switches cost more than such a COMMIT; otherwise it runs on the writer's thread, so that a
slow disk blocks only the writer. Reads of a file run on threads with connections of their own, and
so do checkpoints. The engine rejects a file that another server uses, and one that is not
queueserver's.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from storage import migrations, schema, time_floor
from storage.clock import Clock
from storage.engine import Capabilities
from storage.errors import ClassifiedError, DatabaseUnavailable, DatabaseUnusable
from storage.settings import EngineSettings
from storage.sql.driver import driver_of
from storage.sql.statement import Statement
from storage.sqlite import errors
from storage.sqlite.connection import BUSY_TIMEOUT, NO_BUSY_TIMEOUT, prepare_connections
from storage.sqlite.location import NEW_FILE_MODE, file_of, resolve
from storage.sqlite.wal import WriteAheadLog
from storage.waiting.notifications import NotificationHandler, Notifications

T = TypeVar("T")

_READERS = 4

_STEPS = 100_000
"""Steps of SQLite's virtual machine between two checks for an interrupt: about a millisecond."""

_RESERVED_BLOCK = 10_000
"""Message numbers reserved at a time; a restart skips what is left of the block."""


class SqliteEngine:
    """A SQLite database, by its path; without a path it is in memory and ends with the process."""

    capabilities = Capabilities(
        has_concurrent_writers=False,
        may_commit_at_once=True,
        insert_new_groups=Statement(
            schema.groups.insert().prefix_with("OR IGNORE"),
            ["queue_id", "group_id", "head_id", "available_at_ms"],
        ),
        insert_new_keys=Statement(
            schema.deduplications.insert().prefix_with("OR IGNORE"),
            ["queue_id", "key", "message_id", "number", "sent_at_ms"],
        ),
    )

    def __init__(self, address: sa.URL, settings: EngineSettings) -> None:
        self._path = file_of(address)
        self._limits = settings.sqlite
        file = resolve(self._path) if self._path else None
        address = sa.URL.create("sqlite+pysqlite", database=str(file) if file else None)
        self._lock = _lock_file(file, self._path) if file and self._path else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite writer")
        self._engine = sa.create_engine(
            address,
            poolclass=StaticPool,
            hide_parameters=True,
            # The writer's thread and the event loop use the connection in turns.
            connect_args={"isolation_level": None, "check_same_thread": False},
        )
        prepare_connections(self._engine, settings.wrap_driver, "wal_autocheckpoint=0")
        self._connection: sa.Connection
        self._is_closed = False
        self._writing = threading.Lock()
        self._is_quick = False
        self._is_abandoned = False
        self._wal = WriteAheadLog(str(file), settings.sqlite.wal) if file else None
        self._readers = _create_readers(address, settings) if file else None
        self._reading = ThreadPoolExecutor(_READERS, thread_name_prefix="sqlite reader")
        # A read waits here and not in the executor, which keeps a cancelled one until its turn.
        self._read_slots = asyncio.Semaphore(_READERS)
        self._next_number = self._reserved_number = 0

    async def open(self, clock: Clock, prepare: Callable[[sa.Connection], T]) -> T:
        """Create or migrate the tables, and raise the clock's floor; return `prepare`'s result."""
        try:
            prepared, floor_ms = await self._on_thread(lambda: self._open(prepare))
        except asyncio.CancelledError:
            self._is_abandoned = True
            raise
        clock.raise_floor(floor_ms)
        return prepared

    def _open(self, prepare: Callable[[sa.Connection], T]) -> tuple[T, int]:
        self._connection = connection = self._engine.connect()
        # A migration may take any time; if the start is cancelled, the server must stop soon.
        connection.connection.set_progress_handler(lambda: self._is_abandoned, _STEPS)
        # Write nothing to a file that may belong to another program.
        migrations.version(connection)
        migrations.probe(connection)
        connection.rollback()
        # With a write-ahead log, readers run beside the writer, and a COMMIT is one sync.
        connection.connection.execute("PRAGMA journal_mode=WAL")
        prepared = self._migrate(prepare)
        floor_ms = _read_floor_ms(connection)
        connection.connection.set_progress_handler(None, 0)
        # From now on the event loop may meet another program's lock.
        connection.connection.execute(NO_BUSY_TIMEOUT)
        return prepared, floor_ms

    def _migrate(self, prepare: Callable[[sa.Connection], T]) -> T:
        """Create or migrate the tables, and return the result of `prepare`.

        The first start with encryption keys replaces values in clear: they must stay neither in
        free pages nor in the pages of the file that the log replaces.
        """
        driver = self._connection.connection
        (overwrites,) = driver.execute("PRAGMA secure_delete").fetchone()
        driver.execute("PRAGMA secure_delete=ON")
        before = driver.total_changes
        prepared = self._transact(lambda connection: _migrate(connection, prepare))
        driver.execute(f"PRAGMA secure_delete={overwrites}")
        if driver.total_changes > before:
            # On a full disk, a later checkpoint does it.
            with contextlib.suppress(sqlite3.OperationalError):
                driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return prepared

    def listen(self, handler: NotificationHandler) -> None:
        """Make this server the leader: there is no other."""
        handler.set_leader(True)

    def notify(self, _connection: sa.Connection, _sent: Notifications, _now_ms: int) -> None:
        """Do nothing: there is no other server to notify."""

    def classify(self, error: BaseException) -> ClassifiedError | None:
        """Return what an error means for the process, or None if the work itself is at fault."""
        return errors.classify(error)

    def transact_at_once(self, function: Callable[[sa.Connection], T], is_small: bool) -> T | None:
        """Run a function in a write transaction on the event loop, and commit, if that is quick."""
        if self._wal is not None and self._wal.needs_full_checkpoint:
            return None
        result = self._try_at_once(function, is_small)
        if self._wal is not None and result is not None:
            self._wal.note_commit()
        return result

    async def transact(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function in a write transaction on the writer's thread, and commit."""
        if self._wal is not None and self._wal.needs_full_checkpoint:
            await self._wal.checkpoint_fully()
        result = await self._on_thread(lambda: self._transact_alone(function))
        if self._wal is not None:
            self._wal.note_commit()
        return result

    def _try_at_once(self, function: Callable[[sa.Connection], T], is_small: bool) -> T | None:
        # In memory, a read may be running on the thread; the event loop must not wait for it.
        if not (is_small and self._is_quick and self._writing.acquire(blocking=False)):
            return None
        try:
            return self._transact(function)
        except sa.exc.OperationalError as error:
            # Wait for the other program's lock on the thread.
            if errors.is_busy(error):
                return None
            raise
        finally:
            self._writing.release()

    def _transact_alone(self, function: Callable[[sa.Connection], T]) -> T:
        with self._writing:
            driver = self._connection.connection
            driver.execute(BUSY_TIMEOUT)
            try:
                return self._transact(function)
            finally:
                driver.execute(NO_BUSY_TIMEOUT)

    def _transact(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function in a transaction, and commit.

        BEGIN and COMMIT bypass SQLAlchemy, where they cost several times as much.
        """
        began = perf_counter()
        connection = self._connection
        driver = driver_of(connection)
        try:
            # Take the write lock first: a transaction that starts as a read may fail to get it.
            driver.begin("BEGIN IMMEDIATE")
            result = function(connection)
            done = perf_counter()
            driver.commit()
        except BaseException:
            self._roll_back()
            # The numbers that the failed transaction reserved are free again.
            self._reserved_number = self._next_number
            self._is_quick = False
            raise
        ended = perf_counter()
        self._is_quick = (
            ended - done < self._limits.quick_commit_seconds
            and ended - began < self._limits.quick_transaction_seconds
        )
        return result

    def _roll_back(self) -> None:
        """End the transaction in SQLite and in SQLAlchemy; a COMMIT that fails ends neither."""
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            driver_of(self._connection).roll_back()
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            self._connection.rollback()

    async def read(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function that only reads; in memory, between the writer's transactions.

        Raises:
            DatabaseUnavailable: the database is closing.
        """
        if self._readers is None:
            # In a tuple, because None says that nothing was done.
            found = self._try_at_once(lambda connection: (function(connection),), is_small=True)
            if found is not None:
                return found[0]
            return await self._on_thread(lambda: self._transact_alone(function))
        readers = self._readers

        def read() -> T:
            with readers.connect() as connection:
                return function(connection)

        await self._read_slots.acquire()
        if self._is_closed:
            self._read_slots.release()
            raise DatabaseUnavailable("the database is closing")
        running = asyncio.get_running_loop().run_in_executor(self._reading, read)
        running.add_done_callback(self._end_read)
        # A cancel does not stop the thread: the slot is free when the thread is.
        return await asyncio.shield(running)

    def _end_read(self, read: asyncio.Future[Any]) -> None:
        self._read_slots.release()
        if not read.cancelled():
            # Reading the exception keeps asyncio from logging it after a cancel.
            read.exception()

    def take_numbers(self, connection: sa.Connection, count: int) -> Sequence[int]:
        """Return the next message numbers: strictly increasing, not reused after a crash."""
        if self._next_number + count > self._reserved_number:
            self._reserve_numbers(connection, count)
        first = self._next_number
        self._next_number += count
        return range(first, first + count)

    def _reserve_numbers(self, connection: sa.Connection, count: int) -> None:
        """Store the end of a block of numbers, in the transaction that uses the first of them."""
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
        """Close the file after the running transaction; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        await asyncio.to_thread(self._reading.shutdown, cancel_futures=True)
        if self._readers is not None:
            self._readers.dispose()
        if self._wal is not None:
            await self._wal.close()
        # The last connection checkpoints the rest of the log.
        await self._on_thread(self._engine.dispose)
        self._thread.shutdown()
        if self._lock is not None:
            os.close(self._lock)

    async def _on_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def display_url(self) -> str:
        """Return the database's name for an error message."""
        return str(self._path or "the database in memory")


def _migrate(connection: sa.Connection, prepare: Callable[[sa.Connection], T]) -> T:
    """Create or migrate the tables, and return the result of `prepare`."""
    migrations.migrate(connection)
    return prepare(connection)


def _read_floor_ms(connection: sa.Connection) -> int:
    """Return the time floor; a damaged message must not prevent a start."""
    try:
        floor_ms = time_floor.floor_by_messages_ms(connection)
    except sa.exc.DatabaseError:
        floor_ms = time_floor.floor_ms(connection)
    connection.rollback()
    return floor_ms


def _create_readers(address: sa.URL, settings: EngineSettings) -> sa.Engine:
    readers = sa.create_engine(
        address,
        pool_size=_READERS,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"isolation_level": None, "check_same_thread": False},
    )
    prepare_connections(readers, settings.wrap_driver, "cache_size=-1024")
    # sqlite3 itself begins a transaction only before a change: reads would each see another state.
    sa.event.listen(readers, "begin", lambda connection: driver_of(connection).begin("BEGIN"))
    return readers


def _lock_file(file: Path, path: Path) -> int:
    """Lock a SQLite file against other servers, and return the descriptor that holds the lock.

    A new file is readable by its owner alone, and so are the log and the index, for which SQLite
    takes the mode of the file. `path` is the name of the file as it was given, for errors.

    The lock is flock's, on the file itself: every path to the file meets it, and SQLite's own locks
    are apart from it. The descriptor stays open until the database is closed: closing any
    descriptor of a file releases SQLite's locks on it.

    Raises:
        DatabaseUnusable: the file cannot be opened, or another server has locked it.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, NEW_FILE_MODE)
    except OSError as error:
        raise DatabaseUnusable(f"cannot open {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise DatabaseUnusable(f"{path} is in use by another queueserver") from error
    return descriptor
