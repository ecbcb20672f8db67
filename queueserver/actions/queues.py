"""The actions on queues: creation, attributes, tags, listing, purge and deletion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protocol import actions
from protocol.errors import (
    PurgeQueueInProgress,
    QueueDeletedRecently,
    QueueDoesNotExist,
    QueueNameExists,
    missing_parameter,
)
from protocol.names import queue_arn, queue_url
from queueserver.actions.queue_cache import QueueCache
from queueserver.context import RequestContext
from queueserver.rules import attributes, permissions, queue_parameters, redrive_policies
from queueserver.rules.attributes import parse_stored
from queueserver.rules.limits import COOLDOWN_SECONDS
from queueserver.rules.page_tokens import Listing, decode_page_token, encode_page_token
from queueserver.rules.parameters import is_xml_text, parse_text_map
from queueserver.rules.signed_tokens import TokenSigner
from storage import queues
from storage.clock import Clock
from storage.database import Database
from storage.messages import counts
from storage.messages.counts import Counts
from storage.queue_settings import QueueName, QueueSettings, Redrive
from storage.queues import Queue


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
        self._cooldown_ms = COOLDOWN_SECONDS * 1000 if cooldowns else 0
        self._signer = TokenSigner(database.secret)

    async def create_queue(
        self, context: RequestContext, request: actions.CreateQueue
    ) -> actions.CreateQueueResult:
        """Make a queue, or find one that has every attribute that the request names."""
        requested = parse_text_map("Attribute", request.attributes)
        tags = parse_text_map("Tag", request.tags)
        stored = attributes.parse_requested(requested, {}, creating=True)
        queue_parameters.check_queue_name(request.queue_name, is_fifo=attributes.is_fifo(stored))
        queue_parameters.check_tags(tags)
        queue_parameters.check_tag_count(request.queue_name, len(tags))
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
            queue_parameters.check_queue_name(request.queue_name)
        account = request.queue_owner_aws_account_id or context.account
        if not is_xml_text(account + request.queue_name):
            raise QueueDoesNotExist  # and PostgreSQL cannot even be asked
        queue = await self._database.read(queues.find, account, context.region, request.queue_name)
        if queue is None:
            raise QueueDoesNotExist
        return actions.GetQueueUrlResult(_url(context, queue.account, queue.name))

    async def list_queues(
        self, context: RequestContext, request: actions.ListQueues
    ) -> actions.ListQueuesResult:
        """List the caller's queues by name; in pages only if a page's size is given."""
        limit = queue_parameters.parse_max_results(request.max_results)
        queue_parameters.check_next_token(request.next_token, request.max_results)
        prefix = request.queue_name_prefix or ""
        listing = Listing(f"ListQueues {context.account} {context.region}", prefix, limit)
        after = self._start(listing, request.next_token)
        if not is_xml_text(prefix):
            return actions.ListQueuesResult()  # PostgreSQL cannot even be asked
        # One more than asked for tells whether another page follows.
        names = await self._database.read(
            queues.list_names, context.account, context.region, prefix, after, limit + 1
        )
        names, token = self._page(listing, names, paged=request.max_results is not None)
        urls = [_url(context, context.account, name) for name in names]
        return actions.ListQueuesResult(urls or None, token)

    def _start(self, listing: Listing, token: str | None) -> str:
        """Return the name after which a page begins; the first page has no token."""
        return decode_page_token(self._signer, listing, token) if token else ""

    def _page(
        self, listing: Listing, names: Sequence[str], *, paged: bool
    ) -> tuple[Sequence[str], str | None]:
        """Cut the names to one page; return it with the token of the next page, if there is one.

        AWS: there is no token unless the request has MaxResults.
        """
        page = names[: listing.max_results]
        if len(names) == len(page) or not paged:
            return page, None
        return page, encode_page_token(self._signer, listing, page[-1])

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
            requested = parse_text_map("Attribute", request.attributes)
            stored = attributes.parse_requested(requested, queue.attributes, creating=False)
            key = (queue.account, queue.region, queue.name)
            await self._check_redrive(requested, stored, key)
            delay_s = parse_stored(stored).delay_seconds
            is_same = delay_s == parse_stored(queue.attributes).delay_seconds
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
        policy = parse_stored(stored).redrive_policy
        if not text or policy is None:
            return
        account, region, name = key
        arn = policy.target
        if arn.account != account:
            raise redrive_policies.target_account_error(text)
        target = await self._database.read(queues.find, arn.account, arn.region, arn.resource)
        # A wrong partition would name the same queue, and then never be found by the right ARN.
        if target is None or str(arn) != queue_arn(region, target.account, target.name):
            raise redrive_policies.missing_target_error(text)
        if (target.kind == queues.STANDARD) != (_kind(stored) == queues.STANDARD):
            raise redrive_policies.target_type_error(text)
        allowed = parse_stored(target.attributes).redrive_allow_policy
        if allowed is not None and not allowed.allows(queue_arn(region, account, name)):
            raise redrive_policies.target_denied_error(text)

    async def list_dead_letter_source_queues(
        self, context: RequestContext, request: actions.ListDeadLetterSourceQueues
    ) -> actions.ListDeadLetterSourceQueuesResult:
        """List the queues whose dead-letter queue this is, by name."""
        queue = await self._directory.read(context, request.queue_url)
        limit = queue_parameters.parse_max_results(request.max_results)
        queue_parameters.check_next_token(request.next_token, request.max_results)
        arn = queue_arn(queue.region, queue.account, queue.name)
        listing = Listing(f"ListDeadLetterSourceQueues {arn}", arn, limit)
        after = self._start(listing, request.next_token)
        names = await self._database.read(
            queues.list_dead_letter_sources, queue.full_name, after, limit + 1
        )
        names, token = self._page(listing, names, paged=request.max_results is not None)
        urls = [_url(context, queue.account, name) for name in names]
        return actions.ListDeadLetterSourceQueuesResult(urls or None, token)

    async def add_permission(self, context: RequestContext, request: actions.AddPermission) -> None:
        """Append a statement to the queue's policy."""

        async def change(queue: Queue) -> None:
            policy = permissions.add_permission(
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
            policy = permissions.remove_permission(queue.attributes.get("Policy"), request.label)
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
            tags = parse_text_map("Tag", request.tags)
            queue_parameters.check_tags(tags)
            await self._retag(queue, {**queue.tags, **tags})

        await self._directory.change(context, request.queue_url, change)

    async def untag_queue(self, context: RequestContext, request: actions.UntagQueue) -> None:
        """Remove tags by key; keys that are not there do not matter."""

        async def change(queue: Queue) -> None:
            gone = set(queue_parameters.parse_tag_keys(request.tag_keys))
            await self._retag(queue, {k: v for k, v in queue.tags.items() if k not in gone})

        await self._directory.change(context, request.queue_url, change)

    async def _retag(self, queue: Queue, tags: Mapping[str, str]) -> None:
        queue_parameters.check_tag_count(queue.name, len(tags))
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
    difference = attributes.find_difference(requested, queue.attributes)
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
    values = parse_stored(stored)
    redrive, policy = None, values.redrive_policy
    if policy is not None:
        arn = policy.target
        target = QueueName(arn.account, arn.region, arn.resource)
        redrive = Redrive(target, policy.max_receive_count)
    return QueueSettings(values.message_retention_period * 1000, redrive)
