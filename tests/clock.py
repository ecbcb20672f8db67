"""Clocks for tests, whose time changes only when a test changes it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable

import pytest


class ManualClock:
    """A wall clock that any thread may move.

    A callback runs on the event loop that registered it, so a test can move the clock of a server
    that runs in another thread.
    """

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._alarms: list[_Alarm] = []

    def now_ms(self) -> int:
        """Return the time in epoch milliseconds."""
        with self._lock:
            return self._now_ms

    def call_at(self, when_ms: int, callback: Callable[[], None], /) -> Callable[[], None]:
        """Call `callback` on the running loop at `when_ms`; return a function that cancels this."""
        alarm = _Alarm(when_ms, callback)
        with self._lock:
            if when_ms > self._now_ms:
                self._alarms.append(alarm)
                return alarm.cancel
        alarm.schedule()
        return alarm.cancel

    def adjust(self, now_ms: float, error_ms: float, /) -> None:
        """Discard the correction: only the test moves this clock."""

    def raise_floor(self, floor_ms: int, /) -> None:
        """Discard the time floor: only the test moves this clock."""

    def advance(self, seconds: float) -> None:
        """Move the clock by `seconds`, and run the callbacks that are due, the earliest first."""
        with self._lock:
            self._now_ms += round(seconds * 1_000)
            due = [alarm for alarm in self._alarms if alarm.when_ms <= self._now_ms]
            self._alarms = [alarm for alarm in self._alarms if alarm.when_ms > self._now_ms]
        for alarm in sorted(due, key=lambda alarm: alarm.when_ms):
            alarm.schedule()


class MachineClocks:
    """A machine's wall clock, which can be set, and its monotonic clock.

    Each reading of either clock takes `pauses_ms` milliseconds, as on a busy machine.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wall_ns: int) -> None:
        self.wall_ns = wall_ns
        self._monotonic_ns = 5_000_000_000
        self.pauses_ms = 0
        monkeypatch.setattr(time, "time_ns", lambda: self._read(self.wall_ns))
        monkeypatch.setattr(time, "monotonic_ns", lambda: self._read(self._monotonic_ns))

    def _read(self, reading_ns: int) -> int:
        self.pass_ms(self.pauses_ms)
        return reading_ns

    def pass_ms(self, milliseconds: float) -> None:
        """Move both clocks forward."""
        self._monotonic_ns += round(milliseconds * 1_000_000)
        self.set_ms(milliseconds)

    def set_ms(self, milliseconds: float) -> None:
        """Move the wall clock alone, forward or back."""
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
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        if not self._cancelled:
            self._callback()
