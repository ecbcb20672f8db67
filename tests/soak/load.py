"""The load: actions that begin when they are due, however long earlier ones take.

The load deletes as much as it sends: the backlog is as large at the end as at the beginning.
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
from tests.histories.checker import Checker, Setting
from tests.histories.client import Addresses, Call, queue_arn
from tests.histories.history import Message
from tests.histories.recording_client import NewMessage, RecordingClient
from tests.soak.backlog import Backlog, Entry

WORK, DEAD, FIFO, DELAYED, EMPTY = "work", "dead", "ordered.fifo", "delayed", "empty"
QUEUES = (WORK, FIFO, DELAYED, DEAD)
"""The queues that have messages at times."""

SETTING = Setting(
    routes={
        WORK: frozenset({WORK, DEAD}),
        FIFO: frozenset({FIFO}),
        DELAYED: frozenset({DELAYED}),
    },
    ordered_queues={FIFO},
    longest_call_seconds=60.0,
)
_BACKLOGS = {WORK: 500, FIFO: 200, DELAYED: 0}
"""Number of messages that a queue has at all times."""

_VISIBILITY_SECONDS = {WORK: 30, FIFO: 30, DELAYED: 30, EMPTY: 30, DEAD: 3}
"""Visibility timeouts: 30 s are enough to delete on a slow machine. Dead letters become visible
soon, for a move task to move them."""

_MAX_RECEIVES = 3
"""How often a message is received before it goes to the dead-letter queue."""

_FAILING = 40
"""One message in this many is made visible again until it is in the dead-letter queue."""

_SETTLE_SECONDS = 30
"""Time in which the queues must be empty when the load is over."""

_GROUPS = 50
_NAMES = 40
"""Names of the queues that the load creates and deletes; it reuses each name."""

_LENGTHS = (100, 2_000, 20_000, 200_000, 900_000)
_SHARES = (0.7, 0.2, 0.0885, 0.0105, 0.001)
_DISCONNECT_PROBABILITY = 0.02
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)

Action = Callable[[], Coroutine[Any, Any, None]]


class Load:
    """All actions and how often each is done, with the counts that the load keeps.

    Attributes:
        client: the client of all actions.
        backlog: the messages that are sent and not deleted.
        requests: how many requests were answered.
        latencies: seconds until answers, without those of long polls; the reader clears it.
    """

    def __init__(self, url: str, per_second: float, seed: int) -> None:
        self._rng = random.Random(seed)
        self._per_second = per_second
        self._checker = Checker(SETTING)
        self._findings: list[str] = []
        self.client = RecordingClient(
            Addresses(url),
            self._checker.add,
            observe=self._observe,
            rng=self._rng,
            disconnect_probability=_DISCONNECT_PROBABILITY,
        )
        self.backlog = Backlog()
        self.requests = 0
        self.latencies: list[float] = []
        self._names = deque(f"passing-{number}" for number in range(_NAMES))
        self._actions: dict[Action, float] = {
            self._send: 8,
            self._send_batch: 2,
            self._send_to_group: 5,
            self._send_delayed: 2,
            lambda: self._consume(WORK): 10,
            lambda: self._consume(WORK, wait_seconds=2): 2,
            lambda: self._consume(FIFO): 8,
            lambda: self._consume(DELAYED, wait_seconds=2): 3,
            lambda: self._consume(DEAD): 0.5,
            self._abandon_receive: 0.5,
            self._read_queues: 2,
            self._create_and_delete_queue: 0.5,
            self._move: 0.1,
        }

    async def prepare(self) -> None:
        """Create the queues, and send the messages that they have all the time."""
        policy = {"deadLetterTargetArn": queue_arn(DEAD), "maxReceiveCount": _MAX_RECEIVES}
        more: dict[str, dict[str, str]] = {
            WORK: {"RedrivePolicy": json.dumps(policy)},
            FIFO: {"FifoQueue": "true"},
        }
        for name in (DEAD, WORK, FIFO, DELAYED, EMPTY):
            attributes = {"VisibilityTimeout": str(_VISIBILITY_SECONDS[name]), **more.get(name, {})}
            await self.client.call("CreateQueue", QueueName=name, Attributes=attributes)
        for send, name in ((self._send_batch, WORK), (self._send_to_group, FIFO)):
            while self.backlog.count(name) < _BACKLOGS[name] and not self.findings():
                await asyncio.gather(*(send() for _ in range(10)))
        # The server opens database connections and files when it first needs them.
        await asyncio.gather(*(self._read_queues() for _ in range(50)))

    def findings(self) -> Sequence[str]:
        """Return the findings so far."""
        broken = [f"{finding.rule}: {finding.detail}" for finding in self._checker.findings]
        return [*self._findings, *broken]

    async def run(self, seconds: float) -> None:
        """Start actions at random times, at the load's rate; return when the last has ended."""
        actions, weights = list(self._actions), list(self._actions.values())
        began = due = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while due < began + seconds and not self.findings():
                (action,) = self._rng.choices(actions, weights)
                group.create_task(action())
                due += self._rng.expovariate(self._per_second)
                await asyncio.sleep(max(due - time.monotonic(), 0))

    async def settle(self) -> None:
        """Compare the backlog with what the server counts; receive and delete all of it."""
        counted = [await self._count(name) for name in QUEUES]
        if sum(counted) != self.backlog.count():
            self._findings.append(
                f"{self.backlog.count()} messages are not deleted, and {counted} are counted"
            )
        # A message may be in flight, or behind one of its group that is.
        deadline = time.monotonic() + _SETTLE_SECONDS
        while self.backlog.count() and time.monotonic() < deadline and not self.findings():
            await asyncio.gather(*(self._empty(name) for name in QUEUES))
        left = [await self._count(name) for name in QUEUES]
        if self.backlog.count() or any(left):
            self._findings.append(
                f"{self.backlog.count()} messages never came, and {left} are counted in the end"
            )
        self._checker.finish()

    def _observe(self, call: Call) -> None:
        """Measure an answer; an error is a finding, except the rejection of a second move task."""
        if call.status:
            self.requests += 1
            if not call.wait_seconds:
                self.latencies.append(call.returned - call.called)
        is_second_task = call.action == "StartMessageMoveTask" and call.outcome == "rejected"
        if call.outcome != "done" and not is_second_task:
            self._findings.append(f"{call.action}: {call.status} {call.error}")

    async def _count(self, name: str) -> int:
        call = await self.client.call(
            "GetQueueAttributes", QueueUrl=queue_url(name), AttributeNames=_COUNTS
        )
        return sum(map(int, call.answer.get("Attributes", {}).values()))

    async def _empty(self, name: str) -> None:
        while found := await self._receive(name, wait_seconds=1, is_final=True):
            await self._delete(name, found)

    # Sending

    def _length(self) -> int:
        return self._rng.choices(_LENGTHS, _SHARES)[0]

    async def _send(self) -> None:
        message = NewMessage(self.backlog.add(WORK, self._length()).body)
        if self._rng.random() < 0.3:
            await self.client.send(WORK, message, "query")
        else:
            attributes = {"kind": {"DataType": "String", "StringValue": "soak"}}
            await self.client.send(WORK, message, MessageAttributes=attributes)

    async def _send_batch(self) -> None:
        lengths = [min(self._length(), 20_000) for _ in range(self._rng.randint(1, 10))]
        messages = [NewMessage(self.backlog.add(WORK, length).body) for length in lengths]
        await self.client.send_batch(WORK, messages)

    async def _send_to_group(self) -> None:
        """Send to a group, and sometimes again: the server must store the message once."""
        group = f"g{self._rng.randrange(_GROUPS)}"
        entry = self.backlog.add(FIFO, min(self._length(), 20_000))
        for _ in range(2 if self._rng.random() < 0.1 else 1):
            await self.client.send(FIFO, NewMessage(entry.body, group, str(entry.serial)))

    async def _send_delayed(self) -> None:
        message = NewMessage(self.backlog.add(DELAYED, 100).body)
        await self.client.send(DELAYED, message, DelaySeconds=self._rng.randint(0, 3))

    # Receiving

    async def _consume(self, name: str, wait_seconds: int = 0) -> None:
        """Receive, unless the backlog is too small; delete most messages."""
        if name != DEAD and self.backlog.count(name) <= _BACKLOGS[name]:
            return
        done = []
        for entry, message in await self._receive(name, wait_seconds):
            is_failing = name == WORK and entry.serial % _FAILING == 0
            if is_failing and entry.receives <= _MAX_RECEIVES:
                await self.client.change_visibility(name, message, 0)
            elif name != DEAD and self._rng.random() < 0.02:
                await self.client.change_visibility(name, message, 1)
            else:
                done.append((entry, message))
        # Most dead letters are left to move tasks.
        if name != DEAD or self._rng.random() < 0.1:
            await self._delete(name, done)

    async def _receive(
        self, name: str, wait_seconds: int, *, is_final: bool = False
    ) -> list[tuple[Entry, Message]]:
        is_query = self._rng.random() < 0.3
        parameters: dict[str, object] = {"WaitTimeSeconds": wait_seconds} if wait_seconds else {}
        if not is_query:
            parameters["MessageAttributeNames"] = ["All"]
            parameters["MessageSystemAttributeNames"] = ["All"]
        messages = await self.client.receive(
            name,
            protocol="query" if is_query else "json",
            queue_visibility_seconds=_VISIBILITY_SECONDS[name],
            is_final=is_final,
            **parameters,
        )
        return self.backlog.receive(name, messages)

    async def _delete(self, name: str, found: Sequence[tuple[Entry, Message]]) -> None:
        if len(found) == 1 or self._rng.random() < 0.1:
            outcomes = [await self.client.delete(name, message) for _, message in found]
        elif found:
            outcomes = await self.client.delete_batch(name, [message for _, message in found])
        else:
            return
        for (entry, _), outcome in zip(found, outcomes, strict=True):
            if outcome == "done":
                self.backlog.delete(entry)

    async def _abandon_receive(self) -> None:
        """Wait at a queue that is always empty, and disconnect."""
        seconds = self._rng.uniform(0, 0.5)
        await self.client.abandon(
            "ReceiveMessage", seconds, QueueUrl=queue_url(EMPTY), WaitTimeSeconds=20
        )

    # Whole queues

    async def _read_queues(self) -> None:
        url = queue_url(self._rng.choice((WORK, FIFO, DELAYED)))
        calls: tuple[tuple[str, dict[str, object]], ...] = (
            ("ListQueues", {}),
            ("GetQueueAttributes", {"QueueUrl": url, "AttributeNames": ["All"]}),
            ("ListQueueTags", {"QueueUrl": url}),
            ("TagQueue", {"QueueUrl": url, "Tags": {"seen": str(self._rng.random())}}),
            ("UntagQueue", {"QueueUrl": url, "TagKeys": ["seen"]}),
            ("ListDeadLetterSourceQueues", {"QueueUrl": queue_url(DEAD)}),
            ("ListMessageMoveTasks", {"SourceArn": queue_arn(DEAD)}),
        )
        action, parameters = self._rng.choice(calls)
        await self.client.call(action, **parameters)

    async def _create_and_delete_queue(self) -> None:
        """Create a queue, send to it, count its messages, sometimes purge it, and delete it."""
        name = self._names.popleft() if self._names else f"passing-{uuid.uuid4()}"
        url = queue_url(name)
        count = self._rng.randint(0, 10)
        entries = [{"Id": str(n), "MessageBody": "passing"} for n in range(count)]
        await self.client.call("CreateQueue", QueueName=name, tags={"kind": "passing"})
        if entries:
            await self.client.call("SendMessageBatch", QueueUrl=url, Entries=entries)
            await self.client.call("ReceiveMessage", QueueUrl=url)
        if await self._count(name) != count:
            self._findings.append(f"{name} was sent {count} messages and has not as many")
        if self._rng.random() < 0.5:
            await self.client.call("PurgeQueue", QueueUrl=url)
            if await self._count(name):
                self._findings.append(f"{name} was purged and has messages")
        await self.client.call("DeleteQueue", QueueUrl=url)
        self._names.append(name)

    async def _move(self) -> None:
        """Start a move task of the dead letters, unless one is running."""
        await self.client.call("StartMessageMoveTask", SourceArn=queue_arn(DEAD))
