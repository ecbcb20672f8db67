"""Limits for slow clients: how long a transfer may take, and how much memory transfers may use.

A transfer is a request body that is being received, or a response that is being sent, if it did not
arrive or leave in one piece.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

_MINIMUM_BYTES_PER_SECOND = 32 * 1024
"""Bytes of progress that extend the deadline of a transfer by one second."""


class Transfer:
    """One transfer of a client, as an async context manager.

    The block raises `error` if the transfer takes too long, and `Transfers.over_limit` if the
    server needs the memory for other transfers.
    """

    __slots__ = ("_bytes", "_is_ending", "_loop", "_started_at", "_timeout", "_transfers", "error")

    def __init__(self, transfers: Transfers, error: type[Exception]) -> None:
        self._transfers = transfers
        self._bytes = 0
        self._is_ending = False
        self.error = error
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._timeout = asyncio.timeout_at(self._started_at + transfers.timeout_seconds)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._transfers.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._transfers.remove(self)
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise self.error from None

    def grow(self, count: int) -> None:
        """Record progress: the transfer keeps `count` bytes more, and its deadline is moved back.

        The new deadline is one timeout from now, or earlier if the client is slower than the
        minimum rate.
        """
        self._bytes += count
        if not self._is_ending:
            timeout = self._transfers.timeout_seconds
            deadline = self._started_at + timeout + self._bytes / _MINIMUM_BYTES_PER_SECOND
            self._timeout.reschedule(min(deadline, self._loop.time() + timeout))
        self._transfers.add_bytes(count)

    def end_within(self, seconds: float, error: type[Exception]) -> None:
        """Set the deadline to `seconds` from now, and its error; progress no longer moves it.

        An earlier deadline stays, with its own error.
        """
        when = self._loop.time() + seconds
        if not self._timeout.expired() and when < (self._timeout.when() or 0):
            self._timeout.reschedule(when)
            self.error = error
        self._is_ending = True

    def release(self) -> int:
        """Stop counting the bytes of the transfer; return how many were counted."""
        count, self._bytes = self._bytes, 0
        return count


class Transfers:
    """The transfers of one direction, and the bytes that they keep in memory.

    A transfer without progress ends after `timeout_seconds`. If all transfers together keep more
    than `limit_bytes`, the longest-running ones end with the error `over_limit`.
    """

    def __init__(
        self, timeout_seconds: float, limit_bytes: int, over_limit: type[Exception]
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self._is_stopping = False
        self._limit_bytes = limit_bytes
        self._over_limit = over_limit
        self._buffered_bytes = 0
        # In the order in which they began: the first has run the longest.
        self._running: dict[Transfer, None] = {}

    def add(self, transfer: Transfer) -> None:
        """Add a transfer that begins."""
        self._running[transfer] = None
        if self._is_stopping:
            transfer.end_within(self.timeout_seconds, transfer.error)

    def remove(self, transfer: Transfer) -> None:
        """Remove a transfer that has ended, and its bytes."""
        self._running.pop(transfer, None)
        self._buffered_bytes -= transfer.release()

    def add_bytes(self, count: int) -> None:
        """Count `count` bytes more; end the longest transfers while there are too many bytes."""
        self._buffered_bytes += count
        while self._buffered_bytes > self._limit_bytes and self._running:
            longest = next(iter(self._running))
            self.remove(longest)
            longest.end_within(0, self._over_limit)

    def stop(self, seconds: float, error: type[Exception]) -> None:
        """End all running transfers, and those that still begin, within `seconds`."""
        self._is_stopping = True
        self.timeout_seconds = min(self.timeout_seconds, seconds)
        for transfer in self._running:
            transfer.end_within(seconds, error)
