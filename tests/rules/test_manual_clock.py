"""The manual clock, which all other tests of time use."""

from __future__ import annotations

import asyncio
import threading

from tests.clock import ManualClock


async def run_due_callbacks() -> None:
    """Wait until the loop has run all callbacks that are due."""
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(done.set_result, None)
    await done


async def test_time_changes_only_when_it_is_advanced() -> None:
    clock = ManualClock(1_000)
    assert clock.now_ms() == 1_000
    clock.advance(1.5)
    assert clock.now_ms() == 2_500


async def test_timers_fire_in_order_when_they_are_due() -> None:
    clock = ManualClock(0)
    fired: list[str] = []
    clock.call_at(3_000, lambda: fired.append("third"))
    clock.call_at(2_000, lambda: fired.append("second"))
    clock.call_at(0, lambda: fired.append("first"))
    assert fired == []
    await run_due_callbacks()
    assert fired == ["first"]
    clock.advance(1.999)
    await run_due_callbacks()
    assert fired == ["first"]
    clock.advance(5)
    await run_due_callbacks()
    assert fired == ["first", "second", "third"]


async def test_cancelled_timer_does_not_fire_even_if_it_was_due() -> None:
    clock = ManualClock(0)
    fired: list[str] = []
    cancel = clock.call_at(1_000, lambda: fired.append("cancelled"))
    clock.call_at(1_000, lambda: fired.append("kept"))
    clock.advance(1)
    cancel()
    await run_due_callbacks()
    assert fired == ["kept"]


async def test_callback_runs_on_its_own_loop_if_another_thread_advances_the_clock() -> None:
    clock = ManualClock(0)
    fired = asyncio.Event()
    threads: list[threading.Thread] = []

    def fire() -> None:
        threads.append(threading.current_thread())
        fired.set()

    clock.call_at(1_000, fire)
    mover = threading.Thread(target=clock.advance, args=(1,))
    mover.start()
    await asyncio.wait_for(fired.wait(), 10)
    mover.join()
    assert threads == [threading.current_thread()]


def test_clock_with_a_timer_of_a_closed_loop_can_be_advanced() -> None:
    clock = ManualClock(0)

    async def schedule() -> None:
        clock.call_at(1_000, lambda: None)

    asyncio.run(schedule())
    clock.advance(1)
    assert clock.now_ms() == 1_000
