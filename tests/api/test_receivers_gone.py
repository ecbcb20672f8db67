"""Receives whose clients went away when their messages were claimed, before they were answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

import pytest

from protocol import actions
from protocol.names import queue_url
from queueserver.actions.messages import Messages
from queueserver.actions.queue_cache import QueueCache
from queueserver.actions.queues import Queues
from queueserver.context import RequestContext
from storage.database import Database
from storage.messages.commands import Command, Received
from tests.clock import ManualClock
from tests.engine.queue_client import ACCOUNT, REGION

CONTEXT = RequestContext(ACCOUNT, REGION, "")
QUEUE = queue_url("", ACCOUNT, "q.fifo")


class Front:
    """A FIFO queue with one message, as its callers meet it."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        directory = QueueCache(database)
        self._database = database
        self._queues = Queues(database, directory, clock, cooldowns=False)
        self._messages = Messages(database, directory, clock, in_flight_limit=20_000)

    @classmethod
    async def open(cls, url: str) -> Self:
        clock = ManualClock()
        front = cls(await Database.open(url, clock), clock)
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        await front._queues.create_queue(CONTEXT, actions.CreateQueue("q.fifo", attributes))
        await front._messages.send_message(
            CONTEXT, actions.SendMessage(QUEUE, "x", message_group_id="g")
        )
        return front

    async def close(self) -> None:
        await self._database.close()

    async def bodies(self, attempt_id: str | None = None) -> Sequence[str | None]:
        request = actions.ReceiveMessage(QUEUE, receive_request_attempt_id=attempt_id)
        result = await self._messages.receive_message(CONTEXT, request)
        return [message.body for message in result.messages or ()]

    async def go_away(self, attempt_id: str | None) -> None:
        """Receive, and be gone when a message is claimed, before anything is answered."""
        submit = self._database.submit
        claimed: list[str] = []

        def leave(claim: asyncio.Future[Sequence[Received]]) -> None:
            claimed.extend(message.body for message in claim.result())
            going.cancel()

        def submit_and_leave(command: Command[Any]) -> asyncio.Future[Any]:
            claim = submit(command)
            claim.add_done_callback(leave)
            return claim

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self._database, "submit", submit_and_leave)
            going = asyncio.create_task(self.bodies(attempt_id))
            with suppress(asyncio.CancelledError):
                await going
        assert going.cancelled()
        assert claimed == ["x"]
        # What comes of that is done before this.
        await self._database.write(lambda _: None)


async def test_what_a_receiver_would_have_got_is_another_s_at_once(database_url: str) -> None:
    front = await Front.open(database_url)
    await front.go_away(None)
    assert await front.bodies() == ["x"]
    await front.close()


async def test_what_an_attempt_would_have_got_is_kept_for_when_it_is_repeated(
    database_url: str,
) -> None:
    front = await Front.open(database_url)
    await front.go_away("attempt")
    assert await front.bodies() == []
    assert await front.bodies("attempt") == ["x"]
    await front.close()
