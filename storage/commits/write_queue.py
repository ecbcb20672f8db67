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
from storage.messages.commands import Command, Delete, Receive, Release, Send
from storage.transaction import Transaction

LIMIT = 10_000
"""Default limit of pending writes."""

LIMIT_BYTES = 128 * 1024 * 1024
"""Default limit of the bytes that pending writes hold."""

BATCH_LIMIT = 1000
"""Most commands in one batch."""

_BATCH_BYTES = 32 * 1024 * 1024
"""Most bytes of message bodies, written, read or deleted, in one batch of several commands.

Partly an estimate."""

_SMALL_BYTES = 2 * 1024 * 1024
"""Most bytes of message bodies in a small batch, which takes a few milliseconds."""

_FUNCTION_BYTES = 128 * 1024
"""The most bytes of memory that a function holds: a queue's attributes and tags, as they were and
as they shall be (AWS: a policy of 8 KiB, and 50 tags of 128 and 256 characters)."""

Work: TypeAlias = Command[Any] | Callable[[Transaction], Any]
"""A command, which shares its transaction with others, or a function, which has its own."""


Done: TypeAlias = Callable[[Any], None]
"""Takes the result or the exception of a write; `Any`, because a queue has results of all types."""


class Batch(NamedTuple):
    """The writes of one transaction: one function, or any number of commands.

    Attributes:
        works: what to do, in the order in which the writes were added.
        done: for each write, is called with its result or exception after COMMIT.
        is_small: whether the transaction takes only a few milliseconds.
    """

    works: list[Work]
    done: list[Done]
    is_small: bool


class WriteQueue:
    """The pending writes of one database, first in, first out."""

    def __init__(self, hints: Hints, limit: int, limit_bytes: int) -> None:
        self._hints = hints
        self._limit = limit
        self._limit_bytes = limit_bytes
        # Work, what to call with its result, and how many bytes of memory it holds: of the message
        # bodies that a send writes, or of what a function holds.
        self._pending: deque[tuple[Work, Done, int]] = deque()
        self._bytes = 0
        self._retries: deque[Batch] = deque()

    def __bool__(self) -> bool:
        return bool(self._pending or self._retries)

    @property
    def count(self) -> int:
        """The number of pending writes, without retries."""
        return len(self._pending)

    def add(self, work: Work, done: Done) -> None:
        """Add work at the end.

        A `Release` is accepted beyond the limits: its client has disconnected and cannot retry.

        Raises:
            DatabaseBusy: the queue is full.
        """
        if isinstance(work, Send):
            memory_bytes = self._bytes_to_write(work)
        else:
            memory_bytes = _FUNCTION_BYTES if callable(work) else 0
        total_bytes = self._bytes + memory_bytes
        if (
            (len(self._pending) >= self._limit or total_bytes > self._limit_bytes)
            and self._pending
            and not isinstance(work, Release)
        ):
            raise DatabaseBusy("too many writes are pending")
        self._bytes = total_bytes
        self._pending.append((work, done, memory_bytes))

    def retry_one_by_one(self, batch: Batch) -> None:
        """Put the writes of a failed batch first in the queue, each in a batch of its own."""
        self._retries.extend(
            Batch([work], [done], batch.is_small)
            for work, done in zip(batch.works, batch.done, strict=True)
        )

    def take(self) -> Batch:
        """Take the next batch: a retry, a function, or the commands up to the next function."""
        if self._retries:
            return self._retries.popleft()
        pending = self._pending
        if callable(pending[0][0]):
            function, call, memory_bytes = pending.popleft()
            self._bytes -= memory_bytes
            return Batch([function], [call], is_small=False)
        works: list[Work] = []
        done: list[Done] = []
        total_bytes = 0
        while pending and len(works) < BATCH_LIMIT and total_bytes < _BATCH_BYTES:
            work, call, memory_bytes = pending[0]
            if callable(work):
                break
            pending.popleft()
            works.append(work)
            done.append(call)
            self._bytes -= memory_bytes
            total_bytes += memory_bytes
            # Estimates, from the queue's last message bodies.
            if isinstance(work, Receive):
                total_bytes += work.maximum * self._hints.of(work.queue_id).body_bytes
            elif isinstance(work, Delete):
                total_bytes += len(work.receipts) * self._hints.of(work.queue_id).body_bytes
        return Batch(works, done, total_bytes <= _SMALL_BYTES)

    def _bytes_to_write(self, send: Send) -> int:
        body_bytes = 0
        for message in send.messages:
            body_bytes += message.size
        hint = self._hints.of(send.queue_id)
        if hint.body_bytes < body_bytes:
            hint.body_bytes = body_bytes
        return body_bytes
