"""The registry of waiting receivers: which receivers a wake-up reaches, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from storage.waiting.waiters import Waiters, WaitingReceiver
from tests.clock import ManualClock
from tests.engine.queue_client import run_event_loop
from tests.waiting import TIMEOUT_SECONDS

QUEUE, OTHER = 1, 2


class Sleeper:
    """A registered receiver that sleeps; the test calls its empty claims."""

    def __init__(self, waiters: Waiters, clock: ManualClock, queue_id: int = QUEUE) -> None:
        self.receiver: WaitingReceiver = waiters.register(queue_id)
        self.receiver.__enter__()
        self.deadline_ms = clock.now_ms() + 20_000
        self.sleep()

    def sleep(self) -> None:
        self.task = asyncio.create_task(self.receiver.sleep_until(self.deadline_ms))

    @property
    def awake(self) -> bool:
        return self.task.done()

    def claim_and_sleep(self) -> None:
        self.receiver.clear()
        self.sleep()

    def leave(self) -> None:
        self.receiver.__exit__(None, None, None)


class Registry:
    """Waiters on a manual clock that counts its alarms, and some sleepers."""

    def __init__(self) -> None:
        self.clock = CountingClock()
        self.waiters = Waiters(self.clock)
        self.sleepers: list[Sleeper] = []

    async def register(self, count: int, queue_id: int = QUEUE) -> None:
        for _ in range(count):
            self.sleepers.append(Sleeper(self.waiters, self.clock, queue_id))
        await run_event_loop()

    async def awake(self) -> list[int]:
        await run_event_loop()
        return [position for position, sleeper in enumerate(self.sleepers) if sleeper.awake]

    def leave(self) -> None:
        for sleeper in self.sleepers:
            sleeper.task.cancel()
            sleeper.leave()


class CountingClock(ManualClock):
    """A manual clock that counts the alarms that are set."""

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
def registry() -> Registry:
    """Return an empty registry on a manual clock."""
    return Registry()


async def test_wake_up_during_a_claim_is_kept(registry: Registry) -> None:
    with registry.waiters.register(QUEUE) as receiver:
        receiver.clear()
        registry.waiters.wake(QUEUE, registry.clock.now_ms())
        await asyncio.wait_for(
            receiver.sleep_until(registry.clock.now_ms() + 20_000), TIMEOUT_SECONDS
        )


async def test_wake_up_before_a_claim_is_cleared(registry: Registry) -> None:
    with registry.waiters.register(QUEUE) as receiver:
        registry.waiters.wake(QUEUE, registry.clock.now_ms())
        receiver.clear()
        sleep = asyncio.create_task(receiver.sleep_until(registry.clock.now_ms() + 20_000))
        await run_event_loop()
        assert not sleep.done()
        registry.waiters.wake(QUEUE, registry.clock.now_ms())
        await asyncio.wait_for(sleep, TIMEOUT_SECONDS)


async def test_one_message_wakes_one_receiver(registry: Registry) -> None:
    await registry.register(3)
    registry.waiters.wake(QUEUE, registry.clock.now_ms())
    assert len(await registry.awake()) == 1
    registry.leave()


async def test_each_message_wakes_one_receiver(registry: Registry) -> None:
    await registry.register(4)
    registry.waiters.wake(QUEUE, registry.clock.now_ms(), 2)
    assert await registry.awake() == [0, 1]
    registry.waiters.wake(QUEUE, registry.clock.now_ms(), 100)
    assert await registry.awake() == [0, 1, 2, 3]
    registry.leave()


async def test_receiver_that_waited_longest_is_woken_first(registry: Registry) -> None:
    await registry.register(3)
    for expected in ([0], [0, 1], [0, 1, 2]):
        registry.waiters.wake(QUEUE, registry.clock.now_ms())
        assert await registry.awake() == expected
    registry.leave()


async def test_message_of_one_queue_wakes_no_receiver_of_another(registry: Registry) -> None:
    await registry.register(1, QUEUE)
    await registry.register(1, OTHER)
    registry.waiters.wake(OTHER, registry.clock.now_ms())
    assert await registry.awake() == [1]
    registry.leave()


async def test_receiver_whose_claim_was_empty_can_be_woken_again(registry: Registry) -> None:
    await registry.register(1)
    for _ in range(3):
        registry.waiters.wake(QUEUE, registry.clock.now_ms())
        assert await registry.awake() == [0]
        registry.sleepers[0].claim_and_sleep()
        assert await registry.awake() == []
    registry.leave()


async def test_woken_receiver_that_leaves_wakes_the_next(registry: Registry) -> None:
    await registry.register(3)
    registry.waiters.wake(QUEUE, registry.clock.now_ms())
    assert await registry.awake() == [0]
    registry.sleepers.pop(0).leave()
    assert await registry.awake() == [0]
    registry.leave()


async def test_receiver_woken_during_its_claim_wakes_the_next_when_it_leaves(
    registry: Registry,
) -> None:
    await registry.register(2)
    registry.waiters.wake(QUEUE, registry.clock.now_ms())
    await registry.awake()
    registry.sleepers[0].receiver.clear()
    registry.waiters.wake(QUEUE, registry.clock.now_ms(), 2)
    assert await registry.awake() == [0, 1]
    registry.sleepers[1].claim_and_sleep()
    registry.sleepers.pop(0).leave()
    assert await registry.awake() == [0]
    registry.leave()


async def test_receiver_that_leaves_after_its_claim_wakes_no_other(registry: Registry) -> None:
    await registry.register(2)
    registry.waiters.wake(QUEUE, registry.clock.now_ms())
    await registry.awake()
    registry.sleepers[0].receiver.clear()
    registry.sleepers.pop(0).leave()
    assert await registry.awake() == []
    registry.leave()


async def test_woken_receiver_that_is_cancelled_wakes_the_next(registry: Registry) -> None:
    async def wait() -> None:
        with registry.waiters.register(QUEUE) as receiver:
            await receiver.sleep_until(registry.clock.now_ms() + 20_000)

    first = asyncio.create_task(wait())
    await run_event_loop()
    await registry.register(1)
    registry.waiters.wake(QUEUE, registry.clock.now_ms())
    first.cancel()
    assert await registry.awake() == [0]
    assert first.cancelled()
    registry.leave()


async def test_delayed_message_wakes_one_receiver_when_it_becomes_visible(
    registry: Registry,
) -> None:
    await registry.register(3)
    registry.waiters.wake(QUEUE, registry.clock.now_ms() + 5_000)
    registry.clock.advance(4.999)
    assert await registry.awake() == []
    registry.clock.advance(0.001)
    assert await registry.awake() == [0]
    registry.clock.advance(10)
    assert await registry.awake() == [0]
    registry.leave()


@pytest.mark.parametrize("times_ms", [(5_000, 8_000), (8_000, 5_000)], ids=["then", "first"])
async def test_earliest_visible_time_wakes_receiver(
    registry: Registry, times_ms: tuple[int, int]
) -> None:
    await registry.register(2)
    for time_ms in times_ms:
        registry.waiters.wake(QUEUE, registry.clock.now_ms() + time_ms)
    registry.clock.advance(5)
    assert await registry.awake() == [0]
    registry.leave()


async def test_alarm_can_be_set_again_after_it_rang(registry: Registry) -> None:
    await registry.register(2)
    for expected in ([0], [0, 1]):
        registry.waiters.wake(QUEUE, registry.clock.now_ms() + 5_000)
        registry.clock.advance(5)
        assert await registry.awake() == expected
    registry.leave()


async def test_deadline_ends_sleep_without_wake_up(registry: Registry) -> None:
    await registry.register(1)
    registry.clock.advance(1)
    await registry.register(1)
    registry.clock.advance(18.999)
    assert await registry.awake() == []
    registry.clock.advance(0.001)
    assert await registry.awake() == [0]
    registry.sleepers.pop(0).leave()
    assert await registry.awake() == []
    registry.leave()


async def test_sleep_ends_at_once_if_deadline_has_passed(registry: Registry) -> None:
    with registry.waiters.register(QUEUE) as receiver:
        await asyncio.wait_for(receiver.sleep_until(registry.clock.now_ms()), TIMEOUT_SECONDS)


async def test_wake_all_wakes_all_receivers_of_one_queue(registry: Registry) -> None:
    await registry.register(3)
    await registry.register(1, OTHER)
    registry.waiters.wake_all(QUEUE)
    assert await registry.awake() == [0, 1, 2]
    registry.leave()


async def test_close_wakes_all_receivers_for_good(registry: Registry) -> None:
    await registry.register(2)
    await registry.register(2, OTHER)
    registry.waiters.close()
    assert await registry.awake() == [0, 1, 2, 3]
    registry.sleepers[0].claim_and_sleep()
    assert 0 in await registry.awake()
    with registry.waiters.register(QUEUE) as late:
        await asyncio.wait_for(late.sleep_until(registry.clock.now_ms() + 20_000), TIMEOUT_SECONDS)
    registry.leave()


async def test_count_includes_woken_receivers(registry: Registry) -> None:
    assert registry.waiters.count(QUEUE) == 0
    await registry.register(3)
    assert registry.waiters.count(QUEUE) == 3
    registry.waiters.wake(QUEUE, registry.clock.now_ms())
    assert registry.waiters.count(QUEUE) == 3
    registry.sleepers.pop().leave()
    assert (registry.waiters.count(QUEUE), registry.waiters.count(OTHER)) == (2, 0)
    registry.leave()
    assert registry.waiters.count(QUEUE) == 0


async def test_no_memory_and_no_alarm_remain_after_last_receiver(registry: Registry) -> None:
    for queue_id in range(100):
        await registry.register(2, queue_id)
        registry.waiters.wake(queue_id, registry.clock.now_ms() + 60_000)
    assert registry.clock.alarms == 300
    registry.leave()
    await run_event_loop()
    assert registry.waiters.queue_count == 0
    assert registry.clock.alarms == 0


async def test_wake_without_receivers_uses_no_memory_and_no_alarm(registry: Registry) -> None:
    registry.waiters.wake(QUEUE, registry.clock.now_ms())
    registry.waiters.wake(QUEUE, registry.clock.now_ms() + 5_000)
    registry.waiters.wake_all(QUEUE)
    assert registry.waiters.queue_count == 0
    assert registry.clock.alarms == 0


async def test_cancelled_receiver_leaves_no_alarm(registry: Registry) -> None:
    with registry.waiters.register(QUEUE) as receiver:
        sleep = asyncio.create_task(receiver.sleep_until(registry.clock.now_ms() + 20_000))
        await run_event_loop()
        assert registry.clock.alarms == 1
        sleep.cancel()
        await run_event_loop()
        assert sleep.cancelled()
        assert registry.clock.alarms == 0


async def test_woken_receiver_leaves_no_alarm(registry: Registry) -> None:
    await registry.register(1)
    registry.waiters.wake(QUEUE, registry.clock.now_ms())
    await registry.awake()
    assert registry.clock.alarms == 0
    registry.leave()
