"""Policies for fuzzing: elements of statements, random documents, and the target of atheris."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
from hypothesis import strategies as st

from queueserver.policies.actions import ACTIONS
from queueserver.policies.documents import PolicyKind
from queueserver.policies.errors import PolicyError
from queueserver.policies.evaluation import Resource, decide
from queueserver.policies.policy import Policy, UnreadablePolicy, compile_policy
from queueserver.policies.principals import Principal
from queueserver.policies.requests import RequestFacts
from tests.fuzz import inputs
from tests.policies.requests import CALLERS, FACTS, ORDERS, OTHER, OWNER, Statement, user

ALICE_ARN = f"arn:aws:iam::{OWNER}:user/alice"
PRINCIPALS: list[dict[str, Any]] = [
    {"Principal": "*"},
    {"Principal": {"AWS": "*"}},
    {"Principal": {"AWS": OWNER}},
    {"Principal": {"AWS": [OTHER, ALICE_ARN]}},
    {"Principal": {"AWS": f"arn:aws:iam::{OTHER}:user/other"}},
    {"Principal": {"Service": "sns.amazonaws.com", "Federated": "x"}},
    {"NotPrincipal": {"AWS": ALICE_ARN}},
    {"NotPrincipal": {"AWS": [ALICE_ARN, OWNER]}},
    {"NotPrincipal": {"AWS": f"arn:aws:iam::{OTHER}:root", "Service": "sns.amazonaws.com"}},
]
ACTION_ELEMENTS: list[dict[str, Any]] = [
    {"Action": "*"},
    {"Action": "sqs:*"},
    {"Action": ["SQS:SendMessage", "sqs:Get*"]},
    {"Action": "sqs:SendMessageBatch"},
    {"Action": "s3:*"},
    {"NotAction": "sqs:delete*"},
    {"NotAction": ["sqs:SendMessage", "sqs:ReceiveMessage"]},
]
RESOURCES: list[dict[str, Any]] = [
    {"Resource": "*"},
    {"Resource": ORDERS},
    {"Resource": f"{ORDERS}?"},
    {"Resource": f"arn:aws:sqs:*:{OWNER}:ord*"},
    {"Resource": [f"arn:aws:sqs:us-east-1:{OWNER}:${{aws:username}}", "arn:aws:sqs:eu-*"]},
    {"NotResource": f"{ORDERS}-${{aws:PrincipalTag/team, 'x'}}"},
    {"NotResource": ORDERS},
]
CONDITIONS: list[dict[str, Any]] = [
    {"Bool": {"aws:SecureTransport": False}},
    {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "::1"]}},
    {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
    {"StringEquals": {"aws:username": ["alice", "${aws:PrincipalTag/team}"]}},
    {"StringNotLikeIfExists": {"aws:UserAgent": "aws-*"}},
    {"StringEqualsIgnoreCase": {"aws:PrincipalTag/TEAM": "blue"}},
    {"ForAnyValue:StringLike": {"aws:TagKeys": ["a*", "b?"]}},
    {"ForAllValues:StringNotEquals": {"aws:TagKeys": "a"}},
    {"NumericLessThan": {"aws:PrincipalTag/level": "8.5"}},
    {"NumericNotEquals": {"aws:PrincipalTag/team": 8}},
    {"DateGreaterThan": {"aws:CurrentTime": "2026-01-02T00:00Z"}},
    {"ArnNotLike": {"aws:SourceArn": "arn:aws:sns:*:*:t${*}"}},
    {"ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{OWNER}:user/${{aws:username}}"}},
    {"BinaryEquals": {"aws:userid": "QUlEQUFMSUNF"}},
    {"Null": {"aws:MultiFactorAuthPresent": "true"}},
    {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}},
    {"StringEquals": {"aws:ResourceTag/team": "blue", "aws:RequestTag/team": "blue"}},
]
TEXTS = ["", "alice", "*", "${aws:username}", "10.1.2.3", "::ffff:10.0.0.1", "7", "\ud800", ORDERS]


def for_user(statement: Statement) -> Statement:
    """Return the statement without the element that the policies of users do not have."""
    return {name: value for name, value in statement.items() if "Principal" not in name}


def _merged(*elements: dict[str, Any]) -> Statement:
    return {name: value for element in elements for name, value in element.items()}


def statements(effect: str | None = None) -> st.SearchStrategy[Statement]:
    """Return a strategy for valid statements of a queue's policy."""
    effects = ["Allow", "Deny"] if effect is None else [effect]
    conditions = st.lists(st.sampled_from(CONDITIONS), max_size=2)
    return st.builds(
        _merged,
        st.sampled_from(effects).map(lambda one: {"Effect": one}),
        st.sampled_from(PRINCIPALS),
        st.sampled_from(ACTION_ELEMENTS),
        st.sampled_from(RESOURCES),
        conditions.map(lambda chosen: {"Condition": _merged(*chosen)}),
    )


texts = st.one_of(st.sampled_from(TEXTS), inputs.texts)
tags = st.dictionaries(st.one_of(st.sampled_from(["team", "Team", "level"]), texts), texts)
callers = st.one_of(
    st.sampled_from(list(CALLERS.values())), st.builds(user, texts, st.just(OWNER), tags=tags)
)
facts = st.builds(
    RequestFacts,
    source_ip=texts,
    is_secure=st.booleans(),
    user_agent=texts,
    referer=texts,
    now=st.floats(0, 253_402_300_799),
    region=texts,
    source_arn=st.none() | texts,
    source_account=st.none() | texts,
    request_tags=st.none() | tags,
    tag_keys=st.none() | st.lists(texts, max_size=3),
)
actions = st.sampled_from(sorted(ACTIONS))
queue_arns = st.one_of(st.sampled_from([ORDERS, f"{ORDERS}2", f"{ORDERS}-blue"]), texts)


def compiled(kind: PolicyKind, *chosen: Statement) -> Policy | None:
    """Return the policy with these statements, or None if there are none."""
    if not chosen:
        return None
    text = json.dumps({"Version": "2012-10-17", "Statement": chosen})
    return compile_policy(text, kind, "policy")


def compile_or_reject(text: str, kind: PolicyKind) -> Policy | UnreadablePolicy:
    """Return the policy that a text is, or what stands for a stored text that is none."""
    try:
        return compile_policy(text, kind, "policy")
    except PolicyError as error:
        unreadable = UnreadablePolicy("policy", str(error))
    assert unreadable.reason.isprintable()
    return unreadable


def is_allowed(
    caller: Principal,
    policies: Sequence[Policy | None],
    queue: Policy | UnreadablePolicy | None,
    action: str = "SendMessage",
    given: RequestFacts = FACTS,
    arn: str = ORDERS,
    resource_tags: dict[str, str] | None = None,
) -> bool:
    """Return whether a request is allowed. A policy that is None does not exist."""
    existing = [policy for policy in policies if policy is not None]
    resource = Resource(arn, OWNER, resource_tags, queue)
    return decide(caller, existing, action, resource, given).allowed


# The target of atheris

_DENY_ALL = compiled(PolicyKind.IDENTITY, {"Effect": "Deny", "Action": "*", "Resource": "*"})


def evaluate(data: bytes) -> None:
    """Compile a document and decide requests, whose texts the first line of the input has."""
    first, _, rest = data.partition(b"\n")
    claimed, text = first.decode(errors="replace"), rest.decode(errors="replace")
    given = msgspec.structs.replace(
        FACTS, source_ip=claimed, user_agent=claimed, source_arn=claimed, tag_keys=[claimed]
    )
    queue = compile_or_reject(text, PolicyKind.QUEUE)
    of_user = compile_or_reject(text, PolicyKind.IDENTITY)
    policies = [of_user] if isinstance(of_user, Policy) else []
    requests = (*CALLERS.values(), user(claimed, tags={"team": claimed}))
    for caller in requests:
        decided = partial(is_allowed, caller, given=given, resource_tags={"team": claimed})
        for action in ("SendMessage", "GetQueueUrl", "DeleteQueue"):
            allowed = decided(policies, queue, action)
            # A request is allowed by a document that compiles, or to the account's admin.
            has_policy = bool(policies) or isinstance(queue, Policy)
            assert has_policy or caller.is_admin or not allowed
            assert not decided([*policies, _DENY_ALL], queue, action)


def seed_documents() -> Iterator[bytes]:
    """Yield inputs of the target, which together have all elements."""
    for number, condition in enumerate(CONDITIONS):
        statement = _merged(
            {"Sid": "s", "Effect": "Allow" if number % 2 else "Deny", "Condition": condition},
            PRINCIPALS[number % len(PRINCIPALS)],
            ACTION_ELEMENTS[number % len(ACTION_ELEMENTS)],
            RESOURCES[number % len(RESOURCES)],
        )
        for one in (statement, for_user(statement)):
            document = {"Version": "2012-10-17", "Id": "i", "Statement": [one]}
            claimed = TEXTS[number % len(TEXTS)].encode(errors="surrogatepass")
            yield claimed + b"\n" + json.dumps(document).encode()


def dictionary_texts() -> set[bytes]:
    """Return the words that policies consist of."""
    words = {"Version", "2012-10-17", "2008-10-17", "Statement", "Effect", "Allow", "Deny"}
    for element in (*PRINCIPALS, *ACTION_ELEMENTS, *RESOURCES):
        words |= element.keys()
    for condition in CONDITIONS:
        words |= condition.keys()
        for keys in condition.values():
            words |= keys.keys()
    return {word.encode() for word in words | {"AWS", "Service", "${aws:username}", "ForAnyValue:"}}
