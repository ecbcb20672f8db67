"""The actions on queues: creation, attributes, tags, listing, purge and deletion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from protocol import actions
from protocol.errors import (
    InvalidParameterValue,
    PurgeQueueInProgress,
    QueueDeletedRecently,
    QueueDoesNotExist,
    QueueNameExists,
    missing_parameter,
)
from protocol.names import queue_arn, queue_url
from queueserver.actions.queue_cache import QueueCache
from queueserver.context import RequestContext
from queueserver.rules import attributes, limits, policy_documents, redrive_policies
from queueserver.rules.attributes import typed
from queueserver.rules.receipt_handles import Seal
from storage import queues
from storage.clock import Clock
from storage.database import Database
from storage.messages import counts
from storage.messages.counts import Counts
from storage.queue_settings import QueueName, QueueSettings, Redrive
from storage.queues import Queue

COOLDOWN_MS = 60_000
"""How long a deleted name is blocked, and a second purge refused, where those rules are on."""


class _Page(msgspec.Struct, array_like=True):
    """What a page token says: of what it is a page, and the last name that was given."""

    of: str
    max_results: int
    last: str


class Queues:
    """What SQS does with queues; each public method is the action of its name."""

    def __init__(
        self,
        database: Database,
        directory: QueueCache,
        clock: Clock,
        *,
        cooldowns: bool,
    ) -> None:
        self._database = database
        self._directory = directory
        self._clock = clock
        self._cooldown_ms = COOLDOWN_MS if cooldowns else 0
        self._seal = Seal(database.secret)

    async def create_queue(
        self, context: RequestContext, request: actions.CreateQueue
    ) -> actions.CreateQueueResult:
        """Make a queue, or find one that has every attribute that the request names."""
        requested = limits.entries("Attribute", request.attributes)
        tags = limits.entries("Tag", request.tags)
        stored = attributes.parse(requested, {}, creating=True)
        limits.queue_name(request.queue_name, fifo=attributes.is_fifo(stored))
        limits.tags(tags)
        limits.tag_count(request.queue_name, len(tags))
        key = (context.account, context.region, request.queue_name)
        queue = await self._database.read(queues.find, *key)
        if queue is None:
            await self._refuse_deleted_recently(*key)
            await self._check_redrive(requested, stored, key)
            queue = await self._database.write(
                queues.create, *key, _kind(stored), stored, tags, _settings(stored)
            )
        _refuse_difference(requested, tags, queue)
        return actions.CreateQueueResult(_url(context, queue.account, queue.name))

    async def delete_queue(self, context: RequestContext, request: actions.DeleteQueue) -> None:
        """End a queue and everything in it."""

        async def delete(queue: Queue) -> None:
            await self._database.write(queues.delete, queue)

        await self._directory.change(context, request.queue_url, delete)

    async def purge_queue(self, context: RequestContext, request: actions.PurgeQueue) -> None:
        """Delete every message of a queue: visible, in flight and delayed."""

        async def purge(queue: Queue) -> None:
            purged_at_ms = queue.purged_at_ms
            if purged_at_ms is not None and self._clock.now_ms() < purged_at_ms + self._cooldown_ms:
                raise PurgeQueueInProgress(
                    f"Only one PurgeQueue operation on {queue.name} is allowed every 60 seconds."
                )
            await self._database.write(queues.purge, queue)

        await self._directory.change(context, request.queue_url, purge)

    async def get_queue_url(
        self, context: RequestContext, request: actions.GetQueueUrl
    ) -> actions.GetQueueUrlResult:
        """Find a queue by name, in the caller's account or in one that is named."""
        if not request.queue_name:
            limits.queue_name(request.queue_name)
        account = request.queue_owner_aws_account_id or context.account
        if not limits.characters_allowed(account + request.queue_name):
            raise QueueDoesNotExist  # and PostgreSQL cannot even be asked
        queue = await self._database.read(queues.find, account, context.region, request.queue_name)
        if queue is None:
            raise QueueDoesNotExist
        return actions.GetQueueUrlResult(_url(context, queue.account, queue.name))

    async def list_queues(
        self, context: RequestContext, request: actions.ListQueues
    ) -> actions.ListQueuesResult:
        """List the caller's queues by name; in pages only if a page's size is given."""
        limit = limits.max_results(request.max_results)
        limits.next_token(request.next_token, request.max_results)
        page = _Page(request.queue_name_prefix or "", limit, "")
        purpose = f"ListQueues {context.account} {context.region}"
        if request.next_token:
            page.last = self._last_of(purpose, request.next_token, page)
        if not limits.characters_allowed(page.of):
            return actions.ListQueuesResult()  # PostgreSQL cannot even be asked
        # One more than asked for tells whether another page follows.
        names = await self._database.read(
            queues.list_names, context.account, context.region, page.of, page.last, limit + 1
        )
        names, token = self._turn(page, names, purpose, paged=request.max_results is not None)
        urls = [_url(context, context.account, name) for name in names]
        return actions.ListQueuesResult(urls or None, token)

    def _turn(
        self, page: _Page, names: Sequence[str], purpose: str, *, paged: bool
    ) -> tuple[Sequence[str], str | None]:
        """Cut one page off, and make the token for the next if pages were asked for."""
        more = len(names) > page.max_results
        names = names[: page.max_results]
        if not more or not paged:
            return names, None
        page.last = names[-1]
        return names, self._seal.close(purpose, msgspec.json.encode(page))

    def _last_of(self, purpose: str, token: str, asked: _Page) -> str:
        content = self._seal.open(purpose, token)
        if content is None:
            raise InvalidParameterValue("Invalid or expired next token.")
        page = msgspec.json.decode(content, type=_Page)
        if (page.of, page.max_results) != (asked.of, asked.max_results):
            raise InvalidParameterValue(
                "Invalid NextToken value. If you are passing in NextToken, "
                "you must not change the other request parameters."
            )
        return page.last

    async def get_queue_attributes(
        self, context: RequestContext, request: actions.GetQueueAttributes
    ) -> actions.GetQueueAttributesResult:
        """Read attributes; the counters are counted only if they are asked for."""
        queue = await self._directory.read(context, request.queue_url)
        found = Counts(0, 0, 0)
        if attributes.needs_counts(request.attribute_names):
            found = await self._database.read(counts.count, queue, self._clock.now_ms())
        facts = {
            "QueueArn": queue_arn(queue.region, queue.account, queue.name),
            "CreatedTimestamp": str(queue.created_at_ms // 1000),
            "LastModifiedTimestamp": str(queue.modified_at_ms // 1000),
            "ApproximateNumberOfMessages": str(found.visible),
            "ApproximateNumberOfMessagesNotVisible": str(found.in_flight),
            "ApproximateNumberOfMessagesDelayed": str(found.delayed),
        }
        described = attributes.describe(request.attribute_names, queue.attributes, facts)
        return actions.GetQueueAttributesResult(described or None)

    async def set_queue_attributes(
        self, context: RequestContext, request: actions.SetQueueAttributes
    ) -> None:
        """Change some attributes, all of them or none."""

        async def change(queue: Queue) -> None:
            if not request.attributes:
                raise missing_parameter("Attribute.Name")
            requested = limits.entries("Attribute", request.attributes)
            stored = attributes.parse(requested, queue.attributes, creating=False)
            key = (queue.account, queue.region, queue.name)
            await self._check_redrive(requested, stored, key)
            delay_s = typed(stored).delay_seconds
            is_same = delay_s == typed(queue.attributes).delay_seconds
            await self._database.write(
                queues.change_attributes,
                queue,
                stored,
                _settings(stored),
                None if is_same else delay_s * 1000,
            )

        await self._directory.change(context, request.queue_url, change)

    async def _check_redrive(
        self, requested: Mapping[str, str], stored: Mapping[str, str], key: tuple[str, str, str]
    ) -> None:
        """Hold a new redrive policy against what is true of the dead-letter queue it names."""
        text = requested.get("RedrivePolicy")
        policy = typed(stored).redrive_policy
        if not text or policy is None:
            return
        account, region, name = key
        arn = policy.target
        if arn.account != account:
            raise redrive_policies.other_account(text)
        target = await self._database.read(queues.find, arn.account, arn.region, arn.resource)
        # A wrong partition would name the same queue, and then never be found by the right ARN.
        if target is None or str(arn) != queue_arn(region, target.account, target.name):
            raise redrive_policies.no_such_target(text)
        if (target.kind == queues.STANDARD) != (_kind(stored) == queues.STANDARD):
            raise redrive_policies.type_mismatch(text)
        allowed = typed(target.attributes).redrive_allow_policy
        if allowed is not None and not allowed.allows(queue_arn(region, account, name)):
            raise redrive_policies.not_allowed(text)

    async def list_dead_letter_source_queues(
        self, context: RequestContext, request: actions.ListDeadLetterSourceQueues
    ) -> actions.ListDeadLetterSourceQueuesResult:
        """List the queues whose dead-letter queue this is, by name."""
        queue = await self._directory.read(context, request.queue_url)
        limit = limits.max_results(request.max_results)
        limits.next_token(request.next_token, request.max_results)
        arn = queue_arn(queue.region, queue.account, queue.name)
        page = _Page(arn, limit, "")
        purpose = f"ListDeadLetterSourceQueues {arn}"
        if request.next_token:
            page.last = self._last_of(purpose, request.next_token, page)
        names = await self._database.read(
            queues.list_dead_letter_sources, queue.full_name, page.last, limit + 1
        )
        names, token = self._turn(page, names, purpose, paged=request.max_results is not None)
        urls = [_url(context, queue.account, name) for name in names]
        return actions.ListDeadLetterSourceQueuesResult(urls or None, token)

    async def add_permission(self, context: RequestContext, request: actions.AddPermission) -> None:
        """Append a statement to the queue's policy."""

        async def change(queue: Queue) -> None:
            policy = policy_documents.add_permission(
                queue.attributes.get("Policy"),
                queue_arn(queue.region, queue.account, queue.name),
                request.label or "",
                request.aws_account_ids or [],
                request.actions or [],
            )
            await self._set_policy(queue, policy)

        await self._directory.change(context, request.queue_url, change)

    async def remove_permission(
        self, context: RequestContext, request: actions.RemovePermission
    ) -> None:
        """Remove a statement from the queue's policy, and the policy with the last one."""

        async def change(queue: Queue) -> None:
            if not request.label:
                raise missing_parameter("Label")
            policy = policy_documents.remove_permission(
                queue.attributes.get("Policy"), request.label
            )
            await self._set_policy(queue, policy)

        await self._directory.change(context, request.queue_url, change)

    async def _set_policy(self, queue: Queue, policy: str | None) -> None:
        stored = {name: value for name, value in queue.attributes.items() if name != "Policy"}
        if policy is not None:
            stored["Policy"] = policy
        await self._database.write(queues.change_attributes, queue, stored, _settings(stored))

    async def tag_queue(self, context: RequestContext, request: actions.TagQueue) -> None:
        """Add tags, overwriting those with the same key."""

        async def change(queue: Queue) -> None:
            if not request.tags:
                raise missing_parameter("Tags")
            tags = limits.entries("Tag", request.tags)
            limits.tags(tags)
            await self._retag(queue, {**queue.tags, **tags})

        await self._directory.change(context, request.queue_url, change)

    async def untag_queue(self, context: RequestContext, request: actions.UntagQueue) -> None:
        """Remove tags by key; keys that are not there do not matter."""

        async def change(queue: Queue) -> None:
            gone = set(limits.tag_keys(request.tag_keys))
            await self._retag(queue, {k: v for k, v in queue.tags.items() if k not in gone})

        await self._directory.change(context, request.queue_url, change)

    async def _retag(self, queue: Queue, tags: Mapping[str, str]) -> None:
        limits.tag_count(queue.name, len(tags))
        await self._database.write(queues.change_tags, queue, tags)

    async def list_queue_tags(
        self, context: RequestContext, request: actions.ListQueueTags
    ) -> actions.ListQueueTagsResult:
        """Read all tags."""
        queue = await self._directory.read(context, request.queue_url)
        return actions.ListQueueTagsResult(dict(queue.tags) or None)

    async def _refuse_deleted_recently(self, account: str, region: str, name: str) -> None:
        if not self._cooldown_ms:
            return
        deleted_at_ms = await self._database.read(queues.deleted_at_ms, account, region, name)
        if deleted_at_ms is not None and self._clock.now_ms() < deleted_at_ms + self._cooldown_ms:
            raise QueueDeletedRecently


def _refuse_difference(requested: Mapping[str, str], tags: Mapping[str, str], queue: Queue) -> None:
    """Creating a queue twice is fine as long as nothing that is asked for differs."""
    difference = attributes.first_difference(requested, queue.attributes)
    exists = "A queue already exists with the same name and a different value for"
    if difference is not None:
        raise QueueNameExists(f"{exists} attribute {difference}")
    if tags and tags != queue.tags:
        raise QueueNameExists(f"{exists} tags")


def _url(context: RequestContext, account: str, name: str) -> str:
    return queue_url(context.base_url, account, name)


def _kind(stored: Mapping[str, str]) -> str:
    """Tell what kind of queue attributes make, which holds for good.

    AWS goes on deduplicating as it was created to, whatever DeduplicationScope is set to later.
    """
    if not attributes.is_fifo(stored):
        return queues.STANDARD
    by_group = stored.get("DeduplicationScope") == "messageGroup"
    return queues.FIFO_BY_GROUP if by_group else queues.FIFO


def _settings(stored: Mapping[str, str]) -> QueueSettings:
    """Return what storage applies of a queue's stored attributes."""
    values = typed(stored)
    redrive, policy = None, values.redrive_policy
    if policy is not None:
        arn = policy.target
        target = QueueName(arn.account, arn.region, arn.resource)
        redrive = Redrive(target, policy.max_receive_count)
    return QueueSettings(values.message_retention_period * 1000, redrive)
