"""Random histories of standard queues, compared with a model of what SQS specifies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from storage import queues
from storage.messages.commands import Outcome, Received, Release
from tests.engine.queue_client import QueueClient, new_message


@dataclass
class Message:
    """A message of the model; the engine assigns its number."""

    body: str
    visible_at_ms: int
    sent_at_ms: int
    queued_at_ms: int
    is_ready: bool = True
    receive_count: int = 0
    earlier_receives: int = 0
    first_received_at_ms: int | None = None

    def hide_until(self, visible_at_ms: int) -> None:
        """Set the time from which the message is visible."""
        self.visible_at_ms, self.is_ready = visible_at_ms, False


@dataclass
class Model:
    """The messages of one queue, by number."""

    messages: dict[int, Message] = field(default_factory=dict)
    sent: int = 0

    def expire(self, expired_ms: int) -> None:
        """Remove the messages that were sent at `expired_ms` or earlier."""
        self.messages = {n: m for n, m in self.messages.items() if m.sent_at_ms > expired_ms}

    def mark_ready(self, now_ms: int) -> None:
        """Mark visible messages ready: in the old place, or after three receives in the last."""
        for message in self.messages.values():
            if not message.is_ready and message.visible_at_ms <= now_ms:
                message.is_ready = True
                if message.receive_count - message.earlier_receives >= 3:
                    message.queued_at_ms = message.visible_at_ms + 1

    def visible(self, now_ms: int) -> list[int]:
        """Return the numbers of visible messages, in the order of delivery."""
        found = [n for n, message in self.messages.items() if message.visible_at_ms <= now_ms]
        return sorted(found, key=lambda number: (self.messages[number].queued_at_ms, number))

    def counts(self, now_ms: int) -> tuple[int, int, int]:
        not_visible = [m for m in self.messages.values() if m.visible_at_ms > now_ms]
        delayed = sum(1 for message in not_visible if not message.receive_count)
        return len(self.messages) - len(not_visible), len(not_visible) - delayed, delayed

    def claim(self, maximum: int, timeout_ms: int, now_ms: int) -> list[tuple[Any, ...]]:
        claimed = []
        for number in self.visible(now_ms)[:maximum]:
            message = self.messages[number]
            message.hide_until(now_ms + timeout_ms)
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
        message.hide_until(now_ms)
        message.receive_count -= 1
        if not message.receive_count:
            message.first_received_at_ms = None


class History:
    """A random history of one queue, with its model and all claims."""

    def __init__(self, client: QueueClient, seed: int) -> None:
        self.client = client
        self.random = Random(seed)
        self.model = Model()
        self.claims: list[Received] = []

    async def step(self) -> None:
        """Run one random command, and compare its result with the model."""
        steps = [self.send, self.send, self.receive, self.receive, self.receive]
        if self.claims:
            steps += [self.delete, self.change, self.release]
        step = self.purge if self.random.random() < 0.01 else self.random.choice(steps)
        await step()

    async def send(self) -> None:
        delays_s = [self.random.choice((0, 0, 1, 7)) for _ in range(self.random.randint(1, 4))]
        bodies = [f"{self.model.sent + position}" for position in range(len(delays_s))]
        self.model.sent += len(bodies)
        messages = [new_message(*parts) for parts in zip(bodies, delays_s, strict=True)]
        now_ms = self.client.clock.now_ms()
        sent = await self.client.database.submit(self.client.send_command(*messages))
        numbers = [one.number for one in sent]
        assert list(numbers) == sorted(set(numbers))
        assert min(numbers) > max(self.model.messages, default=0)
        for number, body, delay_s in zip(numbers, bodies, delays_s, strict=True):
            visible_at_ms = now_ms + delay_s * 1000
            self.model.messages[number] = Message(
                body, visible_at_ms, now_ms, now_ms, is_ready=not delay_s
            )

    async def receive(self) -> None:
        maximum, timeout_s = self.random.randint(1, 10), self.random.choice((0, 1, 3, 30))
        received = await self.client.receive(maximum, timeout_s)
        self.model.expire(self.client.expired_ms())
        now_ms = self.client.clock.now_ms()
        self.model.mark_ready(now_ms)
        await self.learn_moves(maximum)
        assert self.model.claim(maximum, timeout_s * 1000, now_ms) == [
            (r.receipt.number, r.receipt.receive_count, r.body, r.first_received_at_ms)
            for r in received
        ]
        self.claims += received

    async def learn_moves(self, maximum: int) -> None:
        """Remove the messages that a receive moved to a dead-letter queue; this queue has none."""

    def some_claims(self) -> list[Received]:
        count = min(len(self.claims), self.random.randint(1, 5))
        return self.random.sample(self.claims, count)

    async def delete(self) -> None:
        claims = self.some_claims()
        for claim in claims:
            self.model.messages.pop(claim.receipt.number, None)
        await self.client.delete(*[claim.receipt for claim in claims])

    async def change(self) -> None:
        self.model.expire(self.client.expired_ms())
        now_ms = self.client.clock.now_ms()
        changes = [(c.receipt, self.random.choice((0, 2, 20))) for c in self.some_claims()]
        expected = [receipt.number in self.model.messages for receipt, _ in changes]
        for receipt, timeout_s in changes:
            if message := self.model.messages.get(receipt.number):
                message.hide_until(now_ms + timeout_s * 1000)
        answer = await self.client.database.submit(self.client.change_command(*changes))
        assert [outcome is Outcome.DONE for outcome in answer] == expected

    async def release(self) -> None:
        claims = sorted(self.some_claims())
        for claim in claims:
            self.model.release(claim, self.client.clock.now_ms())
        await self.client.database.submit(Release(claims))

    async def purge(self) -> None:
        self.model.messages.clear()
        await self.client.database.write(queues.purge, self.client.queue)
        found = await self.client.find(self.client.queue.name)
        assert found is not None
        self.client.queue = found

    async def check_counts(self) -> None:
        self.model.expire(self.client.expired_ms())
        assert await self.client.counts() == self.model.counts(self.client.clock.now_ms())

    async def empty(self) -> None:
        """Receive and delete the remaining messages: they are those of the model."""
        self.model.expire(self.client.expired_ms())
        left: list[str] = []
        while received := await self.client.receive():
            left += [message.body for message in received]
            await self.client.delete(*[message.receipt for message in received])
        assert sorted(left) == sorted(m.body for m in self.model.messages.values())
        assert await self.client.counts() == (0, 0, 0)


async def run_together(steps: list[Awaitable[None]]) -> None:
    """Start all steps together, and wait for all of them even if one fails."""
    results = await asyncio.gather(*steps, return_exceptions=True)
    for result in results:
        if result is not None:
            raise result


class Crowd:
    """Consumers that receive, miss timeouts and delete; they check that no message is shared."""

    def __init__(self, client: QueueClient, messages: int) -> None:
        self.client = client
        self.random = Random(messages)
        self.messages = messages
        self.left: set[int] = set()
        self.in_flight_until_ms: dict[int, int] = {}

    async def fill(self) -> None:
        while len(self.left) < self.messages:
            self.left.update(await self.client.send(*["x"] * 1_000))

    async def consume(self) -> None:
        while self.left:
            received = await self.client.receive(10, timeout_s=30)
            for message in received:
                number = message.receipt.number
                assert self.in_flight_until_ms.get(number, 0) <= message.received_at_ms, (
                    "received twice"
                )
                self.in_flight_until_ms[number] = message.received_at_ms + 30_000
            if not received:
                # All messages are in flight: move the clock until some become visible.
                self.client.clock.advance(0.02)
            elif self.random.random() < 0.05:
                self.client.clock.advance(self.random.choice((1, 15, 31)))
            kept = self.random.choice((len(received),) * 4 + (len(received) // 2, 0))
            await self.delete(received[:kept])

    async def delete(self, received: list[Received]) -> None:
        outcomes = await self.client.delete(*[message.receipt for message in received])
        for message, outcome in zip(received, outcomes, strict=True):
            if outcome is Outcome.DONE:
                self.left.discard(message.receipt.number)
