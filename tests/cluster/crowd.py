"""Producers and consumers that go through random servers, whatever becomes of these."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.client import Connection, json_request, queue_url
from tests.cluster.history import Got, History, Span

QUEUE = "orders"
FIFO_QUEUE = "orders.fifo"

HANGING_SECONDS = 30.0
"""Who has no answer after so long, beyond what it asked to wait, will get none."""
_BATCH = 10
_WAIT_SECONDS = 1
_TRY_AGAIN_SECONDS = 0.05


@dataclass(frozen=True)
class Size:
    """How large a crowd, and for how long it goes on at least; seeds make it the same again."""

    producers: int
    consumers: int
    messages: int
    groups: int
    timeout_seconds: int = 30
    seed: int = 1


class Client:
    """One client with a connection to each server, and what it saw."""

    def __init__(self, urls: Sequence[str], history: History, seed: int) -> None:
        self._urls = urls
        self._history = history
        self._connections: dict[str, Connection] = {}
        self.chances = random.Random(seed)

    async def ask(
        self, action: str, wait_seconds: float = 0, url: str | None = None, **parameters: object
    ) -> tuple[int, dict[str, Any], Span]:
        """Ask a random server; the status is 0 if there was no answer at all."""
        url = url or self.chances.choice(self._urls)
        asked = time.monotonic()
        status, found = 0, {}
        try:
            async with asyncio.timeout(HANGING_SECONDS + wait_seconds):
                connection = self._connections.get(url)
                if connection is None:
                    connection = self._connections[url] = await Connection.open(url)
                answer = await connection.ask(json_request(action, **parameters))
                status = answer.status
                found = answer.json()
        except TimeoutError:
            self._hang_up(url)
            self._history.longest = float("inf")
        except (OSError, EOFError):
            self._hang_up(url)
        span = Span(asked, time.monotonic())
        self._history.longest = max(
            self._history.longest, span.answered - span.asked - wait_seconds
        )
        if status != 200:
            self._history.refused[status] += 1
        return status, found, span

    def _hang_up(self, url: str) -> None:
        connection = self._connections.pop(url, None)
        if connection is not None:
            connection.close()

    def close(self) -> None:
        for url in list(self._connections):
            self._hang_up(url)


class Crowd:
    """A crowd at work on one queue; `work` ends when all is sent, received and deleted."""

    def __init__(self, urls: Sequence[str], size: Size, *, ordered: bool) -> None:
        self._urls = urls
        self._size = size
        self.ordered = ordered
        self._queue = FIFO_QUEUE if ordered else QUEUE
        self._url = queue_url(self._queue)
        self.history = History()
        self._producing = size.producers
        self._is_done = False
        self._deleted_bodies: set[str] = set()

    async def work(self, is_over: asyncio.Event | None = None) -> None:
        """Make the queue, and let everybody work; who sends goes on until `is_over` at least."""
        async with self._client(0) as one:
            attributes = {"FifoQueue": "true"} if self.ordered else {}
            status = 0
            while status != 200:
                status, _, _ = await one.ask(
                    "CreateQueue", QueueName=self._queue, Attributes=attributes
                )
        async with asyncio.TaskGroup() as group:
            for number in range(self._size.producers):
                group.create_task(self._produce(number, is_over))
            for number in range(self._size.consumers):
                group.create_task(self._consume(number))

    def _client(self, number: int) -> _Closing:
        return _Closing(Client(self._urls, self.history, self._size.seed * 10_000 + number))

    async def _produce(self, number: int, is_over: asyncio.Event | None) -> None:
        """Send batches until there are enough; the outcome of one may never be known."""
        share = self._size.messages // self._size.producers
        send = self._send_ordered if self.ordered else self._send
        async with self._client(1 + number) as client:
            sent = 0
            while sent < share or (is_over is not None and not is_over.is_set()):
                sent += await send(client, number, sent)
        self._producing -= 1

    async def _send(self, client: Client, number: int, sent: int) -> int:
        bodies = [f"{number} {sent + place}" for place in range(_BATCH)]
        self.history.attempted.update(bodies)
        entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
        status, answer, _ = await client.ask(
            "SendMessageBatch", QueueUrl=self._url, Entries=entries
        )
        if status != 200:
            await asyncio.sleep(_TRY_AGAIN_SECONDS)
        for done in answer.get("Successful", []) if status == 200 else []:
            self.history.acknowledged.add(bodies[int(done["Id"])])
        return _BATCH

    async def _send_ordered(self, client: Client, number: int, sent: int) -> int:
        """Send one message to each of ten groups of this producer's own, until it is certain.

        Some are sent again although they were answered: they must not come twice.
        """
        groups = max(self._size.groups // self._size.producers, 1)
        entries = []
        for place in range(min(_BATCH, groups)):
            turn, group = divmod(sent + place, groups)
            body = f"ordered {number}.{group} {turn}"
            entries.append(
                {
                    "Id": str(place),
                    "MessageBody": body,
                    "MessageGroupId": f"{number}.{group}",
                    "MessageDeduplicationId": body.replace(" ", "_"),
                }
            )
        self.history.attempted.update(str(entry["MessageBody"]) for entry in entries)
        certain = 0
        while certain < (2 if client.chances.random() < 0.05 else 1):
            status, _, _ = await client.ask("SendMessageBatch", QueueUrl=self._url, Entries=entries)
            certain += status == 200
            if status != 200:
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
        self.history.acknowledged.update(str(entry["MessageBody"]) for entry in entries)
        return len(entries)

    async def _consume(self, number: int) -> None:
        async with self._client(5_000 + number) as client:
            while not self._is_done:
                status, answer, span = await client.ask(
                    "ReceiveMessage",
                    _WAIT_SECONDS,
                    QueueUrl=self._url,
                    MaxNumberOfMessages=_BATCH,
                    VisibilityTimeout=self._size.timeout_seconds,
                    WaitTimeSeconds=_WAIT_SECONDS,
                )
                if status != 200:
                    await asyncio.sleep(_TRY_AGAIN_SECONDS)
                    continue
                gots = [
                    Got(
                        span,
                        message["Body"],
                        message["MessageId"],
                        message["ReceiptHandle"],
                        self._size.timeout_seconds,
                    )
                    for message in answer.get("Messages", [])
                ]
                self.history.got += gots
                if gots:
                    await self._delete(client, gots)
                self._is_done = self._is_done or self._has_done_all()

    async def _delete(self, client: Client, gots: Sequence[Got]) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": got.receipt} for n, got in enumerate(gots)]
        now = time.monotonic()
        for got in gots:
            self.history.let_go.setdefault(got.receipt, now)
        # As often as it takes: whether one was done that was not answered, the next one tells.
        while True:
            status, answer, span = await client.ask(
                "DeleteMessageBatch", QueueUrl=self._url, Entries=entries
            )
            if status == 200:
                for done in answer.get("Successful", []):
                    got = gots[int(done["Id"])]
                    self.history.deleted.setdefault(got.receipt, span)
                    self._deleted_bodies.add(got.body)
                return
            await asyncio.sleep(_TRY_AGAIN_SECONDS)

    def _has_done_all(self) -> bool:
        return not self._producing and self.history.acknowledged <= self._deleted_bodies


class _Closing:
    """A client, for as long as it is needed."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __aenter__(self) -> Client:
        return self._client

    async def __aexit__(self, *_: object) -> None:
        self._client.close()


async def disturbed(crowds: Sequence[Crowd], disturb: Callable[[], Awaitable[None]]) -> None:
    """Let crowds work and disturb them, and let them finish what they have begun."""
    is_over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for crowd in crowds:
            group.create_task(crowd.work(is_over))
        await disturb()
        is_over.set()
