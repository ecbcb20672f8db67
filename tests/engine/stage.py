"""A database with one queue in it and a clock that tests move.

The actions here are the engine's commands with the queue's id and revision filled in, so that a
test reads as what happens to messages. Times are in seconds, as in SQS; the engine's are not.
"""

from __future__ import annotations

import asyncio
import uuid

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
from tests.clock import ManualClock
from tests.engine.recorder import recorded
from tests.looks import PATIENCE_SECONDS

ACCOUNT, REGION = "000000000000", "us-east-1"
RETENTION_S = 345_600
SETTINGS = QueueSettings(RETENTION_S * 1000)
_NO_QUEUE = 0


def new_message(body: str, delay_s: float = 0) -> NewMessage:
    return NewMessage(bytes(16), body, b"envelope", None, round(delay_s * 1000))


def tenant_message(body: str, tenant_id: str) -> NewMessage:
    return NewMessage(bytes(16), body, b"envelope", tenant_id, 0)


def fifo_message(
    body: str, group_id: str = "g", deduplication_id: str | None = None, delay_s: float = 0
) -> NewMessage:
    """Make a message for a FIFO queue; unless told otherwise, no other has its deduplication id."""
    message_id = uuid.uuid4()
    return NewMessage(
        message_id.bytes,
        body,
        b"envelope",
        group_id,
        round(delay_s * 1000),
        deduplication_id or message_id.hex,
    )


def named(name: str) -> QueueName:
    """Return the full name of a queue of these tests."""
    return QueueName(ACCOUNT, REGION, name)


async def turn(times: int = 10) -> None:
    """Let everything run that is due on the loop, and what that makes due."""
    for _ in range(times):
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
        url, clock, settings=settings, engine_settings=engine_settings or recorded()
    )
    if url.startswith("postgresql:"):
        with database.waiters.register(_NO_QUEUE) as receiver:
            sleep = receiver.sleep_until(clock.now_ms() + 1_000_000_000)
            await asyncio.wait_for(sleep, PATIENCE_SECONDS)
    return database


class Stage:
    """One open database, and the queue that the play is about."""

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
    ) -> Stage:
        clock = clock or ManualClock()
        database = await open_database(url, clock, settings, engine_settings)
        stage = cls(url, clock, database)
        stage.queue = await stage.create("orders", kind)
        return stage

    async def beside(self, name: str, kind: str | None = None) -> Stage:
        """Give another queue of the same database, of the same kind if none is given."""
        other = Stage(self.url, self.clock, self.database)
        other.queue = await self.create(name, kind or self.queue.kind)
        return other

    @property
    def retention_s(self) -> int:
        return self.queue.retention_ms // 1000

    async def set_retention(self, retention_s: int) -> None:
        await self._set(QueueSettings(retention_s * 1000, self.queue.redrive))

    async def redrive_to(self, name: str, maximum_receives: int) -> None:
        """Let receives move what was received so often to the queue of that name."""
        redrive = Redrive(named(name), maximum_receives)
        await self._set(QueueSettings(self.queue.retention_ms, redrive))

    async def stop_redrive(self) -> None:
        await self._set(QueueSettings(self.queue.retention_ms))

    async def _set(self, settings: QueueSettings) -> None:
        change = queues.change_attributes
        await self.database.write(change, self.queue, self.queue.attributes, settings)
        await self.refresh()

    async def reopen(self) -> None:
        await self.database.close()
        self.database = await open_database(self.url, self.clock)

    async def create(self, name: str, kind: str = STANDARD) -> Queue:
        return await self.database.write(
            queues.create, ACCOUNT, REGION, name, kind, {}, {}, SETTINGS
        )

    async def find(self, name: str = "orders") -> Queue | None:
        return await self.database.read(queues.find, ACCOUNT, REGION, name)

    async def refresh(self) -> None:
        found = await self.find(self.queue.name)
        assert found is not None
        self.queue = found

    def sending(self, *messages: NewMessage) -> Send:
        return Send(self.queue.id, self.queue.revision, self.queue.kind, messages)

    def receiving(
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

    def deleting(self, *receipts: Receipt) -> Delete:
        return Delete(self.queue.id, self.queue.revision, self.queue.kind, receipts)

    def changing(self, *changes: tuple[Receipt, float]) -> ChangeVisibility:
        return ChangeVisibility(
            self.queue.id,
            self.queue.revision,
            self.queue.kind,
            [(receipt, round(timeout_s * 1000)) for receipt, timeout_s in changes],
        )

    async def send(self, *bodies: str, delay_s: float = 0) -> list[int]:
        messages = [new_message(body, delay_s) for body in bodies]
        sent: list[SentMessage] = await self.database.submit(self.sending(*messages))
        return [one.number for one in sent]

    async def send_to(self, group_id: str, *bodies: str, delay_s: float = 0) -> list[int]:
        """Send to a group of a FIFO queue."""
        messages = [fifo_message(body, group_id, delay_s=delay_s) for body in bodies]
        sent: list[SentMessage] = await self.database.submit(self.sending(*messages))
        return [one.number for one in sent]

    async def receive(self, maximum: int = 10, timeout_s: float = 30) -> list[Received]:
        received: list[Received] = await self.database.submit(self.receiving(maximum, timeout_s))
        return received

    async def receive_one(self, timeout_s: float = 30) -> Received:
        (received,) = await self.receive(1, timeout_s)
        return received

    async def bodies(self, maximum: int = 10, timeout_s: float = 30) -> list[str]:
        return [received.body for received in await self.receive(maximum, timeout_s)]

    async def delete(self, *receipts: Receipt) -> list[Outcome]:
        outcomes: list[Outcome] = await self.database.submit(self.deleting(*receipts))
        return outcomes

    async def change(self, receipt: Receipt, timeout_s: float) -> bool:
        outcome = await self.try_change(receipt, timeout_s)
        assert outcome in {Outcome.DONE, Outcome.MISSING}
        return outcome is Outcome.DONE

    async def try_change(self, receipt: Receipt, timeout_s: float) -> Outcome:
        outcome: Outcome
        (outcome,) = await self.database.submit(self.changing((receipt, timeout_s)))
        return outcome

    async def release(self, *claims: Received) -> None:
        await self.database.submit(Release(claims))

    async def purge(self) -> None:
        await self.database.write(queues.purge, self.queue)
        await self.refresh()

    def expired_ms(self) -> int:
        return self.clock.now_ms() - self.queue.retention_ms

    async def counts(self) -> tuple[int, int, int]:
        """Count visible, in flight, and delayed."""
        found = await self.database.read(counts.count, self.queue, self.clock.now_ms())
        return found.visible, found.in_flight, found.delayed

    async def rows(self) -> dict[str, int]:
        """Count the rows of every table that grows with messages of any queue."""
        return await self._rows("messages", "bodies", "backlogs", "dropped_queues")

    async def keys(self) -> dict[str, int]:
        """Count the rows of every table that grows with messages of FIFO queues alone."""
        return await self._rows("groups", "deduplications", "receive_attempts")

    async def _rows(self, *tables: str) -> dict[str, int]:
        def count(connection: sa.Connection) -> dict[str, int]:
            return {
                table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
                for table in tables
            }

        return await self.database.read(count)
