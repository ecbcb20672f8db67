"""PostgreSQL: any number of processes, through asyncpg."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from storage import migrations
from storage.clock import Clock
from storage.errors import is_connection_loss, is_transient
from storage.notifications import NotificationHandler, Notifications
from storage.postgresql.connection import PER_TRANSACTION, Address, AsyncpgConnection
from storage.postgresql.listener import Listener
from storage.postgresql.session import install_sessions, session_of
from storage.postgresql.statements import CAPABILITIES, NEXT_NUMBERS
from storage.sql.driver import report_rollback

T = TypeVar("T")

_MIGRATION_LOCK = 0x7175657565  # "queue"

_POOL_SECONDS = 5.0
"""How long a read waits for a connection while all are in use."""


class PostgresqlEngine:
    """A PostgreSQL database, by its URL, on so many connections and one for the link to others.

    `poll_seconds` is for where sessions are pooled, so that nobody can be told of news: it is how
    often those who wait look.
    """

    capabilities = CAPABILITIES

    def __init__(self, url: str, connections: int, poll_seconds: float | None) -> None:
        self._is_pooled = is_pooled = poll_seconds is not None
        self._address = Address(url, is_pooled=is_pooled)
        self._listener = Listener(self._address, poll_seconds)
        self._engine = create_async_engine(
            _DIALECT,
            async_creator=self._connect,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=_POOL_SECONDS,
            # Errors end in the log, and message bodies must not.
            hide_parameters=True,
            # Transactions are begun and ended here, in fewer words.
            isolation_level="AUTOCOMMIT",
        )
        install_sessions(self._engine.sync_engine)
        settle = f"; {PER_TRANSACTION}" if is_pooled else ""
        self._begin = f"BEGIN{settle}"
        # A read of several statements sees one moment, as it does on SQLite.
        self._begin_reading = f"BEGIN ISOLATION LEVEL REPEATABLE READ{settle}"
        # One connection for all writes: PostgreSQL commits transactions that notify one after the
        # other, so that drains on several would be smaller, and stand in the same line.
        self._writer: AsyncConnection | None = None
        self._writers_own: AsyncpgConnection | None = None
        # The others are for reads, in the order in which they are asked for: the pool itself would
        # let one wait while others are served again and again.
        self._for_reads = asyncio.Semaphore(connections - 1)

    async def _connect(self) -> AsyncpgConnection:
        return await self._address.connect({})

    async def open(self, clock: Clock) -> bytes:
        """Make or migrate the tables, and set the clock; give the database's secret."""
        # A change of the schema, or another server's, takes as long as it takes.
        patient = partial(self._address.connect, {}, is_patient=True)
        engine: AsyncEngine = create_async_engine(
            _DIALECT, async_creator=patient, poolclass=NullPool, hide_parameters=True
        )
        async with engine.begin() as connection:
            # Several servers may start at once; the first makes the tables.
            await connection.execute(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK).select())
            await connection.run_sync(migrations.migrate)
            secret = await connection.run_sync(migrations.secret)
        await self._listener.open(clock)
        return secret

    def listen(self, handler: NotificationHandler) -> None:
        """Tell what comes from other servers from now on."""
        self._listener.listen(handler)

    async def transact(
        self,
        function: Callable[[sa.Connection], T],
        _is_light: bool,
        goes_on: Callable[[], bool],
    ) -> T:
        """Run a function in a transaction of the writer's connection, and commit.

        If the connection is lost before the COMMIT is on its way, nothing was done: then it is run
        again, once, on a new one.
        """
        for is_second in (False, True):
            attempt = _Attempt(self._begin, lambda: not self._is_pooled and goes_on())
            writer = await self._connected_writer()
            try:
                return await writer.run_sync(attempt.run, function)
            except Exception as error:
                if not is_transient(error):
                    raise
                is_lost = is_connection_loss(error) or self._has_lost_writer()
                await self._disconnect()
                if is_second or attempt.is_committing or attempt.is_unanswered or not is_lost:
                    raise
        raise AssertionError("the last attempt has ended one way or the other")

    async def _connected_writer(self) -> AsyncConnection:
        if self._writer is not None and self._has_lost_writer():
            await self._disconnect()
        if self._writer is None:
            writer = await self._engine.connect()
            own: AsyncpgConnection | None = (await writer.get_raw_connection()).driver_connection
            self._writer, self._writers_own = writer, own
        return self._writer

    def _has_lost_writer(self) -> bool:
        return self._writers_own is None or self._writers_own.is_closed()

    async def read(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function that only reads, on a connection of its own; again, if that was lost."""
        try:
            async with asyncio.timeout(_POOL_SECONDS):
                await self._for_reads.acquire()
        except TimeoutError:
            raise TimeoutError("all connections for reads are in use") from None
        try:
            return await self._read_anew(function)
        finally:
            self._for_reads.release()

    async def _read_anew(self, function: Callable[[sa.Connection], T]) -> T:
        try:
            return await self._read(function)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated and not is_connection_loss(error):
                raise
        return await self._read(function)

    async def _read(self, function: Callable[[sa.Connection], T]) -> T:
        def read(connection: sa.Connection) -> T:
            session_of(connection).begin(self._begin_reading)
            return function(connection)

        async with self._engine.connect() as connection:
            return await connection.run_sync(_run, read)

    def take_numbers(self, connection: sa.Connection, count: int) -> Sequence[int]:
        """Take the next numbers: increasing, and never given again, to no server."""
        return [number for (number,) in NEXT_NUMBERS.rows(connection, {"count": count})]

    def notify(self, connection: sa.Connection, sent: Notifications, now_ms: int) -> None:
        """Tell the other servers, with the COMMIT of this transaction."""
        self._listener.notify(connection, sent, now_ms)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._listener.close()
        await self._disconnect()
        await self._engine.dispose()

    async def _disconnect(self) -> None:
        """Drop the writer's connection, whatever state it is in; the next write makes another."""
        if self._writer is not None:
            connection, self._writer = self._writer, None
            if self._writers_own is not None:
                # Else we would be polite to who does not answer.
                self._writers_own.terminate()
            with contextlib.suppress(Exception):
                await connection.invalidate()
            with contextlib.suppress(Exception):
                await connection.close()

    def display_url(self) -> str:
        """Name the database in an error, without its password."""
        return self._address.where()


_DIALECT = "postgresql+asyncpg://"


class _Attempt:
    """One transaction, and what is to be known when it fails.

    When it comes to the COMMIT, `goes_on` tells whether the next one is about to begin.

    Attributes:
        is_committing: whether it has come so far that nobody can tell if it was done.
        is_unanswered: whether the database said nothing for so long that it will not say anything.
    """

    def __init__(self, begin: str, goes_on: Callable[[], bool]) -> None:
        self._begin = begin
        self._goes_on = goes_on
        self.is_committing = False
        self.is_unanswered = False

    def run(self, connection: sa.Connection, function: Callable[[sa.Connection], T]) -> T:
        """Run a function in a transaction, and commit; what goes wrong rolls back."""
        try:
            return _run(connection, partial(self._transact, function))
        except TimeoutError:
            self.is_unanswered = True
            raise
        except Exception:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                session_of(connection).roll_back()
                report_rollback(connection)
            raise

    def _transact(self, function: Callable[[sa.Connection], T], connection: sa.Connection) -> T:
        session = session_of(connection)
        session.begin(self._begin)
        result = function(connection)
        self.is_committing = True
        connection.dispatch.commit(connection)
        session.commit(goes_on=self._goes_on())
        return result


def _run(connection: sa.Connection, function: Callable[[sa.Connection], T]) -> T:
    """Run a function; if the database does not answer it, or nobody waits for it, hang up at once.

    A rollback would wait once more for an answer that does not come; and what was said last, a
    BEGIN perhaps, might be heard only when the connection has other work already.
    """
    own: AsyncpgConnection | None = connection.connection.driver_connection
    try:
        return function(connection)
    except (TimeoutError, asyncio.CancelledError):
        if own is not None:
            own.terminate()
        raise
