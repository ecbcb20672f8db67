"""The actions on permissions, which change statements of a queue's access policy."""

from __future__ import annotations

from protocol import actions
from protocol.errors import missing_parameter
from protocol.names import queue_arn
from queueserver.actions.queue_cache import QueueCache
from queueserver.context import RequestContext
from queueserver.rules import attributes, permissions
from queueserver.rules.policy_documents import policy_of_queue
from storage import queues
from storage.database import Database
from storage.queues import Queue


class Permissions:
    """The actions on permissions; each public method is the action of its name."""

    def __init__(self, database: Database, cache: QueueCache) -> None:
        self._database = database
        self._cache = cache

    async def add_permission(self, context: RequestContext, request: actions.AddPermission) -> None:
        """Append a statement to the queue's policy."""
        await self._cache.change(context, request, self._add, request)

    async def _add(self, queue: Queue, request: actions.AddPermission) -> None:
        arn = queue_arn(queue.region, queue.account, queue.name)
        with policy_of_queue(arn):
            policy = permissions.add_permission(
                queue.attributes.get("Policy"),
                arn,
                request.label or "",
                request.aws_account_ids or [],
                request.actions or [],
            )
        await self._set_policy(queue, policy)

    async def remove_permission(
        self, context: RequestContext, request: actions.RemovePermission
    ) -> None:
        """Remove a statement from the queue's policy, and the policy with its last statement."""
        await self._cache.change(context, request, self._remove, request)

    async def _remove(self, queue: Queue, request: actions.RemovePermission) -> None:
        if not request.label:
            raise missing_parameter("Label")
        with policy_of_queue(queue_arn(queue.region, queue.account, queue.name)):
            policy = permissions.remove_permission(queue.attributes.get("Policy"), request.label)
        await self._set_policy(queue, policy)

    async def _set_policy(self, queue: Queue, policy: str | None) -> None:
        stored = {name: value for name, value in queue.attributes.items() if name != "Policy"}
        if policy is not None:
            stored["Policy"] = policy
        settings = attributes.queue_settings(stored)
        await self._database.write(queues.change_attributes, queue, stored, settings)
