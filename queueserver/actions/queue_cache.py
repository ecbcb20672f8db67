"""The queue cache: queues by the URL that requests use for them.

An entry is never invalidated. Every command carries the id and the revision of its queue, and the
database compares them in the command's transaction. If they differ, the entry is stale, and the
action runs again with the current queue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from protocol.errors import QueueDoesNotExist, SQSError
from protocol.names import parse_queue_url, queue_arn
from queueserver.context import RequestContext
from queueserver.rules.attributes import parse_stored
from storage import queues
from storage.database import Database
from storage.queues import Queue, QueueChanged

P = ParamSpec("P")
T = TypeVar("T")

_MAXIMUM_ENTRIES = 20_000
"""Number of entries, of about 1.5 KB each, at which the cache is emptied."""

_MAXIMUM_URL_CHARACTERS = 500
"""Longest URL of an entry; a client can put any text before the last two segments of a URL."""


class CachedQueue:
    """The part of a queue's state that the actions on messages use, as of the last read."""

    __slots__ = ("arn", "attributes", "id", "kind", "name", "revision")

    def __init__(self, queue: Queue) -> None:
        self.id = queue.id
        self.revision = queue.revision
        self.kind = queue.kind
        self.name = queue.name
        self.arn = queue_arn(queue.region, queue.account, queue.name)
        self.attributes = parse_stored(queue.attributes)


class QueueCache:
    """Finds the queue of a request and runs the action with it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # The key is the URL of the request, with the account and region that complete it.
        self._entries: dict[tuple[str, str, str], CachedQueue] = {}

    async def read(self, context: RequestContext, queue_url: str) -> Queue:
        """Return the queue from the database.

        Raises:
            QueueDoesNotExist: there is no such queue, or the URL is not one of a queue.
        """
        account, name = parse_queue_url(queue_url)
        key = (account or context.account, context.region, name)
        queue = await self._database.read(queues.find, *key)
        if queue is None:
            raise QueueDoesNotExist
        return queue

    async def run(
        self,
        context: RequestContext,
        queue_url: str,
        action: Callable[Concatenate[CachedQueue, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `action(queue, ...)` with the cached queue; repeat it if that was stale.

        An action that rejects the request may have done so because the entry is stale. The entry
        is compared with the database before the error is raised.

        Raises:
            QueueDoesNotExist: there is no such queue, or the URL is not one of a queue.
            SQSError: the action rejects the request.
        """
        key = (queue_url, context.account, context.region)
        while True:
            cached = self._entries.get(key)
            queue = cached or await self._load(context, queue_url)
            try:
                return await action(queue, *args, **kwargs)
            except QueueChanged:
                self._entries.pop(key, None)
            except SQSError:
                if cached is None or await self._is_current(context, queue_url, cached):
                    raise
                self._entries.pop(key, None)

    async def change(
        self,
        context: RequestContext,
        queue_url: str,
        change: Callable[Concatenate[Queue, P], Awaitable[None]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Run `change(queue, ...)` with the current queue; repeat it after a concurrent change.

        Raises:
            QueueDoesNotExist: there is no such queue, or the URL is not one of a queue.
            SQSError: the change is rejected.
        """
        while True:
            queue = await self.read(context, queue_url)
            try:
                await change(queue, *args, **kwargs)
            except QueueChanged:
                continue
            # The next request would remove the stale entry, but it may never come.
            self._entries.pop((queue_url, context.account, context.region), None)
            return

    async def _load(self, context: RequestContext, queue_url: str) -> CachedQueue:
        queue = CachedQueue(await self.read(context, queue_url))
        if len(self._entries) >= _MAXIMUM_ENTRIES:
            self._entries.clear()
        if len(queue_url) <= _MAXIMUM_URL_CHARACTERS:
            self._entries[queue_url, context.account, context.region] = queue
        return queue

    async def _is_current(
        self, context: RequestContext, queue_url: str, cached: CachedQueue
    ) -> bool:
        queue = await self.read(context, queue_url)
        return (queue.id, queue.revision) == (cached.id, cached.revision)
