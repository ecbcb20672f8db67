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
from storage.messages import dropped_queues
from storage.messages.commands import Outcome, Received, Release
from tests.engine.stage import Stage, new_message

HISTORIES = 60
ROUNDS = 60
COUNTED_IN_A_ROUND = 6


@dataclass
class Message:
    """One message as the model has it; numbers are learned from the engine."""

    body: str
    visible_at_ms: int
    sent_at_ms: int
    receive_count: int = 0
    first_received_at_ms: int | None = None


@dataclass
class Model:
    """What is true of one queue."""

    messages: dict[int, Message] = field(default_factory=dict)
    sent: int = 0

    def expire(self, expired_ms: int) -> None:
        """Forget what was sent so long ago."""
        self.messages = {n: m for n, m in self.messages.items() if m.sent_at_ms > expired_ms}

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
            self.model.messages[number] = Message(body, now_ms + delay_s * 1000, now_ms)

    async def receive(self) -> None:
        maximum, timeout_s = self.chances.randint(1, 10), self.chances.choice((0, 1, 3, 30))
        received = await self.stage.receive(maximum, timeout_s)
        self.model.expire(self.stage.expired_ms())
        await self.bury(maximum)
        now_ms = self.stage.clock.now_ms()
        assert self.model.claim(maximum, timeout_s * 1000, now_ms) == [
            (r.receipt.number, r.receipt.receive_count, r.body, r.first_received_at_ms)
            for r in received
        ]
        self.claims += received

    async def bury(self, maximum: int) -> None:
        """Learn what a receive of so many moved to a dead-letter queue: here there is none."""

    def some_claims(self) -> list[Received]:
        count = min(len(self.claims), self.chances.randint(1, 5))
        return self.chances.sample(self.claims, count)

    async def delete(self) -> None:
        claims = self.some_claims()
        for claim in claims:
            self.model.messages.pop(claim.receipt.number, None)
        await self.stage.delete(*[claim.receipt for claim in claims])

    async def change(self) -> None:
        self.model.expire(self.stage.expired_ms())
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
        self.model.expire(self.stage.expired_ms())
        assert await self.stage.counts() == self.model.counts(self.stage.clock.now_ms())

    async def drain(self) -> None:
        """Receive and delete all that is left: what the model has, and nothing else."""
        self.model.expire(self.stage.expired_ms())
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
    while await stage.database.write(dropped_queues.free_dropped, 100):
        pass
    stage.clock.advance(60)
    await at_once([history.drain() for history in histories])
    rows = await stage.rows()
    assert rows == {"messages": 0, "bodies": 0, "backlogs": HISTORIES + 1, "dropped_queues": 0}


class Crowd:
    """Consumers that take, lose and delete, and what must hold of all of them together."""

    def __init__(self, stage: Stage, messages: int) -> None:
        self.stage = stage
        self.chances = random.Random(messages)
        self.messages = messages
        self.left: set[int] = set()
        self.hidden_until_ms: dict[int, int] = {}

    async def fill(self) -> None:
        while len(self.left) < self.messages:
            self.left.update(await self.stage.send(*["x"] * 1_000))

    async def consume(self) -> None:
        while self.left:
            received = await self.stage.receive(10, timeout_s=30)
            for message in received:
                number = message.receipt.number
                assert self.hidden_until_ms.get(number, 0) <= message.received_at_ms, "in two hands"
                self.hidden_until_ms[number] = message.received_at_ms + 30_000
            if not received:
                # All are in flight: time passes, and some hands lose what they have.
                self.stage.clock.advance(0.02)
            elif self.chances.random() < 0.05:
                self.stage.clock.advance(self.chances.choice((1, 15, 31)))
            kept = self.chances.choice((len(received),) * 4 + (len(received) // 2, 0))
            await self.delete(received[:kept])

    async def delete(self, received: list[Received]) -> None:
        outcomes = await self.stage.delete(*[message.receipt for message in received])
        for message, outcome in zip(received, outcomes, strict=True):
            if outcome is Outcome.DONE:
                self.left.discard(message.receipt.number)


async def test_a_crowd_loses_nothing_and_shares_nothing(stage: Stage) -> None:
    crowd = Crowd(stage, 20_000 if stage.url.startswith("sqlite") else 4_000)
    await crowd.fill()
    await asyncio.gather(*(crowd.consume() for _ in range(50)))
    assert await stage.counts() == (0, 0, 0)
    rows = await stage.rows()
    assert (rows["messages"], rows["bodies"]) == (0, 0)
