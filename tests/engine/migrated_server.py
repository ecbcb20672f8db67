"""The actions of a server on a database of an earlier schema version, which opening migrates."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import sqlalchemy as sa

from protocol import actions
from protocol.actions import Message
from protocol.names import queue_arn
from queueserver.actions.messages import Messages
from queueserver.actions.move_tasks import MoveTasks
from queueserver.actions.queue_cache import QueueCache
from queueserver.actions.queues import Queues
from queueserver.context import RequestContext
from storage import move_tasks, queues
from storage.database import Database
from storage.queues import Queue
from tests.access.modes import ACCESS_OFF
from tests.clock import ManualClock
from tests.engine.earlier_versions import restore

HOME = RequestContext("000000000000", "us-east-1", "http://localhost")
AWAY = RequestContext("111111111111", "eu-west-1", "http://localhost")
DUMPED_AT_MS = {1: 1_700_000_063_001, 2: 1_700_000_063_001, 3: 1_700_000_065_001}
"""The time of the dumps of each version."""


def arn(name: str, context: RequestContext = HOME) -> str:
    """Return a queue's ARN."""
    return queue_arn(context.region, context.account, name)


class Server:
    """The actions of a server on a migrated database, at the time of its dump."""

    def __init__(
        self, database: Database, clock: ManualClock, handles: dict[str, str], version: int
    ) -> None:
        self.version = version
        self.database = database
        self.clock = clock
        self.handles = handles
        cache = QueueCache(database, ACCESS_OFF)
        self.queues = Queues(database, cache, ACCESS_OFF, clock, cooldowns=True)
        self.messages = Messages(database, cache, clock, in_flight_limit=120_000)
        self.tasks = MoveTasks(database, ACCESS_OFF, clock)

    async def queue(self, name: str, context: RequestContext = HOME) -> Queue:
        found = await self.database.read(queues.find, context.account, context.region, name)
        assert found is not None
        return found

    async def receive(
        self, name: str, timeout_s: int = 30, attempt: str | None = None
    ) -> list[Message]:
        received = await self.messages.receive_message(
            HOME,
            actions.ReceiveMessage(
                name,
                message_attribute_names=["All"],
                message_system_attribute_names=["All"],
                max_number_of_messages=1 if attempt else 10,
                visibility_timeout=timeout_s,
                wait_time_seconds=0,
                receive_request_attempt_id=attempt,
            ),
        )
        return list(received.messages or [])

    async def bodies(self, name: str, timeout_s: int = 30) -> list[str]:
        return [message.body for message in await self.receive(name, timeout_s)]

    async def send(
        self, name: str, body: str, group_id: str, deduplication_id: str | None = None
    ) -> actions.SendMessageResult:
        message = actions.SendMessage(
            name, body, message_group_id=group_id, message_deduplication_id=deduplication_id
        )
        return await self.messages.send_message(HOME, message)

    async def make_visible(self, name: str, handle: str) -> None:
        await self.messages.change_message_visibility(
            HOME, actions.ChangeMessageVisibility(name, handle, 0)
        )

    async def counts(self, name: str) -> list[str]:
        names = ["", "NotVisible", "Delayed"]
        wanted = [f"ApproximateNumberOfMessages{end}" for end in names]
        found = await self.queues.get_queue_attributes(
            HOME, actions.GetQueueAttributes(name, wanted)
        )
        return [(found.attributes or {})[name] for name in wanted]

    async def rows(self, *tables: str) -> list[int]:
        def count(connection: sa.Connection) -> list[int]:
            return [
                connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
                for table in tables
            ]

        return await self.database.read(count)

    async def run_task(self, source: str) -> None:
        """Run the latest move task of a queue to its end."""
        latest = (HOME.account, HOME.region, source, 1)
        (task,) = await self.database.read(move_tasks.latest, *latest)
        while await self.database.write(move_tasks.step, task.id, 1) is not None:
            pass


@contextlib.asynccontextmanager
async def migrated(url: str, version: int) -> AsyncIterator[Server]:
    """Restore the dump of a version, migrate it, and yield a server on it."""
    handles = await restore(url, version)
    clock = ManualClock(DUMPED_AT_MS[version])
    database = await Database.open(url, clock)
    yield Server(database, clock, handles, version)
    await database.close()
