"""Who waits for a queue, and how news reaches them: memory only, on a clock that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from storage.waiters import Waiters, WaitingReceiver
from tests.clock import ManualClock
from tests.engine.stage import turn

QUEUE, OTHER = 1, 2


class Waiter:
    """A receiver in line that sleeps; it looks, and finds nothing, only when a test says so."""

    def __init__(self, arrivals: Waiters, clock: ManualClock, queue_id: int = QUEUE) -> None:
        self.place: WaitingReceiver = arrivals.join(queue_id)
        self.place.__enter__()
        self.deadline_ms = clock.now_ms() + 20_000
        self.sleep()

    def sleep(self) -> None:
        self.task = asyncio.create_task(self.place.sleep_until(self.deadline_ms))

    @property
    def awake(self) -> bool:
        return self.task.done()

    def look_and_sleep(self) -> None:
        self.place.clear()
        self.sleep()

    def leave(self) -> None:
        self.place.__exit__(None, None, None)


class Line:
    """Arrivals on a manual clock that counts its alarms, and some waiters of one queue."""

    def __init__(self) -> None:
        self.clock = CountingClock()
        self.arrivals = Waiters(self.clock)
        self.waiters: list[Waiter] = []

    async def join(self, count: int, queue_id: int = QUEUE) -> None:
        for _ in range(count):
            self.waiters.append(Waiter(self.arrivals, self.clock, queue_id))
        await turn()

    async def awake(self) -> list[int]:
        await turn()
        return [position for position, waiter in enumerate(self.waiters) if waiter.awake]

    def leave(self) -> None:
        for waiter in self.waiters:
            waiter.task.cancel()
            waiter.leave()


class CountingClock(ManualClock):
    """A manual clock that knows how many alarms are set."""

    def __init__(self) -> None:
        super().__init__()
        self.alarms = 0

    def call_at(self, when_ms: int, callback: Callable[[], None], /) -> Callable[[], None]:
        settled = False

        def settle() -> None:
            nonlocal settled
            self.alarms -= not settled
            settled = True

        def ring() -> None:
            settle()
            callback()

        cancel_alarm = super().call_at(when_ms, ring)

        def cancel() -> None:
            settle()
            cancel_alarm()

        self.alarms += 1
        return cancel


@pytest.fixture
def line() -> Line:
    return Line()


async def test_news_that_lands_during_a_look_is_kept(line: Line) -> None:
    with line.arrivals.join(QUEUE) as place:
        place.clear()
        line.arrivals.announce(QUEUE, line.clock.now_ms())
        await asyncio.wait_for(place.sleep_until(line.clock.now_ms() + 20_000), timeout=5)


async def test_news_that_landed_before_the_look_is_forgotten(line: Line) -> None:
    with line.arrivals.join(QUEUE) as place:
        line.arrivals.announce(QUEUE, line.clock.now_ms())
        place.clear()
        sleep = asyncio.create_task(place.sleep_until(line.clock.now_ms() + 20_000))
        await turn()
        assert not sleep.done()
        line.arrivals.announce(QUEUE, line.clock.now_ms())
        await asyncio.wait_for(sleep, timeout=5)


async def test_one_arrival_wakes_one(line: Line) -> None:
    await line.join(3)
    line.arrivals.announce(QUEUE, line.clock.now_ms())
    assert len(await line.awake()) == 1
    line.leave()


async def test_as_many_are_woken_as_messages_arrive(line: Line) -> None:
    await line.join(4)
    line.arrivals.announce(QUEUE, line.clock.now_ms(), 2)
    assert await line.awake() == [0, 1]
    line.arrivals.announce(QUEUE, line.clock.now_ms(), 100)
    assert await line.awake() == [0, 1, 2, 3]
    line.leave()


async def test_who_has_waited_longest_is_woken_first(line: Line) -> None:
    await line.join(3)
    for expected in ([0], [0, 1], [0, 1, 2]):
        line.arrivals.announce(QUEUE, line.clock.now_ms())
        assert await line.awake() == expected
    line.leave()


async def test_news_of_one_queue_wakes_nobody_of_another(line: Line) -> None:
    await line.join(1, QUEUE)
    await line.join(1, OTHER)
    line.arrivals.announce(OTHER, line.clock.now_ms())
    assert await line.awake() == [1]
    line.leave()


async def test_who_looked_in_vain_can_be_woken_again(line: Line) -> None:
    await line.join(1)
    for _ in range(3):
        line.arrivals.announce(QUEUE, line.clock.now_ms())
        assert await line.awake() == [0]
        line.waiters[0].look_and_sleep()
        assert await line.awake() == []
    line.leave()


async def test_who_leaves_woken_passes_it_on(line: Line) -> None:
    await line.join(3)
    line.arrivals.announce(QUEUE, line.clock.now_ms())
    assert await line.awake() == [0]
    line.waiters.pop(0).leave()
    assert await line.awake() == [0]
    line.leave()


async def test_who_leaves_woken_during_a_look_passes_it_on(line: Line) -> None:
    await line.join(2)
    line.arrivals.announce(QUEUE, line.clock.now_ms())
    await line.awake()
    line.waiters[0].place.clear()
    line.arrivals.announce(QUEUE, line.clock.now_ms(), 2)
    assert await line.awake() == [0, 1]
    line.waiters[1].look_and_sleep()
    line.waiters.pop(0).leave()
    assert await line.awake() == [0]
    line.leave()


async def test_who_leaves_after_its_look_passes_nothing_on(line: Line) -> None:
    await line.join(2)
    line.arrivals.announce(QUEUE, line.clock.now_ms())
    await line.awake()
    line.waiters[0].place.clear()
    line.waiters.pop(0).leave()
    assert await line.awake() == []
    line.leave()


async def test_a_cancelled_sleeper_that_was_woken_passes_it_on(line: Line) -> None:
    async def wait() -> None:
        with line.arrivals.join(QUEUE) as place:
            await place.sleep_until(line.clock.now_ms() + 20_000)

    first = asyncio.create_task(wait())
    await turn()
    await line.join(1)
    line.arrivals.announce(QUEUE, line.clock.now_ms())
    first.cancel()
    assert await line.awake() == [0]
    assert first.cancelled()
    line.leave()


async def test_the_next_known_moment_wakes_exactly_one_when_it_has_come(line: Line) -> None:
    await line.join(3)
    line.arrivals.announce(QUEUE, line.clock.now_ms() + 5_000)
    line.clock.advance(4.999)
    assert await line.awake() == []
    line.clock.advance(0.001)
    assert await line.awake() == [0]
    line.clock.advance(10)
    assert await line.awake() == [0]
    line.leave()


@pytest.mark.parametrize("moments_ms", [(5_000, 8_000), (8_000, 5_000)], ids=["then", "first"])
async def test_the_earliest_known_moment_counts(line: Line, moments_ms: tuple[int, int]) -> None:
    await line.join(2)
    for moment_ms in moments_ms:
        line.arrivals.announce(QUEUE, line.clock.now_ms() + moment_ms)
    line.clock.advance(5)
    assert await line.awake() == [0]
    line.leave()


async def test_a_moment_can_be_announced_again_after_one_has_come(line: Line) -> None:
    await line.join(2)
    for expected in ([0], [0, 1]):
        line.arrivals.announce(QUEUE, line.clock.now_ms() + 5_000)
        line.clock.advance(5)
        assert await line.awake() == expected
    line.leave()


async def test_the_deadline_ends_a_sleep_and_is_no_news(line: Line) -> None:
    await line.join(1)
    line.clock.advance(1)
    await line.join(1)
    line.clock.advance(18.999)
    assert await line.awake() == []
    line.clock.advance(0.001)
    assert await line.awake() == [0]
    line.waiters.pop(0).leave()
    assert await line.awake() == []
    line.leave()


async def test_a_deadline_that_has_passed_ends_the_sleep_at_once(line: Line) -> None:
    with line.arrivals.join(QUEUE) as place:
        await asyncio.wait_for(place.sleep_until(line.clock.now_ms()), timeout=5)


async def test_all_are_woken_when_the_queue_is_not_what_it_was(line: Line) -> None:
    await line.join(3)
    await line.join(1, OTHER)
    line.arrivals.wake_all(QUEUE)
    assert await line.awake() == [0, 1, 2]
    line.leave()


async def test_closing_wakes_all_for_good(line: Line) -> None:
    await line.join(2)
    await line.join(2, OTHER)
    line.arrivals.close()
    assert await line.awake() == [0, 1, 2, 3]
    line.waiters[0].look_and_sleep()
    assert 0 in await line.awake()
    with line.arrivals.join(QUEUE) as late:
        await asyncio.wait_for(late.sleep_until(line.clock.now_ms() + 20_000), timeout=5)
    line.leave()


async def test_those_in_line_are_counted_woken_or_not(line: Line) -> None:
    assert line.arrivals.waiting(QUEUE) == 0
    await line.join(3)
    assert line.arrivals.waiting(QUEUE) == 3
    line.arrivals.announce(QUEUE, line.clock.now_ms())
    assert line.arrivals.waiting(QUEUE) == 3
    line.waiters.pop().leave()
    assert (line.arrivals.waiting(QUEUE), line.arrivals.waiting(OTHER)) == (2, 0)
    line.leave()
    assert line.arrivals.waiting(QUEUE) == 0


async def test_lines_leave_no_memory_and_no_alarm_behind(line: Line) -> None:
    for queue_id in range(100):
        await line.join(2, queue_id)
        line.arrivals.announce(queue_id, line.clock.now_ms() + 60_000)
    assert line.clock.alarms == 300
    line.leave()
    await turn()
    assert line.arrivals._lines == {}
    assert line.clock.alarms == 0


async def test_news_without_a_line_leaves_nothing_behind(line: Line) -> None:
    line.arrivals.announce(QUEUE, line.clock.now_ms())
    line.arrivals.announce(QUEUE, line.clock.now_ms() + 5_000)
    line.arrivals.wake_all(QUEUE)
    assert line.arrivals._lines == {}
    assert line.clock.alarms == 0


async def test_a_cancelled_sleeper_leaves_no_alarm(line: Line) -> None:
    with line.arrivals.join(QUEUE) as place:
        sleep = asyncio.create_task(place.sleep_until(line.clock.now_ms() + 20_000))
        await turn()
        assert line.clock.alarms == 1
        sleep.cancel()
        await turn()
        assert sleep.cancelled()
        assert line.clock.alarms == 0


async def test_a_sleeper_that_was_woken_leaves_no_alarm(line: Line) -> None:
    await line.join(1)
    line.arrivals.announce(QUEUE, line.clock.now_ms())
    await line.awake()
    assert line.clock.alarms == 0
    line.leave()
