"""The actions on queues: creation, attributes, tags, lists, purge and deletion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protocol import actions
from protocol.errors import (
    AccessDenied,
    PurgeQueueInProgress,
    QueueDeletedRecently,
    QueueDoesNotExist,
    QueueNameExists,
    missing_parameter,
)
from protocol.names import queue_arn, queue_url
from queueserver.access.authorizer import (
    Authorizer,
    all_queues,
    named_resource,
)
from queueserver.actions.queue_cache import QueueCache
from queueserver.context import RequestContext
from queueserver.rules import attributes, queue_parameters, redrive_policies
from queueserver.rules.limits import COOLDOWN_SECONDS
from queueserver.rules.page_tokens import Listing, decode_page_token, encode_page_token
from queueserver.rules.parameters import ACCOUNT, parse_text_map
from queueserver.rules.policy_documents import policy_of_queue
from storage import queues
from storage.clock import Clock
from storage.database import Database
from storage.messages import counts
from storage.messages.counts import Counts
from storage.queue_settings import QueueName
from storage.queues import Queue


class Queues:
    """The actions on queues; each public method is the action of its name.

    With `cooldowns`, a queue can be purged once in 60 s, and a name can be used again 60 s after
    its queue was deleted (AWS: both rules).
    """

    def __init__(
        self,
        database: Database,
        cache: QueueCache,
        authorizer: Authorizer,
        clock: Clock,
        *,
        cooldowns: bool,
    ) -> None:
        self._database = database
        self._cache = cache
        self._authorizer = authorizer
        self._clock = clock
        self._cooldown_ms = COOLDOWN_SECONDS * 1000 if cooldowns else 0

    async def create_queue(
        self, context: RequestContext, request: actions.CreateQueue
    ) -> actions.CreateQueueResult:
        """Create a queue, or return the existing one if its requested attributes are the same.

        AWS: tags need the permission of TagQueue, too.
        """
        requested = attributes.parse_request(request.attributes)
        with policy_of_queue(queue_arn(context.region, context.account, request.queue_name)):
            stored = attributes.parse_requested(requested, {}, creating=True)
        queue_parameters.check_queue_name(request.queue_name, is_fifo=attributes.is_fifo(stored))
        queue_parameters.check_tag_count(request.queue_name, len(request.tags or ()))
        tags = parse_text_map("Tag", request.tags)
        queue_parameters.check_tags(tags)
        name = QueueName(context.account, context.region, request.queue_name)
        queue = await self._database.read(queues.find, *name)
        if self._authorizer.is_on:
            resource = named_resource(name, queue)
            self._authorizer.check(context, request, resource)
            if tags:
                self._authorizer.check_permission(context, "TagQueue", resource, request)
        if queue is None:
            await self._check_cooldown(name)
            await self._check_redrive(context, requested, stored, name)
            queue = await self._database.write(
                queues.create,
                *name,
                attributes.queue_kind(stored),
                stored,
                tags,
                attributes.queue_settings(stored),
            )
            self._authorizer.warn_of_policy(_arn(queue), stored.get("Policy"))
        _check_same(queue, requested, stored, tags)
        return actions.CreateQueueResult(_url(context, queue.account, queue.name))

    async def _check_cooldown(self, name: QueueName) -> None:
        """Reject the name of a queue that was deleted less than 60 s ago."""
        if not self._cooldown_ms:
            return
        deleted_at_ms = await self._database.read(queues.deleted_at_ms, *name)
        if deleted_at_ms is not None and self._clock.now_ms() < deleted_at_ms + self._cooldown_ms:
            raise QueueDeletedRecently

    async def _check_redrive(
        self,
        context: RequestContext,
        requested: Mapping[str, str],
        stored: Mapping[str, str],
        source: QueueName,
    ) -> None:
        """Reject a requested redrive policy if `source` cannot use its dead-letter queue.

        AWS: the target must exist in the source's account and region, be of the same type, and
        allow the source. With access control, the sender must be allowed to send to the target
        [design], because it could send there by receiving from the source.
        """
        text = requested.get("RedrivePolicy")
        policy = attributes.parse_stored(stored).redrive_policy
        if not text or policy is None:
            return
        arn = policy.target
        if arn.account != source.account:
            raise redrive_policies.target_account_error(text)
        target_name = QueueName(arn.account, arn.region, arn.resource)
        target = await self._database.read(queues.find, *target_name)
        if self._authorizer.is_on:
            resource = named_resource(target_name, target)
            self._authorizer.check_permission(context, "SendMessage", resource)
        # Comparing ARNs also rejects a wrong partition, which the lookup does not see.
        if target is None or str(arn) != queue_arn(source.region, target.account, target.name):
            raise redrive_policies.missing_target_error(text)
        is_standard = attributes.queue_kind(stored) == queues.STANDARD
        if (target.kind == queues.STANDARD) != is_standard:
            raise redrive_policies.target_type_error(text)
        allowed = attributes.parse_stored(target.attributes).redrive_allow_policy
        source_arn = queue_arn(source.region, source.account, source.name)
        if allowed is not None and not allowed.allows(source_arn):
            raise redrive_policies.target_denied_error(text)

    async def delete_queue(self, context: RequestContext, request: actions.DeleteQueue) -> None:
        """Delete a queue and its messages."""
        await self._cache.change(context, request, self._delete)

    async def _delete(self, queue: Queue) -> None:
        await self._database.write(queues.delete, queue)

    async def purge_queue(self, context: RequestContext, request: actions.PurgeQueue) -> None:
        """Delete every message of a queue, visible or not."""
        await self._cache.change(context, request, self._purge)

    async def _purge(self, queue: Queue) -> None:
        purged_at_ms = queue.purged_at_ms
        if purged_at_ms is not None and self._clock.now_ms() < purged_at_ms + self._cooldown_ms:
            raise PurgeQueueInProgress(
                f"Only one PurgeQueue operation on {queue.name} is allowed every "
                f"{COOLDOWN_SECONDS} seconds."
            )
        await self._database.write(queues.purge, queue)

    async def get_queue_url(
        self, context: RequestContext, request: actions.GetQueueUrl
    ) -> actions.GetQueueUrlResult:
        """Look up a queue by name, in the given account or in that of the request context.

        Raises:
            QueueDoesNotExist: there is no such queue, or the sender may not know the URL of a queue
                of another account.
            InvalidParameterValue: the name is missing or empty.
            AccessDenied: the sender may not know the URL of a queue of its account.
        """
        if not request.queue_name:
            queue_parameters.check_queue_name(request.queue_name)
        account = request.queue_owner_aws_account_id or context.account
        # PostgreSQL cannot look up every text.
        if not (queue_parameters.is_queue_name(request.queue_name) and ACCOUNT.fullmatch(account)):
            raise QueueDoesNotExist
        name = QueueName(account, context.region, request.queue_name)
        queue = await self._database.read(queues.find, *name)
        if self._authorizer.is_on:
            self._check_url_access(context, request, name, queue)
        if queue is None:
            raise QueueDoesNotExist
        return actions.GetQueueUrlResult(_url(context, queue.account, queue.name))

    def _check_url_access(
        self,
        context: RequestContext,
        request: actions.GetQueueUrl,
        name: QueueName,
        queue: Queue | None,
    ) -> None:
        """Check access to the URL of a queue.

        AWS: an account does not learn which queues of other accounts exist.
        """
        try:
            self._authorizer.check(context, request, named_resource(name, queue))
        except AccessDenied as error:
            if name.account == context.account or context.user is None:
                raise
            raise QueueDoesNotExist(
                "The specified queue does not exist or you do not have access to it.",
                denial=error.denial,
            ) from None

    async def list_queues(
        self, context: RequestContext, request: actions.ListQueues
    ) -> actions.ListQueuesResult:
        """List the queues of the account and region by name, as a whole or in pages.

        AWS: it lists them all, whatever else the sender may do with them.
        """
        if self._authorizer.is_on:
            listed = all_queues(context.account, context.region)
            self._authorizer.check(context, request, listed)
        limit = queue_parameters.parse_max_results(request.max_results)
        queue_parameters.check_next_token(request.next_token, request.max_results)
        prefix = request.queue_name_prefix or ""
        listing = Listing(f"ListQueues {context.account} {context.region}", prefix, limit)
        after = self._parse_start(listing, request.next_token)
        if not queue_parameters.is_queue_name_prefix(prefix):
            return actions.ListQueuesResult()  # PostgreSQL cannot look up every text.
        names = await self._database.read(
            queues.list_names, context.account, context.region, prefix, after, limit + 1
        )
        page, token = self._cut_page(listing, names, has_pages=request.max_results is not None)
        urls = [_url(context, context.account, name) for name in page]
        return actions.ListQueuesResult(urls or None, token)

    async def list_dead_letter_source_queues(
        self, context: RequestContext, request: actions.ListDeadLetterSourceQueues
    ) -> actions.ListDeadLetterSourceQueuesResult:
        """List the queues that use this one as their dead-letter queue, by name."""
        queue = await self._cache.read(context, request)
        limit = queue_parameters.parse_max_results(request.max_results)
        queue_parameters.check_next_token(request.next_token, request.max_results)
        arn = _arn(queue)
        listing = Listing(f"ListDeadLetterSourceQueues {arn}", arn, limit)
        after = self._parse_start(listing, request.next_token)
        names = await self._database.read(
            queues.list_dead_letter_sources, queue.full_name, after, limit + 1
        )
        page, token = self._cut_page(listing, names, has_pages=request.max_results is not None)
        urls = [_url(context, queue.account, name) for name in page]
        return actions.ListDeadLetterSourceQueuesResult(urls or None, token)

    def _parse_start(self, listing: Listing, token: str | None) -> str:
        """Return the name after which a page begins; without a token, the list begins."""
        return decode_page_token(self._database.secret, listing, token) if token else ""

    def _cut_page(
        self, listing: Listing, names: Sequence[str], *, has_pages: bool
    ) -> tuple[Sequence[str], str | None]:
        """Return one page of the names, and the token for the next page or None.

        `names` has one name more than a page if there is a next page. AWS: without MaxResults
        there is no token.
        """
        page = names[: listing.max_results]
        if len(names) == len(page) or not has_pages:
            return page, None
        return page, encode_page_token(self._database.secret, listing, page[-1])

    async def get_queue_attributes(
        self, context: RequestContext, request: actions.GetQueueAttributes
    ) -> actions.GetQueueAttributesResult:
        """Return the requested attributes; the messages are counted only for their counts."""
        queue = await self._cache.read(context, request)
        attributes.check_names(request.attribute_names)
        found = Counts(0, 0, 0)
        if attributes.needs_counts(request.attribute_names):
            found = await self._database.read(counts.count, queue, self._clock.now_ms())
        facts = {
            "QueueArn": _arn(queue),
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
        """Change the given attributes, all or none of them."""
        await self._cache.change(context, request, self._set_attributes, context, request)

    async def _set_attributes(
        self, queue: Queue, context: RequestContext, request: actions.SetQueueAttributes
    ) -> None:
        if not request.attributes:
            raise missing_parameter("Attribute.Name")
        requested = attributes.parse_request(request.attributes)
        with policy_of_queue(_arn(queue)):
            stored = attributes.parse_requested(requested, queue.attributes, creating=False)
        await self._check_redrive(context, requested, stored, queue.full_name)
        settings = attributes.queue_settings(stored)
        await self._database.write(queues.change_attributes, queue, stored, settings)
        self._authorizer.warn_of_policy(_arn(queue), requested.get("Policy"))

    async def tag_queue(self, context: RequestContext, request: actions.TagQueue) -> None:
        """Add tags to a queue; a tag replaces an existing one with the same key."""
        await self._cache.change(context, request, self._tag, request)

    async def _tag(self, queue: Queue, request: actions.TagQueue) -> None:
        if not request.tags:
            raise missing_parameter("Tags")
        queue_parameters.check_tag_count(queue.name, len(request.tags))
        tags = parse_text_map("Tag", request.tags)
        queue_parameters.check_tags(tags)
        await self._change_tags(queue, {**queue.tags, **tags})

    async def untag_queue(self, context: RequestContext, request: actions.UntagQueue) -> None:
        """Remove tags by key. AWS: a key that no tag has is ignored."""
        await self._cache.change(context, request, self._untag, request)

    async def _untag(self, queue: Queue, request: actions.UntagQueue) -> None:
        keys = set(queue_parameters.parse_tag_keys(request.tag_keys))
        tags = {key: value for key, value in queue.tags.items() if key not in keys}
        await self._change_tags(queue, tags)

    async def _change_tags(self, queue: Queue, tags: Mapping[str, str]) -> None:
        queue_parameters.check_tag_count(queue.name, len(tags))
        await self._database.write(queues.change_tags, queue, tags)

    async def list_queue_tags(
        self, context: RequestContext, request: actions.ListQueueTags
    ) -> actions.ListQueueTagsResult:
        """Return all tags of a queue."""
        queue = await self._cache.read(context, request)
        return actions.ListQueueTagsResult(dict(queue.tags) or None)


def _check_same(
    queue: Queue,
    requested: Mapping[str, str],
    wanted: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:
    """Reject the creation of a queue that exists with another requested attribute or tag.

    `wanted` has the attributes that the request would store.

    Raises:
        QueueNameExists: an attribute or the tags differ.
    """
    difference = attributes.find_difference(requested, wanted, queue.attributes)
    exists = "A queue already exists with the same name and a different value for"
    if difference is not None:
        raise QueueNameExists(f"{exists} attribute {difference}")
    if tags and tags != queue.tags:
        raise QueueNameExists(f"{exists} tags")


def _arn(queue: Queue) -> str:
    return queue_arn(queue.region, queue.account, queue.name)


def _url(context: RequestContext, account: str, name: str) -> str:
    return queue_url(context.base_url, account, name)
