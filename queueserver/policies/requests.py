"""Requests: what conditions and resources of a policy are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from queueserver.policies.principals import Principal


# `gc=False`: nothing here is part of a reference cycle, and each request has one of both.
class RequestFacts(msgspec.Struct, frozen=True, gc=False):
    """The facts about a request, besides its principal and its resource.

    Attributes:
        now: the real time in seconds since 1970, not a clock that tests or clients can move.
        region: the region of the queue that the request names.
        source_arn: what a service user says it acts for; None for all others, because a header
            can be forged.
        source_account: the same for the account.
        request_tags: the tags that the request sets, or None.
        tag_keys: the keys of the tags that the request sets or removes, or None.
    """

    source_ip: str
    is_secure: bool
    user_agent: str
    referer: str
    now: float
    region: str
    source_arn: str | None = None
    source_account: str | None = None
    request_tags: Mapping[str, str] | None = None
    tag_keys: Sequence[str] | None = None


class Request(msgspec.Struct, frozen=True, gc=False):
    """Everything that a statement is compared with, except the action.

    Attributes:
        resource_tags: the tags of the queue, or None if they are unknown.
    """

    principal: Principal
    resource_arn: str
    resource_account: str
    resource_tags: Mapping[str, str] | None
    facts: RequestFacts
