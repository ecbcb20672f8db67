"""The system clock: the only module that reads the time.

Everything else gets the time as an argument, in milliseconds since the epoch.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

LONGEST_SLEEP_SECONDS = 60.0
"""The longest delay until a timer notices a step of the wall clock."""

LARGE_STEP_MS = 1_000
"""The smallest step of a clock that is logged."""

_CATCH_UP_RATE = (9, 10)
"""How fast time passes, as a fraction, while the source clock is behind the time floor.

Slow enough for the source to catch up: after a step of an hour, in ten hours. Fast enough for
clients: a long poll of 20 s takes 22 s, which no client or load balancer takes for a dead server.
"""

_NS_PER_MS = 1_000_000


def real_seconds() -> float:
    """Return the machine's time, in seconds since the epoch, for signatures and policies.

    Their times come from other machines. It may go back, and no test or client can move it.
    """
    return time.time()


class SystemClock:
    """Implements `storage.clock.Clock` with the machine's clock, until `adjust` gives a better one.

    All servers of one PostgreSQL database follow the database's clock instead of their own clocks.
    Between two adjustments, the monotonic clock measures the time that passes.

    The time never goes back. If the source clock is set back, time continues from where it was, at
    nine tenths of its speed, until the source has caught up: a message that has become visible
    stays visible, and timers still fire. If the source is set forward, so is this clock.
    """

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        """The adjusted time less the monotonic clock; None before the first adjustment."""
        # The last time that was returned, and the monotonic clock then. Threads read the time,
        # too: they read and write both values as one tuple, and the last writer has the latest.
        self._last = (0, time.monotonic_ns())
        self._lag_ns = 0
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        """Return the milliseconds since the epoch; never fewer than before."""
        now_ns, monotonic_ns = self._read()
        if self._lag_ns or now_ns < self._floor_ns(monotonic_ns):
            with self._lock:
                # Another thread may have returned a later time while this one waited.
                now_ns, monotonic_ns = self._read()
                lag_ns = max(self._floor_ns(monotonic_ns) - now_ns, 0)
                self._record_lag(lag_ns)
                now_ns += lag_ns
        self._last = (now_ns, monotonic_ns)
        return now_ns // _NS_PER_MS

    def _read(self) -> tuple[int, int]:
        """Return the source clock and the monotonic clock, in nanoseconds."""
        # In this order: a pause between the two must not make the time run ahead.
        now_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        if self._offset_ns is not None:
            now_ns = monotonic_ns + self._offset_ns
        return now_ns, monotonic_ns

    def _record_lag(self, lag_ns: int) -> None:
        """Record how far the source clock is behind the time floor; log it if that has grown."""
        if lag_ns - self._lag_ns >= LARGE_STEP_MS * _NS_PER_MS:
            log.warning(
                "clock set back, continuing from the latest time at 90%% of its speed until the "
                "clock has caught up; synchronise the clock with NTP: behind_ms=%d",
                lag_ns // _NS_PER_MS,
            )
        self._lag_ns = lag_ns

    def adjust(self, now_ms: float, error_ms: float, /) -> None:
        """Follow a source that says it is `now_ms`, accurate to `error_ms`, both in milliseconds.

        Moves the clock no further than into the range of the error. An answer that was slow, and so
        is inaccurate, therefore does not make the clock worse.
        """
        monotonic_ns = time.monotonic_ns()
        offset_ns, error_ns = (
            round(now_ms * _NS_PER_MS) - monotonic_ns,
            round(error_ms * _NS_PER_MS),
        )
        before_ns = self._offset_ns
        if before_ns is None:
            self._offset_ns = offset_ns
            # No time of the machine's own clock has been used yet.
            self._last = (0, monotonic_ns)
            return
        self._offset_ns = min(max(before_ns, offset_ns - error_ns), offset_ns + error_ns)
        step_ms = (self._offset_ns - before_ns) // _NS_PER_MS
        if step_ms >= LARGE_STEP_MS:
            log.warning(
                "clock of the database set forward, following it; "
                "messages may expire or become visible early: step_ms=%d",
                step_ms,
            )

    def raise_floor(self, reached_ms: int, /) -> None:
        """Raise the time floor to `reached_ms`; the clock never returns less than its floor.

        `reached_ms` is a time that a server of this database has reached: an earlier process of
        this server, or another server.
        """
        monotonic_ns = time.monotonic_ns()
        if reached_ms * _NS_PER_MS > self._floor_ns(monotonic_ns):
            self._last = (reached_ms * _NS_PER_MS, monotonic_ns)

    def _floor_ns(self, monotonic_ns: int) -> int:
        """Return the earliest time it can be: the last one, and the slowest passing since then."""
        last_ns, then_ns = self._last
        return last_ns + (monotonic_ns - then_ns) * _CATCH_UP_RATE[0] // _CATCH_UP_RATE[1]

    def call_at(self, when_ms: int, callback: Callable[[], None], /) -> Callable[[], None]:
        """Call back on the running event loop at `when_ms`; return a function that cancels it.

        The callback runs after this method has returned, also if `when_ms` has passed.
        """
        return _Timer(self, when_ms, callback).cancel


class _Timer:
    """A callback at a time of the wall clock, on an event loop that has a monotonic clock.

    The two clocks drift apart and the wall clock can step. The timer therefore sleeps for
    `LONGEST_SLEEP_SECONDS` at most, and reads the wall clock each time before it calls back.
    """

    def __init__(self, clock: SystemClock, when_ms: int, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._when_ms = when_ms
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._sleep(when_ms - clock.now_ms())

    def cancel(self) -> None:
        """Do not call back."""
        self._handle.cancel()

    def _sleep(self, remaining_ms: int) -> None:
        seconds = min(max(remaining_ms, 0) / 1_000, LONGEST_SLEEP_SECONDS)
        self._handle = self._loop.call_later(seconds, self._wake)

    def _wake(self) -> None:
        remaining_ms = self._when_ms - self._clock.now_ms()
        if remaining_ms > 0:
            self._sleep(remaining_ms)
        else:
            self._callback()
