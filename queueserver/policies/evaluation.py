"""Evaluation: whether a principal may run an action on a queue, and why.

A Deny that applies wins over everything, in the policy of the user or of the queue, also for an
admin. Without one, an Allow is needed: from either side in the account of the queue, from both
sides for a user of another account, and from the policy of the queue for a caller who is no user.
The order of policies and statements never changes whether a request is allowed.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from queueserver.policies.actions import ACTIONS, SHAREABLE_ACTIONS
from queueserver.policies.policy import Matches, Policy, UnreadablePolicy
from queueserver.policies.principals import Principal, PrincipalKind
from queueserver.policies.requests import Request, RequestFacts


class Resource(msgspec.Struct, frozen=True):
    """The queue that a request is about.

    Attributes:
        arn: the ARN of the queue, or the one that it would have.
        account: the account of the queue.
        tags: the tags of the queue, or None if they are unknown.
        policy: the policy of the queue, or None if it has none.
    """

    arn: str
    account: str
    tags: Mapping[str, str] | None = None
    policy: Policy | UnreadablePolicy | None = None


class Reason(enum.Enum):
    """Why a request is allowed or denied. AWS's texts name the side."""

    ALLOWED = "allowed"
    EXPLICIT_DENY_IDENTITY = "explicit deny in an identity-based policy"
    EXPLICIT_DENY_RESOURCE = "explicit deny in a resource-based policy"
    UNREADABLE_RESOURCE_POLICY = "the resource-based policy cannot be read"
    NO_IDENTITY_ALLOW = "no identity-based policy allows the action"
    NO_RESOURCE_ALLOW = "no resource-based policy allows the action"


class UnmetAllow(msgspec.Struct, frozen=True, gc=False):
    """An Allow that a request would get if it met a condition.

    Attributes:
        sid: the statement: its Sid, or its number.
        condition: the operator and the key, such as `IpAddress/aws:SourceIp`.
    """

    policy_name: str
    sid: str
    condition: str


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The outcome for a request.

    Attributes:
        policy_name: the policy that decided, or empty if none did.
        sid: the statement that decided: its Sid, or its number, or empty.
        unmet: if no statement decided: the first Allow whose conditions the request does not meet,
            in the policies that AWS's text names as those without an Allow.
    """

    allowed: bool
    reason: Reason
    policy_name: str = ""
    sid: str = ""
    unmet: UnmetAllow | None = None


_ALLOWED_AS_ADMIN = Decision(True, Reason.ALLOWED)

_Found: TypeAlias = tuple[Policy, Matches]
"""A policy, and its statements that concern the request."""


def decide(
    principal: Principal,
    identity_policies: Sequence[Policy],
    action: str,
    resource: Resource,
    facts: RequestFacts,
) -> Decision:
    """Decide a request.

    `action` is a name of an action in policies, in AWS's spelling and without a prefix, such as
    `SendMessage`. Any other name is denied.
    """
    request = Request(principal, resource.arn, resource.account, resource.tags, facts)
    of_user = [
        (policy, policy.find(principal, action, resource.arn)) for policy in identity_policies
    ]
    of_queue: list[_Found] = []
    if isinstance(resource.policy, Policy):
        of_queue.append((resource.policy, resource.policy.find(principal, action, resource.arn)))
    denial = _find_denial(of_user, Reason.EXPLICIT_DENY_IDENTITY, request) or _find_denial(
        of_queue, Reason.EXPLICIT_DENY_RESOURCE, request
    )
    if denial is not None:
        return denial
    is_user = principal.kind is PrincipalKind.USER
    is_owner = is_user and principal.account == resource.account
    if isinstance(resource.policy, UnreadablePolicy) and not (is_owner and principal.is_admin):
        return Decision(False, Reason.UNREADABLE_RESOURCE_POLICY, resource.policy.name)
    by_identity = None
    if is_user:
        is_admin = principal.is_admin and action in ACTIONS
        by_identity = _ALLOWED_AS_ADMIN if is_admin else _find_allow(of_user, request)
    if is_owner:
        return (
            by_identity
            or _find_allow(of_queue, request)
            or _implicit_denial(Reason.NO_IDENTITY_ALLOW, (*of_user, *of_queue), request)
        )
    if is_user and by_identity is None:
        return _implicit_denial(Reason.NO_IDENTITY_ALLOW, of_user, request)
    if action not in SHAREABLE_ACTIONS:
        return Decision(False, Reason.NO_RESOURCE_ALLOW)
    return _find_allow(of_queue, request, to_account=is_user) or _implicit_denial(
        Reason.NO_RESOURCE_ALLOW, of_queue, request, to_account=is_user
    )


def _find_denial(found: Sequence[_Found], reason: Reason, request: Request) -> Decision | None:
    for policy, matches in found:
        for statement in matches.denials:
            if statement.applies(request):
                return Decision(False, reason, policy.name, statement.label)
    return None


def _find_allow(
    found: Sequence[_Found], request: Request, *, to_account: bool = False
) -> Decision | None:
    """Return the decision of the first statement that allows, to the account if that counts."""
    for policy, matches in found:
        for statement in matches.allows(to_account=to_account):
            if statement.applies(request):
                return Decision(True, Reason.ALLOWED, policy.name, statement.label)
    return None


def _implicit_denial(
    reason: Reason, found: Sequence[_Found], request: Request, *, to_account: bool = False
) -> Decision:
    """Return a denial for want of an Allow, with the first one whose conditions are not met."""
    for policy, matches in found:
        for statement in matches.allows(to_account=to_account):
            condition = statement.unmet_condition(request)
            if condition is not None:
                unmet = UnmetAllow(policy.name, statement.label, condition)
                return Decision(False, reason, unmet=unmet)
    return Decision(False, reason)
