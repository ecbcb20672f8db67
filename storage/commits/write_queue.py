"""The queue of pending writes, and how it is cut into batches.

The queue has two limits: the number of writes, and the bytes that they hold. They bound memory. A
batch has two limits: the number of writes, and the bytes of their message bodies. They bound the
time that other writes wait for one COMMIT. A write beyond the queue's limits is rejected at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from storage.errors import DatabaseBusy
from storage.hints import Hints
from storage.messages.commands import Command, Receive, Release, Send
from storage.transaction import Transaction

LIMIT = 10_000
"""Default limit of pending writes."""

LIMIT_BYTES = 128 * 1024 * 1024
"""Default limit of the bytes that pending writes hold."""

_BATCH_LIMIT = 1000
"""Most commands in one batch."""

_BATCH_BYTES = 32 * 1024 * 1024
"""Most bytes of message bodies, written or read, in one batch of several commands (estimated)."""

_SMALL_BYTES = 2 * 1024 * 1024
"""Most bytes of message bodies in a small batch, which takes a few milliseconds."""

_FUNCTION_BYTES = 128 * 1024
"""The most bytes of memory that a function holds: a queue's attributes and tags, as they were and
as they shall be (AWS: a policy of 8 KiB, and 50 tags of 128 and 256 characters)."""

Work: TypeAlias = Command[Any] | Callable[[Transaction], Any]
"""A command, which shares its transaction with others, or a function, which has its own."""


class PendingWrite(NamedTuple):
    """Work that waits for the writer.

    Attributes:
        work: what to do.
        done: called with the result or the exception, after COMMIT; `Any`, because the queue has
            results of all types.
        memory_bytes: the bytes of the message bodies that a send writes, or what a function holds.
    """

    work: Work
    done: Callable[[Any], None]
    memory_bytes: int


class Batch(NamedTuple):
    """The writes of one transaction: one function, or any number of commands.

    Attributes:
        writes: the writes, in the order in which they were added.
        is_small: whether the transaction takes only a few milliseconds.
    """

    writes: list[PendingWrite]
    is_small: bool


class WriteQueue:
    """The pending writes of one database, first in, first out."""

    def __init__(self, hints: Hints, limit: int, limit_bytes: int) -> None:
        self._hints = hints
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._pending: deque[PendingWrite] = deque()
        self._bytes = 0
        self._retries: deque[Batch] = deque()

    def __bool__(self) -> bool:
        return bool(self._pending or self._retries)

    def add(self, work: Work, done: Callable[[Any], None]) -> None:
        """Add work at the end.

        A `Release` is accepted beyond the limits: its client has disconnected and cannot retry.

        Raises:
            DatabaseBusy: the queue is full.
        """
        if isinstance(work, Send):
            memory_bytes = self._bytes_to_write(work)
        else:
            memory_bytes = _FUNCTION_BYTES if callable(work) else 0
        is_full = (
            len(self._pending) >= self._limit or self._bytes + memory_bytes > self._limit_bytes
        )
        if is_full and self._pending and not isinstance(work, Release):
            raise DatabaseBusy("too many writes are pending")
        self._bytes += memory_bytes
        self._pending.append(PendingWrite(work, done, memory_bytes))

    def retry_one_by_one(self, batch: Batch) -> None:
        """Put the writes of a failed batch first in the queue, each in a batch of its own."""
        self._retries.extend(Batch([write], batch.is_small) for write in batch.writes)

    def take(self) -> Batch:
        """Take the next batch: a retry, a function, or the commands up to the next function."""
        if self._retries:
            return self._retries.popleft()
        first = self._next()
        if callable(first.work):
            return Batch([first], is_small=False)
        writes = [first]
        total_bytes = first.memory_bytes + self._bytes_to_read(first.work)
        while self._pending and len(writes) < _BATCH_LIMIT and total_bytes < _BATCH_BYTES:
            if callable(self._pending[0].work):
                break
            write = self._next()
            writes.append(write)
            total_bytes += write.memory_bytes + self._bytes_to_read(write.work)
        return Batch(writes, total_bytes <= _SMALL_BYTES)

    def _next(self) -> PendingWrite:
        write = self._pending.popleft()
        self._bytes -= write.memory_bytes
        return write

    def _bytes_to_read(self, work: Work) -> int:
        """Estimate the bytes that a receive reads, from the queue's last message bodies."""
        if not isinstance(work, Receive):
            return 0
        return work.maximum * self._hints.of(work.queue_id).body_bytes

    def _bytes_to_write(self, send: Send) -> int:
        try:
            body_bytes = sum(send.sizes)
        except (AttributeError, TypeError):
            return 0  # an invalid message; only its own command fails, when it runs
        hint = self._hints.of(send.queue_id)
        if hint.body_bytes < body_bytes:
            hint.body_bytes = body_bytes
        return body_bytes
