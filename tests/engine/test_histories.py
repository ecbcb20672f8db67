"""Random histories of many queues at once, held against a small model of what SQS says.

All commands of a round are submitted in one turn, so that queues share transactions as they do in
a busy server. A history that fails is repeated by its seed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import pytest

from storage import queues
from storage.messages import Outcome, Release
from storage.receives import Received
from tests.engine.stage import Stage, new_message

HISTORIES = 60
ROUNDS = 60
COUNTED_IN_A_ROUND = 6


@dataclass
class Message:
    """One message as the model has it; numbers are learned from the engine."""

    body: str
    visible_at_ms: int
    receive_count: int = 0
    first_received_at_ms: int | None = None


@dataclass
class Model:
    """What is true of one queue."""

    messages: dict[int, Message] = field(default_factory=dict)
    sent: int = 0

    def visible(self, now_ms: int) -> list[int]:
        """Give the numbers of what can be received, in the order in which it is."""
        found = [n for n, message in self.messages.items() if message.visible_at_ms <= now_ms]
        return sorted(found, key=lambda number: (self.messages[number].visible_at_ms, number))

    def counts(self, now_ms: int) -> tuple[int, int, int]:
        hidden = [m for m in self.messages.values() if m.visible_at_ms > now_ms]
        delayed = sum(1 for message in hidden if not message.receive_count)
        return len(self.messages) - len(hidden), len(hidden) - delayed, delayed

    def claim(self, maximum: int, timeout_ms: int, now_ms: int) -> list[tuple[Any, ...]]:
        claimed = []
        for number in self.visible(now_ms)[:maximum]:
            message = self.messages[number]
            message.visible_at_ms = now_ms + timeout_ms
            message.receive_count += 1
            if message.first_received_at_ms is None:
                message.first_received_at_ms = now_ms
            claimed.append(
                (number, message.receive_count, message.body, message.first_received_at_ms)
            )
        return claimed

    def release(self, claim: Received, now_ms: int) -> None:
        message = self.messages.get(claim.receipt.number)
        if message is None or message.receive_count != claim.receipt.receive_count:
            return
        message.visible_at_ms = now_ms
        message.receive_count -= 1
        if not message.receive_count:
            message.first_received_at_ms = None


class History:
    """One queue, its model, and every claim that was ever made on it."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.chances = random.Random(seed)
        self.model = Model()
        self.claims: list[Received] = []

    async def step(self) -> None:
        """Do one thing, and hold its result against the model."""
        steps = [self.send, self.send, self.receive, self.receive, self.receive]
        if self.claims:
            steps += [self.delete, self.change, self.release]
        step = self.purge if self.chances.random() < 0.01 else self.chances.choice(steps)
        await step()

    async def send(self) -> None:
        delays_s = [self.chances.choice((0, 0, 1, 7)) for _ in range(self.chances.randint(1, 4))]
        bodies = [f"{self.model.sent + position}" for position in range(len(delays_s))]
        self.model.sent += len(bodies)
        messages = [new_message(*parts) for parts in zip(bodies, delays_s, strict=True)]
        now_ms = self.stage.clock.now_ms()
        sent = await self.stage.database.submit(self.stage.sending(*messages))
        numbers = [one.number for one in sent]
        assert list(numbers) == sorted(set(numbers))
        assert min(numbers) > max(self.model.messages, default=0)
        for number, body, delay_s in zip(numbers, bodies, delays_s, strict=True):
            self.model.messages[number] = Message(body, now_ms + delay_s * 1000)

    async def receive(self) -> None:
        maximum, timeout_s = self.chances.randint(1, 10), self.chances.choice((0, 1, 3, 30))
        now_ms = self.stage.clock.now_ms()
        expected = self.model.claim(maximum, timeout_s * 1000, now_ms)
        received = await self.stage.receive(maximum, timeout_s)
        assert expected == [
            (r.receipt.number, r.receipt.receive_count, r.body, r.first_received_at_ms)
            for r in received
        ]
        self.claims += received

    def some_claims(self) -> list[Received]:
        count = min(len(self.claims), self.chances.randint(1, 5))
        return self.chances.sample(self.claims, count)

    async def delete(self) -> None:
        claims = self.some_claims()
        for claim in claims:
            self.model.messages.pop(claim.receipt.number, None)
        await self.stage.delete(*[claim.receipt for claim in claims])

    async def change(self) -> None:
        now_ms = self.stage.clock.now_ms()
        changes = [(c.receipt, self.chances.choice((0, 2, 20))) for c in self.some_claims()]
        expected = [receipt.number in self.model.messages for receipt, _ in changes]
        for receipt, timeout_s in changes:
            if message := self.model.messages.get(receipt.number):
                message.visible_at_ms = now_ms + timeout_s * 1000
        answer = await self.stage.database.submit(self.stage.changing(*changes))
        assert [outcome is Outcome.DONE for outcome in answer] == expected

    async def release(self) -> None:
        claims = sorted(self.some_claims())
        for claim in claims:
            self.model.release(claim, self.stage.clock.now_ms())
        await self.stage.database.submit(Release(claims))

    async def purge(self) -> None:
        self.model.messages.clear()
        await self.stage.database.write(queues.purge, self.stage.queue)
        found = await self.stage.find(self.stage.queue.name)
        assert found is not None
        self.stage.queue = found

    async def check_counts(self) -> None:
        assert await self.stage.counts() == self.model.counts(self.stage.clock.now_ms())

    async def drain(self) -> None:
        """Receive and delete all that is left: what the model has, and nothing else."""
        left: list[str] = []
        while received := await self.stage.receive():
            left += [message.body for message in received]
            await self.stage.delete(*[message.receipt for message in received])
        assert sorted(left) == sorted(m.body for m in self.model.messages.values())
        assert await self.stage.counts() == (0, 0, 0)


async def begin(stage: Stage, seed: int) -> list[History]:
    histories = []
    for position in range(HISTORIES):
        actor = Stage(stage.url, stage.clock, stage.database)
        actor.queue = await stage.create(f"queue-{position}")
        histories.append(History(actor, seed * HISTORIES + position))
    return histories


async def at_once(steps: list[Awaitable[None]]) -> None:
    """Let all steps begin in one turn, and wait for the last even if one fails."""
    results = await asyncio.gather(*steps, return_exceptions=True)
    for result in results:
        if result is not None:
            raise result


@pytest.mark.parametrize("seed", [1])
async def test_random_histories_agree_with_the_model(stage: Stage, seed: int) -> None:
    chances = random.Random(seed)
    histories = await begin(stage, seed)
    for number in range(ROUNDS):
        await at_once([history.step() for history in histories])
        counted = chances.sample(histories, COUNTED_IN_A_ROUND)
        await at_once([history.check_counts() for history in counted])
        stage.clock.advance(chances.choice((0, 0.5, 1, 5)))
        if number % 20 == 19:
            await stage.reopen()
            for history in histories:
                history.stage.database = stage.database
    await at_once([history.check_counts() for history in histories])
    while await stage.database.write(queues.free_leftovers, 100):
        pass
    stage.clock.advance(60)
    await at_once([history.drain() for history in histories])
    rows = await stage.rows()
    assert rows == {"messages": 0, "bodies": 0, "backlogs": HISTORIES + 1, "leftovers": 0}
