"""The only module that asks what time it is.

Everything else is told the time as an argument, in milliseconds since the epoch. Refused here:
knowing what the time is wanted for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

LONGEST_SLEEP_SECONDS = 60.0
"""How late a step of the wall clock can be noticed."""


LARGE_STEP_MS = 1_000
"""How large a step of the clock must be to be worth a line in the log."""


class SystemClock:
    """The `Clock` that the engine asks for: the machine's, until it hears of a better one.

    Servers of one database go by its clock, whatever their own say. Between two corrections, the
    monotonic clock tells how time passes.
    """

    def __init__(self) -> None:
        self._ahead_ms: float | None = None

    def now_ms(self) -> int:
        """Return the milliseconds since the epoch."""
        if self._ahead_ms is None:
            return time.time_ns() // 1_000_000
        return int(time.monotonic_ns() / 1_000_000 + self._ahead_ms)

    def correct(self, now_ms: float, error_ms: float, /) -> None:
        """Hear that it is `now_ms`, give or take `error_ms`.

        What agrees with that changes nothing, so that a slow answer does not make the clock worse;
        else it goes no further than it must.
        """
        ahead_ms = now_ms - time.monotonic_ns() / 1_000_000
        if self._ahead_ms is None:
            self._ahead_ms = ahead_ms
            return
        before_ms = self._ahead_ms
        self._ahead_ms = min(max(before_ms, ahead_ms - error_ms), ahead_ms + error_ms)
        step_ms = self._ahead_ms - before_ms
        if abs(step_ms) >= LARGE_STEP_MS:
            log.warning("the clock of all servers was set by %d ms", round(step_ms))

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
