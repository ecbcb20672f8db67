"""Random histories of queues with dead-letter queues and move tasks, compared with models.

A receive must move the exhausted messages before those it returns, and may move more. The model
reads from the database which ones it moved, and checks that each was allowed to move.
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
from storage.schema import bodies, messages
from tests.clock import ManualClock
from tests.engine import fifo_history as fifo
from tests.engine import standard_history as standard
from tests.engine.fifo_history import FifoMessage
from tests.engine.queue_client import RETENTION_S, QueueClient, queue_name
from tests.engine.standard_history import Message, run_together

HISTORIES, ROUNDS = 40, 80
FIFO_HISTORIES = 40
MAXIMUM_RECEIVES = 2


async def numbers_of(client: QueueClient) -> dict[str, int]:
    """Return the number of each body of a queue."""
    statement = (
        sa.select(bodies.c.body, messages.c.id)
        .join_from(messages, bodies, bodies.c.id == messages.c.body_id)
        .where(messages.c.queue_id == client.queue.id)
    )
    return await client.database.read(
        lambda connection: {row.body: row.id for row in connection.execute(statement)}
    )


async def move_back(
    dead: QueueClient, task_id: str, destination: QueueName | None, limit: int
) -> None:
    """Run a move task to its end."""
    write = dead.database.write
    await write(move_tasks.start, task_id, dead.queue, destination, None, 1)
    done: int | None = 0
    while done is not None:
        done = await write(move_tasks.step, task_id, limit)


class DeadLetterHistory(standard.History):
    """A dead-letter queue, to which no producer sends."""

    send = standard.History.receive


class SourceHistory(standard.History):
    """A standard queue with a dead-letter queue; both have a short retention."""

    def __init__(self, client: QueueClient, dead: QueueClient, seed: int) -> None:
        super().__init__(client, seed)
        self.dead = DeadLetterHistory(dead, seed + 1)
        self.tasks = 0

    async def step(self) -> None:
        chance = self.random.random()
        if chance < 0.03:
            await self.move_back()
        elif chance < 0.12:
            await self.dead.step()
        else:
            await super().step()

    async def learn_moves(self, maximum: int) -> None:
        now_ms = self.client.clock.now_ms()
        self.dead.model.expire(self.dead.client.expired_ms())
        numbers = await numbers_of(self.dead.client)
        deliverable, moved = 0, []
        for number in self.model.visible(now_ms):
            message = self.model.messages[number]
            if message.receive_count - message.earlier_receives < MAXIMUM_RECEIVES:
                deliverable += 1
            elif message.body in numbers:
                moved.append(number)
            else:
                assert deliverable >= maximum, "an exhausted message was not moved"
        dead_letters = [self.model.messages.pop(number) for number in moved]
        assert not {m.body for m in self.model.messages.values()} & numbers.keys()
        for message in dead_letters:
            message.visible_at_ms = message.queued_at_ms = now_ms
            message.is_ready, message.earlier_receives = True, message.receive_count
            self.dead.model.messages[numbers[message.body]] = message

    async def move_back(self) -> None:
        self.tasks += 1
        now_ms = self.client.clock.now_ms()
        self.dead.model.expire(self.dead.client.expired_ms())
        destination = self.random.choice((None, queue_name(self.client.queue.name)))
        task_id = f"{self.client.queue.name}-{self.tasks}"
        await move_back(self.dead.client, task_id, destination, self.random.randint(1, 5))
        numbers = await numbers_of(self.client)
        arrived = []
        for number in sorted(self.dead.model.visible(now_ms)):
            body = self.dead.model.messages.pop(number).body
            arrived.append(numbers[body])
            self.model.messages[numbers[body]] = Message(body, now_ms, now_ms, now_ms)
        assert arrived == sorted(arrived)

    async def check_counts(self) -> None:
        await super().check_counts()
        await self.dead.check_counts()

    async def free(self) -> None:
        """Free expired messages, as upkeep does; check that no other message is freed."""
        for history in (self, self.dead):
            client = history.client
            now_ms = client.clock.now_ms()
            while await client.database.read(expiry.queues_with_expired, [client.queue], now_ms):
                assert await client.database.write(expiry.free_expired, client.queue.id, 7)
            history.model.expire(client.expired_ms())
            assert set(await numbers_of(client)) == {
                m.body for m in history.model.messages.values()
            }

    async def empty(self) -> None:
        await self.client.stop_redrive()
        await super().empty()
        await self.dead.empty()


@pytest.mark.parametrize("seed", [1])
async def test_standard_queues_and_their_dead_letter_queues_agree_with_the_model(
    client: QueueClient, seed: int
) -> None:
    histories = []
    for position in range(HISTORIES):
        source = await client.another_queue(f"source-{position}", STANDARD)
        dead = await client.another_queue(f"dead-{position}", STANDARD)
        await source.redrive_to(dead.queue.name, MAXIMUM_RECEIVES)
        await source.set_retention(40)
        await dead.set_retention(45)
        histories.append(SourceHistory(source, dead, 2 * (seed * HISTORIES + position)))
    for number in range(ROUNDS):
        await run_together([history.step() for history in histories])
        await run_together([history.check_counts() for history in histories[number % 4 :: 4]])
        client.clock.advance((0, 0.5, 1, 2)[number % 4])
    await run_together([history.check_counts() for history in histories])
    while await client.database.write(dropped_queues.free_dropped, 100):
        pass
    for seconds in (0, 8, 8, 16):
        client.clock.advance(seconds)
        await run_together([history.free() for history in histories])
    await run_together([history.empty() for history in histories])
    rows = await client.rows()
    assert (rows["messages"], rows["bodies"], rows["dropped_queues"]) == (0, 0, 0)


class FifoSourceHistory(fifo.History):
    """A FIFO queue with a dead-letter queue."""

    def __init__(self, client: QueueClient, dead: QueueClient, seed: int) -> None:
        super().__init__(client, seed)
        self.dead = fifo.History(dead, seed + 1)
        self.tasks = 0

    def steps(self) -> Sequence[Callable[[], Awaitable[None]]]:
        dead = self.dead
        steps = [*super().steps(), *[dead.receive] * 3, *[dead.delete] * 2]
        return [*steps, dead.change, dead.release, self.move_back]

    async def learn_moves(
        self, deliverable: dict[str, list[int]], received: list[Received], maximum: int
    ) -> dict[str, list[int]]:
        now_ms = self.now_ms()
        numbers = await numbers_of(self.dead.client)
        self.dead.model.expire(now_ms)
        taken = {message.receipt.number for message in received}
        fit: dict[str, list[int]] = {}
        for name, group in deliverable.items():
            stored = {number: self.model.groups[name][number] for number in group}
            exhausted = [n for n in group if stored[n].receive_count >= MAXIMUM_RECEIVES]
            fit[name] = [number for number in group if number not in exhausted]
            moved = [number for number in exhausted if stored[number].body in numbers]
            assert moved == exhausted[: len(moved)], "out of order"
            last = max((number for number in group if number in taken), default=0)
            for number in exhausted[len(moved) :]:
                assert len(received) == maximum, "an exhausted message was not moved"
                assert number > last, "an exhausted message was not moved"
            for number in moved:
                self.move(name, self.model.groups[name].pop(number), numbers, now_ms)
        return {name: group for name, group in fit.items() if group}

    def move(self, name: str, stored: FifoMessage, numbers: dict[str, int], now_ms: int) -> None:
        """Add a dead letter as the last message of its group, as if it were sent now."""
        group = self.dead.model.groups[name]
        assert numbers[stored.body] > max(group, default=0), "out of order"
        group[numbers[stored.body]] = FifoMessage(stored.body, now_ms, now_ms, stored.receive_count)

    async def move_back(self) -> None:
        self.tasks += 1
        now_ms = self.now_ms()
        self.model.expire(now_ms)
        self.dead.model.expire(now_ms)
        deliverable = self.dead.model.deliverable(now_ms)
        destination = self.random.choice((None, queue_name(self.client.queue.name)))
        task_id = f"{self.client.queue.name}-{self.tasks}"
        await move_back(self.dead.client, task_id, destination, self.random.randint(1, 5))
        numbers = await numbers_of(self.client)
        for name, group in deliverable.items():
            for number in group:
                body = self.dead.model.groups[name].pop(number).body
                target = self.model.groups[name]
                assert numbers[body] > max(target, default=0), "out of order"
                target[numbers[body]] = FifoMessage(body, now_ms, now_ms)

    async def empty(self) -> None:
        await self.client.stop_redrive()
        await super().empty()
        await self.dead.empty()


@pytest.mark.parametrize("first", range(0, FIFO_HISTORIES, 20))
async def test_fifo_queues_and_their_dead_letter_queues_agree_with_the_model(
    shared_database_url: str, first: int
) -> None:
    client = await QueueClient.open(shared_database_url, ManualClock(), FIFO)
    assert client.retention_s == RETENTION_S
    for seed in range(first, first + 20):
        source = await client.another_queue(f"source-{seed}.fifo")
        dead = await client.another_queue(f"dead-{seed}.fifo")
        await source.redrive_to(dead.queue.name, MAXIMUM_RECEIVES)
        await FifoSourceHistory(source, dead, 2 * seed).run(reopens=False)
    await client.database.close()
