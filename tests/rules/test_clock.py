"""Time never goes back, and alarms are never early, cancelled for good, and never long asleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueserver import clock
from queueserver.clock import SystemClock
from tests.clock import MachineClocks

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


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> MachineClocks:
    return MachineClocks(monkeypatch, NOW_NS)


def test_a_corrected_clock_goes_by_what_it_was_told_whatever_the_machine_says(
    machine: MachineClocks,
) -> None:
    system = SystemClock()
    system.adjust(NOW_MS - 600_000, 1)
    assert system.now_ms() == NOW_MS - 600_000
    machine.pass_ms(1_500)
    machine.set_ms(-NOW_MS)
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
    machine: MachineClocks, told_ms: int, error_ms: int, now_ms: int
) -> None:
    system = SystemClock()
    system.adjust(NOW_MS, 3)
    system.adjust(NOW_MS + told_ms, error_ms)
    assert system.now_ms() == NOW_MS + now_ms


# Clocks that are set back

HOUR_MS = 3_600_000


def test_when_the_clock_is_set_back_time_goes_on_slower_until_it_is_caught_up_with(
    machine: MachineClocks,
) -> None:
    system = SystemClock()
    assert system.now_ms() == NOW_MS
    machine.pass_ms(50)
    machine.set_ms(-HOUR_MS)
    assert system.now_ms() == NOW_MS + 45
    machine.pass_ms(1_000)
    assert system.now_ms() == NOW_MS + 945
    machine.pass_ms(9 * HOUR_MS)
    assert system.now_ms() == NOW_MS + 945 + 9 * HOUR_MS * 9 // 10
    machine.pass_ms(HOUR_MS)
    assert system.now_ms() == machine.wall_ns // 1_000_000
    machine.pass_ms(1_000)
    assert system.now_ms() == machine.wall_ns // 1_000_000


@pytest.mark.parametrize("is_behind", [False, True])
def test_when_the_clock_is_set_forward_so_is_time(machine: MachineClocks, is_behind: bool) -> None:
    system = SystemClock()
    assert system.now_ms() == NOW_MS
    machine.set_ms(-HOUR_MS * is_behind)
    assert system.now_ms() == NOW_MS
    machine.set_ms(2 * HOUR_MS)
    assert system.now_ms() == machine.wall_ns // 1_000_000


def test_time_does_not_stand_still_however_often_it_is_asked_for(machine: MachineClocks) -> None:
    system = SystemClock()
    system.now_ms()
    machine.set_ms(-HOUR_MS)
    for _ in range(100_000):
        machine.pass_ms(0.001)
        system.now_ms()
    assert NOW_MS + 89 <= system.now_ms() <= NOW_MS + 90


def test_a_pause_between_two_looks_does_not_make_time_run_ahead(
    machine: MachineClocks,
) -> None:
    machine.pauses_ms = 50
    system = SystemClock()
    for _ in range(3):
        system.now_ms()
    machine.pauses_ms = 0
    assert system.now_ms() == machine.wall_ns // 1_000_000


@given(st.lists(st.tuples(st.floats(0, 10**6), st.floats(-(10**9), 10**9)), max_size=30))
def test_time_never_goes_back_whatever_clocks_do(steps: list[tuple[float, float]]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        machine = MachineClocks(monkeypatch, NOW_NS)
        system = SystemClock()
        before_ms = system.now_ms()
        for passed_ms, step_ms in steps:
            machine.pass_ms(passed_ms)
            machine.set_ms(step_ms)
            assert system.now_ms() >= before_ms + int(passed_ms * 0.9)
            before_ms = system.now_ms()


def test_when_the_clock_of_all_servers_is_set_back_time_goes_on_as_well(
    machine: MachineClocks,
) -> None:
    system = SystemClock()
    system.adjust(NOW_MS, 1)
    assert system.now_ms() == NOW_MS
    system.adjust(NOW_MS - HOUR_MS, 1)
    assert system.now_ms() == NOW_MS
    machine.pass_ms(1_000)
    system.adjust(NOW_MS - HOUR_MS + 1_000, 1)
    assert system.now_ms() == NOW_MS + 900
    system.adjust(NOW_MS + HOUR_MS, 0)
    assert system.now_ms() == NOW_MS + HOUR_MS


def test_nobody_goes_by_what_the_machine_said_before_there_was_a_better_clock(
    machine: MachineClocks,
) -> None:
    system = SystemClock()
    assert system.now_ms() == machine.wall_ns // 1_000_000
    system.adjust(NOW_MS - HOUR_MS, 1)
    assert system.now_ms() == NOW_MS - HOUR_MS


def test_time_goes_on_from_what_was_reached_before(machine: MachineClocks) -> None:
    system = SystemClock()
    system.raise_floor(NOW_MS - HOUR_MS)
    assert system.now_ms() == NOW_MS
    system.raise_floor(NOW_MS + HOUR_MS)
    assert system.now_ms() == NOW_MS + HOUR_MS
    machine.pass_ms(1_000)
    assert system.now_ms() == NOW_MS + HOUR_MS + 900
    system.raise_floor(NOW_MS + HOUR_MS)
    assert system.now_ms() == NOW_MS + HOUR_MS + 900


def test_every_step_back_is_told_once(
    machine: MachineClocks, caplog: pytest.LogCaptureFixture
) -> None:
    system = SystemClock()
    told = []
    for step_ms in (0, -999, -5_000, 0, -HOUR_MS, 0, -HOUR_MS, 3 * HOUR_MS, -HOUR_MS // 2):
        system.now_ms()
        machine.set_ms(step_ms)
        system.now_ms()
        told.append(len(caplog.messages))
    assert told == [0, 0, 1, 1, 2, 2, 3, 3, 4]
    assert caplog.messages[0] == (
        "clock set back, continuing from the latest time at 90% of its speed until the "
        "clock has caught up; synchronise the clock with NTP: behind_ms=5999"
    )
