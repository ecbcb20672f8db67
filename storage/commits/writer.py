"""Group commit: one batch of writes after the other, and many writes in one transaction.

The writer takes a batch from the write queue and commits it. Commands of a batch share one
transaction, so the disk is synced once for all of them. A caller gets its result after COMMIT. If
the transaction of several commands fails, the writer retries them one at a time, so that a bad
command fails alone.

On SQLite, the writer takes a batch once an iteration of the event loop has submitted no more writes
(`_gather`). A callback of the event loop commits a small batch on a quick disk (`_commit_at_once`).
Any other batch, and one that has failed there, gets a task: `_process` (retry the commands one at a
time), `_commit` (retry write conflicts), `_commit_once` (COMMIT). Both ways do the same work:
`_execute` in the transaction, and `_end` after it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, TypeVar, cast

import sqlalchemy as sa

from storage.clock import Clock
from storage.commits.write_queue import BATCH_LIMIT, Batch, Done, Work, WriteQueue
from storage.encryption.data_keys import DataKeys
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
    """Commits all writes to the database, one batch at a time.

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
        data_keys: DataKeys,
        deduplication_key: bytes | None,
        settings: WriterSettings,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._hints = hints
        self._waiters = waiters
        self._handler = handler
        self._queue = queue
        self._data_keys = data_keys
        self._deduplication_key = deduplication_key
        self._settings = settings
        self._known_queues: dict[int, LockedQueue] = {}
        self.conflicts_likely_until = -inf
        self._no_steps_until = -inf
        self._loop = asyncio.get_running_loop()
        self._is_busy = False
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self.is_closing = False

    def submit(self, command: Command[R]) -> asyncio.Future[R]:
        """Add a command to the next batch; the future has its result after COMMIT.

        Raises:
            DatabaseBusy: too many writes are pending.
            DatabaseUnavailable: the writer is closing.
        """
        return self._add_with_future(command)

    def submit_with(self, command: Command[R], done: Callable[[R | Exception], None]) -> None:
        """Add a command to the next batch; call `done` with its result or exception after COMMIT.

        Raises:
            DatabaseBusy, DatabaseUnavailable: as `submit`.
        """
        self._add(command, done)

    def run_function(self, function: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """Run a function in a transaction of its own; the future has its result after COMMIT.

        The writer may run the function again, after a write conflict or a lost connection.

        Raises:
            DatabaseBusy: too many writes are pending.
            DatabaseUnavailable: the writer is closing.
        """
        return self._add_with_future(function)

    async def close(self) -> None:
        """Commit the pending writes, then stop; reject new ones at once."""
        self.is_closing = True
        if self._is_busy:
            await self._ended.wait()

    def _add_with_future(self, work: Work) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        self._add(work, partial(_resolve, future))
        return future

    def _add(self, work: Work, done: Done) -> None:
        if self.is_closing:
            raise DatabaseUnavailable("the database is closing")
        self._queue.add(work, done)
        if not self._is_busy:
            self._is_busy = True
            self._schedule()

    def _schedule(self) -> None:
        """Commit the next batch in the event loop's next iteration, or from then on."""
        if self._engine.capabilities.may_commit_at_once:
            self._loop.call_soon(self._gather, 1)
        else:
            self._start(self._take_and_process())

    def _gather(self, count: int) -> None:
        """Commit once an iteration of the event loop has brought no more than `count` writes.

        A single write is committed at once. Gain: with 64 clients, transactions are larger, which
        saves a fifth of the CPU time of a send, a receive and a delete.
        """
        if count < self._queue.count < BATCH_LIMIT:
            self._loop.call_soon(self._gather, self._queue.count)
        else:
            self._commit_at_once()

    def _commit_at_once(self) -> None:
        """Commit the next batch on the event loop if that is quick, or else in a task."""
        batch = self._queue.take()
        started = self._loop.time()
        try:
            committed = self._engine.transact_at_once(partial(self._execute, batch), batch.is_small)
        except Exception as error:
            self._start(self._process(batch, started, error))
            return
        if committed is None:
            self._start(self._process(batch, started))
        else:
            self._end(batch, *committed)
            self._continue()

    def _start(self, process: Coroutine[Any, Any, None]) -> None:
        self._task = self._loop.create_task(process, name="database writer")

    async def _take_and_process(self) -> None:
        await self._process(self._queue.take(), self._loop.time())

    def _continue(self) -> None:
        """Run the next batch after other callbacks of the event loop, if there is one."""
        if self._queue:
            self._schedule()
            return
        self._is_busy = False
        if self.is_closing:
            self._ended.set()

    async def _process(self, batch: Batch, started: float, failed: Exception | None = None) -> None:
        """Commit a batch, or put its writes back to be retried one at a time.

        `failed` is the error of its first attempt, at `started`, if there was one.
        """
        try:
            transaction, results = await self._commit(batch, failed)
        except DatabaseUnavailable as error:
            waiting = [batch]
            if self._loop.time() - started > self._settings.silent_seconds:
                while self._queue:
                    waiting.append(self._queue.take())
            # Only now: a callback may submit the next write, which has not waited.
            for each in waiting:
                _fail(each, error)
        except Exception as error:
            if len(batch.works) == 1:
                _fail(batch, error)
            else:
                log.warning(
                    "batch failed: retrying its commands one at a time commands=%d error=%s",
                    len(batch.works),
                    summarize(error),
                )
                self._queue.retry_one_by_one(batch)
        else:
            self._end(batch, transaction, results)
        self._task = None
        self._continue()

    def _end(self, batch: Batch, transaction: Transaction, results: Sequence[object]) -> None:
        """Wake receivers, and pass on the results of a batch, after its COMMIT."""
        self._data_keys.note_commit()
        try:
            # Not before COMMIT, so that a failed transaction wakes no receiver. `handle` does the
            # same for the notifications of other servers.
            self._handler.handle(transaction.notifications)
            for queue_id, visible_at_ms, count in transaction.local_wakeups:
                self._waiters.wake(queue_id, visible_at_ms, count)
        except Exception:
            log.exception(
                "receivers not woken after a commit: they get the messages at their next poll"
            )
        for done, result in zip(batch.done, results, strict=True):
            _call(done, result)

    async def _commit(
        self, batch: Batch, failed: Exception | None
    ) -> tuple[Transaction, Sequence[object]]:
        """Commit a batch; retry it after write conflicts. Return a result for each write.

        If the disk is full, retry it once without a step of removing undeliverable messages.
        """
        for _ in range(self._settings.conflict_retries):
            try:
                return await self._commit_once(batch, failed)
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
            failed = None
        return await self._commit_once(batch, failed)

    async def _commit_once(
        self, batch: Batch, failed: Exception | None
    ) -> tuple[Transaction, Sequence[object]]:
        error = failed
        if error is None:
            try:
                return await self._engine.transact(partial(self._execute, batch))
            except Exception as raised:
                error = raised
        classified = self._engine.classify(error)
        # `_commit` retries a write conflict; after the last retry it is raised unchanged.
        if classified is None or isinstance(classified, WriteConflict):
            raise error
        raise classified from error

    def _execute(
        self, batch: Batch, connection: sa.Connection
    ) -> tuple[Transaction, Sequence[object]]:
        """Do the work of a batch within its transaction, up to COMMIT."""
        capabilities = self._engine.capabilities
        self._data_keys.begin(connection)
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
            self._data_keys,
            self._deduplication_key,
            is_conflict_likely=self._loop.time() < self.conflicts_likely_until,
        )
        results = self._apply(batch, transaction)
        transaction.fifo_groups.write_back()
        self._engine.notify(connection, transaction.notifications, transaction.now_ms)
        transaction.write_counts()
        return transaction, results

    def _apply(self, batch: Batch, transaction: Transaction) -> Sequence[object]:
        function = batch.works[0]
        if callable(function):
            # Functions may change queues. Commands do not.
            self._known_queues.clear()
            return [function(transaction)]
        return message_batch.run(transaction, cast("list[Command[Any]]", batch.works))


def _fail(batch: Batch, error: Exception) -> None:
    for done in batch.done:
        _call(done, error)


def _call(done: Done, result: object) -> None:
    """Pass on a write's result or exception; an error of one caller must not harm the others."""
    try:
        done(result)
    except Exception:
        log.exception("callback of a write failed: its client may get no answer")


def _resolve(future: asyncio.Future[Any], result: object) -> None:
    """Set a future's result or exception; do nothing if the caller has cancelled it."""
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
