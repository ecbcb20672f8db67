"""The queue cache: queues by account, region and name, however a request spells their URL.

An entry is never invalidated. Every command carries the id and the revision of its queue, and the
database compares them in the command's transaction. If they differ, the entry is stale, and the
action runs again with the current queue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar

import msgspec

from protocol.errors import QueueDoesNotExist, SQSError
from protocol.names import parse_queue_url, queue_arn
from queueserver.access.authorizer import Authorizer, named_resource, resource_of
from queueserver.context import RequestContext
from queueserver.encryption.queue_encryption import NO_ENCRYPTION, QueueEncryption
from queueserver.policies.evaluation import Resource
from queueserver.rules.attributes import parse_stored
from queueserver.rules.signed_tokens import TokenSigner
from storage import queues
from storage.database import Database
from storage.queue_settings import QueueName
from storage.queues import Queue, QueueChanged

P = ParamSpec("P")
T = TypeVar("T")

_Name: TypeAlias = tuple[str, str, str]
"""The account, region and name of a queue."""

_MAXIMUM_WEIGHT = 20_000
"""Sum of the weights of the entries at which the cache is emptied."""

_WEIGHED_BYTES = 200
"""Bytes of tags, policy and texts that weigh as much as an entry without, of at most 1.5 KB."""

_ENCRYPTION_ATTRIBUTES = {"KmsMasterKeyId", "SqsManagedSseEnabled"}

_PARSED_URLS = 4_096
_PARSED_URL_CHARACTERS = 256
"""Number and length of the URLs whose parsing is remembered: at most 1.5 KB each."""

_parse_usual_url = lru_cache(_PARSED_URLS)(parse_queue_url)


class CachedQueue:
    """The part of a queue's state that the actions on messages use, as of the last read.

    Its size is bounded. Tags and policies take up to 100 KB: only `resource` has the tags and the
    access policy, and it is None if access control is off. `encryption` says how messages that are
    sent to the queue are encrypted.
    """

    __slots__ = (
        "arn",
        "attributes",
        "encryption",
        "id",
        "kind",
        "name",
        "resource",
        "revision",
        "signer",
        "weight",
    )

    def __init__(
        self,
        queue: Queue,
        secret: bytes,
        encryption: QueueEncryption = NO_ENCRYPTION,
        resource: Resource | None = None,
    ) -> None:
        self.id = queue.id
        self.revision = queue.revision
        self.kind = queue.kind
        self.name = queue.name
        self.arn = queue_arn(queue.region, queue.account, queue.name)
        attributes = parse_stored(queue.attributes)
        is_asked_for = not _ENCRYPTION_ATTRIBUTES.isdisjoint(queue.attributes)
        self.encryption = encryption.of(queue.full_name, attributes, is_asked_for=is_asked_for)
        self.attributes = msgspec.structs.replace(
            attributes, redrive_policy=None, redrive_allow_policy=None, kms_master_key_id=None
        )
        self.signer = TokenSigner(secret, self.arn)
        self.resource = resource
        self.weight = 1 + len(self.encryption.error or "") // _WEIGHED_BYTES
        if resource is not None:
            policy = queue.attributes.get("Policy", "")
            size = len(policy) + sum(len(key) + len(value) for key, value in queue.tags.items())
            self.weight += size // _WEIGHED_BYTES


class QueueRequest(Protocol):
    """The request of an action on one queue."""

    queue_url: str


class QueueCache:
    """Finds the queue of a request, checks access to it, and runs the action with it."""

    def __init__(
        self,
        database: Database,
        authorizer: Authorizer,
        encryption: QueueEncryption = NO_ENCRYPTION,
    ) -> None:
        self._database = database
        self._authorizer = authorizer
        self._encryption = encryption
        self._entries: dict[_Name, CachedQueue] = {}
        self._weight = 0

    def use_encryption(self, encryption: QueueEncryption) -> None:
        """Encrypt messages by other rules from now on."""
        self._encryption = encryption
        self._entries.clear()
        self._weight = 0

    async def read(self, context: RequestContext, request: QueueRequest) -> Queue:
        """Return the queue from the database.

        Raises:
            QueueDoesNotExist: there is no such queue, or the URL is not one of a queue.
            AccessDenied: the sender may not run the action on the queue.
        """
        return await self._find(context, request, _name_of(context, request.queue_url))

    def cached(self, context: RequestContext, request: QueueRequest) -> CachedQueue | None:
        """Return the cached queue, which may be stale.

        None means that the queue is not in the cache, or that the sender may not run the action on
        it, perhaps because the entry is stale: `run` must run the action, or raise the error.

        Raises:
            QueueDoesNotExist: no queue can have this URL.
        """
        queue = self._entries.get(_name_of(context, request.queue_url))
        if queue is None or queue.resource is None:
            return queue
        return queue if self._authorizer.allows(context, request, queue.resource) else None

    async def run(
        self,
        context: RequestContext,
        request: QueueRequest,
        action: Callable[Concatenate[CachedQueue, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `action(queue, ...)` with the cached queue; repeat it if that was stale.

        An action that rejects the request may have done so because the entry is stale, and so may
        its policy. The entry is compared with the database before the error is raised.

        Raises:
            QueueDoesNotExist: there is no such queue, or the URL is not one of a queue.
            AccessDenied: the sender may not run the action on the queue.
            SQSError: the action rejects the request.
        """
        name = _name_of(context, request.queue_url)
        while True:
            cached = self._entries.get(name)
            queue = cached or await self._load(context, request, name)
            try:
                if cached is not None and cached.resource is not None:
                    self._authorizer.check(context, request, cached.resource)
                return await action(queue, *args, **kwargs)
            except QueueChanged:
                self._remove(name)
            except SQSError:
                if cached is None or await self._is_current(name, cached):
                    raise
                self._remove(name)

    async def change(
        self,
        context: RequestContext,
        request: QueueRequest,
        change: Callable[Concatenate[Queue, P], Awaitable[None]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Run `change(queue, ...)` with the current queue; repeat it after a concurrent change.

        Raises:
            QueueDoesNotExist: there is no such queue, or the URL is not one of a queue.
            AccessDenied: the sender may not run the action on the queue.
            SQSError: the change is rejected.
        """
        name = _name_of(context, request.queue_url)
        while True:
            queue = await self._find(context, request, name)
            try:
                await change(queue, *args, **kwargs)
            except QueueChanged:
                continue
            # The next request would remove the stale entry, but it may never come.
            self._remove(name)
            return

    async def _load(
        self, context: RequestContext, request: QueueRequest, name: _Name
    ) -> CachedQueue:
        found = await self._find(context, request, name)
        resource = resource_of(found) if self._authorizer.is_on else None
        queue = CachedQueue(found, self._database.secret, self._encryption, resource)
        self._remove(name)
        if self._weight + queue.weight > _MAXIMUM_WEIGHT:
            self._entries.clear()
            self._weight = 0
        self._entries[name] = queue
        self._weight += queue.weight
        return queue

    def _remove(self, name: _Name) -> None:
        removed = self._entries.pop(name, None)
        if removed is not None:
            self._weight -= removed.weight

    async def _is_current(self, name: _Name, cached: CachedQueue) -> bool:
        """Return whether the queue still has the state of its entry."""
        queue = await self._database.read(queues.find, *name)
        return queue is not None and (queue.id, queue.revision) == (cached.id, cached.revision)

    async def _find(self, context: RequestContext, request: QueueRequest, name: _Name) -> Queue:
        """Return the queue from the database, if the sender may run the action on it.

        Raises:
            QueueDoesNotExist: there is no such queue, and the sender may know it.
            AccessDenied: the sender may not run the action on the queue.
        """
        queue = await self._database.read(queues.find, *name)
        if self._authorizer.is_on:
            self._authorizer.check(context, request, named_resource(QueueName(*name), queue))
        if queue is None:
            raise QueueDoesNotExist
        return queue


def _name_of(context: RequestContext, queue_url: str) -> _Name:
    """Return the account, region and name of the queue that a URL means.

    Raises:
        QueueDoesNotExist: no queue can have this URL.
    """
    is_usual = len(queue_url) <= _PARSED_URL_CHARACTERS
    account, name = (_parse_usual_url if is_usual else parse_queue_url)(queue_url)
    return account or context.account, context.region, name
