"""Finding the queue that a request means.

Keeps copies of what the database knows, for the hot path only. A copy needs no invalidation:
every command carries the id and revision it was made for, the database verifies them in the
command's own transaction, and a copy that is out of date is read anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from protocol.errors import QueueDoesNotExist, SQSError
from protocol.names import parse_queue_url, queue_arn
from queueserver.context import RequestContext
from queueserver.rules.attributes import Attributes, parse_stored
from storage import queues
from storage.database import Database
from storage.queues import Queue, QueueChanged

T = TypeVar("T")

_COPIES = 20_000
"""How many copies are kept, of a kilobyte and a half each; then all are thrown away."""

_KEPT_URL_CHARACTERS = 500
"""The longest URL that a copy is kept for; what comes before the last two segments is anything."""


class CachedQueue:
    """A copy of a queue, with its attributes read."""

    __slots__ = (
        "arn",
        "attributes",
        "id",
        "kind",
        "name",
        "queue",
        "revision",
    )

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.id = queue.id
        self.revision = queue.revision
        self.kind = queue.kind
        self.name = queue.name
        self.arn = queue_arn(queue.region, queue.account, queue.name)
        self.attributes: Attributes = parse_stored(queue.attributes)


class QueueCache:
    """The queues of all accounts and regions, by what callers name them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # By the URL as it came, and the account and region that it is understood by.
        self._copies: dict[tuple[str, str, str], CachedQueue] = {}

    async def read(self, context: RequestContext, queue_url: str) -> Queue:
        """Give the queue as the database has it now.

        Raises:
            QueueDoesNotExist: there is none, or the URL names none.
        """
        account, name = parse_queue_url(queue_url)
        key = (account or context.account, context.region, name)
        queue = await self._database.read(queues.find, *key)
        if queue is None:
            raise QueueDoesNotExist
        return queue

    async def on_queue(
        self, context: RequestContext, queue_url: str, act: Callable[[CachedQueue], Awaitable[T]]
    ) -> T:
        """Act on a copy of the queue, and once more for every time it was out of date.

        A copy that is out of date is told of by the database; one that a request is refused by is
        held against what the database has first.

        Raises:
            QueueDoesNotExist: there is none, or the URL names none.
        """
        key = (queue_url, context.account, context.region)
        while True:
            kept = self._copies.get(key)
            queue = kept or await self._copy(context, queue_url)
            try:
                return await act(queue)
            except QueueChanged:
                self._copies.pop(key, None)
            except SQSError:
                if kept is None or await self._is_current(context, queue_url, kept):
                    raise
                self._copies.pop(key, None)

    async def _is_current(self, context: RequestContext, queue_url: str, copy: CachedQueue) -> bool:
        queue = await self.read(context, queue_url)
        return (queue.id, queue.revision) == (copy.id, copy.revision)

    async def change(
        self, context: RequestContext, queue_url: str, change: Callable[[Queue], Awaitable[T]]
    ) -> T:
        """Change the queue as the database has it now, again if somebody was quicker.

        Raises:
            QueueDoesNotExist: there is none, or the URL names none.
        """
        while True:
            queue = await self.read(context, queue_url)
            try:
                result = await change(queue)
            except QueueChanged:
                continue
            # Not because it would be wrong: nobody may ever ask for it again.
            self._copies.pop((queue_url, context.account, context.region), None)
            return result

    async def _copy(self, context: RequestContext, queue_url: str) -> CachedQueue:
        queue = CachedQueue(await self.read(context, queue_url))
        if len(self._copies) >= _COPIES:
            self._copies.clear()
        if len(queue_url) <= _KEPT_URL_CHARACTERS:
            self._copies[queue_url, context.account, context.region] = queue
        return queue
