"""Denials: the error that a client gets for an action that no policy allows, and the log's words.

The client gets AWS's text. The operator's note names the statement that decided; if none did, the
Allow whose condition is not met.
"""

from __future__ import annotations

from typing import NamedTuple

from protocol.errors import AccessDenied
from protocol.names import queue_url
from queueserver.context import RequestContext
from queueserver.policies.evaluation import Decision, Reason, Resource

_BECAUSE = {
    Reason.EXPLICIT_DENY_IDENTITY: "with an explicit deny in an identity-based policy",
    Reason.EXPLICIT_DENY_RESOURCE: "with an explicit deny in a resource-based policy",
    Reason.UNREADABLE_RESOURCE_POLICY: "with an explicit deny in a resource-based policy",
    Reason.NO_IDENTITY_ALLOW: "because no identity-based policy allows the {} action",
    Reason.NO_RESOURCE_ALLOW: "because no resource-based policy allows the {} action",
}
"""The ends of AWS's texts."""


class Denial(NamedTuple):
    """An action that is denied to the sender of a request."""

    context: RequestContext
    permission: str
    resource: Resource
    decision: Decision

    def error(self) -> AccessDenied:
        """Return AWS's error. AWS writes the action in lower case, and names no anonymous user."""
        user = self.context.user
        if user is None:
            text = f"Access to the resource {self._url()} is denied."
        else:
            action = f"sqs:{self.permission.lower()}"
            because = _BECAUSE[self.decision.reason].format(action)
            text = (
                f"User: {user.arn} is not authorized to perform: {action} on resource: "
                f"{self.resource.arn} {because}"
            )
        return AccessDenied(text, denial=self.fields())

    def fields(self) -> str:
        """Return the fields of a log line: user, action, queue, and the statement that decided."""
        context, decision = self.context, self.decision
        user = context.user.arn if context.user else "anonymous"
        return (
            f"user={user} access_key_id={context.access_key_id or 'none'} "
            f"action=sqs:{self.permission} queue={self.resource.arn} "
            f"client={context.client_address} policy={decision.policy_name or 'none'} "
            f"statement={decision.sid or 'none'} {self._unmet()}reason={decision.reason.value}"
        )

    def _unmet(self) -> str:
        unmet = self.decision.unmet
        if unmet is None:
            return ""
        return (
            f"unmet_policy={unmet.policy_name} unmet_statement={unmet.sid} "
            f"unmet_condition={unmet.condition} "
        )

    def _url(self) -> str:
        name = self.resource.arn.rpartition(":")[2]
        if name == "*":
            return f"{self.context.base_url}/"
        return queue_url(self.context.base_url, self.resource.account, name)
