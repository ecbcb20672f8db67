"""The load: actors that send, receive, delete, move, purge and re-create, through every crash.

An actor repeats a send to a FIFO queue, under its deduplication ID, until it is acknowledged. It
does all other calls once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable, Sequence

from tests.encryption.load_encryption import OFF, LoadEncryption
from tests.histories.checker import Setting
from tests.histories.client import Addresses, Call, CallCounts, queue_arn
from tests.histories.history import History, Message
from tests.histories.recording_client import NewMessage, RecordingClient

VISIBILITY_SECONDS = 1
FINAL_VISIBILITY_SECONDS = 300
PROGRESS_SECONDS = 30
"""Longest time that `progress` waits."""

_GROUPS = 4

ROUTES = {
    "plain": frozenset({"plain"}),
    "source": frozenset({"source", "dead"}),
    "dead": frozenset({"dead", "source"}),
    "purged": frozenset({"purged"}),
    "recreated": frozenset({"recreated"}),
    "orders.fifo": frozenset({"orders.fifo"}),
    "source.fifo": frozenset({"source.fifo", "dead.fifo"}),
    "dead.fifo": frozenset({"dead.fifo", "source.fifo"}),
}
SETTING = Setting(routes=ROUTES, ordered_queues={"orders.fifo"})

Action = Callable[[RecordingClient], Awaitable[None]]


class Load:
    """All actors, the history that they write, and the server that they call.

    Attributes:
        addresses: the server that runs, if any.
        history: what the actors did to messages.
        counts: counts of their calls.
    """

    def __init__(self, seed: int, encryption: LoadEncryption = OFF) -> None:
        self._encryption = encryption
        self.addresses = Addresses()
        self.history = History()
        self.counts = CallCounts()
        self._rng = random.Random(seed)
        self._answered = asyncio.Event()
        self._bodies = 0
        self._is_over = False
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        """Return the time that the history records."""
        return self._loop.time()

    async def create_queues(self) -> None:
        """Create the queues, dead-letter queues first."""
        async with self._client() as client:
            for name in sorted(ROUTES):
                attributes = self._attributes(name)
                if name.endswith(".fifo"):
                    attributes["FifoQueue"] = "true"
                if name.startswith("source"):
                    target = queue_arn(name.replace("source", "dead"))
                    policy = {"deadLetterTargetArn": target, "maxReceiveCount": 2}
                    attributes["RedrivePolicy"] = json.dumps(policy)
                call = await client.call("CreateQueue", QueueName=name, Attributes=attributes)
                assert call.outcome == "done", call

    def _attributes(self, name: str) -> dict[str, str]:
        """Return the attributes that a queue has in any case."""
        encryption = self._encryption.attributes(sorted(ROUTES).index(name))
        return {"VisibilityTimeout": str(VISIBILITY_SECONDS), **encryption}

    async def run(self) -> None:
        """Run all actors until `end`."""
        actions: list[Action] = []
        for name in ("plain", "source", "purged", "recreated"):
            actions += [self._sender(name)] * 2
        for name in ROUTES:
            actions += [self._consumer(name)] * (1 if name.startswith("dead") else 2)
        for name in ("orders.fifo", "source.fifo"):
            actions += [self._group_sender(name, f"g{number}") for number in range(_GROUPS)]
        actions += [self._mover("dead"), self._mover("dead.fifo"), self._purge, self._recreate]
        await asyncio.gather(*(self._repeat(action) for action in actions))

    async def progress(self, sends: int) -> None:
        """Wait until `sends` more sends have returned, or `PROGRESS_SECONDS` have passed."""
        wanted = len(self.history.sends) + sends
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PROGRESS_SECONDS):
                while len(self.history.sends) < wanted:
                    self._answered.clear()
                    await self._answered.wait()

    def end(self) -> None:
        """Stop every actor after its current action."""
        self._is_over = True

    async def empty_queues(self) -> None:
        """Receive and delete all messages, until none has come for three visibility timeouts."""

        async def empty(queue: str) -> None:
            async with self._client() as client:
                quiet_since = called = self.now()
                # A receive that began earlier does not count: the queue was not quiet for all of
                # its time.
                while called - quiet_since < 3 * VISIBILITY_SECONDS + 1:
                    called = self.now()
                    messages = await client.receive(
                        queue,
                        is_final=True,
                        WaitTimeSeconds=1,
                        VisibilityTimeout=FINAL_VISIBILITY_SECONDS,
                    )
                    if messages:
                        await self._delete(client, queue, messages)
                        quiet_since = self.now()

        await asyncio.gather(*(empty(queue) for queue in ROUTES))

    def _client(self) -> RecordingClient:
        return RecordingClient(
            self.addresses,
            self.history.add,
            observe=self._observe,
            rng=self._rng,
            now=self.now,
        )

    def _observe(self, call: Call) -> None:
        self.counts.add(call)
        self._answered.set()

    async def _repeat(self, action: Action) -> None:
        async with self._client() as client:
            while not self._is_over:
                await action(client)
                await asyncio.sleep(self._rng.uniform(0, 0.02))

    def _body(self, queue: str) -> str:
        self._bodies += 1
        filler = self._rng.choice(("", "ä€😀", "x" * 300, "y" * 20_000))
        return f"{queue} {self._bodies} {filler}"

    # Sending

    def _sender(self, queue: str) -> Action:
        async def send(client: RecordingClient) -> None:
            if self._rng.random() < 0.5:
                await client.send(queue, NewMessage(self._body(queue)))
            else:
                count = self._rng.randint(1, 10)
                await client.send_batch(
                    queue, [NewMessage(self._body(queue)) for _ in range(count)]
                )

        return send

    def _group_sender(self, queue: str, group: str) -> Action:
        """Send a group's messages one batch after the other, each until it is acknowledged."""
        sent = 0

        async def send(client: RecordingClient) -> None:
            nonlocal sent
            messages = [
                NewMessage(self._body(queue), group, f"{group}-{order}", order)
                for order in range(sent, sent + self._rng.randint(1, 3))
            ]
            while set(await client.send_batch(queue, messages)) != {"done"}:
                pass
            sent += len(messages)
            await asyncio.sleep(0.02)

        return send

    # Receiving

    def _consumer(self, queue: str) -> Action:
        async def consume(client: RecordingClient) -> None:
            messages = await client.receive(
                queue, queue_visibility_seconds=VISIBILITY_SECONDS, WaitTimeSeconds=1
            )
            chance = self._rng.random()
            if messages and chance < 0.1:
                await client.change_visibility(queue, messages[0], self._rng.choice((0, 1)))
            elif chance < 0.8 and not (queue.startswith("dead") and chance > 0.3):
                await self._delete(client, queue, messages)

        return consume

    async def _delete(
        self, client: RecordingClient, queue: str, messages: Sequence[Message]
    ) -> None:
        if len(messages) == 1:
            await client.delete(queue, messages[0])
        elif messages:
            await client.delete_batch(queue, messages)

    # Whole queues

    def _mover(self, queue: str) -> Action:
        async def move(client: RecordingClient) -> None:
            await client.call("StartMessageMoveTask", SourceArn=queue_arn(queue))
            await asyncio.sleep(0.3)

        return move

    async def _purge(self, client: RecordingClient) -> None:
        await client.purge("purged")
        await asyncio.sleep(0.3)

    async def _recreate(self, client: RecordingClient) -> None:
        await client.delete_queue("recreated")
        attributes = self._attributes("recreated")
        await client.call_until_done("CreateQueue", QueueName="recreated", Attributes=attributes)
        await asyncio.sleep(0.3)
