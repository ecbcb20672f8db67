"""The PostgreSQL engine, through asyncpg; any number of servers may use the database."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from storage import migrations
from storage.clock import Clock
from storage.errors import ClassifiedError
from storage.postgresql import errors
from storage.postgresql.connection import PER_TRANSACTION, Address, AsyncpgConnection
from storage.postgresql.listener import Listener
from storage.postgresql.session import install_sessions
from storage.postgresql.statements import CAPABILITIES, NEXT_NUMBERS
from storage.settings import EngineSettings
from storage.sql.driver import driver_of
from storage.waiting.notifications import NotificationHandler, Notifications

T = TypeVar("T")

_MIGRATION_LOCK = 0x7175657565  # "queue"


class PostgresqlEngine:
    """A PostgreSQL database, by its URL, on `connections` connections and one for the listener.

    With `poll_seconds`, the database is behind a transaction pooler. Servers cannot notify each
    other there, and waiting receivers check for messages at this interval.
    """

    capabilities = CAPABILITIES

    def __init__(
        self, url: str, connections: int, poll_seconds: float | None, settings: EngineSettings
    ) -> None:
        is_pooled = poll_seconds is not None
        self._timeouts = settings.postgresql
        self._address = Address(url, settings.postgresql, is_pooled=is_pooled)
        self._listener = Listener(self._address, poll_seconds)
        self._connections: weakref.WeakSet[AsyncpgConnection] = weakref.WeakSet()
        self._engine = create_async_engine(
            _DIALECT,
            async_creator=self._connect,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=settings.postgresql.pool_seconds,
            # Errors end in the log, and message bodies must not.
            hide_parameters=True,
            # The drivers begin and end transactions, in fewer statements than SQLAlchemy.
            isolation_level="AUTOCOMMIT",
        )
        install_sessions(self._engine.sync_engine, settings.wrap_driver)
        settle = f"; {PER_TRANSACTION}" if is_pooled else ""
        self._begin = f"BEGIN{settle}"
        # All statements of a read see one snapshot, as on SQLite.
        self._begin_read = f"BEGIN ISOLATION LEVEL REPEATABLE READ{settle}"
        # One connection for all writes: PostgreSQL commits transactions that notify one at a time,
        # so several connections would have smaller batches and wait for the same lock.
        self._writer: AsyncConnection | None = None
        self._writer_connection: AsyncpgConnection | None = None
        # Reads get the other connections in the order in which they ask; SQLAlchemy's pool is not
        # fair, and some reads would wait for ever.
        self._read_slots = asyncio.Semaphore(connections - 1)

    async def _connect(self) -> AsyncpgConnection:
        connection = await self._address.connect({})
        self._connections.add(connection)
        return connection

    async def open(self, clock: Clock, prepare: Callable[[sa.Connection], T]) -> T:
        """Create or migrate the tables, and set the clock; return the result of `prepare`."""
        # A migration may take any time, and so may another server's.
        connect = partial(self._address.connect, {}, has_timeouts=False)
        engine: AsyncEngine = create_async_engine(
            _DIALECT, async_creator=connect, poolclass=NullPool, hide_parameters=True
        )
        async with engine.begin() as connection:
            prepared = await connection.run_sync(_run, partial(_migrate, prepare))
        await self._listener.open(clock)
        return prepared

    def listen(self, handler: NotificationHandler) -> None:
        """Pass the notifications of other servers, and changes of leadership, to a handler."""
        self._listener.listen(handler)

    def notify(self, connection: sa.Connection, sent: Notifications, now_ms: int) -> None:
        """Notify the other servers when this transaction commits."""
        self._listener.notify(connection, sent, now_ms)

    def classify(self, error: BaseException) -> ClassifiedError | None:
        """Return what an error means for the process, or None if the work itself is at fault."""
        return errors.classify(error)

    def transact_at_once(self, _function: Callable[[sa.Connection], T], _is_small: bool) -> None:
        """Return None: every transaction waits for PostgreSQL."""

    async def transact(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function in a transaction of the writer's connection, and commit.

        If the connection is lost before COMMIT is sent, nothing was done: the engine reconnects and
        runs the function once more.
        """
        for is_retry in (False, True):
            transaction = _TransactionRun(self._begin)
            writer = await self._connected_writer()
            try:
                return await writer.run_sync(transaction.run, function)
            except Exception as error:
                if not errors.is_transient(error):
                    raise
                is_lost = errors.is_connection_loss(error) or self._has_lost_writer()
                await self._disconnect()
                if (
                    is_retry
                    or transaction.is_committing
                    or transaction.has_timed_out
                    or not is_lost
                ):
                    raise
        raise AssertionError("the retry returns or raises")

    async def _connected_writer(self) -> AsyncConnection:
        if self._writer is not None and self._has_lost_writer():
            await self._disconnect()
        if self._writer is None:
            writer = await self._engine.connect()
            connection: AsyncpgConnection | None = (
                await writer.get_raw_connection()
            ).driver_connection
            self._writer, self._writer_connection = writer, connection
        return self._writer

    def _has_lost_writer(self) -> bool:
        return self._writer_connection is None or self._writer_connection.is_closed()

    async def read(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function that only reads on another connection; once more, if that was lost.

        Raises:
            TimeoutError: all connections for reads are in use.
        """
        try:
            async with asyncio.timeout(self._timeouts.pool_seconds):
                await self._read_slots.acquire()
        except TimeoutError:
            raise TimeoutError("all connections for reads are in use") from None
        try:
            return await self._read_with_retry(function)
        finally:
            self._read_slots.release()

    async def _read_with_retry(self, function: Callable[[sa.Connection], T]) -> T:
        try:
            return await self._read(function)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated and not errors.is_connection_loss(error):
                raise
        except ConnectionResetError:
            pass  # the connection was lost while it was set up
        return await self._read(function)

    async def _read(self, function: Callable[[sa.Connection], T]) -> T:
        def read(connection: sa.Connection) -> T:
            driver_of(connection).begin(self._begin_read)
            return function(connection)

        async with self._engine.connect() as connection:
            return await connection.run_sync(_run, read)

    def take_numbers(self, connection: sa.Connection, count: int) -> Sequence[int]:
        """Return the next message numbers: increasing, and never given to another server."""
        return [number for (number,) in NEXT_NUMBERS.rows(connection, {"count": count})]

    async def close(self) -> None:
        """Close all connections; a second call does nothing."""
        await self._listener.close()
        await self._disconnect()
        # SQLAlchemy would wait for PostgreSQL's answer to each close, however long that takes.
        seconds = self._timeouts.close_seconds
        closing = (connection.close(timeout=seconds) for connection in self._connections)
        await asyncio.gather(*closing, return_exceptions=True)
        await self._engine.dispose()

    async def _disconnect(self) -> None:
        """Drop the writer's connection in any state; the next write reconnects."""
        if self._writer is not None:
            connection, self._writer = self._writer, None
            if self._writer_connection is not None:
                # A graceful close would wait for a server that does not answer.
                self._writer_connection.terminate()
            with contextlib.suppress(Exception):
                await connection.invalidate()
            with contextlib.suppress(Exception):
                await connection.close()

    def display_url(self) -> str:
        """Return the database's URL for an error message, without its password."""
        return self._address.display_url()


_DIALECT = "postgresql+asyncpg://"


class _TransactionRun:
    """One run of a transaction, and what must be known if it fails.

    Attributes:
        is_committing: whether COMMIT was sent, and may have been done.
        has_timed_out: whether PostgreSQL did not answer a statement within the timeout.
    """

    def __init__(self, begin: str) -> None:
        self._begin = begin
        self.is_committing = False
        self.has_timed_out = False

    def run(self, connection: sa.Connection, function: Callable[[sa.Connection], T]) -> T:
        """Run a function in a transaction, and commit; roll back if it raises."""
        try:
            return _run(connection, partial(self._transact, function))
        except TimeoutError:
            self.has_timed_out = True
            raise
        except Exception:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                driver_of(connection).roll_back()
                # SQLAlchemy has a transaction, too, if it ran a statement itself.
                connection.rollback()
            raise

    def _transact(self, function: Callable[[sa.Connection], T], connection: sa.Connection) -> T:
        driver = driver_of(connection)
        driver.begin(self._begin)
        result = function(connection)
        self.is_committing = True
        driver.commit()
        return result


def _migrate(prepare: Callable[[sa.Connection], T], connection: sa.Connection) -> T:
    """Create or migrate the tables, and return the result of `prepare`.

    Several servers may start at once: one does this, and the others wait for its lock.
    """
    connection.execute(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK).select())
    migrations.migrate(connection)
    return prepare(connection)


def _run(connection: sa.Connection, function: Callable[[sa.Connection], T]) -> T:
    """Run a function; if PostgreSQL times out, or the caller is cancelled, drop the connection.

    A rollback would wait for one more answer that does not come. After a cancel, the statement sent
    last, perhaps a BEGIN, might take effect when the connection is already used again.
    """
    asyncpg_connection: AsyncpgConnection | None = connection.connection.driver_connection
    try:
        return function(connection)
    except (TimeoutError, asyncio.CancelledError):
        if asyncpg_connection is not None:
            asyncpg_connection.terminate()
        raise
