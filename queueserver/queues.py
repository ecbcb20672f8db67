"""The actions on queues: creation, attributes, tags, listing, purge and deletion."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from protocol import actions
from protocol.errors import (
    InvalidParameterValue,
    MissingParameter,
    PurgeQueueInProgress,
    QueueDeletedRecently,
    QueueDoesNotExist,
    QueueNameExists,
)
from protocol.names import queue_arn, queue_url
from queueserver import attributes, limits
from queueserver.directory import Directory
from queueserver.operations import Caller
from queueserver.seals import Seal
from queueserver.upkeep import Upkeep
from storage import queues
from storage.arrivals import Clock
from storage.database import Database
from storage.queues import Counts, Queue

COOLDOWN_MS = 60_000
"""How long a deleted name is blocked, and a second purge refused, where those rules are on."""


class _Page(msgspec.Struct, array_like=True):
    """What a page token says: what was asked for, and the last name that was given."""

    prefix: str
    max_results: int
    last: str


class Queues:
    """What SQS does with queues; each public method is the action of its name."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        clock: Clock,
        upkeep: Upkeep,
        *,
        cooldowns: bool,
    ) -> None:
        self._database = database
        self._directory = directory
        self._clock = clock
        self._upkeep = upkeep
        self._cooldown_ms = COOLDOWN_MS if cooldowns else 0
        self._seal = Seal(database.secret)

    async def create_queue(
        self, caller: Caller, request: actions.CreateQueue
    ) -> actions.CreateQueueResult:
        """Make a queue, or find one that has every attribute that the request names."""
        limits.queue_name(request.queue_name)
        limits.tags(request.tags or {})
        limits.tag_count(request.queue_name, len(request.tags or {}))
        stored = attributes.parse(request.attributes or {}, {}, creating=True)
        key = (caller.account, caller.region, request.queue_name)
        queue = await self._database.read(queues.find, *key)
        if queue is None:
            await self._refuse_deleted_recently(*key)
            queue = await self._database.write(queues.create, *key, stored, request.tags or {})
        _refuse_difference(request, queue)
        return actions.CreateQueueResult(_url(caller, queue.account, queue.name))

    async def delete_queue(self, caller: Caller, request: actions.DeleteQueue) -> None:
        """End a queue and everything in it."""

        async def delete(queue: Queue) -> None:
            await self._database.write(queues.delete, queue)

        await self._directory.change(caller, request.queue_url, delete)
        self._upkeep.hurry()

    async def purge_queue(self, caller: Caller, request: actions.PurgeQueue) -> None:
        """Delete every message of a queue: visible, in flight and delayed."""

        async def purge(queue: Queue) -> None:
            purged_at_ms = queue.purged_at_ms
            if purged_at_ms is not None and self._clock.now_ms() < purged_at_ms + self._cooldown_ms:
                raise PurgeQueueInProgress(
                    f"Only one PurgeQueue operation on {queue.name} is allowed every 60 seconds."
                )
            await self._database.write(queues.purge, queue)

        await self._directory.change(caller, request.queue_url, purge)
        self._upkeep.hurry()

    async def get_queue_url(
        self, caller: Caller, request: actions.GetQueueUrl
    ) -> actions.GetQueueUrlResult:
        """Find a queue by name, in the caller's account or in one that is named."""
        if not request.queue_name:
            limits.queue_name(request.queue_name)
        account = request.queue_owner_aws_account_id or caller.account
        if not limits.characters_allowed(account + request.queue_name):
            raise QueueDoesNotExist  # and PostgreSQL cannot even be asked
        queue = await self._database.read(queues.find, account, caller.region, request.queue_name)
        if queue is None:
            raise QueueDoesNotExist
        return actions.GetQueueUrlResult(_url(caller, queue.account, queue.name))

    async def list_queues(
        self, caller: Caller, request: actions.ListQueues
    ) -> actions.ListQueuesResult:
        """List the caller's queues by name; in pages only if a page's size is given."""
        limit = limits.max_results(request.max_results)
        limits.next_token(request.next_token, request.max_results)
        page = _Page(request.queue_name_prefix or "", limit, "")
        if request.next_token:
            page.last = self._last_of(caller, request.next_token, page)
        if not limits.characters_allowed(page.prefix):
            return actions.ListQueuesResult()  # PostgreSQL cannot even be asked
        # One more than asked for tells whether another page follows.
        names = await self._database.read(
            queues.page, caller.account, caller.region, page.prefix, page.last, limit + 1
        )
        more = len(names) > limit
        names = names[:limit]
        token = None
        if more and request.max_results is not None:
            page.last = names[-1]
            token = self._seal.close(_page_purpose(caller), msgspec.json.encode(page))
        urls = [_url(caller, caller.account, name) for name in names]
        return actions.ListQueuesResult(urls or None, token)

    def _last_of(self, caller: Caller, token: str, asked: _Page) -> str:
        content = self._seal.open(_page_purpose(caller), token)
        if content is None:
            raise InvalidParameterValue("Invalid or expired next token.")
        page = msgspec.json.decode(content, type=_Page)
        if (page.prefix, page.max_results) != (asked.prefix, asked.max_results):
            raise InvalidParameterValue(
                "Invalid NextToken value. If you are passing in NextToken, "
                "you must not change the other request parameters."
            )
        return page.last

    async def get_queue_attributes(
        self, caller: Caller, request: actions.GetQueueAttributes
    ) -> actions.GetQueueAttributesResult:
        """Read attributes; the counters are counted only if they are asked for."""
        queue = await self._directory.read(caller, request.queue_url)
        counts = Counts(0, 0, 0)
        if attributes.needs_counts(request.attribute_names):
            now_ms = self._clock.now_ms()
            retention_s = attributes.typed(queue.attributes).message_retention_period
            counts = await self._database.read(
                queues.count, queue.id, now_ms, now_ms - retention_s * 1000
            )
        facts = {
            "QueueArn": queue_arn(queue.region, queue.account, queue.name),
            "CreatedTimestamp": str(queue.created_at_ms // 1000),
            "LastModifiedTimestamp": str(queue.modified_at_ms // 1000),
            "ApproximateNumberOfMessages": str(counts.visible),
            "ApproximateNumberOfMessagesNotVisible": str(counts.in_flight),
            "ApproximateNumberOfMessagesDelayed": str(counts.delayed),
        }
        described = attributes.describe(request.attribute_names, queue.attributes, facts)
        return actions.GetQueueAttributesResult(described or None)

    async def set_queue_attributes(
        self, caller: Caller, request: actions.SetQueueAttributes
    ) -> None:
        """Change some attributes, all of them or none."""

        async def change(queue: Queue) -> None:
            if not request.attributes:
                raise MissingParameter("The request must contain the parameter Attribute.Name.")
            stored = attributes.parse(request.attributes, queue.attributes, creating=False)
            await self._database.write(queues.change_attributes, queue, stored)

        await self._directory.change(caller, request.queue_url, change)

    async def tag_queue(self, caller: Caller, request: actions.TagQueue) -> None:
        """Add tags, overwriting those with the same key."""

        async def change(queue: Queue) -> None:
            if not request.tags:
                raise MissingParameter("The request must contain the parameter Tags.")
            limits.tags(request.tags)
            await self._retag(queue, {**queue.tags, **request.tags})

        await self._directory.change(caller, request.queue_url, change)

    async def untag_queue(self, caller: Caller, request: actions.UntagQueue) -> None:
        """Remove tags by key; keys that are not there do not matter."""

        async def change(queue: Queue) -> None:
            limits.tag_keys(request.tag_keys)
            gone = set(request.tag_keys)
            await self._retag(queue, {k: v for k, v in queue.tags.items() if k not in gone})

        await self._directory.change(caller, request.queue_url, change)

    async def _retag(self, queue: Queue, tags: Mapping[str, str]) -> None:
        limits.tag_count(queue.name, len(tags))
        await self._database.write(queues.change_tags, queue, tags)

    async def list_queue_tags(
        self, caller: Caller, request: actions.ListQueueTags
    ) -> actions.ListQueueTagsResult:
        """Read all tags."""
        queue = await self._directory.read(caller, request.queue_url)
        return actions.ListQueueTagsResult(dict(queue.tags) or None)

    async def _refuse_deleted_recently(self, account: str, region: str, name: str) -> None:
        if not self._cooldown_ms:
            return
        deleted_at_ms = await self._database.read(queues.deleted_at_ms, account, region, name)
        if deleted_at_ms is not None and self._clock.now_ms() < deleted_at_ms + self._cooldown_ms:
            raise QueueDeletedRecently


def _refuse_difference(request: actions.CreateQueue, queue: Queue) -> None:
    """Creating a queue twice is fine as long as nothing that is asked for differs."""
    difference = attributes.first_difference(request.attributes or {}, queue.attributes)
    exists = "A queue already exists with the same name and a different value for"
    if difference is not None:
        raise QueueNameExists(f"{exists} attribute {difference}")
    if request.tags and request.tags != queue.tags:
        raise QueueNameExists(f"{exists} tags")


def _url(caller: Caller, account: str, name: str) -> str:
    return queue_url(caller.base_url, account, name)


def _page_purpose(caller: Caller) -> str:
    return f"ListQueues {caller.account} {caller.region}"
