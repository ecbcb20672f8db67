"""A client that runs the engine's commands on one queue, with a clock that tests move.

The client adds the queue's id and revision to each command. Times are in seconds, as in SQS; the
engine counts in milliseconds.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import TypeAlias

import sqlalchemy as sa

from storage import queues
from storage.commits.writer import WriterSettings
from storage.database import Database
from storage.messages import counts
from storage.messages.commands import (
    ChangeVisibility,
    Delete,
    NewMessage,
    Outcome,
    Receipt,
    Receive,
    ReceiveAttempt,
    Received,
    Release,
    Send,
    SentMessage,
)
from storage.queue_settings import QueueName, QueueSettings, Redrive
from storage.queues import STANDARD, Queue
from storage.settings import EngineSettings
from storage.waiting.polling import short_poll
from tests.clock import ManualClock
from tests.engine.recorder import recording_settings
from tests.waiting import TIMEOUT_SECONDS

ACCOUNT, REGION = "000000000000", "us-east-1"
RETENTION_S = 345_600
SETTINGS = QueueSettings(RETENTION_S * 1000)
_NO_QUEUE = 0


def new_message(body: str, delay_s: float = 0) -> NewMessage:
    """Return a message for a standard queue."""
    return NewMessage(bytes(16), body, b"envelope", _size(body), None, round(delay_s * 1000))


def tenant_message(body: str, tenant_id: str) -> NewMessage:
    """Return a message of one tenant for a standard queue (a fair queue)."""
    return NewMessage(bytes(16), body, b"envelope", _size(body), tenant_id, 0)


def fifo_message(
    body: str, group_id: str = "g", deduplication_id: str | None = None, delay_s: float = 0
) -> NewMessage:
    """Return a message for a FIFO queue; its deduplication id is unique if none is given."""
    message_id = uuid.uuid4()
    return NewMessage(
        message_id.bytes,
        body,
        b"envelope",
        _size(body),
        group_id,
        round(delay_s * 1000),
        deduplication_id or message_id.hex,
    )


def _size(body: str) -> int:
    return len(body.encode(errors="surrogatepass")) + len(b"envelope")


def queue_name(name: str) -> QueueName:
    """Return the full name of a queue in the account and region of these tests."""
    return QueueName(ACCOUNT, REGION, name)


def bodies_of(received: Sequence[Received]) -> list[str]:
    """Return the bodies of received messages."""
    return [message.body for message in received]


async def run_event_loop(iterations: int = 10) -> None:
    """Run the event loop for some iterations: each runs the callbacks that are due."""
    for _ in range(iterations):
        await asyncio.sleep(0)


async def open_database(
    url: str,
    clock: ManualClock,
    settings: WriterSettings | None = None,
    engine_settings: EngineSettings | None = None,
) -> Database:
    """Open a database; on PostgreSQL, wait for the first resync of its listener.

    A resync wakes one receiver of each queue, and a test counts the claims of its receivers.
    """
    database = await Database.open(
        url, clock, settings=settings, engine_settings=engine_settings or recording_settings()
    )
    if url.startswith("postgresql:"):
        with database.waiters.register(_NO_QUEUE) as receiver:
            sleep = receiver.sleep_until(clock.now_ms() + 1_000_000_000)
            await asyncio.wait_for(sleep, TIMEOUT_SECONDS)
    return database


class QueueClient:
    """A client of one queue of an open database."""

    def __init__(self, url: str, clock: ManualClock, database: Database) -> None:
        self.url = url
        self.clock = clock
        self.database = database
        self.in_flight_limit = 120_000
        self.queue: Queue

    @classmethod
    async def open(
        cls,
        url: str,
        clock: ManualClock | None = None,
        kind: str = STANDARD,
        settings: WriterSettings | None = None,
        engine_settings: EngineSettings | None = None,
    ) -> QueueClient:
        """Open a database, create the queue `orders` unless it exists, and return its client."""
        clock = clock or ManualClock()
        database = await open_database(url, clock, settings, engine_settings)
        client = cls(url, clock, database)
        client.queue = await client.create("orders", kind)
        return client

    async def another_queue(self, name: str, kind: str | None = None) -> QueueClient:
        """Return a client of another queue, which is created unless it exists.

        It is of the same kind unless `kind` is given.
        """
        other = QueueClient(self.url, self.clock, self.database)
        other.queue = await self.create(name, kind or self.queue.kind)
        return other

    @property
    def retention_s(self) -> int:
        """Return the queue's retention in seconds."""
        return self.queue.retention_ms // 1000

    async def set_retention(self, retention_s: int) -> None:
        """Change the queue's retention."""
        await self._set(QueueSettings(retention_s * 1000, redrive=self.queue.redrive))

    async def redrive_to(self, name: str, maximum_receives: int) -> None:
        """Set the queue's redrive policy, with the dead-letter queue of that name."""
        redrive = Redrive(queue_name(name), maximum_receives)
        await self._set(QueueSettings(self.queue.retention_ms, redrive=redrive))

    async def set_delay(self, delay_s: int) -> None:
        """Change the queue's delay."""
        await self._set(QueueSettings(self.queue.retention_ms, delay_s * 1000, self.queue.redrive))

    async def stop_redrive(self) -> None:
        """Remove the queue's redrive policy."""
        await self._set(QueueSettings(self.queue.retention_ms))

    async def _set(self, settings: QueueSettings) -> None:
        change = queues.change_attributes
        await self.database.write(change, self.queue, self.queue.attributes, settings)
        await self.refresh()

    async def reopen(self) -> None:
        """Close the database and open it again, as a restart of the server does."""
        await self.database.close()
        self.database = await open_database(self.url, self.clock)

    async def create(self, name: str, kind: str = STANDARD) -> Queue:
        """Create a queue unless it exists, and return its record."""
        return await self.database.write(
            queues.create, ACCOUNT, REGION, name, kind, {}, {}, SETTINGS
        )

    async def find(self, name: str = "orders") -> Queue | None:
        """Return the record of the queue of that name, or None."""
        return await self.database.read(queues.find, ACCOUNT, REGION, name)

    async def refresh(self) -> None:
        """Read the queue's record, and with it the revision for the next commands."""
        found = await self.find(self.queue.name)
        assert found is not None
        self.queue = found

    def send_command(self, *messages: NewMessage) -> Send:
        return Send(self.queue.id, self.queue.revision, self.queue.kind, messages)

    def receive_command(
        self,
        maximum: int = 10,
        timeout_s: float = 30,
        *,
        is_waiting: bool = False,
        attempt: ReceiveAttempt | None = None,
    ) -> Receive:
        return Receive(
            self.queue.id,
            self.queue.revision,
            self.queue.kind,
            maximum,
            round(timeout_s * 1000),
            is_waiting,
            in_flight_limit=self.in_flight_limit,
            attempt=attempt,
        )

    def delete_command(self, *receipts: Receipt) -> Delete:
        return Delete(self.queue.id, self.queue.revision, self.queue.kind, receipts)

    def change_command(self, *changes: tuple[Receipt, float]) -> ChangeVisibility:
        return ChangeVisibility(
            self.queue.id,
            self.queue.revision,
            self.queue.kind,
            [(receipt, round(timeout_s * 1000)) for receipt, timeout_s in changes],
        )

    async def send(self, *bodies: str, delay_s: float = 0) -> list[int]:
        """Send messages to a standard queue; return their numbers."""
        messages = [new_message(body, delay_s) for body in bodies]
        sent: list[SentMessage] = await self.database.submit(self.send_command(*messages))
        return [one.number for one in sent]

    async def send_to(self, group_id: str, *bodies: str, delay_s: float = 0) -> list[int]:
        """Send messages to one group of a FIFO queue; return their numbers."""
        messages = [fifo_message(body, group_id, delay_s=delay_s) for body in bodies]
        sent: list[SentMessage] = await self.database.submit(self.send_command(*messages))
        return [one.number for one in sent]

    async def receive(self, maximum: int = 10, timeout_s: float = 30) -> list[Received]:
        return list(await short_poll(self.database, self.receive_command(maximum, timeout_s)))

    async def receive_one(self, timeout_s: float = 30) -> Received:
        """Receive the one message that must be there."""
        (received,) = await self.receive(1, timeout_s)
        return received

    async def bodies(self, maximum: int = 10, timeout_s: float = 30) -> list[str]:
        """Receive messages and return their bodies."""
        return [received.body for received in await self.receive(maximum, timeout_s)]

    async def delete(self, *receipts: Receipt) -> list[Outcome]:
        outcomes: list[Outcome] = await self.database.submit(self.delete_command(*receipts))
        return outcomes

    async def change(self, receipt: Receipt, timeout_s: float) -> bool:
        """Change a visibility timeout; return False if the message does not exist."""
        outcome = await self.try_change(receipt, timeout_s)
        assert outcome in {Outcome.DONE, Outcome.MISSING}
        return outcome is Outcome.DONE

    async def try_change(self, receipt: Receipt, timeout_s: float) -> Outcome:
        """Change a visibility timeout and return the outcome."""
        outcome: Outcome
        (outcome,) = await self.database.submit(self.change_command((receipt, timeout_s)))
        return outcome

    async def release(self, *claims: Received) -> None:
        await self.database.submit(Release(claims))

    async def purge(self) -> None:
        await self.database.write(queues.purge, self.queue)
        await self.refresh()

    def expired_ms(self) -> int:
        """Return the time of sending up to which messages have expired."""
        return self.clock.now_ms() - self.queue.retention_ms

    async def counts(self) -> tuple[int, int, int]:
        """Return the numbers of visible, in-flight and delayed messages."""
        found = await self.database.read(counts.count, self.queue, self.clock.now_ms())
        return found.visible, found.in_flight, found.delayed

    async def rows(self) -> dict[str, int]:
        """Return the row counts of the tables that have rows for messages of any queue."""
        return await self._count_rows("messages", "bodies", "backlogs", "dropped_queues")

    async def fifo_rows(self) -> dict[str, int]:
        """Return the row counts of the tables that have rows for FIFO queues only."""
        return await self._count_rows("groups", "deduplications", "receive_attempts")

    async def _count_rows(self, *tables: str) -> dict[str, int]:
        def count(connection: sa.Connection) -> dict[str, int]:
            return {
                table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
                for table in tables
            }

        return await self.database.read(count)


TwoServers: TypeAlias = tuple[QueueClient, QueueClient]
"""Clients of one queue on two servers that share a database and a clock."""
