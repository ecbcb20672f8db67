"""The load: acts that begin when they are due, however long those before them take.

What is sent is received and deleted again, so that as much waits at the end as at the beginning.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tests.bench.client import queue_url
from tests.soak.clients import PATIENCE_SECONDS, Clients
from tests.soak.ledger import Entry, Ledger

WORK, DEAD, ORDERED, LATER, EMPTY = "work", "dead", "ordered.fifo", "later", "empty"
_ARN = "arn:aws:sqs:us-east-1:000000000000"
HOMES = {
    WORK: frozenset({WORK, DEAD}),
    ORDERED: frozenset({ORDERED}),
    LATER: frozenset({LATER}),
}
_BACKLOGS = {WORK: 500, ORDERED: 200, LATER: 0}
"""How many messages wait in a queue all the time."""

_VISIBILITY_SECONDS = 30
"""However slow a machine is, a handle is not out of date before it is used."""
_RECEIVES = 3
"""How often a message is received before it goes to the dead-letter queue."""

_POISONED = 40
"""Every so many-th message is received in vain until it has been to the dead-letter queue."""

_GROUPS = 50
_NAMES = 40
"""Queues that come and go have so many names at least: most are those of queues that were."""

_LENGTHS = (100, 2_000, 20_000, 200_000, 900_000)
_SHARES = (0.7, 0.2, 0.0885, 0.0105, 0.001)
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)

Act = Callable[[], Coroutine[Any, Any, None]]


class Load:
    """What is done, how often, and the account that is kept of it."""

    def __init__(self, url: str, per_second: float, seed: int) -> None:
        self._chances = random.Random(seed)
        self._per_second = per_second
        self.clients = Clients(url, self._chances)
        self.ledger = Ledger(HOMES, time.monotonic)
        self._names = deque(f"passing-{number}" for number in range(_NAMES))
        self._acts: dict[Act, float] = {
            self._send: 8,
            self._send_batch: 2,
            self._send_ordered: 5,
            self._send_later: 2,
            lambda: self._consume(WORK): 10,
            lambda: self._consume(WORK, wait=2): 2,
            lambda: self._consume(ORDERED): 8,
            lambda: self._consume(LATER, wait=2): 3,
            lambda: self._consume(DEAD): 0.5,
            self._wait_in_vain: 0.5,
            self._look: 2,
            self._have_a_queue: 0.5,
            self._move: 0.1,
        }

    async def prepare(self) -> None:
        """Make the queues, and send what is to wait all the time."""
        policy = {"deadLetterTargetArn": f"{_ARN}:{DEAD}", "maxReceiveCount": _RECEIVES}
        more: dict[str, dict[str, str]] = {
            WORK: {"RedrivePolicy": json.dumps(policy)},
            ORDERED: {"FifoQueue": "true"},
            DEAD: {"VisibilityTimeout": "3"},
        }
        for name in (DEAD, WORK, ORDERED, LATER, EMPTY):
            attributes = {"VisibilityTimeout": str(_VISIBILITY_SECONDS), **more.get(name, {})}
            await self.clients.call("CreateQueue", QueueName=name, Attributes=attributes)
        for send, name in ((self._send_batch, WORK), (self._send_ordered, ORDERED)):
            while self.ledger.waiting(name) < _BACKLOGS[name] and not self.findings():
                await asyncio.gather(*(send() for _ in range(10)))
        # What the server opens when it is first needed is open from now on.
        await asyncio.gather(*(self._look() for _ in range(50)))

    def findings(self) -> Sequence[str]:
        """Tell what was wrong so far."""
        return [*self.clients.findings, *self.ledger.findings]

    async def run(self, seconds: float) -> None:
        """Begin so many acts in a second, at random moments; return when the last is over."""
        acts, weights = list(self._acts), list(self._acts.values())
        began = due = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while due < began + seconds and not self.findings():
                (act,) = self._chances.choices(acts, weights)
                group.create_task(act())
                due += self._chances.expovariate(self._per_second)
                await asyncio.sleep(max(due - time.monotonic(), 0))

    async def settle(self) -> None:
        """Hold the account against what the server counts, and receive and delete all of it."""
        counted = [await self._count(name) for name in (*HOMES, DEAD)]
        if sum(counted) != self.ledger.waiting():
            self.ledger.findings.append(f"{self.ledger.waiting()} wait, and {counted} are counted")
        # Nobody is to wait for a group, or for a message, that somebody else has just left.
        until = time.monotonic() + PATIENCE_SECONDS
        while self.ledger.waiting() and time.monotonic() < until and not self.findings():
            await asyncio.gather(*(self._empty(name) for name in (*HOMES, DEAD)))
        left = [await self._count(name) for name in (*HOMES, DEAD)]
        if self.ledger.waiting() or any(left):
            self.ledger.findings.append(
                f"{self.ledger.waiting()} never came, and {left} are counted in the end"
            )

    async def _count(self, name: str) -> int:
        told = await self.clients.call(
            "GetQueueAttributes", QueueUrl=queue_url(name), AttributeNames=_COUNTS
        )
        return sum(map(int, told["Attributes"].values())) if told else 0

    async def _empty(self, name: str) -> None:
        while found := await self._receive(name, wait=1):
            await self._delete(name, found)

    # Sending

    def _length(self) -> int:
        return self._chances.choices(_LENGTHS, _SHARES)[0]

    async def _send(self) -> None:
        entry = self.ledger.add(WORK, self._length())
        url = queue_url(WORK)
        if self._chances.random() < 0.3:
            await self.clients.query("SendMessage", QueueUrl=url, MessageBody=entry.body)
        else:
            attributes = {"kind": {"DataType": "String", "StringValue": "soak"}}
            await self.clients.call(
                "SendMessage", QueueUrl=url, MessageBody=entry.body, MessageAttributes=attributes
            )

    async def _send_batch(self) -> None:
        lengths = [min(self._length(), 20_000) for _ in range(self._chances.randint(1, 10))]
        entries = [
            {"Id": str(place), "MessageBody": self.ledger.add(WORK, length).body}
            for place, length in enumerate(lengths)
        ]
        await self.clients.call("SendMessageBatch", QueueUrl=queue_url(WORK), Entries=entries)

    async def _send_ordered(self) -> None:
        """Send to a group; sometimes twice, which must be taken once."""
        group = f"g{self._chances.randrange(_GROUPS)}"
        entry = self.ledger.add(ORDERED, min(self._length(), 20_000), group)
        for _ in range(2 if self._chances.random() < 0.1 else 1):
            told = await self.clients.call(
                "SendMessage",
                QueueUrl=queue_url(ORDERED),
                MessageBody=entry.body,
                MessageGroupId=group,
                MessageDeduplicationId=str(entry.serial),
            )
            if told is not None:
                self.ledger.order(entry, int(told["SequenceNumber"]))

    async def _send_later(self) -> None:
        await self.clients.call(
            "SendMessage",
            QueueUrl=queue_url(LATER),
            MessageBody=self.ledger.add(LATER, 100).body,
            DelaySeconds=self._chances.randint(0, 3),
        )

    # Receiving

    async def _consume(self, name: str, wait: int = 0) -> None:
        """Receive, unless less waits than is to; delete most of it."""
        if name != DEAD and self.ledger.waiting(name) <= _BACKLOGS[name]:
            return
        kept = []
        for entry, handle in await self._receive(name, wait):
            if name == WORK and entry.serial % _POISONED == 0 and entry.receives <= _RECEIVES:
                await self._show(name, handle, 0)
            elif name != DEAD and self._chances.random() < 0.02:
                await self._show(name, handle, 1)
            else:
                kept.append((entry, handle))
        # Whoever holds a dead letter lets go of most, for a move task to take.
        if name != DEAD or self._chances.random() < 0.1:
            await self._delete(name, kept)

    async def _receive(self, name: str, wait: int) -> list[tuple[Entry, str]]:
        called = time.monotonic()
        url = queue_url(name)
        if self._chances.random() < 0.3:
            messages = await self.clients.query(
                "ReceiveMessage", wait, QueueUrl=url, MaxNumberOfMessages=10
            )
            return self.ledger.receive(name, called, messages)
        told = await self.clients.call(
            "ReceiveMessage",
            wait,
            QueueUrl=url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        return self.ledger.receive(name, called, (told or {}).get("Messages", ()))

    async def _show(self, name: str, handle: str, seconds: int) -> None:
        await self.clients.call(
            "ChangeMessageVisibility",
            QueueUrl=queue_url(name),
            ReceiptHandle=handle,
            VisibilityTimeout=seconds,
        )

    async def _delete(self, name: str, found: Sequence[tuple[Entry, str]]) -> None:
        for entry, _ in found:
            self.ledger.leave(entry)
        if len(found) == 1 or self._chances.random() < 0.1:
            for entry, handle in found:
                ended = await self.clients.call(
                    "DeleteMessage", QueueUrl=queue_url(name), ReceiptHandle=handle
                )
                if ended is not None:
                    self.ledger.delete(entry)
        elif found:
            entries = [{"Id": str(n), "ReceiptHandle": h} for n, (_, h) in enumerate(found)]
            told = await self.clients.call(
                "DeleteMessageBatch", QueueUrl=queue_url(name), Entries=entries
            )
            for done in (told or {}).get("Successful", ()):
                self.ledger.delete(found[int(done["Id"])][0])

    async def _wait_in_vain(self) -> None:
        """Wait for what never comes, and hang up before it has not come."""
        await self.clients.hang_up_on(
            self._chances.uniform(0, 0.5),
            "ReceiveMessage",
            QueueUrl=queue_url(EMPTY),
            WaitTimeSeconds=20,
        )

    # What concerns whole queues

    async def _look(self) -> None:
        url = queue_url(self._chances.choice((WORK, ORDERED, LATER)))
        questions: tuple[tuple[str, dict[str, object]], ...] = (
            ("ListQueues", {}),
            ("GetQueueAttributes", {"QueueUrl": url, "AttributeNames": ["All"]}),
            ("ListQueueTags", {"QueueUrl": url}),
            ("TagQueue", {"QueueUrl": url, "Tags": {"seen": str(self._chances.random())}}),
            ("UntagQueue", {"QueueUrl": url, "TagKeys": ["seen"]}),
            ("ListDeadLetterSourceQueues", {"QueueUrl": queue_url(DEAD)}),
            ("ListMessageMoveTasks", {"SourceArn": f"{_ARN}:{DEAD}"}),
        )
        action, parameters = self._chances.choice(questions)
        await self.clients.call(action, 0, **parameters)

    async def _have_a_queue(self) -> None:
        """Let a queue live: made, filled, looked at, sometimes purged, and deleted."""
        name = self._names.popleft() if self._names else f"passing-{uuid.uuid4()}"
        url = queue_url(name)
        count = self._chances.randint(0, 10)
        entries = [{"Id": str(n), "MessageBody": "passing"} for n in range(count)]
        await self.clients.call("CreateQueue", QueueName=name, tags={"kind": "passing"})
        if entries:
            await self.clients.call("SendMessageBatch", QueueUrl=url, Entries=entries)
            await self.clients.call("ReceiveMessage", QueueUrl=url)
        if await self._count(name) != count:
            self.ledger.findings.append(f"{name} was sent {count} messages and has not as many")
        if self._chances.random() < 0.5:
            await self.clients.call("PurgeQueue", QueueUrl=url)
            if await self._count(name):
                self.ledger.findings.append(f"{name} was purged and has messages")
        await self.clients.call("DeleteQueue", QueueUrl=url)
        self._names.append(name)

    async def _move(self) -> None:
        """Send dead letters back; a task that still does so is refused a second one."""
        await self.clients.is_refused("StartMessageMoveTask", SourceArn=f"{_ARN}:{DEAD}")
