"""Where a function runs and what a transaction is: one writer, and group commit.

The writer drains everything that is pending into one transaction, so that the disk is synced once
for all of them, and answers nobody before the COMMIT. If a drain fails, its commands are run again
one at a time, so that a bad one harms only itself. Refuses to know which database it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

import sqlalchemy as sa

from storage import time_floor
from storage.clock import Clock
from storage.commits import write_queue
from storage.commits.write_queue import Batch, PendingWrite, Work, WriteQueue
from storage.errors import (
    DatabaseDamaged,
    DatabaseUnavailable,
    DatabaseUnusable,
    WriteConflict,
    explain,
)
from storage.hints import Hints
from storage.messages import commands as message_commands
from storage.messages import fifo_groups
from storage.messages.commands import Command
from storage.notifications import NotificationHandler, Notifications
from storage.postgresql.engine import PostgresqlEngine
from storage.settings import EngineSettings
from storage.sqlite.engine import SqliteEngine
from storage.transaction import Transaction
from storage.waiters import Waiters

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

_COLLISIONS = 3
"""How often a transaction that met another server's row is tried again, and then sees that row."""

_CONTENDED_SECONDS = 10.0
"""How long a server that has collided with another takes care not to do so again."""

_PATIENCE_SECONDS = 5.0
"""A database that has not done a transaction after so long, and fails then, does not answer."""


class Engine(Protocol):
    """What each kind of database does in its own way; its errors are SQLAlchemy's and the OS's.

    `is_shared` tells whether several servers may work on it.
    """

    is_shared: bool

    async def open(self, clock: Clock, /) -> bytes:
        """Make or migrate the tables, and set the clock; give the database's secret."""
        ...

    def listen(self, handler: NotificationHandler, /) -> None:
        """Tell what comes from other servers from now on, and whose turn it is to work for all."""
        ...

    def notify(self, connection: sa.Connection, sent: Notifications, now_ms: int, /) -> None:
        """Tell the other servers, with the COMMIT of this transaction."""
        ...

    async def transact(self, function: Callable[[sa.Connection], T], is_small: bool, /) -> T:
        """Run a function in a transaction of the one writer, and commit.

        One that is light may be run where it keeps the event loop waiting for a moment.
        """
        ...

    async def read(self, function: Callable[[sa.Connection], T], /) -> T:
        """Run a function that only reads, beside the writer where that is possible."""
        ...

    def take_numbers(self, connection: sa.Connection, count: int, /) -> Sequence[int]:
        """Take the next numbers, increasing and never given twice, within a transaction."""
        ...

    async def close(self) -> None:
        """Let go of the database."""
        ...

    def display_url(self) -> str:
        """Name the database in an error, without its password."""
        ...

    def classify(
        self, error: BaseException, /
    ) -> DatabaseDamaged | DatabaseUnavailable | WriteConflict | None:
        """Return what an error means for the process, or None if the work itself is at fault."""
        ...


class Worker(Protocol):
    """Who does on this server, when it is its turn, what one server does for all."""

    def begin(self) -> None:
        """Begin: it is this server's turn."""
        ...

    def end(self) -> None:
        """End: it is not, any more."""
        ...

    def run_soon(self) -> None:
        """Look at once: something was left to be done."""
        ...

    def look(self) -> None:
        """Look for what may have been begun elsewhere, and nobody has told of."""
        ...


class Database:
    """A database of queues: SQLite in a file or in memory, or PostgreSQL.

    Make one with `await Database.open(url, clock)`.
    """

    def __init__(
        self, engine: Engine, clock: Clock, secret: bytes, limit: int, limit_bytes: int
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._hints = Hints()
        self._revisions: dict[int, int] = {}
        self._contended_until = -inf
        self._pending = WriteQueue(self._hints, limit, limit_bytes)
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._closing = False
        self._writer = asyncio.create_task(self._write_forever(), name="database writer")
        self._worker: Worker | None = None
        self._is_leader = False
        self.secret = secret
        self.waiters = Waiters(clock)
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
        engine_settings: EngineSettings | None = None,
    ) -> Self:
        """Open the database, make or migrate its tables, and start the writer.

        At most `limit` commands, and `limit_bytes` of their bodies, wait for it; more are refused.
        A PostgreSQL is used on so many `connections`, and one more; `poll_seconds` is how often
        those who wait look, where nobody can tell them of news. Its clock becomes this server's.

        Raises:
            DatabaseUnusable: it cannot be reached, read or understood, or another process has it.
        """
        engine = _engine(url, connections, poll_seconds, engine_settings or EngineSettings())
        try:
            secret = await engine.open(clock)
        except BaseException as error:
            await engine.close()
            if not isinstance(error, Exception):
                raise
            text = explain(error, engine.display_url(), engine.classify(error))
            raise DatabaseUnusable(text) from error
        return cls(engine, clock, secret, limit, limit_bytes)

    async def close(self) -> None:
        """Commit what was accepted, then let go of the database."""
        noting: asyncio.Future[Any] | None = None
        # A shared database may not answer any more, and others that use it note the time.
        if not self._closing and not self._engine.is_shared:
            with contextlib.suppress(DatabaseUnavailable):
                noting = self._enqueue(time_floor.record)
        self._closing = True
        self._wake.set()
        await self._writer
        if noting is not None and (error := noting.exception()) is not None:
            log.warning("the time could not be noted: %s", error)
        await self._engine.close()

    def run_on_leader(self, worker: Worker) -> None:
        """Let somebody do what one server does for all, whenever it is this server's turn."""
        self._worker = worker
        if self._is_leader:
            worker.begin()

    def set_leader(self, is_ours: bool) -> None:
        """Hear whether it is this server's turn to do what one does for all."""
        self._is_leader = is_ours
        if self._worker is not None:
            (self._worker.begin if is_ours else self._worker.end)()

    def handle(self, heard: Notifications) -> None:
        """Hear what has been committed, here or by another server."""
        for queue_id in heard.gone:
            self.waiters.wake_all(queue_id)
        for queue_id, visible_at_ms, count in heard.arrivals:
            self.waiters.announce(queue_id, visible_at_ms, count)
        if heard.has_background_work and self._worker is not None:
            self._worker.run_soon()

    def resync(self) -> None:
        """Look at everything that somebody waits for: there may have been news that was missed."""
        self.waiters.wake_each()
        if self._worker is not None:
            self._worker.look()

    async def read(
        self, function: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """Run a function that only reads, in a transaction of its own.

        Raises:
            DatabaseUnavailable: the database did not answer.
            DatabaseDamaged: what it would read cannot be read.
        """
        if self._closing:
            raise DatabaseUnavailable("the database is being closed")
        try:
            return await self._engine.read(lambda connection: function(connection, *args, **kw))
        except Exception as error:
            if told := self._told(error):
                raise told from error
            raise

    async def ping(self) -> None:
        """Ask the database for a sign of life.

        Raises:
            DatabaseUnavailable: there was none.
        """
        await self.read(lambda connection: connection.scalar(sa.select(sa.literal(1))))

    async def write(
        self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """Run a function in a transaction of its own; what it raises rolls back and arrives here.

        The function may be run again if it collides with another server's write.
        """

        def run(transaction: Transaction) -> T:
            # Queues are changed by such functions alone, and not by commands.
            self._revisions.clear()
            return function(transaction, *args, **kw)

        result: T = await self._enqueue(run)
        return result

    def submit(self, command: Command) -> asyncio.Future[Any]:
        """Hand a command to the next drain; the future has its result after the COMMIT.

        Raises:
            DatabaseUnavailable: the database is being closed, or too much waits for it.
        """
        return self._enqueue(command)

    def _enqueue(self, work: Work) -> asyncio.Future[Any]:
        if self._closing:
            raise DatabaseUnavailable("the database is being closed")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._pending.add(work, future)
        if not self._wake.is_set():
            self._wake.set()
        return future

    async def _write_forever(self) -> None:
        while self._pending or not self._closing:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                await self._drain(self._pending.take())
                # A drain may have been done without leaving the loop; now it is others' turn.
                await asyncio.sleep(0)

    async def _drain(self, drain: Batch) -> None:
        batch = drain.items
        began = self._loop.time()
        try:
            results = await self._commit(_work_of(batch), drain.is_small)
        except DatabaseUnavailable as error:
            _refuse(batch, error)
            # Who waited for that one is not to wait as long again, for the next.
            if self._loop.time() - began > _PATIENCE_SECONDS:
                while self._pending:
                    _refuse(self._pending.take().items, error)
        except Exception as error:
            if len(batch) == 1:
                _refuse(batch, error)
                return
            log.warning("a drain of %d commands failed: %s; one at a time now", len(batch), error)
            self._pending.retry_one_by_one(drain)
        else:
            for item, result in zip(batch, results, strict=True):
                _answer(item.future, result)

    async def _commit(
        self, work: Callable[[Transaction], Sequence[Any]], is_small: bool
    ) -> Sequence[Any]:
        """Run work in one transaction, and anew if it collides with another server's."""
        for _ in range(_COLLISIONS):
            try:
                return await self._commit_once(work, is_small)
            except Exception as error:
                if not isinstance(self._engine.classify(error), WriteConflict):
                    raise
                self._contended_until = self._loop.time() + _CONTENDED_SECONDS
        return await self._commit_once(work, is_small)

    async def _commit_once(
        self, work: Callable[[Transaction], Sequence[Any]], is_small: bool
    ) -> Sequence[Any]:
        """Run work in one transaction; its news is delivered with the COMMIT, or never."""

        def transact(connection: sa.Connection) -> tuple[Transaction, Sequence[Any]]:
            transaction = Transaction(
                connection,
                self._clock.now_ms(),
                lambda count: self._engine.take_numbers(connection, count),
                self.waiters.waiting,
                self._hints,
                {} if self._engine.is_shared else self._revisions,
                is_shared=self._engine.is_shared,
                is_contended=self._engine.is_shared and self._loop.time() < self._contended_until,
            )
            results = work(transaction)
            fifo_groups.settle(transaction)
            self._engine.notify(connection, transaction.notifications, transaction.now_ms)
            transaction.write_counts()
            return transaction, results

        try:
            transaction, results = await self._engine.transact(transact, is_small)
        except Exception as error:
            if told := self._told(error):
                raise told from error
            raise
        self.handle(transaction.notifications)
        for queue_id, visible_at_ms, count in transaction.local_wakeups:
            self.waiters.announce(queue_id, visible_at_ms, count)
        return results

    def _told(self, error: Exception) -> Exception | None:
        """Word an error for those who ask, if it is the database's and not the work's own."""
        classified = self._engine.classify(error)
        return None if isinstance(classified, WriteConflict) else classified


def _engine(
    url: str, connections: int, poll_seconds: float | None, settings: EngineSettings
) -> Engine:
    if url.startswith("postgresql:"):
        return PostgresqlEngine(url, connections, poll_seconds, settings)
    try:
        return SqliteEngine(sa.make_url(url), settings)
    except (sa.exc.ArgumentError, TypeError, ValueError) as error:
        raise DatabaseUnusable(f"the database's URL cannot be read: {error}") from error


def _work_of(batch: list[PendingWrite]) -> Callable[[Transaction], Sequence[Any]]:
    first = batch[0].work
    if callable(first):
        function = first
        return lambda transaction: [function(transaction)]
    commands: list[Any] = [item.work for item in batch]
    return lambda transaction: message_commands.apply(transaction, commands)


def _refuse(batch: list[PendingWrite], error: Exception) -> None:
    for item in batch:
        _answer(item.future, error)


def _answer(future: asyncio.Future[Any], result: object) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
