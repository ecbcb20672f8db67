"""Group commit: one task commits all writes, and many of them in one transaction.

The writer takes a batch from the write queue and commits it. Commands of a batch share one
transaction, so the disk is synced once for all of them. A caller gets its result after COMMIT. If
the transaction of several commands fails, the writer retries them one at a time, so that a bad
command fails alone.

The methods call each other in this order: `_run` (loop), `_process` (set the results), `_commit`
(retry write conflicts), `_commit_once` (COMMIT, then wake receivers), `_execute` (all work of the
transaction), `_apply` (the function, or the commands by `storage.messages.batch`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, TypeVar, cast

import sqlalchemy as sa

from storage.clock import Clock
from storage.commits.write_queue import Batch, Work, WriteQueue
from storage.engine import Engine
from storage.errors import (
    DatabaseUnavailable,
    DiskFull,
    WriteConflict,
    summarize,
)
from storage.hints import Hints
from storage.messages import batch as message_batch
from storage.messages.commands import Command
from storage.messages.rows import STEP_ROWS, Step
from storage.queue_settings import LockedQueue
from storage.transaction import Transaction
from storage.waiting.notifications import NotificationHandler
from storage.waiting.waiters import Waiters

R = TypeVar("R")
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """Retries and timeouts of the writer.

    Attributes:
        conflict_retries: how often a transaction is retried after write conflicts with other
            servers; the last retry sees what the other servers have committed.
        conflicts_likely_seconds: how long after a write conflict the writer assumes that others are
            likely. Transactions then do more work to avoid them.
        full_disk_seconds: after the disk was full, how long receives remove no undeliverable
            messages. They deliver the others.
        silent_seconds: if a transaction fails after this long, the database is assumed not to
            answer. All waiting writes then fail at once, so they do not each wait that long.
    """

    conflict_retries: int = 3
    conflicts_likely_seconds: float = 10.0
    full_disk_seconds: float = 10.0
    silent_seconds: float = 5.0


class Writer:
    """Runs the only task that writes to the database.

    Attributes:
        conflicts_likely_until: until this time of the event loop, in seconds, the writer assumes
            that write conflicts with other servers are likely.
        is_closing: whether new writes are rejected.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        hints: Hints,
        waiters: Waiters,
        handler: NotificationHandler,
        queue: WriteQueue,
        settings: WriterSettings,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._hints = hints
        self._waiters = waiters
        self._handler = handler
        self._queue = queue
        self._settings = settings
        self._known_queues: dict[int, LockedQueue] = {}
        self.conflicts_likely_until = -inf
        self._no_steps_until = -inf
        self._has_work = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name="database writer")
        self.is_closing = False

    def submit(self, command: Command[R]) -> asyncio.Future[R]:
        """Add a command to the next batch; the future has its result after COMMIT.

        Raises:
            DatabaseBusy: too many writes are pending.
            DatabaseUnavailable: the writer is closing.
        """
        return self._enqueue(command)

    def run_function(self, function: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """Run a function in a transaction of its own; the future has its result after COMMIT.

        The writer may run the function again, after a write conflict or a lost connection.

        Raises:
            DatabaseBusy: too many writes are pending.
            DatabaseUnavailable: the writer is closing.
        """
        return self._enqueue(function)

    async def close(self) -> None:
        """Commit the pending writes, then stop; reject new ones at once."""
        self.is_closing = True
        self._has_work.set()
        await self._task

    def _enqueue(self, work: Work) -> asyncio.Future[Any]:
        if self.is_closing:
            raise DatabaseUnavailable("the database is closing")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.add(work, future)
        if not self._has_work.is_set():
            self._has_work.set()
        return future

    async def _run(self) -> None:
        while self._queue or not self.is_closing:
            await self._has_work.wait()
            self._has_work.clear()
            while self._queue:
                await self._process(self._queue.take())
                # A small batch may have run without leaving the loop: let other tasks run.
                await asyncio.sleep(0)

    async def _process(self, batch: Batch) -> None:
        """Commit a batch and resolve its writes, or put them back to be retried one at a time."""
        started = self._loop.time()
        try:
            results = await self._commit(batch)
        except DatabaseUnavailable as error:
            batch.resolve_all(error)
            if self._loop.time() - started > self._settings.silent_seconds:
                while self._queue:
                    self._queue.take().resolve_all(error)
        except Exception as error:
            if len(batch.writes) == 1:
                batch.resolve_all(error)
                return
            log.warning(
                "batch failed: retrying its commands one at a time commands=%d error=%s",
                len(batch.writes),
                summarize(error),
            )
            self._queue.retry_one_by_one(batch)
        else:
            for write, result in zip(batch.writes, results, strict=True):
                write.resolve(result)

    async def _commit(self, batch: Batch) -> Sequence[object]:
        """Commit a batch; retry it after write conflicts. Return a result for each write.

        If the disk is full, retry it once without a step of removing undeliverable messages.
        """
        for _ in range(self._settings.conflict_retries):
            try:
                return await self._commit_once(batch)
            except DiskFull:
                if self._loop.time() < self._no_steps_until:
                    raise
                self._no_steps_until = self._loop.time() + self._settings.full_disk_seconds
            except Exception as error:
                if not isinstance(self._engine.classify(error), WriteConflict):
                    raise
                log.debug("write conflict: retrying the batch error=%s", summarize(error))
                self.conflicts_likely_until = (
                    self._loop.time() + self._settings.conflicts_likely_seconds
                )
        return await self._commit_once(batch)

    async def _commit_once(self, batch: Batch) -> Sequence[object]:
        try:
            transaction, results = await self._engine.transact(
                partial(self._execute, batch), batch.is_small
            )
        except Exception as error:
            classified = self._engine.classify(error)
            # `_commit` retries a write conflict; after the last retry it is raised unchanged.
            if classified is None or isinstance(classified, WriteConflict):
                raise
            raise classified from error
        # After COMMIT, so that a failed transaction wakes no receiver. `handle` does the same for
        # the notifications of other servers.
        self._handler.handle(transaction.notifications)
        for queue_id, visible_at_ms, count in transaction.local_wakeups:
            self._waiters.wake(queue_id, visible_at_ms, count)
        return results

    def _execute(
        self, batch: Batch, connection: sa.Connection
    ) -> tuple[Transaction, Sequence[object]]:
        """Do the work of a batch within its transaction, up to COMMIT."""
        capabilities = self._engine.capabilities
        transaction = Transaction(
            connection,
            self._clock.now_ms(),
            partial(self._engine.take_numbers, connection),
            self._waiters.count,
            self._hints,
            # Other servers may change queues between transactions.
            {} if capabilities.has_concurrent_writers else self._known_queues,
            capabilities,
            Step(0 if self._loop.time() < self._no_steps_until else STEP_ROWS),
            is_conflict_likely=self._loop.time() < self.conflicts_likely_until,
        )
        results = self._apply(batch, transaction)
        transaction.fifo_groups.write_back()
        self._engine.notify(connection, transaction.notifications, transaction.now_ms)
        transaction.write_counts()
        return transaction, results

    def _apply(self, batch: Batch, transaction: Transaction) -> Sequence[object]:
        function = batch.writes[0].work
        if callable(function):
            # Functions may change queues. Commands do not.
            self._known_queues.clear()
            return [function(transaction)]
        commands = [cast("Command[Any]", write.work) for write in batch.writes]
        return message_batch.run(transaction, commands)
