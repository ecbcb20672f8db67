"""Receivers that disconnect after their messages are claimed and before they are answered."""

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
from tests.access.modes import ACCESS_OFF
from tests.clock import ManualClock
from tests.engine.queue_client import ACCOUNT, REGION

CONTEXT = RequestContext(ACCOUNT, REGION, "")
QUEUE = queue_url("", ACCOUNT, "q.fifo")


class Receivers:
    """The receivers of a FIFO queue with one message, without HTTP."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        cache = QueueCache(database, ACCESS_OFF)
        self._database = database
        self._queues = Queues(database, cache, ACCESS_OFF, clock, cooldowns=False)
        self._messages = Messages(database, cache, clock, in_flight_limit=20_000)

    @classmethod
    async def open(cls, url: str) -> Self:
        clock = ManualClock()
        receivers = cls(await Database.open(url, clock), clock)
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        await receivers._queues.create_queue(CONTEXT, actions.CreateQueue("q.fifo", attributes))
        await receivers._messages.send_message(
            CONTEXT, actions.SendMessage(QUEUE, "x", message_group_id="g")
        )
        return receivers

    async def close(self) -> None:
        await self._database.close()

    async def bodies(self, attempt_id: str | None = None) -> Sequence[str | None]:
        request = actions.ReceiveMessage(QUEUE, receive_request_attempt_id=attempt_id)
        result = await self._messages.receive_message(CONTEXT, request)
        return [message.body for message in result.messages or ()]

    async def receive_and_disconnect(self, attempt_id: str | None) -> None:
        """Receive, and disconnect after the message is claimed and before the answer."""
        submit = self._database.submit
        claimed: list[str] = []

        def disconnect(claim: asyncio.Future[Sequence[Received]]) -> None:
            claimed.extend(message.body for message in claim.result())
            receive.cancel()

        def submit_and_disconnect(command: Command[Any]) -> asyncio.Future[Any]:
            claim = submit(command)
            claim.add_done_callback(disconnect)
            return claim

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self._database, "submit", submit_and_disconnect)
            receive = asyncio.create_task(self.bodies(attempt_id))
            with suppress(asyncio.CancelledError):
                await receive
        assert receive.cancelled()
        assert claimed == ["x"]
        # The server queues the release of the claim before this write.
        await self._database.write(lambda _: None)


async def test_messages_claimed_for_a_disconnected_receiver_are_visible_at_once(
    database_url: str,
) -> None:
    receivers = await Receivers.open(database_url)
    await receivers.receive_and_disconnect(None)
    assert await receivers.bodies() == ["x"]
    await receivers.close()


async def test_messages_claimed_for_a_disconnected_attempt_wait_for_its_repetition(
    database_url: str,
) -> None:
    receivers = await Receivers.open(database_url)
    await receivers.receive_and_disconnect("attempt")
    assert await receivers.bodies() == []
    assert await receivers.bodies("attempt") == ["x"]
    await receivers.close()
