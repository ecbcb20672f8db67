"""The load: actors that send, receive, delete, move, purge and re-create, and note what came back.

They go on through every crash. A send to a FIFO queue is tried again under its deduplication id
until it is acknowledged; all else is tried once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from tests.bench.client import Connection, json_request
from tests.crash.history import Delete, History, Message, Outcome, Receive, Removal, Send

VISIBILITY_SECONDS = 1
PATIENCE_SECONDS = 30
_ARN = "arn:aws:sqs:us-east-1:000000000000"
_GROUPS = 4

HOMES = {
    "plain": frozenset({"plain"}),
    "source": frozenset({"source", "dead"}),
    "dead": frozenset({"dead", "source"}),
    "purged": frozenset({"purged"}),
    "reborn": frozenset({"reborn"}),
    "orders.fifo": frozenset({"orders.fifo"}),
    "source.fifo": frozenset({"source.fifo", "dead.fifo"}),
    "dead.fifo": frozenset({"dead.fifo", "source.fifo"}),
}
ORDERED = ("orders.fifo",)
"""Queues whose order is promised to the end: a dead-letter queue takes messages out of theirs."""


class Told(NamedTuple):
    """How a call went; a refusal's or failure's answer is its text."""

    outcome: Outcome
    answer: dict[str, Any]
    called: float
    returned: float


class Caller:
    """One client with one connection, which it makes anew whenever it breaks."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._connection: Connection | None = None

    async def call(self, action: str, **parameters: object) -> Told:
        """Do an action, once; waits while there is no server to ask."""
        await self._load.is_up.wait()
        called = self._load.now()
        try:
            if self._connection is None:
                self._connection = await Connection.open(self._load.url)
            request = json_request(action, **parameters)
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await self._connection.ask(request)
        except (OSError, EOFError, ValueError):
            self.hang_up()
            await asyncio.sleep(0.01)
            return Told("unknown", {}, called, self._load.now())
        returned = self._load.now()
        self._load.answered.set()
        if answer.status >= 500:
            self._load.failures.append(f"{action}: {answer.body[:300]!r}")
            return Told("unknown", {}, called, returned)
        outcome: Outcome = "done" if answer.status == 200 else "refused"
        self._load.counts[action, outcome] += 1
        return Told(outcome, answer.json(), called, returned)

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class Load:
    """All actors, the history that they write, and the server that they talk to."""

    def __init__(self, seed: int) -> None:
        self.chances = random.Random(seed)
        self.history = History()
        self.failures: list[str] = []
        self.counts: Counter[tuple[str, Outcome]] = Counter()
        self.is_up = asyncio.Event()
        self.answered = asyncio.Event()
        self.url = ""
        self._serial = 0
        self._is_over = False
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        return self._loop.time()

    async def create_queues(self) -> None:
        """Make the queues, dead-letter queues first."""
        caller = Caller(self)
        for name in sorted(HOMES):
            attributes = {"VisibilityTimeout": str(VISIBILITY_SECONDS)}
            if name.endswith(".fifo"):
                attributes["FifoQueue"] = "true"
            if name.startswith("source"):
                dead = name.replace("source", "dead")
                attributes["RedrivePolicy"] = (
                    f'{{"deadLetterTargetArn":"{_ARN}:{dead}","maxReceiveCount":2}}'
                )
            told = await caller.call("CreateQueue", QueueName=name, Attributes=attributes)
            assert told.outcome == "done", told
        caller.hang_up()

    async def run(self) -> None:
        """Let all actors act until `end`."""
        acts: list[Callable[[Caller], Awaitable[None]]] = []
        for name in ("plain", "source", "purged", "reborn"):
            acts += [self._sender(name)] * 2
        for name in HOMES:
            acts += [self._consumer(name)] * (1 if name.startswith("dead") else 2)
        for name in ("orders.fifo", "source.fifo"):
            acts += [self._group(name, f"g{number}") for number in range(_GROUPS)]
        acts += [self._mover("dead"), self._mover("dead.fifo"), self._purger, self._destroyer]
        await asyncio.gather(*(self._act(act) for act in acts))

    async def progress(self, sends: int) -> None:
        """Wait until so many more sends were answered, or that takes too long."""
        wanted = len(self.history.sends) + sends
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(self.history.sends) < wanted:
                    self.answered.clear()
                    await self.answered.wait()

    def end(self) -> None:
        """Let every actor finish what it is doing."""
        self._is_over = True

    async def _act(self, act: Callable[[Caller], Awaitable[None]]) -> None:
        caller = Caller(self)
        while not self._is_over:
            await act(caller)
            await asyncio.sleep(self.chances.uniform(0, 0.02))
        caller.hang_up()

    def _body(self, queue: str) -> str:
        self._serial += 1
        filler = self.chances.choice(("", "ä€😀", "x" * 300, "y" * 20_000))
        return f"{queue} {self._serial} {filler}"

    # Sending

    def _sender(self, queue: str) -> Callable[[Caller], Awaitable[None]]:
        async def send(caller: Caller) -> None:
            if self.chances.random() < 0.5:
                await self._send_one(caller, queue, self._body(queue))
            else:
                bodies = [self._body(queue) for _ in range(self.chances.randint(1, 10))]
                await self._send_batch(caller, queue, bodies)

        return send

    async def _send_one(self, caller: Caller, queue: str, body: str) -> None:
        told = await caller.call("SendMessage", QueueUrl=queue, MessageBody=body)
        message_id = told.answer.get("MessageId", "")
        self.history.sends.append(
            Send(queue, body, told.called, told.returned, told.outcome, message_id)
        )

    async def _send_batch(
        self,
        caller: Caller,
        queue: str,
        bodies: Sequence[str],
        group: str | None = None,
        first: int = 0,
    ) -> bool:
        entries: list[dict[str, object]] = [
            {"Id": str(position), "MessageBody": body} for position, body in enumerate(bodies)
        ]
        if group is not None:
            for position, entry in enumerate(entries):
                entry["MessageGroupId"] = group
                entry["MessageDeduplicationId"] = f"{group}-{first + position}"
        told = await caller.call("SendMessageBatch", QueueUrl=queue, Entries=entries)
        sent = {entry["Id"]: entry for entry in told.answer.get("Successful") or ()}
        for position, body in enumerate(bodies):
            entry = sent.get(str(position), {})
            outcome = told.outcome if entry or told.outcome != "done" else "refused"
            self.history.sends.append(
                Send(
                    queue,
                    body,
                    told.called,
                    told.returned,
                    outcome,
                    str(entry.get("MessageId", "")),
                    group if queue in ORDERED else None,
                    first + position,
                    str(entry.get("SequenceNumber", "")),
                )
            )
        return len(sent) == len(bodies)

    def _group(self, queue: str, group: str) -> Callable[[Caller], Awaitable[None]]:
        """Send a group's messages one after the other, each until it is acknowledged."""
        count = 0

        async def send(caller: Caller) -> None:
            nonlocal count
            bodies = [self._body(queue) for _ in range(self.chances.randint(1, 3))]
            while not await self._send_batch(caller, queue, bodies, group, count):
                pass
            count += len(bodies)
            await asyncio.sleep(0.02)

        return send

    # Receiving

    def _consumer(self, queue: str) -> Callable[[Caller], Awaitable[None]]:
        async def consume(caller: Caller) -> None:
            found = await self._receive(caller, queue, wait_seconds=1)
            chance = self.chances.random()
            if found and chance < 0.1:
                await caller.call(
                    "ChangeMessageVisibility",
                    QueueUrl=queue,
                    ReceiptHandle=found[0][1],
                    VisibilityTimeout=self.chances.choice((0, 1)),
                )
            elif chance < 0.8:
                kept = 0 if queue.startswith("dead") and chance > 0.3 else len(found)
                await self._delete(caller, queue, found[:kept])

        return consume

    async def _receive(
        self, caller: Caller, queue: str, wait_seconds: int, *, is_last: bool = False
    ) -> list[tuple[str, str]]:
        more = {"VisibilityTimeout": 300} if is_last else {}
        told = await caller.call(
            "ReceiveMessage",
            QueueUrl=queue,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait_seconds,
            **more,
        )
        found = told.answer.get("Messages", []) if told.outcome == "done" else []
        messages = [Message(m["Body"], m["MessageId"], m["MD5OfBody"]) for m in found]
        self.history.receives.append(Receive(queue, told.called, told.returned, messages, is_last))
        return [(message["Body"], message["ReceiptHandle"]) for message in found]

    async def _delete(self, caller: Caller, queue: str, found: Sequence[tuple[str, str]]) -> None:
        if len(found) == 1:
            ((body, handle),) = found
            told = await caller.call("DeleteMessage", QueueUrl=queue, ReceiptHandle=handle)
            self.history.deletes.append(
                Delete(queue, body, told.called, told.returned, told.outcome)
            )
        elif found:
            entries = [
                {"Id": str(position), "ReceiptHandle": handle}
                for position, (_, handle) in enumerate(found)
            ]
            told = await caller.call("DeleteMessageBatch", QueueUrl=queue, Entries=entries)
            done = {entry["Id"] for entry in told.answer.get("Successful") or ()}
            for position, (body, _) in enumerate(found):
                outcome = told.outcome
                if outcome == "done" and str(position) not in done:
                    outcome = "refused"
                self.history.deletes.append(
                    Delete(queue, body, told.called, told.returned, outcome)
                )

    async def drain(self) -> None:
        """Receive and delete all that is left, until nothing has come for a while."""

        async def empty(queue: str) -> None:
            caller = Caller(self)
            quiet_since = asked = self.now()
            # It counts when a receive began: none may have been under way for the whole time.
            while asked - quiet_since < 3 * VISIBILITY_SECONDS + 1:
                asked = self.now()
                found = await self._receive(caller, queue, 1, is_last=True)
                if found:
                    await self._delete(caller, queue, found)
                    quiet_since = self.now()
            caller.hang_up()

        await asyncio.gather(*(empty(queue) for queue in HOMES))

    # What concerns whole queues

    def _mover(self, queue: str) -> Callable[[Caller], Awaitable[None]]:
        async def move(caller: Caller) -> None:
            await caller.call("StartMessageMoveTask", SourceArn=f"{_ARN}:{queue}")
            await asyncio.sleep(0.3)

        return move

    async def _purger(self, caller: Caller) -> None:
        await self._remove(caller, "PurgeQueue", "purged")
        await asyncio.sleep(0.3)

    async def _destroyer(self, caller: Caller) -> None:
        await self._remove(caller, "DeleteQueue", "reborn")
        attributes = {"VisibilityTimeout": str(VISIBILITY_SECONDS)}
        while True:
            told = await caller.call("CreateQueue", QueueName="reborn", Attributes=attributes)
            if told.outcome == "done":
                break
        await asyncio.sleep(0.3)

    async def _remove(self, caller: Caller, action: str, queue: str) -> None:
        told = await caller.call(action, QueueUrl=queue)
        self.history.removals.append(Removal(queue, told.called, told.returned, told.outcome))
