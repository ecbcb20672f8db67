"""Alarms: never early, cancelled for good, and never asleep for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from queueserver import clock
from queueserver.clock import SystemClock

NOW_NS = 1_700_000_000_123_999_999
NOW_MS = 1_700_000_000_123


class Wall:
    """A wall clock and a loop's timers, both moved by hand."""

    def __init__(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ns = NOW_NS
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self._call_soon = loop.call_soon
        monkeypatch.setattr(time, "time_ns", lambda: self.ns)
        monkeypatch.setattr(loop, "call_later", self._call_later)

    def _call_later(self, delay: float, callback: Callable[[], None], *_: object) -> asyncio.Handle:
        handle = self._call_soon(lambda: None)
        self.timers.append((delay, lambda: None if handle.cancelled() else callback()))
        return handle

    def fire(self) -> None:
        self.timers.pop(0)[1]()

    def pass_ms(self, milliseconds: int) -> None:
        self.ns += milliseconds * 1_000_000


@pytest.fixture
async def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(asyncio.get_running_loop(), monkeypatch)


async def test_the_time_is_whole_milliseconds_since_the_epoch(wall: Wall) -> None:
    assert wall.ns == NOW_NS
    assert SystemClock().now_ms() == NOW_MS


async def test_an_alarm_rings_once_when_its_moment_has_come(wall: Wall) -> None:
    rung: list[str] = []
    SystemClock().call_at(NOW_MS + 500, lambda: rung.append("now"))
    assert [delay for delay, _ in wall.timers] == [0.5]
    wall.pass_ms(500)
    wall.fire()
    assert (rung, wall.timers) == (["now"], [])


async def test_an_alarm_that_wakes_early_sleeps_again(wall: Wall) -> None:
    rung: list[str] = []
    SystemClock().call_at(NOW_MS + 500, lambda: rung.append("now"))
    wall.pass_ms(499)
    wall.fire()
    assert rung == []
    assert [delay for delay, _ in wall.timers] == [0.001]


async def test_an_alarm_sleeps_a_minute_at_most_to_notice_steps_of_the_clock(wall: Wall) -> None:
    rung: list[str] = []
    SystemClock().call_at(NOW_MS + 86_400_000, lambda: rung.append("now"))
    assert [delay for delay, _ in wall.timers] == [clock.LONGEST_SLEEP_SECONDS] == [60.0]
    wall.pass_ms(86_400_000)
    wall.fire()
    assert rung == ["now"]


async def test_an_alarm_of_the_past_rings_soon_but_not_at_once(wall: Wall) -> None:
    rung: list[str] = []
    SystemClock().call_at(NOW_MS - 5, lambda: rung.append("now"))
    assert rung == []
    assert [delay for delay, _ in wall.timers] == [0.0]
    wall.fire()
    assert rung == ["now"]


async def test_a_cancelled_alarm_is_silent_also_after_it_slept_again(wall: Wall) -> None:
    rung: list[str] = []
    cancel = SystemClock().call_at(NOW_MS + 500, lambda: rung.append("now"))
    wall.pass_ms(100)
    wall.fire()
    cancel()
    wall.pass_ms(500)
    wall.fire()
    assert rung == []


async def test_an_alarm_rings_on_a_real_loop() -> None:
    rung = asyncio.Event()
    system = SystemClock()
    when_ms = system.now_ms() + 5
    system.call_at(when_ms, rung.set)
    await asyncio.wait_for(rung.wait(), 10)
    assert system.now_ms() >= when_ms


def monotonic(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the clock that tells how time passes by hand, in milliseconds."""
    passed = [5_000_000_000]
    monkeypatch.setattr(time, "monotonic_ns", lambda: passed[0])

    def pass_ms(milliseconds: float) -> None:
        passed[0] += round(milliseconds * 1_000_000)

    return pass_ms


def test_a_corrected_clock_goes_by_what_it_was_told_whatever_the_machine_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pass_ms = monotonic(monkeypatch)
    system = SystemClock()
    system.correct(NOW_MS - 600_000, 1)
    assert system.now_ms() == NOW_MS - 600_000
    pass_ms(1_500)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert system.now_ms() == NOW_MS - 598_500


@pytest.mark.parametrize(
    ("told_ms", "error_ms", "now_ms"),
    [
        pytest.param(40, 50, 0, id="it may be as it is"),
        pytest.param(-50, 50, 0, id="it may just be as it is"),
        pytest.param(40, 10, 30, id="too late"),
        pytest.param(-40, 10, -30, id="too early"),
        pytest.param(7, 0, 7, id="to the point"),
        pytest.param(600_000, 1, 599_999, id="far off"),
    ],
)
def test_a_correction_goes_no_further_than_it_must(
    monkeypatch: pytest.MonkeyPatch, told_ms: int, error_ms: int, now_ms: int
) -> None:
    monotonic(monkeypatch)
    system = SystemClock()
    system.correct(NOW_MS, 3)
    system.correct(NOW_MS + told_ms, error_ms)
    assert system.now_ms() == NOW_MS + now_ms
