"""Read and discard what a client still sends after its last response.

If a server closes a connection while bytes arrive, the system resets it, and the client may lose
the response that it has not read yet.
"""

from __future__ import annotations

import asyncio

_SILENCE_SECONDS = 3.0
"""Time without any byte after which the client is not waited for."""

_MAXIMUM_BYTES = 256 * 1024 * 1024
"""Most bytes that are discarded."""


class Lingering:
    """The end of one connection, until the client closes it or a limit is reached."""

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + seconds
        self._bytes_left = _MAXIMUM_BYTES
        self._timeout = asyncio.timeout_at(self._next_timeout())
        self._is_over = asyncio.Event()

    async def wait(self) -> None:
        """Wait until the connection can be closed."""
        try:
            async with self._timeout:
                await self._is_over.wait()
        except TimeoutError:
            pass
        finally:
            # Also if the task is cancelled: a timeout that has ended cannot be rescheduled.
            self._is_over.set()

    def discard(self, count: int) -> None:
        """Count `count` bytes that have been discarded."""
        self._bytes_left -= count
        if self._bytes_left < 0:
            self.end()
        self._reschedule()

    def end(self) -> None:
        """End the wait: the client has closed its side."""
        self._is_over.set()

    def end_within(self, seconds: float) -> None:
        """End the wait `seconds` from now at the latest."""
        self._deadline = min(self._deadline, self._loop.time() + seconds)
        self._reschedule()

    def _next_timeout(self) -> float:
        return min(self._deadline, self._loop.time() + _SILENCE_SECONDS)

    def _reschedule(self) -> None:
        if not self._timeout.expired() and not self._is_over.is_set():
            self._timeout.reschedule(self._next_timeout())
