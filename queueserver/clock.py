"""The only module that asks what time it is.

Everything else is told the time as an argument, in milliseconds since the epoch. Refused here:
knowing what the time is wanted for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LONGEST_SLEEP_SECONDS = 60.0
"""How late a step of the wall clock can be noticed."""


class SystemClock:
    """The wall clock of the machine: the `Clock` that the engine asks for."""

    def now_ms(self) -> int:
        """Return the milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def call_at(self, when_ms: int, callback: Callable[[], None], /) -> Callable[[], None]:
        """Call back on the running loop once `when_ms` has come; the result cancels that.

        Never calls back before it returns. Needs a running loop.
        """
        return _Alarm(self, when_ms, callback).cancel


class _Alarm:
    """A callback at a moment of the wall clock, on a loop that only knows a monotonic one.

    The two drift apart and the wall clock can step, so the alarm sleeps in bounded pieces and
    looks at the wall clock each time before it rings.
    """

    def __init__(self, clock: SystemClock, when_ms: int, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._when_ms = when_ms
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._sleep(when_ms - clock.now_ms())

    def cancel(self) -> None:
        self._timer.cancel()

    def _sleep(self, remaining_ms: int) -> None:
        seconds = min(max(remaining_ms, 0) / 1_000, LONGEST_SLEEP_SECONDS)
        self._timer = self._loop.call_later(seconds, self._wake)

    def _wake(self) -> None:
        remaining_ms = self._when_ms - self._clock.now_ms()
        if remaining_ms > 0:
            self._sleep(remaining_ms)
        else:
            self._callback()
