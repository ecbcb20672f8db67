"""Receives that named themselves, and whose clients went away before they were answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from protocol import actions
from protocol.names import queue_url
from queueserver.directory import Directory
from queueserver.messages import Messages
from queueserver.operations import Caller
from queueserver.queues import Queues
from storage.database import Database
from tests.clock import ManualClock
from tests.engine.stage import ACCOUNT, REGION

CALLER = Caller(ACCOUNT, REGION, "")
QUEUE = queue_url("", ACCOUNT, "q.fifo")


class Front:
    """A FIFO queue with one message, as its callers meet it."""

    def __init__(self, database: Database) -> None:
        clock = ManualClock()
        directory = Directory(database)
        self._database = database
        self._queues = Queues(database, directory, clock, cooldowns=False)
        self._messages = Messages(database, directory, clock, in_flight_limit=20_000)

    async def begin(self) -> None:
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        await self._queues.create_queue(CALLER, actions.CreateQueue("q.fifo", attributes))
        await self._messages.send_message(
            CALLER, actions.SendMessage(QUEUE, "x", message_group_id="g")
        )

    async def bodies(self, attempt_id: str | None = None) -> Sequence[str | None]:
        request = actions.ReceiveMessage(QUEUE, receive_request_attempt_id=attempt_id)
        result = await self._messages.receive_message(CALLER, request)
        return [message.body for message in result.messages or ()]

    async def go_away(self, attempt_id: str | None) -> None:
        """Receive, and be gone when the messages are claimed, before anything is answered."""
        engine: Any = self._database._engine
        engine = getattr(engine._engine, "sync_engine", engine._engine)
        loop = asyncio.get_running_loop()
        going = asyncio.create_task(self.bodies(attempt_id))

        @sa.event.listens_for(engine, "commit")
        def leave(_connection: sa.Connection) -> None:
            loop.call_soon_threadsafe(going.cancel)

        with suppress(asyncio.CancelledError):
            await going
        assert going.cancelled()
        sa.event.remove(engine, "commit", leave)
        # What comes of that is done before this.
        await self._database.write(lambda _: None)


async def test_what_a_receiver_would_have_got_is_another_s_at_once(database_url: str) -> None:
    database = await Database.open(database_url, ManualClock())
    front = Front(database)
    await front.begin()
    await front.go_away(None)
    assert await front.bodies() == ["x"]
    await database.close()


async def test_what_an_attempt_would_have_got_is_kept_for_when_it_is_repeated(
    database_url: str,
) -> None:
    database = await Database.open(database_url, ManualClock())
    front = Front(database)
    await front.begin()
    await front.go_away("attempt")
    assert await front.bodies() == []
    assert await front.bodies("attempt") == ["x"]
    await database.close()
