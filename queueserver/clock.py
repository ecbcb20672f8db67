"""The only module that asks what time it is.

Everything else is told the time as an argument, in milliseconds since the epoch. Refused here:
knowing what the time is wanted for.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

LONGEST_SLEEP_SECONDS = 60.0
"""How late a step of the wall clock can be noticed."""

LARGE_STEP_MS = 1_000
"""How large a step of the clock must be to be worth a line in the log."""

_PACE = (9, 10)
"""How fast time goes on, as a fraction, while the clock that it goes by is behind.

Slow enough to be caught up with: an hour takes ten. Quick enough that a long poll of 20 seconds
takes 22, which no client and no load balancer takes for a server that has gone."""

_NS = 1_000_000


class SystemClock:
    """The `Clock` that the engine asks for: the machine's, until it hears of a better one.

    Servers of one database go by its clock, whatever their own say; between two corrections, the
    monotonic clock tells how time passes. When the clock that it goes by is set back, this one goes
    on from where it was, a little slower, until that one has caught up: what was visible stays so,
    and what is due comes about. When that one is set forward, so is this one.
    """

    def __init__(self) -> None:
        self._ahead_ns: int | None = None
        # The time when it was last asked for, and what the monotonic clock was then, which are read
        # and written as one: threads ask, too, and whichever writes last has come as far.
        self._last = (0, time.monotonic_ns())
        self._lead_ns = 0
        self._turn = threading.Lock()

    def now_ms(self) -> int:
        """Return the milliseconds since the epoch; never less than before."""
        now_ns, passed_ns = self._read()
        if self._lead_ns or now_ns < self._least(passed_ns):
            with self._turn:
                # What was read before somebody else's turn may be out of date.
                now_ns, passed_ns = self._read()
                lead_ns = max(self._least(passed_ns) - now_ns, 0)
                self._note_lead(lead_ns)
                now_ns += lead_ns
        self._last = (now_ns, passed_ns)
        return now_ns // _NS

    def _read(self) -> tuple[int, int]:
        """Read the clock that this one goes by, and the monotonic one."""
        # In this order: a pause between the two must not make the time run ahead.
        now_ns, passed_ns = time.time_ns(), time.monotonic_ns()
        return (now_ns if self._ahead_ns is None else passed_ns + self._ahead_ns), passed_ns

    def _note_lead(self, lead_ns: int) -> None:
        """Note how far the clock that this one goes by is behind; say so when it falls behind."""
        if lead_ns - self._lead_ns >= LARGE_STEP_MS * _NS:
            log.warning(
                "the clock is %d ms behind the time that was reached, "
                "which goes on from there, a little slower",
                lead_ns // _NS,
            )
        self._lead_ns = lead_ns

    def adjust(self, now_ms: float, error_ms: float, /) -> None:
        """Hear that it is `now_ms`, give or take `error_ms`.

        What agrees with that changes nothing, so that a slow answer does not make the clock worse;
        else it goes no further than it must.
        """
        passed_ns = time.monotonic_ns()
        ahead_ns, error_ns = round(now_ms * _NS) - passed_ns, round(error_ms * _NS)
        before_ns = self._ahead_ns
        if before_ns is None:
            self._ahead_ns = ahead_ns
            # Nobody has gone by the machine's own clock.
            self._last = (0, passed_ns)
            return
        self._ahead_ns = min(max(before_ns, ahead_ns - error_ns), ahead_ns + error_ns)
        step_ms = (self._ahead_ns - before_ns) // _NS
        if step_ms >= LARGE_STEP_MS:
            log.warning("the clock of all servers was set forward by %d ms", step_ms)

    def raise_floor(self, reached_ms: int, /) -> None:
        """Hear that it was `reached_ms` already, before this process began or on another server."""
        passed_ns = time.monotonic_ns()
        if reached_ms * _NS > self._least(passed_ns):
            self._last = (reached_ms * _NS, passed_ns)

    def _least(self, passed_ns: int) -> int:
        """Give what it is at least: so long after the time when it was last asked for."""
        last_ns, then_ns = self._last
        return last_ns + (passed_ns - then_ns) * _PACE[0] // _PACE[1]

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
