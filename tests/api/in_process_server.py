"""A server without HTTP: a dispatcher on a database, whose actions run with and without a task."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self, TypeAlias

import msgspec

from protocol import actions
from protocol.actions import Message
from protocol.errors import SQSError
from protocol.names import queue_url
from queueserver.access.authorizer import Authorizer
from queueserver.actions.direct import DirectActions, NeedsTask, Pending
from queueserver.actions.messages import Messages
from queueserver.actions.move_tasks import MoveTasks
from queueserver.actions.permissions import Permissions
from queueserver.actions.queue_cache import QueueCache
from queueserver.actions.queues import Queues
from queueserver.context import RequestContext
from queueserver.dispatch import Dispatcher
from storage.database import Database
from tests.access.modes import ACCESS_OFF
from tests.clock import ManualClock
from tests.engine.queue_client import ACCOUNT, REGION
from tests.waiting import TIMEOUT_SECONDS

Answer: TypeAlias = msgspec.Struct | Exception | None

CONTEXT = RequestContext(ACCOUNT, REGION, "")
QUEUE = queue_url("", ACCOUNT, "q")
FIFO = queue_url("", ACCOUNT, "q.fifo")
IN_FLIGHT_LIMIT = 3


class InProcessServer:
    """A server's dispatcher on a database with two queues, without HTTP."""

    def __init__(
        self, database: Database, clock: ManualClock, authorizer: Authorizer = ACCESS_OFF
    ) -> None:
        database.secret = bytes(32)  # the same receipt handles on each server
        self.database = database
        self.clock = clock
        cache = QueueCache(database, authorizer)
        self.dispatcher = Dispatcher(
            Queues(database, cache, authorizer, clock, cooldowns=False),
            Messages(database, cache, clock, in_flight_limit=IN_FLIGHT_LIMIT),
            MoveTasks(database, authorizer, clock),
            Permissions(database, cache),
            direct=DirectActions(database, cache, clock, in_flight_limit=IN_FLIGHT_LIMIT),
        )

    @classmethod
    async def open(cls, url: str) -> Self:
        clock = ManualClock()
        server = cls(await Database.open(url, clock), clock)
        fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        await server.dispatch(actions.CreateQueue("q"))
        await server.dispatch(actions.CreateQueue("q.fifo", fifo))
        for url in (QUEUE, FIFO):
            await server.dispatch(actions.ReceiveMessage(url))  # caches the queue
        return server

    async def aclose(self) -> None:
        await self.database.close()

    async def dispatch(self, request: msgspec.Struct, context: RequestContext = CONTEXT) -> Answer:
        """Run an action in this task."""
        try:
            return await self.dispatcher.dispatch(context, request)
        except SQSError as error:
            return error

    def begin(
        self, request: msgspec.Struct, context: RequestContext = CONTEXT
    ) -> tuple[Pending | None, asyncio.Future[Answer]]:
        """Begin an action without a task; return the future of what its callback gets."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        pending = self.dispatcher.begin(context, request, answered.set_result)
        assert not answered.done()
        return pending, answered

    async def run_directly(self, request: msgspec.Struct) -> Answer:
        """Run an action without a task."""
        pending, answered = self.begin(request)
        assert pending is not None
        return await asyncio.wait_for(answered, TIMEOUT_SECONDS)

    async def answer(self, request: msgspec.Struct, context: RequestContext = CONTEXT) -> Answer:
        """Run an action without a task if that is possible, as the HTTP endpoint does."""
        pending, answered = self.begin(request, context)
        answer = None if pending is None else await asyncio.wait_for(answered, TIMEOUT_SECONDS)
        if pending is None or isinstance(answer, NeedsTask):
            return await self.dispatch(request, context)
        return answer

    def does_not_begin(self, request: msgspec.Struct) -> bool:
        pending, _ = self.begin(request)
        return pending is None

    async def messages(self, url: str = QUEUE, attempt_id: str | None = None) -> Sequence[Message]:
        """Receive up to ten messages."""
        request = actions.ReceiveMessage(
            url, max_number_of_messages=10, receive_request_attempt_id=attempt_id
        )
        answer = await self.dispatch(request)
        assert isinstance(answer, actions.ReceiveMessageResult)
        return answer.messages or ()

    async def bodies(self, url: str = QUEUE, attempt_id: str | None = None) -> list[str]:
        return [message.body for message in await self.messages(url, attempt_id)]

    async def send(self, *bodies: str) -> None:
        for body in bodies:
            await self.dispatch(actions.SendMessage(QUEUE, body))

    async def send_fifo(self, *bodies: str) -> None:
        for body in bodies:
            await self.dispatch(actions.SendMessage(FIFO, body, message_group_id=body))

    async def change_from_another_server(self, url: str, **attributes: str) -> None:
        """Change a queue without this server's cache."""
        other = Queues(
            self.database,
            QueueCache(self.database, ACCESS_OFF),
            ACCESS_OFF,
            self.clock,
            cooldowns=False,
        )
        names = {
            "".join(word.capitalize() for word in name.split("_")): value
            for name, value in attributes.items()
        }
        await other.set_queue_attributes(CONTEXT, actions.SetQueueAttributes(url, names))
