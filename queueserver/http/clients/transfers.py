"""Limits for slow clients: how long a transfer may take, and how much memory transfers may use.

A transfer is a request body that is being received, or a response that is being sent, if it did not
arrive or leave in one piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

_MINIMUM_BYTES_PER_SECOND = 32 * 1024
"""Bytes of progress that extend the deadline of a transfer by one second."""


class _Holder(Protocol):
    """A holder of bytes in memory that can be ended."""

    @property
    def error(self) -> type[Exception]:
        """The error with which it ends if it takes too long."""

    def release(self) -> int:
        """Stop counting its bytes; return how many were counted."""

    def end_within(self, seconds: float, error: type[Exception]) -> None:
        """Set the deadline to `seconds` from now, and its error."""


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
        self.error = transfers.error_on_stop or error
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


class UnparsedBytes:
    """The bytes that one connection has sent of requests that have not begun yet.

    If the server needs their memory for other transfers, `discard` is called with the error.
    """

    __slots__ = ("_bytes", "_discard", "_transfers", "error")

    def __init__(
        self, transfers: Transfers, discard: Callable[[Exception], None], error: type[Exception]
    ) -> None:
        self._transfers = transfers
        self._discard = discard
        self._bytes = 0
        self.error = error
        transfers.add(self)

    def resize(self, count: int) -> None:
        """Record that the bytes take `count` bytes of memory."""
        change, self._bytes = count - self._bytes, count
        self._transfers.add_bytes(change)

    def end(self) -> None:
        """Stop counting the bytes: they are parsed, or the connection is closed."""
        self._transfers.remove(self)

    def release(self) -> int:
        """Stop counting the bytes; return how many were counted."""
        count, self._bytes = self._bytes, 0
        return count

    def end_within(self, seconds: float, error: type[Exception]) -> None:
        """Discard the bytes if `seconds` is 0; the connection has a timeout of its own."""
        if not seconds:
            self._discard(error())


class Transfers:
    """The transfers of one direction, and the bytes that they keep in memory.

    A transfer without progress ends after `timeout_seconds`. If all transfers together keep more
    than `limit_bytes`, the longest-running ones end with the error `over_limit`.
    """

    def __init__(
        self, timeout_seconds: float, limit_bytes: int, over_limit: type[Exception]
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self.error_on_stop: type[Exception] | None = None
        """The error of transfers that end because the server stops; None before it stops."""
        self._limit_bytes = limit_bytes
        self._over_limit = over_limit
        self._buffered_bytes = 0
        self._reserved_bytes = 0
        # In the order in which they began: the first has run the longest.
        self._running: dict[_Holder, None] = {}

    def add(self, transfer: _Holder) -> None:
        """Add a transfer that begins."""
        self._running[transfer] = None
        if self.error_on_stop is not None:
            transfer.end_within(self.timeout_seconds, self.error_on_stop)

    def remove(self, transfer: _Holder) -> None:
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

    def reserve(self, count: int) -> bool:
        """Count `count` bytes that nothing can end; return False if there are too many of them.

        They may take half of the memory. `free` stops counting them.
        """
        if self._reserved_bytes + count > self._limit_bytes // 2:
            return False
        self._reserved_bytes += count
        self.add_bytes(count)
        return True

    def free(self, count: int) -> None:
        """Stop counting `count` reserved bytes."""
        self._reserved_bytes -= count
        self._buffered_bytes -= count

    def stop(self, seconds: float, error: type[Exception]) -> None:
        """End all running transfers, and those that still begin, within `seconds`."""
        self.error_on_stop = error
        self.timeout_seconds = min(self.timeout_seconds, seconds)
        for transfer in self._running:
            transfer.end_within(seconds, error)
