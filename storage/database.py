"""Where a function runs and what a transaction is; the only file that knows the dialect.

All writes go through one writer. It drains everything that is pending into one transaction, so
that the disk is synced once for all of them, and answers nobody before the COMMIT. If a drain
fails, its commands are run again one at a time, so that a bad one harms only itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from storage import messages, schema
from storage.arrivals import Arrivals, Clock
from storage.messages import Command
from storage.transaction import Transaction

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

_DRAIN_LIMIT = 1000
"""Commands in one transaction at most: bounds what a single COMMIT keeps others waiting for."""

_RESERVED_BLOCK = 10_000
"""Numbers that SQLite reserves at a time; a restart skips what is left of the block."""

_COLLISIONS = 3
"""How often a write that met another server's row is tried again, and then sees that row."""

_READERS = 4

_WRITER = "queueserver_writer"


class DatabaseUnusable(Exception):
    """The database cannot be opened; the text is one clear line, without passwords."""


class DatabaseUnavailable(Exception):
    """The database does not answer now, or not any more; trying again may help."""


class _Pending(NamedTuple):
    """Work that waits for the writer: a hot command, or a function with its own transaction."""

    work: Command | Callable[[Transaction], Any]
    future: asyncio.Future[Any]


class Database:
    """A database of queues: SQLite in a file or in memory, or PostgreSQL.

    Make one with `await Database.open(url, clock)`.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock, lock: int | None) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = lock
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._reads_by_writer = isinstance(engine.pool, StaticPool)
        self._pending: deque[_Pending] = deque()
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._closing = False
        self._connection: AsyncConnection | None = None
        self._next_number = self._reserved_number = 0
        self.secret = b""
        self.arrivals = Arrivals(clock)

    @classmethod
    async def open(cls, url: str, clock: Clock) -> Self:
        """Open the database, make or migrate its tables, and start the writer.

        Raises:
            DatabaseUnusable: it cannot be reached, read or understood, or another process has it.
        """
        address = sa.make_url(url)
        lock = _lock_file(address) if address.get_backend_name() == "sqlite" else None
        engine = _create_engine(address)
        database = cls(engine, clock, lock)
        try:
            await database._prepare()
        except BaseException as error:
            await database.close()
            line = _explain(error, address)
            if line is None:
                raise
            raise DatabaseUnusable(line) from error
        database._writer = asyncio.create_task(database._write_forever(), name="database writer")
        return database

    async def close(self) -> None:
        """Commit what was accepted, then let go of the database."""
        if self._writer is not None:
            self._wake.set()
            while self._pending:
                await asyncio.gather(
                    *(item.future for item in self._pending), return_exceptions=True
                )
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
        await self._disconnect()
        await self._engine.dispose()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def read(
        self, function: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """Run a function that only reads, in a transaction of its own, beside the writer."""
        if self._reads_by_writer:
            # One connection is the whole database: reading beside a write would read half of it.
            return await self.write(lambda tx: function(tx.connection, *args, **kw))
        try:
            async with self._engine.connect() as connection:
                return await connection.run_sync(function, *args, **kw)
        except (OperationalError, InterfaceError, OSError) as error:
            raise DatabaseUnavailable(str(error)) from error

    async def ping(self) -> None:
        """Ask the database for a sign of life.

        Raises:
            DatabaseUnavailable: there was none.
        """
        await self.read(lambda connection: connection.execute(sa.select(sa.literal(1))))

    async def write(
        self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """Run a function in a transaction of its own; what it raises rolls back and arrives here.

        The function may be run again if it collides with another server's write.
        """
        for _ in range(_COLLISIONS):
            with contextlib.suppress(IntegrityError):
                return await self._run(lambda tx: function(tx, *args, **kw))
        return await self._run(lambda tx: function(tx, *args, **kw))

    async def _run(self, function: Callable[[Transaction], T]) -> T:
        result: T = await self._enqueue(function)
        return result

    def submit(self, command: Command) -> asyncio.Future[Any]:
        """Hand a command to the next drain; the future has its result after the COMMIT."""
        return self._enqueue(command)

    def _enqueue(self, work: Command | Callable[[Transaction], Any]) -> asyncio.Future[Any]:
        if self._closing:
            raise DatabaseUnavailable("the database is being closed")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending.append(_Pending(work, future))
        self._wake.set()
        return future

    async def _write_forever(self) -> None:
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                await self._drain(self._take())

    def _take(self) -> list[_Pending]:
        """Take one function, or all hot commands up to the next function."""
        first = self._pending.popleft()
        if callable(first.work):
            return [first]
        taken = [first]
        while self._pending and len(taken) < _DRAIN_LIMIT and not callable(self._pending[0].work):
            taken.append(self._pending.popleft())
        return taken

    async def _drain(self, batch: list[_Pending]) -> None:
        try:
            results = await self._commit(_work_of(batch))
        except DatabaseUnavailable as error:
            _refuse(batch, error)
        except Exception as error:
            if len(batch) == 1:
                _refuse(batch, error)
                return
            log.warning("a drain of %d commands failed: %s; one at a time now", len(batch), error)
            for item in batch:
                await self._drain([item])
        else:
            for item, result in zip(batch, results, strict=True):
                _answer(item.future, result)

    async def _commit(self, work: Callable[[Transaction], Sequence[Any]]) -> Sequence[Any]:
        """Run work in a transaction of the writer's connection, then deliver its news."""
        try:
            if self._connection is None:
                connection = await self._engine.connect()
                self._connection = await connection.execution_options(**{_WRITER: True})
            results, transaction = await self._connection.run_sync(self._transact, work)
        except BaseException as error:
            # Numbers reserved by a transaction that failed are reserved again, in the next one.
            self._reserved_number = self._next_number
            if not isinstance(error, OperationalError | InterfaceError | OSError):
                raise
            await self._disconnect()
            raise DatabaseUnavailable(str(error)) from error
        for queue_id in transaction.gone:
            self.arrivals.wake_all(queue_id)
        for queue_id, visible_at_ms, count in transaction.news:
            self.arrivals.announce(queue_id, visible_at_ms, count)
        return results

    def _transact(
        self, connection: sa.Connection, work: Callable[[Transaction], Sequence[Any]]
    ) -> tuple[Sequence[Any], Transaction]:
        with connection.begin():
            transaction = Transaction(
                connection,
                self._clock.now_ms(),
                lambda count: self._take_numbers(connection, count),
                self.arrivals.waiting,
            )
            return work(transaction), transaction

    def _take_numbers(self, connection: sa.Connection, count: int) -> Sequence[int]:
        """Take the next numbers: strictly increasing, and never again after any crash."""
        if not self._is_sqlite:
            series = sa.func.generate_series(1, count).table_valued("n")
            return connection.scalars(
                sa.select(schema.numbers.next_value()).select_from(series)
            ).all()
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

    async def _prepare(self) -> None:
        """Make sure that the database is ours before anything in it is touched."""
        async with self._engine.connect() as connection:
            await connection.run_sync(schema.version)
            await connection.rollback()
            if self._is_sqlite:
                await connection.run_sync(_set_journal)
            else:
                # Several servers may start at once; the first makes the tables.
                await connection.execute(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK).select())
            await connection.run_sync(schema.migrate)
            self.secret = await connection.run_sync(schema.secret)
            await connection.commit()

    async def _disconnect(self) -> None:
        if self._connection is not None and not self._reads_by_writer:
            connection, self._connection = self._connection, None
            with contextlib.suppress(Exception):
                await connection.invalidate()
            with contextlib.suppress(Exception):
                await connection.close()


_MIGRATION_LOCK = 0x7175657565  # "queue"


def _work_of(batch: list[_Pending]) -> Callable[[Transaction], Sequence[Any]]:
    first = batch[0].work
    if callable(first):
        function = first

        def run_function(transaction: Transaction) -> Sequence[Any]:
            result = function(transaction)
            transaction.settle()
            return [result]

        return run_function
    commands: list[Any] = [item.work for item in batch]
    return lambda transaction: messages.apply(transaction, commands)


def _refuse(batch: list[_Pending], error: Exception) -> None:
    for item in batch:
        _answer(item.future, error)


def _answer(future: asyncio.Future[Any], result: object) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _create_engine(address: sa.URL) -> AsyncEngine:
    if address.get_backend_name() != "sqlite":
        engine = create_async_engine(
            address.set(drivername="postgresql+asyncpg"), pool_size=_READERS + 1, max_overflow=0
        )
        sa.event.listen(engine.sync_engine, "connect", _set_planner)
        return engine
    in_memory = not address.database
    engine = create_async_engine(
        address.set(drivername="sqlite+aiosqlite"),
        # Transactions are begun below, by us: the driver's own guess is wrong for reads.
        connect_args={"isolation_level": None},
        **({"poolclass": StaticPool} if in_memory else {"pool_size": _READERS + 1}),
    )
    sa.event.listen(engine.sync_engine, "connect", _set_pragmas)
    sa.event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _set_planner(connection: DBAPIConnection, _record: object) -> None:
    """Make every hot statement walk an index from its head.

    The tables' statistics are always out of date, because a queue fills and empties faster than
    they are taken; judging by them, the planner would now and then sort a whole backlog.
    """
    cursor = connection.cursor()
    for what in ("sort", "seqscan", "bitmapscan", "hashjoin", "mergejoin"):
        cursor.execute(f"SET enable_{what} = off")
    cursor.execute("SET jit = off")
    cursor.close()
    connection.commit()


def _set_pragmas(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("synchronous=FULL", "busy_timeout=5000", "cache_size=-65536"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _set_journal(connection: sa.Connection) -> None:
    """Write ahead: readers go on beside the writer, and a COMMIT is one append and one sync."""
    raw = connection.connection.cursor()
    raw.execute("PRAGMA journal_mode=WAL")
    raw.close()


def _begin(connection: sa.Connection) -> None:
    """Take the write lock at once where there will be writing; never half-way through."""
    writes = connection.get_execution_options().get(_WRITER)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _lock_file(address: sa.URL) -> int | None:
    """Lock a SQLite file against other servers for as long as this process lives.

    The lock is on the file itself, so that no second path to it gets around it, and is flock's,
    which is apart from SQLite's own. The descriptor stays open until the database is closed.
    """
    if not address.database:
        return None
    path = Path(address.database)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise DatabaseUnusable(f"cannot open {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise DatabaseUnusable(f"{path} is in use by another queueserver") from error
    return descriptor


def _explain(error: BaseException, address: sa.URL) -> str | None:
    """Word in one line why the database cannot be used, or None if it is not the database."""
    where = (
        address.database or "memory"
        if address.get_backend_name() == "sqlite"
        else (address.render_as_string(hide_password=True))
    )
    if isinstance(error, schema.ForeignDatabase):
        return f"{where} holds tables that are not queueserver's: give it a database of its own"
    if isinstance(error, schema.NewerSchema):
        return f"{where} was written by a newer queueserver (schema {error}): upgrade this one"
    if isinstance(error, DBAPIError):
        return f"cannot use {where}: {' '.join(str(error.orig).split())}"
    if isinstance(error, OSError):
        return f"cannot reach {where}: {error.strerror or error}"
    return None
