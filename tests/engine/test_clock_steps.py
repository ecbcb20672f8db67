"""A clock that is set an hour back or forward, as machines' clocks are: nothing is lost by it."""

from __future__ import annotations

import pytest

from tests.engine.stage import Stage

HOUR_SECONDS = 3_600


@pytest.mark.parametrize("steps", [(-1, 2), (1, -1, 1), (-1, -1, 3)], ids=str)
async def test_a_clock_that_steps_loses_nothing(stage: Stage, steps: tuple[int, ...]) -> None:
    sent = ["before", "in flight"]
    await stage.send(*sent)
    await stage.receive(1)
    for step in steps:
        stage.clock.advance(step * HOUR_SECONDS)
        await stage.send(f"{step}")
        sent.append(f"{step}")
        assert sum(await stage.counts()) == len(sent)
    stage.clock.advance(HOUR_SECONDS)
    assert sorted(await stage.bodies(10)) == sorted(sent)


@pytest.mark.parametrize("step", [-1, 1])
async def test_order_is_kept_though_the_clock_steps(fifo: Stage, step: int) -> None:
    sent = []
    for number in range(6):
        await fifo.send_to("g", f"{number}")
        sent.append(f"{number}")
        fifo.clock.advance(step * HOUR_SECONDS * (1 if number % 2 else -1))
    fifo.clock.advance(2 * HOUR_SECONDS)
    assert await fifo.bodies(10) == sent
