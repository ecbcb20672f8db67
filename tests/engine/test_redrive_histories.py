"""Random histories of queues with dead-letter queues and move tasks, against the small models.

Which messages a receive moves besides those that stood in its way is the engine's affair: that is
learned from it, as numbers are, and held against what may move and what must.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest
import sqlalchemy as sa

from storage import move_tasks
from storage.messages import dropped_queues, expiry
from storage.messages.commands import Received
from storage.queue_settings import QueueName
from storage.queues import FIFO, STANDARD
from storage.schema import bodies
from tests.clock import ManualClock
from tests.engine import test_fifo_histories as fifo
from tests.engine import test_histories as standard
from tests.engine.stage import RETENTION_S, Stage, named
from tests.engine.test_fifo_histories import Held
from tests.engine.test_histories import Message, at_once

HISTORIES, ROUNDS = 40, 80
FIFO_HISTORIES = 40
MAXIMUM_RECEIVES = 2


async def numbers_of(stage: Stage) -> dict[str, int]:
    """Tell under which numbers a queue has which bodies."""
    statement = sa.select(bodies.c.body, bodies.c.id).where(bodies.c.queue_id == stage.queue.id)
    return await stage.database.read(
        lambda connection: {row.body: row.id for row in connection.execute(statement)}
    )


async def move_back(dead: Stage, task_id: str, destination: QueueName | None, limit: int) -> None:
    """Run a move task to its end."""
    write = dead.database.write
    await write(move_tasks.start, task_id, dead.queue, destination, None, 1)
    done: int | None = 0
    while done is not None:
        done = await write(move_tasks.step, task_id, limit)


class Dead(standard.History):
    """A dead-letter queue: nothing is sent to it."""

    send = standard.History.receive


class Dying(standard.History):
    """A standard queue with a dead-letter queue, both of which soon forget."""

    def __init__(self, stage: Stage, dead: Stage, seed: int) -> None:
        super().__init__(stage, seed)
        self.dead = Dead(dead, seed + 1)
        self.tasks = 0

    async def step(self) -> None:
        chance = self.chances.random()
        if chance < 0.03:
            await self.move_back()
        elif chance < 0.12:
            await self.dead.step()
        else:
            await super().step()

    async def bury(self, maximum: int) -> None:
        now_ms = self.stage.clock.now_ms()
        self.dead.model.expire(self.dead.stage.expired_ms())
        numbers = await numbers_of(self.dead.stage)
        fit, moved, left = 0, [], []
        for number in self.model.visible(now_ms):
            message = self.model.messages[number]
            if message.receive_count < MAXIMUM_RECEIVES:
                fit += 1
            elif message.body in numbers:
                moved.append(number)
            else:
                left.append(number)
                assert fit >= maximum, "it stood in the way"
        buried = [self.model.messages.pop(number) for number in moved]
        assert not {m.body for m in self.model.messages.values()} & numbers.keys()
        for message in buried:
            message.visible_at_ms = now_ms
            self.dead.model.messages[numbers[message.body]] = message

    async def move_back(self) -> None:
        self.tasks += 1
        now_ms = self.stage.clock.now_ms()
        self.dead.model.expire(self.dead.stage.expired_ms())
        destination = self.chances.choice((None, named(self.stage.queue.name)))
        task_id = f"{self.stage.queue.name}-{self.tasks}"
        await move_back(self.dead.stage, task_id, destination, self.chances.randint(1, 5))
        numbers = await numbers_of(self.stage)
        arrived = []
        for number in sorted(self.dead.model.visible(now_ms)):
            body = self.dead.model.messages.pop(number).body
            arrived.append(numbers[body])
            self.model.messages[numbers[body]] = Message(body, now_ms, now_ms)
        assert arrived == sorted(arrived)

    async def check_counts(self) -> None:
        await super().check_counts()
        await self.dead.check_counts()

    async def free(self) -> None:
        """Free what has expired, as upkeep does: that, and nothing else, is gone."""
        for history in (self, self.dead):
            stage = history.stage
            now_ms = stage.clock.now_ms()
            while await stage.database.read(expiry.queues_with_expired, [stage.queue], now_ms):
                assert await stage.database.write(expiry.free_expired, stage.queue.id, 7)
            history.model.expire(stage.expired_ms())
            assert set(await numbers_of(stage)) == {m.body for m in history.model.messages.values()}

    async def drain(self) -> None:
        await self.stage.stop_redrive()
        await super().drain()
        await self.dead.drain()


@pytest.mark.parametrize("seed", [1])
async def test_standard_queues_and_their_dead_letter_queues_agree_with_the_model(
    stage: Stage, seed: int
) -> None:
    histories = []
    for position in range(HISTORIES):
        source = await stage.beside(f"source-{position}", STANDARD)
        dead = await stage.beside(f"dead-{position}", STANDARD)
        await source.redrive_to(dead.queue.name, MAXIMUM_RECEIVES)
        await source.set_retention(40)
        await dead.set_retention(45)
        histories.append(Dying(source, dead, 2 * (seed * HISTORIES + position)))
    for number in range(ROUNDS):
        await at_once([history.step() for history in histories])
        await at_once([history.check_counts() for history in histories[number % 4 :: 4]])
        stage.clock.advance((0, 0.5, 1, 2)[number % 4])
    await at_once([history.check_counts() for history in histories])
    while await stage.database.write(dropped_queues.free_dropped, 100):
        pass
    for seconds in (0, 8, 8, 16):
        stage.clock.advance(seconds)
        await at_once([history.free() for history in histories])
    await at_once([history.drain() for history in histories])
    rows = await stage.rows()
    assert (rows["messages"], rows["bodies"], rows["dropped_queues"]) == (0, 0, 0)


class DyingGroups(fifo.History):
    """A FIFO queue with a dead-letter queue."""

    def __init__(self, stage: Stage, dead: Stage, seed: int) -> None:
        super().__init__(stage, seed)
        self.dead = fifo.History(dead, seed + 1)
        self.tasks = 0

    def steps(self) -> Sequence[Callable[[], Awaitable[None]]]:
        dead = self.dead
        steps = [*super().steps(), *[dead.receive] * 3, *[dead.delete] * 2]
        return [*steps, dead.change, dead.release, self.move_back]

    async def bury(
        self, deliverable: dict[str, list[int]], received: list[Received], maximum: int
    ) -> dict[str, list[int]]:
        now_ms = self.now_ms()
        numbers = await numbers_of(self.dead.stage)
        self.dead.model.expire(now_ms)
        taken = {message.receipt.number for message in received}
        fit: dict[str, list[int]] = {}
        for name, group in deliverable.items():
            held = {number: self.model.groups[name][number] for number in group}
            exhausted = [n for n in group if held[n].receive_count >= MAXIMUM_RECEIVES]
            fit[name] = [number for number in group if number not in exhausted]
            moved = [number for number in exhausted if held[number].body in numbers]
            assert moved == exhausted[: len(moved)], "out of order"
            last = max((number for number in group if number in taken), default=0)
            for number in exhausted[len(moved) :]:
                assert len(received) == maximum, "it stood in the way"
                assert number > last, "it stood in the way"
            for number in moved:
                self.move(name, self.model.groups[name].pop(number), numbers, now_ms)
        return {name: group for name, group in fit.items() if group}

    def move(self, name: str, held: Held, numbers: dict[str, int], now_ms: int) -> None:
        """Let a dead letter be the last of its group, as if it were sent now."""
        group = self.dead.model.groups[name]
        assert numbers[held.body] > max(group, default=0), "out of order"
        group[numbers[held.body]] = Held(held.body, now_ms, now_ms, held.receive_count)

    async def move_back(self) -> None:
        self.tasks += 1
        now_ms = self.now_ms()
        self.model.expire(now_ms)
        self.dead.model.expire(now_ms)
        deliverable = self.dead.model.deliverable(now_ms)
        destination = self.chances.choice((None, named(self.stage.queue.name)))
        task_id = f"{self.stage.queue.name}-{self.tasks}"
        await move_back(self.dead.stage, task_id, destination, self.chances.randint(1, 5))
        numbers = await numbers_of(self.stage)
        for name, group in deliverable.items():
            for number in group:
                body = self.dead.model.groups[name].pop(number).body
                target = self.model.groups[name]
                assert numbers[body] > max(target, default=0), "out of order"
                target[numbers[body]] = Held(body, now_ms, now_ms)

    async def empty(self) -> None:
        await self.stage.stop_redrive()
        await super().empty()
        await self.dead.empty()


@pytest.mark.parametrize("first", range(0, FIFO_HISTORIES, 20))
async def test_fifo_queues_and_their_dead_letter_queues_agree_with_the_model(
    stage_url: str, first: int
) -> None:
    stage = await Stage.open(stage_url, ManualClock(), FIFO)
    assert stage.retention_s == RETENTION_S
    for seed in range(first, first + 20):
        source = await stage.beside(f"source-{seed}.fifo")
        dead = await stage.beside(f"dead-{seed}.fifo")
        await source.redrive_to(dead.queue.name, MAXIMUM_RECEIVES)
        await DyingGroups(source, dead, 2 * seed).run(reopens=False)
    await stage.database.close()
