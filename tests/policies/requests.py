"""Callers, requests and statements for tests of policies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from queueserver.policies.documents import PolicyKind
from queueserver.policies.evaluation import Decision, Resource, decide
from queueserver.policies.policy import Policy, UnreadablePolicy, compile_policy
from queueserver.policies.principals import ANONYMOUS, Principal, PrincipalKind
from queueserver.policies.requests import RequestFacts

OWNER, OTHER = "000000000000", "111122223333"
"""The account of the queue, and another one."""

ORDERS = f"arn:aws:sqs:us-east-1:{OWNER}:orders"
NOW = 1_767_323_045.9
"""2026-01-02T03:04:05.9Z."""

Statement: TypeAlias = dict[str, Any]


def user(
    name: str,
    account: str = OWNER,
    *,
    is_admin: bool = False,
    tags: Mapping[str, str] | None = None,
) -> Principal:
    """Return a user of an account."""
    return Principal(
        PrincipalKind.USER,
        account,
        f"arn:aws:iam::{account}:user/{name}",
        name,
        f"AIDA{name.upper()}",
        is_admin=is_admin,
        tags=tags or {},
    )


ALICE = user("alice", tags={"Team": "blue", "level": "7", "empty": "", "star": "*"})
CALLERS = {
    "alice": ALICE,
    "bob": user("bob"),
    "admin": user("admin", is_admin=True),
    "other": user("other", OTHER),
    "other admin": user("root", OTHER, is_admin=True),
    "sns": Principal(PrincipalKind.SERVICE, OWNER, name="topics", service="sns.amazonaws.com"),
    "anonymous": ANONYMOUS,
}
FACTS = RequestFacts(
    source_ip="10.1.2.3",
    is_secure=True,
    user_agent="aws-sdk/1.0",
    referer="",
    now=NOW,
    region="us-east-1",
)


def allow(**members: object) -> Statement:
    """Return a statement that allows everything, with other members; None removes a member."""
    merged: Statement = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*", **members}
    return {name: value for name, value in merged.items() if value is not None}


def deny(**members: object) -> Statement:
    """Return a statement that denies everything, with other members; None removes a member."""
    return allow(**{"Effect": "Deny", **members})


def for_all(statement: Statement) -> Statement:
    """Return the statement for the policy of a queue, which concerns all callers."""
    return {"Principal": "*", **statement}


def document(*statements: Mapping[str, Any], **others: object) -> str:
    """Return a document with these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements, **others})


def user_policy(*statements: Statement, name: str = "user policy", **others: object) -> Policy:
    """Return the compiled policy of a user."""
    return compile_policy(document(*statements, **others), PolicyKind.IDENTITY, name)


def queue_policy(*statements: Statement, name: str = "queue policy", **others: object) -> Policy:
    """Return the compiled policy of a queue."""
    return compile_policy(document(*statements, **others), PolicyKind.QUEUE, name)


def decision(
    principal: Principal = ALICE,
    policies: Sequence[Policy] = (),
    queue: Policy | UnreadablePolicy | None = None,
    action: str = "SendMessage",
    facts: RequestFacts = FACTS,
    arn: str = ORDERS,
    tags: Mapping[str, str] | None = None,
) -> Decision:
    """Return the decision about a request for a queue of the account OWNER."""
    return decide(principal, policies, action, Resource(arn, OWNER, tags, queue), facts)
