"""Random histories of FIFO queues, compared with a model of what SQS specifies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from storage import queues
from storage.messages.commands import Outcome, Receipt, Received
from storage.messages.deduplication import DEDUPLICATION_MS
from tests.engine.queue_client import RETENTION_S, QueueClient, fifo_message

STEPS = 80


@dataclass
class FifoMessage:
    """A message of the model."""

    body: str
    sent_at_ms: int
    visible_at_ms: int
    receive_count: int = 0


@dataclass
class Model:
    """Groups with their messages in order, and the deduplication ids of the last five minutes."""

    groups: dict[str, dict[int, FifoMessage]] = field(default_factory=lambda: defaultdict(dict))
    deduplication_ids: dict[str, tuple[int, int]] = field(default_factory=dict)

    def find(self, receipt: Receipt) -> FifoMessage | None:
        return next((g[receipt.number] for g in self.groups.values() if receipt.number in g), None)

    def delete(self, number: int) -> None:
        for group in self.groups.values():
            group.pop(number, None)

    def expire(self, now_ms: int) -> None:
        for group in self.groups.values():
            for number, stored in list(group.items()):
                if stored.sent_at_ms <= now_ms - RETENTION_S * 1000:
                    del group[number]

    def deliverable(self, now_ms: int) -> dict[str, list[int]]:
        """Return the numbers of each group's messages before the first that is not visible."""
        found: dict[str, list[int]] = {}
        for name, group in self.groups.items():
            for number, stored in group.items():
                if stored.visible_at_ms > now_ms:
                    break
                found.setdefault(name, []).append(number)
        return found


class History:
    """A random history of one queue, compared with the model at each step."""

    def __init__(self, client: QueueClient, seed: int) -> None:
        self.client = client
        self.random = Random(seed)
        self.model = Model()
        self.claims: list[Received] = []
        self.sent = 0

    def now_ms(self) -> int:
        return self.client.clock.now_ms()

    def steps(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """Return the possible next steps, each as often as it is likely."""
        steps = [self.send] * 5 + [self.receive] * 5 + [self.delete] * 4
        return steps + [self.change] * 2 + [self.release] + [self.advance] * 3

    async def run(self, *, reopens: bool) -> None:
        steps = self.steps()
        for _ in range(STEPS):
            await self.random.choice(steps)()
            if reopens and self.random.random() < 0.02:
                await self.client.reopen()
            if self.random.random() < 0.01:
                await self.client.database.write(queues.purge, self.client.queue)
                found = await self.client.find(self.client.queue.name)
                assert found is not None
                self.client.queue = found
                self.model, self.claims = Model(), []
        await self.empty()

    async def send(self) -> None:
        now_ms, delay_s = self.now_ms(), self.random.choice((0, 0, 0, 5))
        messages = []
        for _ in range(self.random.randint(1, 4)):
            self.sent += 1
            key = f"d{self.random.randint(self.sent - 3, self.sent)}"
            messages.append(
                fifo_message(str(self.sent), f"g{self.random.randint(1, 4)}", key, delay_s)
            )
        answers = await self.client.database.submit(self.client.send_command(*messages))
        for message, sent in zip(messages, answers, strict=True):
            key = message.deduplication_id or ""
            number, sent_at_ms = self.model.deduplication_ids.get(key, (0, -DEDUPLICATION_MS))
            if sent_at_ms > now_ms - DEDUPLICATION_MS:
                assert sent.number == number
                continue
            assert sent.number > max((n for g in self.model.groups.values() for n in g), default=0)
            self.model.deduplication_ids[key] = (sent.number, now_ms)
            group = self.model.groups[message.group_id or ""]
            group[sent.number] = FifoMessage(message.body, now_ms, now_ms + delay_s * 1000)

    async def receive(self) -> None:
        now_ms = self.now_ms()
        self.model.expire(now_ms)
        deliverable = self.model.deliverable(now_ms)
        maximum, timeout_s = self.random.randint(1, 10), self.random.choice((0, 3, 30))
        received = await self.client.receive(maximum, timeout_s)
        deliverable = await self.learn_moves(deliverable, received, maximum)
        assert len(received) == min(maximum, sum(map(len, deliverable.values())))
        by_group: dict[str, list[int]] = {}
        for message in received:
            by_group.setdefault(message.group_id or "", []).append(message.receipt.number)
            stored = self.model.groups[message.group_id or ""][message.receipt.number]
            stored.receive_count += 1
            stored.visible_at_ms = now_ms + timeout_s * 1000
            assert (stored.body, stored.receive_count) == (
                message.body,
                message.receipt.receive_count,
            )
        for position, (group, numbers) in enumerate(by_group.items(), 1):
            assert numbers == deliverable[group][: len(numbers)]
            assert position == len(by_group) or numbers == deliverable[group]
        self.claims += received

    async def learn_moves(
        self, deliverable: dict[str, list[int]], _received: list[Received], _maximum: int
    ) -> dict[str, list[int]]:
        """Remove the messages that a receive moved to a dead-letter queue; this queue has none."""
        return deliverable

    def some_claim(self) -> Received | None:
        return self.random.choice(self.claims) if self.claims else None

    def outcome(self, receipt: Receipt) -> Outcome:
        stored = self.model.find(receipt)
        if stored is None:
            return Outcome.MISSING
        current = stored.receive_count == receipt.receive_count
        in_flight = stored.visible_at_ms > self.now_ms()
        return Outcome.DONE if current and in_flight else Outcome.EXPIRED

    async def delete(self) -> None:
        if claim := self.some_claim():
            self.model.expire(self.now_ms())
            expected = self.outcome(claim.receipt)
            # A delete does not check the retention: an expired message is deleted either way.
            outcomes = await self.client.delete(claim.receipt)
            assert expected is Outcome.MISSING or outcomes == [expected]
            if expected is Outcome.DONE:
                self.model.delete(claim.receipt.number)

    async def change(self) -> None:
        if claim := self.some_claim():
            self.model.expire(self.now_ms())
            timeout_s = self.random.choice((0, 3, 30))
            expected, stored = self.outcome(claim.receipt), self.model.find(claim.receipt)
            assert await self.client.try_change(claim.receipt, timeout_s) is expected
            if expected is Outcome.DONE and stored is not None:
                stored.visible_at_ms = self.now_ms() + timeout_s * 1000

    async def release(self) -> None:
        if claim := self.some_claim():
            self.claims.remove(claim)
            stored = self.model.find(claim.receipt)
            await self.client.release(claim)
            if stored is not None and stored.receive_count == claim.receipt.receive_count:
                stored.receive_count -= 1
                stored.visible_at_ms = self.now_ms()
                # The next receive returns the same receipt again.
                self.claims = [c for c in self.claims if c.receipt != claim.receipt]

    async def advance(self) -> None:
        self.client.clock.advance(self.random.choice((0.5, 3, 30, 301, 40_000, 120_000)))

    async def empty(self) -> None:
        """Receive and delete the remaining messages: they are those of the model."""
        self.client.clock.advance(1_000)
        self.model.expire(self.now_ms())
        left = sorted(number for group in self.model.groups.values() for number in group)
        found = []
        while received := await self.client.receive():
            found += [message.receipt.number for message in received]
            await self.client.delete(*[message.receipt for message in received])
        assert sorted(found) == left


class Crowd:
    """Consumers that receive, miss timeouts and delete; they check that no message is shared."""

    def __init__(self, client: QueueClient, groups: int, messages: int) -> None:
        self.client = client
        self.random = Random(messages)
        self.remaining: dict[str, list[int]] = {f"g{n}": [] for n in range(groups)}
        self.messages = messages
        self.left = messages
        self.in_flight_until_ms: dict[int, int] = {}
        self.deleting: Counter[int] = Counter()

    async def fill(self) -> None:
        names = list(self.remaining)
        for first in range(0, self.messages, 1_000):
            chosen = [self.random.choice(names) for _ in range(first, first + 1_000)]
            messages = [fifo_message("x", name) for name in chosen]
            sent = await self.client.database.submit(self.client.send_command(*messages))
            for name, one in zip(chosen, sent, strict=True):
                self.remaining[name].append(one.number)

    async def consume(self) -> None:
        while self.left:
            received = await self.client.receive(10, timeout_s=30)
            self.examine(received)
            if not received:
                # All messages are in flight or blocked: move the clock until some become visible.
                self.client.clock.advance(0.02)
                continue
            if self.random.random() < 0.1:
                self.client.clock.advance(self.random.choice((1, 15, 31)))
            kept = self.random.choice((len(received),) * 4 + (len(received) // 2, 0))
            if kept:
                await self.delete(received[:kept])

    def examine(self, received: list[Received]) -> None:
        by_group: dict[str, list[int]] = defaultdict(list)
        for message in received:
            number = message.receipt.number
            assert self.in_flight_until_ms.get(number, 0) <= message.received_at_ms, (
                "received twice"
            )
            self.in_flight_until_ms[number] = message.received_at_ms + 30_000
            by_group[message.group_id or ""].append(number)
        for group, numbers in by_group.items():
            ahead = [n for n in self.remaining[group] if not self.deleting[n] or n in numbers]
            assert numbers == ahead[: len(numbers)], "out of order"

    async def delete(self, received: list[Received]) -> None:
        numbers = [message.receipt.number for message in received]
        # Another receive may see the delete done before this call returns.
        self.deleting.update(numbers)
        outcomes = await self.client.delete(*[message.receipt for message in received])
        for message, outcome in zip(received, outcomes, strict=True):
            if outcome is Outcome.DONE:
                self.remaining[message.group_id or ""].remove(message.receipt.number)
                self.left -= 1
            self.deleting[message.receipt.number] -= 1
