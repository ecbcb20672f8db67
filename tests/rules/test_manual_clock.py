"""The clock that every other test of time relies on."""

from __future__ import annotations

import asyncio
import threading

from tests.clock import ManualClock


async def turn() -> None:
    """Let everything run that is due on the loop."""
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(done.set_result, None)
    await done


async def test_time_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(1_000)
    assert clock.now_ms() == 1_000
    clock.advance(1.5)
    assert clock.now_ms() == 2_500


async def test_alarms_ring_in_order_when_their_moment_has_come() -> None:
    clock = ManualClock(0)
    rung: list[str] = []
    clock.call_at(3_000, lambda: rung.append("third"))
    clock.call_at(2_000, lambda: rung.append("second"))
    clock.call_at(0, lambda: rung.append("first"))
    assert rung == []
    await turn()
    assert rung == ["first"]
    clock.advance(1.999)
    await turn()
    assert rung == ["first"]
    clock.advance(5)
    await turn()
    assert rung == ["first", "second", "third"]


async def test_a_cancelled_alarm_is_silent_even_when_it_was_due() -> None:
    clock = ManualClock(0)
    rung: list[str] = []
    cancel = clock.call_at(1_000, lambda: rung.append("cancelled"))
    clock.call_at(1_000, lambda: rung.append("kept"))
    clock.advance(1)
    cancel()
    await turn()
    assert rung == ["kept"]


async def test_another_thread_moves_the_clock_and_the_callback_runs_on_its_own_loop() -> None:
    clock = ManualClock(0)
    rung = asyncio.Event()
    threads: list[threading.Thread] = []

    def ring() -> None:
        threads.append(threading.current_thread())
        rung.set()

    clock.call_at(1_000, ring)
    mover = threading.Thread(target=clock.advance, args=(1,))
    mover.start()
    await asyncio.wait_for(rung.wait(), 10)
    mover.join()
    assert threads == [threading.current_thread()]


def test_moving_the_clock_of_a_closed_loop_harms_nobody() -> None:
    clock = ManualClock(0)

    async def schedule() -> None:
        clock.call_at(1_000, lambda: None)

    asyncio.run(schedule())
    clock.advance(1)
    assert clock.now_ms() == 1_000
