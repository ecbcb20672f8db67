"""Producers and consumers that call random servers, also while servers fail."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from math import inf

from tests.cluster.servers import Servers
from tests.histories.checker import Finding, Setting, check
from tests.histories.client import Addresses, CallCounts
from tests.histories.history import History
from tests.histories.recording_client import MAX_MESSAGES, NewMessage, RecordingClient

QUEUE = "orders"
FIFO_QUEUE = "orders.fifo"
SETTING = Setting(
    routes={name: frozenset({name}) for name in (QUEUE, FIFO_QUEUE)}, ordered_queues={FIFO_QUEUE}
)

_WAIT_SECONDS = 1
_REPEATED_SENDS = 0.05
"""Share of the batches of a FIFO queue that are sent again after their acknowledgement."""

_QUIET_SECONDS = 60
"""Time after the visibility timeout without a delivery, after which consumers give up."""


@dataclass(frozen=True)
class Size:
    """How many clients and messages a load has at least; the seed makes it reproducible."""

    producers: int
    consumers: int
    messages: int
    groups: int
    visibility_seconds: int = 30
    seed: int = 1


class Load:
    """A load on one queue; `run` ends when all messages are sent, received and deleted.

    Attributes:
        history: what the clients did to messages.
        counts: counts of their calls.
    """

    def __init__(self, servers: Servers, size: Size, *, is_fifo: bool) -> None:
        self._addresses = Addresses(*servers.urls)
        self._encryption = servers.encryption
        self._size = size
        self.is_fifo = is_fifo
        self._queue = FIFO_QUEUE if is_fifo else QUEUE
        self.history = History()
        self.counts = CallCounts()
        self._producing = size.producers
        self._deleted: set[str] = set()
        self._not_deleted: set[str] = set()
        self._last_delivery = time.monotonic()
        self._is_done = False

    async def run(self, is_over: asyncio.Event | None = None) -> None:
        """Create the queue and run all clients; producers continue at least until `is_over`."""
        async with self._client(0) as client:
            attributes = self._encryption.attributes(int(self.is_fifo))
            if self.is_fifo:
                attributes["FifoQueue"] = "true"
            await client.call_until_done(
                "CreateQueue", QueueName=self._queue, Attributes=attributes
            )
        async with asyncio.TaskGroup() as group:
            for number in range(self._size.producers):
                group.create_task(self._produce(number, is_over))
            for number in range(self._size.consumers):
                group.create_task(self._consume(number))

    def findings(self, answer_limit_seconds: float = inf) -> list[Finding]:
        """Return the violations in the history, and an answer later than the limit."""
        setting = replace(SETTING, answer_limit_seconds=answer_limit_seconds)
        return check(self.history, setting, self.counts.longest_answer_seconds)

    def _client(self, number: int) -> RecordingClient:
        rng = random.Random(self._size.seed * 10_000 + number)
        return RecordingClient(self._addresses, self.history.add, observe=self.counts.add, rng=rng)

    async def _produce(self, number: int, is_over: asyncio.Event | None) -> None:
        share = self._size.messages // self._size.producers
        send = self._send_to_groups if self.is_fifo else self._send
        async with self._client(1 + number) as client:
            sent = 0
            while sent < share or (is_over is not None and not is_over.is_set()):
                sent += await send(client, number, sent)
        self._producing -= 1

    async def _send(self, client: RecordingClient, number: int, sent: int) -> int:
        """Send one batch once: its outcome may stay unknown."""
        messages = [NewMessage(f"{number} {sent + place}") for place in range(MAX_MESSAGES)]
        outcomes = await client.send_batch(self._queue, messages)
        for message, outcome in zip(messages, outcomes, strict=True):
            if outcome == "done":
                self._expect(message)
        return len(messages)

    async def _send_to_groups(self, client: RecordingClient, number: int, sent: int) -> int:
        """Send one message to each of ten groups of this producer, until it is acknowledged.

        Some batches are sent again after that: the server must store each message once.
        """
        groups = max(self._size.groups // self._size.producers, 1)
        messages = []
        for place in range(min(MAX_MESSAGES, groups)):
            order, group = divmod(sent + place, groups)
            body = f"fifo {number}.{group} {order}"
            messages.append(NewMessage(body, f"{number}.{group}", body.replace(" ", "_"), order))
        acknowledged = 0
        while acknowledged < (2 if client.rng.random() < _REPEATED_SENDS else 1):
            outcomes = await client.send_batch(self._queue, messages)
            acknowledged += set(outcomes) == {"done"}
        for message in messages:
            self._expect(message)
        return len(messages)

    def _expect(self, message: NewMessage) -> None:
        """Record that a send was acknowledged, which may be after the message's deletion."""
        if message.body not in self._deleted:
            self._not_deleted.add(message.body)

    async def _consume(self, number: int) -> None:
        async with self._client(5_000 + number) as client:
            while not self._is_done:
                messages = await client.receive(
                    self._queue,
                    VisibilityTimeout=self._size.visibility_seconds,
                    WaitTimeSeconds=_WAIT_SECONDS,
                )
                if messages:
                    self._last_delivery = time.monotonic()
                    outcomes = ["unknown"]
                    while "unknown" in outcomes:
                        outcomes = [*await client.delete_batch(self._queue, messages)]
                    for message, outcome in zip(messages, outcomes, strict=True):
                        if outcome == "done":
                            self._deleted.add(message.body)
                            self._not_deleted.discard(message.body)
                self._is_done = self._is_done or self._has_finished()

    def _has_finished(self) -> bool:
        """Return whether all messages are deleted, or no more messages will be delivered."""
        if self._producing:
            return False
        quiet_seconds = time.monotonic() - self._last_delivery
        return (
            not self._not_deleted or quiet_seconds > self._size.visibility_seconds + _QUIET_SECONDS
        )


async def run_disturbed(loads: Sequence[Load], disturb: Callable[[], Awaitable[None]]) -> None:
    """Run loads while `disturb` runs, and wait until they have finished."""
    is_over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for load in loads:
            group.create_task(load.run(is_over))
        await disturb()
        is_over.set()
