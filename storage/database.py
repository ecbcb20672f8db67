"""The database of queues, as the rest of the process uses it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import Concatenate, ParamSpec, Protocol, Self, TypeVar

import sqlalchemy as sa

from storage import time_floor
from storage.clock import Clock
from storage.commits import write_queue
from storage.commits.write_queue import WriteQueue
from storage.commits.writer import Writer, WriterSettings
from storage.encryption import master_key_usage
from storage.encryption.data_keys import DataKeys
from storage.encryption.keyring import Keyring
from storage.engine import Engine
from storage.errors import (
    DatabaseBusy,
    DatabaseUnavailable,
    DatabaseUnusable,
    UnsuitableKeyring,
    WriteConflict,
    explain,
)
from storage.hints import Hints
from storage.messages.commands import Command
from storage.opening import Secrets, prepare
from storage.postgresql.engine import PostgresqlEngine
from storage.settings import EngineSettings
from storage.sqlite.engine import SqliteEngine
from storage.transaction import Transaction
from storage.waiting.notifications import Notifications
from storage.waiting.waiters import Waiters

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

log = logging.getLogger(__name__)


class LeaderWork(Protocol):
    """The background work that one server, the leader, does for all servers of a database."""

    def start(self) -> None:
        """Start working: this server has become the leader."""
        ...

    def stop(self) -> None:
        """Stop working: this server is not the leader any more."""
        ...

    def run_soon(self) -> None:
        """Do the work that a transaction has just left, without waiting for the next round."""
        ...

    def resync(self) -> None:
        """Check for work whose notification may have been lost."""
        ...


class Database:
    """A database of queues: SQLite, in a file or in memory, or PostgreSQL.

    Create one with `await Database.open(url, clock)`.

    Attributes:
        clock: the time that all transactions use.
        hints: estimates about queues, in memory only.
        secret: random bytes that all servers of the database share.
        waiters: the waiting receivers on this server.
        writer: commits all writes.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        secrets: Secrets,
        keyring: Keyring | None,
        limit: int,
        limit_bytes: int,
        settings: WriterSettings,
    ) -> None:
        self.clock = clock
        self.hints = Hints()
        self.secret = secrets.secret
        self.waiters = Waiters(clock)
        self._engine = engine
        self._data_keys = DataKeys(keyring)
        self._limit = limit
        self._pending_reads = 0
        self.writer = Writer(
            engine,
            clock,
            self.hints,
            self.waiters,
            self,
            WriteQueue(self.hints, limit, limit_bytes),
            self._data_keys,
            secrets.deduplication_key,
            settings,
        )
        self._leader_work: LeaderWork | None = None
        self._is_leader = False
        engine.listen(self)

    @classmethod
    async def open(
        cls,
        url: str,
        clock: Clock,
        *,
        limit: int = write_queue.LIMIT,
        limit_bytes: int = write_queue.LIMIT_BYTES,
        connections: int = 5,
        poll_seconds: float | None = None,
        settings: WriterSettings | None = None,
        engine_settings: EngineSettings | None = None,
        keyring: Keyring | None = None,
        encrypts: bool = True,
    ) -> Self:
        """Open the database, create or migrate its tables, and start the writer.

        Args:
            url: `sqlite:///path`, `sqlite://` (in memory), or `postgresql://...`.
            clock: the process's clock; on PostgreSQL it follows the database's clock.
            limit: most pending writes, and most pending reads; more are rejected.
            limit_bytes: most bytes that pending writes hold; more are rejected.
            connections: connections to PostgreSQL, besides the one of the listener.
            poll_seconds: if given, PostgreSQL is behind a transaction pooler that passes on no
                notifications, and waiting receivers check for messages at this interval.
            settings: retries and timeouts of the writer.
            engine_settings: timeouts and limits of the engine.
            keyring: the master keys, which encrypt and decrypt; without them, nothing is encrypted.
            encrypts: if false, the master keys only decrypt.

        Raises:
            DatabaseUnusable: the database cannot be reached or read, belongs to something else,
                is locked by another process, or needs other master keys.
        """
        engine = _create_engine(url, connections, poll_seconds, engine_settings or EngineSettings())
        try:
            secrets = await engine.open(clock, partial(prepare, keyring=keyring, encrypts=encrypts))
        except BaseException as error:
            await engine.close()
            if not isinstance(error, Exception):
                raise
            text = explain(error, engine.display_url(), engine.classify(error))
            raise DatabaseUnusable(text) from error
        writer_settings = settings or WriterSettings()
        return cls(engine, clock, secrets, keyring, limit, limit_bytes, writer_settings)

    async def close(self) -> None:
        """Commit the pending writes, then close all connections; a second call does nothing."""
        recording: asyncio.Future[None] | None = None
        # A shared database may not answer any more, and its other servers record the time floor.
        if not self.writer.is_closing and not self._engine.capabilities.has_concurrent_writers:
            with contextlib.suppress(DatabaseUnavailable):
                recording = self.writer.run_function(time_floor.record)
        await self.writer.close()
        if recording is not None and (error := recording.exception()) is not None:
            log.warning("time floor not recorded error=%s", error)
        await self._engine.close()

    async def use_keyring(self, keyring: Keyring | None) -> None:
        """Use other master keys from now on.

        Raises:
            DatabaseUnusable: they are not those that the database needs; nothing has changed.
            DatabaseUnavailable: the database does not answer, or is closing.
            DatabaseDamaged: the rows that say which keys it needs are damaged.
        """

        def check_and_use(transaction: Transaction) -> None:
            master_key_usage.check(transaction.connection, keyring)
            self._data_keys.use_keyring(keyring)

        try:
            # In one transaction, so that no data key is made between the check and the change.
            await self.write(check_and_use)
        except UnsuitableKeyring as error:
            text = explain(error, self._engine.display_url(), None)
            raise DatabaseUnusable(text) from error

    async def read(
        self, function: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """Run a function that only reads, in a transaction of its own.

        Raises:
            DatabaseBusy: too many reads are pending.
            DatabaseUnavailable: the database does not answer, or is closing.
            DatabaseDamaged: rows that the function reads are damaged.
        """
        if self._pending_reads >= self._limit:
            raise DatabaseBusy("too many reads are pending")
        self._pending_reads += 1
        try:
            return await self._read(lambda connection: function(connection, *args, **kw))
        finally:
            self._pending_reads -= 1

    async def _read(self, function: Callable[[sa.Connection], T]) -> T:
        if self.writer.is_closing:
            raise DatabaseUnavailable("the database is closing")
        try:
            return await self._engine.read(function)
        except Exception as error:
            classified = self._engine.classify(error)
            if classified is None or isinstance(classified, WriteConflict):
                raise
            raise classified from error

    async def ping(self) -> None:
        """Check that the database answers; a server with too many pending reads is no failure.

        Raises:
            DatabaseUnavailable: it does not.
        """
        await self._read(lambda connection: connection.scalar(sa.select(sa.literal(1))))

    async def write(
        self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """Run a function in a transaction of its own, and return its result after COMMIT.

        An exception of the function rolls the transaction back and is raised here. The function
        may run several times, after a write conflict with another server or a lost connection.

        Raises:
            DatabaseBusy: too many writes are pending.
            DatabaseUnavailable: the database does not answer, or is closing.
            DatabaseDamaged: rows that the function uses are damaged.
        """
        return await self.writer.run_function(
            lambda transaction: function(transaction, *args, **kw)
        )

    def submit(self, command: Command[R]) -> asyncio.Future[R]:
        """Add a command to the next batch; the future has its result after COMMIT.

        Raises:
            DatabaseBusy: too many writes are pending.
            DatabaseUnavailable: the database is closing.
        """
        return self.writer.submit(command)

    def submit_with(self, command: Command[R], done: Callable[[R | Exception], None]) -> None:
        """Add a command to the next batch; call `done` with its result, or its exception.

        That is after COMMIT, on the event loop. It costs less than a future. `done` must not raise.

        Raises:
            DatabaseBusy, DatabaseUnavailable: as `submit`.
        """
        self.writer.submit_with(command, done)

    def run_on_leader(self, work: LeaderWork) -> None:
        """Set the background work that this server does while it is the leader."""
        self._leader_work = work
        if self._is_leader:
            work.start()

    def set_leader(self, is_leader: bool) -> None:
        """Start or stop the background work: this server has become the leader, or is not any more.

        The engine calls this.
        """
        self._is_leader = is_leader
        if self._leader_work is None:
            return
        if is_leader:
            self._leader_work.start()
        else:
            self._leader_work.stop()

    def handle(self, received: Notifications) -> None:
        """Wake receivers, and the leader's work, after a COMMIT here or on another server.

        The writer calls this for this server's transactions, and the engine for the notifications
        of other servers.
        """
        for queue_id in received.dropped:
            self.waiters.wake_all(queue_id)
        for queue_id, visible_at_ms, count in received.visible:
            self.waiters.wake(queue_id, visible_at_ms, count)
        if received.has_background_work and self._leader_work is not None:
            self._leader_work.run_soon()

    def resync(self) -> None:
        """Check for messages and work whose notifications may have been lost.

        The engine calls this after each reconnect.
        """
        self.waiters.wake_one_of_each_queue()
        if self._leader_work is not None:
            self._leader_work.resync()


def _create_engine(
    url: str, connections: int, poll_seconds: float | None, settings: EngineSettings
) -> Engine:
    if url.startswith("postgresql:"):
        return PostgresqlEngine(url, connections, poll_seconds, settings)
    try:
        return SqliteEngine(sa.make_url(url), settings)
    except (sa.exc.ArgumentError, TypeError, ValueError) as error:
        raise DatabaseUnusable(f"the database's URL cannot be read: {error}") from error
