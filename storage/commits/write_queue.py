"""What waits for the writer: how much of it there may be, and how much one transaction takes.

Both are bounded twice, in commands and in bytes of bodies, so that whatever clients do, memory and
the time that a single COMMIT keeps others waiting stay bounded. What is beyond is refused at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from storage.errors import DatabaseBusy
from storage.hints import Hints
from storage.messages.commands import Command, Release, Send
from storage.messages.receive import Receive
from storage.transaction import Transaction

LIMIT = 10_000
"""Commands and functions that may wait, unless a server's settings say otherwise."""

LIMIT_BYTES = 128 * 1024 * 1024
"""Bytes of bodies that may wait to be written, unless a server's settings say otherwise."""

_DRAIN_LIMIT = 1000
"""Commands in one transaction at most: bounds what a single COMMIT keeps others waiting for."""

_DRAIN_BYTES = 32 * 1024 * 1024
"""Bytes of bodies in one transaction at most, as far as can be told; one command always goes."""

_LIGHT_BYTES = 2 * 1024 * 1024
"""Up to so many bytes of bodies, a drain of commands is a few milliseconds' work."""

Work: TypeAlias = Command | Callable[[Transaction], Any]


class PendingWrite(NamedTuple):
    """Work that waits for the writer: a hot command, or a function with its own transaction."""

    work: Work
    future: asyncio.Future[Any]
    written_bytes: int


class Batch(NamedTuple):
    """What one transaction does; `is_small` tells that it takes no more than a moment."""

    items: list[PendingWrite]
    is_small: bool


class WriteQueue:
    """The line in front of the writer."""

    def __init__(self, hints: Hints, limit: int, limit_bytes: int) -> None:
        self._hints = hints
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._line: deque[PendingWrite] = deque()
        self._bytes = 0
        self._apart: deque[Batch] = deque()

    def __bool__(self) -> bool:
        return bool(self._line or self._apart)

    def add(self, work: Work, future: asyncio.Future[Any]) -> None:
        """Put work at the end of the line.

        Claims of receivers that have gone are given back however long the line is: nobody could try
        that again.

        Raises:
            DatabaseBusy: the line is as long as it may be.
        """
        written_bytes = self._written_bytes(work) if isinstance(work, Send) else 0
        is_full = len(self._line) >= self._limit or self._bytes + written_bytes > self._limit_bytes
        if is_full and self._line and not isinstance(work, Release):
            raise DatabaseBusy("too much waits for the database already")
        self._bytes += written_bytes
        self._line.append(PendingWrite(work, future, written_bytes))

    def retry_one_by_one(self, drain: Batch) -> None:
        """Put what failed together before all that waits, to be tried one at a time."""
        self._apart.extend(Batch([waiting], drain.is_small) for waiting in drain.items)

    def take(self) -> Batch:
        """Take one function, or hot commands up to the next function or a drain's limits.

        But first what was put back.
        """
        if self._apart:
            return self._apart.popleft()
        first = self._next()
        if callable(first.work):
            return Batch([first], is_small=False)
        taken = [first]
        total = first.written_bytes + self._read_bytes(first.work)
        while self._line and len(taken) < _DRAIN_LIMIT and total < _DRAIN_BYTES:
            if callable(self._line[0].work):
                break
            waiting = self._next()
            taken.append(waiting)
            total += waiting.written_bytes + self._read_bytes(waiting.work)
        return Batch(taken, total <= _LIGHT_BYTES)

    def _next(self) -> PendingWrite:
        waiting = self._line.popleft()
        self._bytes -= waiting.written_bytes
        return waiting

    def _read_bytes(self, work: Work) -> int:
        """Tell how much a receive may bring into memory, going by the queue's last bodies."""
        if not isinstance(work, Receive):
            return 0
        return work.maximum * self._hints.of(work.queue_id).body_bytes

    def _written_bytes(self, send: Send) -> int:
        written_bytes = 0
        try:
            for new in send.messages:
                written_bytes += len(new.body) + len(new.envelope)
        except TypeError:
            return 0  # what is no message fails where it is written, and alone
        hint = self._hints.of(send.queue_id)
        if hint.body_bytes < written_bytes:
            hint.body_bytes = written_bytes
        return written_bytes
