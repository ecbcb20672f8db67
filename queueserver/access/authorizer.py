"""The authorizer: whether the sender of a request may run its action on a queue.

Each action asks it once it has found its queue, with the same state of the queue that the action
then uses. AWS names of permissions are those of the actions; a batch is checked as the single
action.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache

from protocol import actions
from protocol.actions import ACTIONS
from protocol.names import queue_arn
from queueserver.access.denials import Denial
from queueserver.access.modes import AccessMode
from queueserver.context import RequestContext
from queueserver.policies.documents import PolicyKind
from queueserver.policies.errors import PolicyError
from queueserver.policies.evaluation import Decision, Resource, decide
from queueserver.policies.policy import QUEUE_POLICY, Policy, UnreadablePolicy, compile_policy
from queueserver.policies.principals import ANONYMOUS
from queueserver.policies.requests import RequestFacts
from storage.queue_settings import QueueName
from storage.queues import Queue

log = logging.getLogger(__name__)

PERMISSIONS: Mapping[type, str] = {
    action.request: action.name.removesuffix("Batch") for action in ACTIONS.values()
}
"""The permission that each action needs on its queue."""

_SETTING_TAGS = (actions.TagQueue, actions.CreateQueue)
_COMPILED_POLICIES = 200
"""Number of queue policies that are cached; each has at most 8,192 bytes (AWS) as text."""


class Authorizer:
    """Checks the senders of requests by their policies and those of queues.

    If access control is off, `is_on` is False, and every action is allowed. In mode `log`, a denied
    action is logged and allowed. `clock` returns the real time in seconds since the epoch.
    """

    def __init__(self, mode: AccessMode, clock: Callable[[], float]) -> None:
        self.is_on = mode is not AccessMode.OFF
        self._rejects = mode is AccessMode.ON
        self._clock = clock

    def check(self, context: RequestContext, request: object, resource: Resource) -> None:
        """Check that the sender of a request may run its action on a queue.

        Raises:
            AccessDenied: no policy allows it, or one denies it.
        """
        self.check_permission(context, PERMISSIONS[type(request)], resource, request)

    def allows(self, context: RequestContext, request: object, resource: Resource) -> bool:
        """Return whether the policies allow an action on a queue; log nothing, in no mode."""
        if not (self.is_on and context.obeys_policies):
            return True
        return self._decide(context, PERMISSIONS[type(request)], resource, request).allowed

    def check_permission(
        self,
        context: RequestContext,
        permission: str,
        resource: Resource,
        request: object = None,
    ) -> None:
        """Check that the sender of a request has a permission on a queue.

        `request` has the tags that conditions compare, if it is the request of the permission.

        Raises:
            AccessDenied: no policy allows it, or one denies it.
        """
        if not (self.is_on and context.obeys_policies):
            return
        decision = self._decide(context, permission, resource, request)
        if decision.allowed:
            return
        denial = Denial(context, permission, resource, decision)
        if self._rejects:
            raise denial.error()
        log.warning(
            "access would be denied, allowing it in mode log: request_id=%s %s",
            context.request_id,
            denial.fields(),
        )

    def _decide(
        self, context: RequestContext, permission: str, resource: Resource, request: object
    ) -> Decision:
        user = context.user
        principal, policies = (ANONYMOUS, ()) if user is None else (user.principal, user.policies)
        facts = self._facts(context, resource, request)
        return decide(principal, policies, permission, resource, facts)

    def warn_of_policy(self, queue_arn: str, text: str | None) -> None:
        """Log the parts of a queue's new policy that have no effect; `text` was checked before."""
        if self.is_on and text:
            policy = _compiled(text)
            for warning in policy.warnings if isinstance(policy, Policy) else ():
                log.warning("new policy of a queue: queue=%s warning=%s", queue_arn, warning)

    def _facts(self, context: RequestContext, resource: Resource, request: object) -> RequestFacts:
        tags = keys = None
        # Most requests have no tags. A union of types would be made for each of them.
        if isinstance(request, _SETTING_TAGS):
            tags = {key: value or "" for key, value in (request.tags or {}).items()}
            keys = list(tags)
        elif isinstance(request, actions.UntagQueue):
            keys = request.tag_keys
        return RequestFacts(
            context.client_address,
            context.is_secure,
            context.user_agent,
            context.referer,
            self._clock(),
            # A move task can be about queues of another region than that of the signature.
            resource.arn.split(":", 4)[3],
            context.source_arn,
            context.source_account,
            tags,
            keys,
        )


def resource_of(queue: Queue) -> Resource:
    """Return a queue as policies see it."""
    text = queue.attributes.get("Policy")
    arn = queue_arn(queue.region, queue.account, queue.name)
    policy = None if text is None else _compiled(text)
    return Resource(arn, queue.account, queue.tags, policy)


def named_resource(name: QueueName, queue: Queue | None) -> Resource:
    """Return the queue of a name as policies see it; `queue` is None if it does not exist."""
    return missing_resource(name) if queue is None else resource_of(queue)


def missing_resource(name: QueueName) -> Resource:
    """Return a queue that does not exist as policies see it.

    The sender must not learn whether the queue exists, so it needs the same permission.
    """
    return Resource(queue_arn(name.region, name.account, name.name), name.account)


def all_queues(account: str, region: str) -> Resource:
    """Return the resource of ListQueues. AWS: all queues of the account and region."""
    return missing_resource(QueueName(account, region, "*"))


@lru_cache(_COMPILED_POLICIES)
def _compiled(text: str) -> Policy | UnreadablePolicy:
    try:
        return compile_policy(text, PolicyKind.QUEUE, QUEUE_POLICY)
    except PolicyError as error:
        unreadable = UnreadablePolicy(QUEUE_POLICY, str(error))
    log.error(
        "a queue's policy cannot be read, denying all but the account's admins: reason=%s",
        unreadable.reason,
    )
    return unreadable
