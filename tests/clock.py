"""Clocks that stand still until a test moves them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable

import pytest


class ManualClock:
    """A wall clock for tests, which any thread may move.

    Callbacks run on the loop that asked for them, so that a test's thread can move the clock of a
    server that runs in another one.
    """

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._alarms: list[_Alarm] = []

    def now_ms(self) -> int:
        """Return the milliseconds since the epoch."""
        with self._lock:
            return self._now_ms

    def call_at(self, when_ms: int, callback: Callable[[], None], /) -> Callable[[], None]:
        """Call back on the running loop once `when_ms` has come; the result cancels that."""
        alarm = _Alarm(when_ms, callback)
        with self._lock:
            if when_ms > self._now_ms:
                self._alarms.append(alarm)
                return alarm.cancel
        alarm.schedule()
        return alarm.cancel

    def adjust(self, now_ms: float, error_ms: float, /) -> None:
        """Go by what the test says all the same."""

    def raise_floor(self, reached_ms: int, /) -> None:
        """Go by what the test says all the same."""

    def advance(self, seconds: float) -> None:
        """Move the clock, and wake what has become due, the earliest first."""
        with self._lock:
            self._now_ms += round(seconds * 1_000)
            due = [alarm for alarm in self._alarms if alarm.when_ms <= self._now_ms]
            self._alarms = [alarm for alarm in self._alarms if alarm.when_ms > self._now_ms]
        for alarm in sorted(due, key=lambda alarm: alarm.when_ms):
            alarm.schedule()


class MachineClocks:
    """A machine's two clocks: one that can be set, and one that tells how time passes.

    `pauses_ms` pass whenever one of them was looked at: the machine is busy.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wall_ns: int) -> None:
        self.wall_ns = wall_ns
        self._passed_ns = 5_000_000_000
        self.pauses_ms = 0
        monkeypatch.setattr(time, "time_ns", lambda: self._look(self.wall_ns))
        monkeypatch.setattr(time, "monotonic_ns", lambda: self._look(self._passed_ns))

    def _look(self, told_ns: int) -> int:
        self.pass_ms(self.pauses_ms)
        return told_ns

    def pass_ms(self, milliseconds: float) -> None:
        """Let time pass."""
        self._passed_ns += round(milliseconds * 1_000_000)
        self.set_ms(milliseconds)

    def set_ms(self, milliseconds: float) -> None:
        """Set the clock that can be set, forward or back."""
        self.wall_ns += round(milliseconds * 1_000_000)


class _Alarm:
    def __init__(self, when_ms: int, callback: Callable[[], None]) -> None:
        self.when_ms = when_ms
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def schedule(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to wake
            self._loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        if not self._cancelled:
            self._callback()
