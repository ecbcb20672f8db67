"""Variables in resources and in values of conditions, and the keys that they name."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from queueserver.policies.documents import PolicyKind
from queueserver.policies.errors import PolicyError
from queueserver.policies.policy import Policy, compile_policy
from queueserver.policies.principals import Principal
from tests.policies.requests import (
    ALICE,
    CALLERS,
    FACTS,
    NOW,
    ORDERS,
    OTHER,
    OWNER,
    Statement,
    allow,
    decision,
    deny,
    for_all,
    queue_policy,
    user,
    user_policy,
)

ARN = f"arn:aws:sqs:us-east-1:{OWNER}:"
TEAM = "aws:PrincipalTag/team"
OF_USER = ARN + "q-${aws:username}"


def allowed_queues(policy: Policy, caller: Principal, names: str) -> list[str]:
    """Return the queues of a list of names that a policy allows a caller."""
    return [name for name in names.split() if decision(caller, [policy], arn=ARN + name).allowed]


NAMES = "q-alice q-bob q-* q- q-${aws:username} q-alice-1 q-blue q-none q-* q-? q-$ q-x"
RESOURCES = [
    pytest.param(OF_USER, ALICE, "q-alice", id="name of the user"),
    pytest.param(OF_USER + "-*", ALICE, "q-alice-1", id="name and wildcard"),
    pytest.param(ARN + "q-${AWS:UserName}", ALICE, "q-alice", id="letter case of the key"),
    pytest.param(ARN + "q-${ aws:username }", ALICE, "q-alice", id="spaces"),
    pytest.param(OF_USER, user("*"), "q-*", id="user called *"),
    pytest.param(OF_USER, user("?"), "q-?", id="user called ?"),
    pytest.param(OF_USER, user("${aws:username}"), "q-${aws:username}", id="name is no template"),
    pytest.param(ARN + "q-${aws:PrincipalTag/Team}", ALICE, "q-blue", id="tag"),
    pytest.param(ARN + "q-${aws:PrincipalTag/star}", ALICE, "q-*", id="tag with the value *"),
    pytest.param(ARN + "q-${aws:PrincipalTag/empty}", ALICE, "q-", id="empty value"),
    pytest.param(ARN + "q-${aws:PrincipalTag/none}", ALICE, "", id="missing value"),
    pytest.param(ARN + "q-${aws:PrincipalTag/none, 'none'}", ALICE, "q-none", id="default"),
    pytest.param(
        ARN + "q-${aws:PrincipalTag/none,'none'}", ALICE, "q-none", id="default, no space"
    ),
    pytest.param(ARN + "q-${aws:PrincipalTag/none, '*'}", ALICE, "q-*", id="default is literal"),
    pytest.param(ARN + "q-${aws:PrincipalTag/none, ''}", ALICE, "q-", id="empty default"),
    pytest.param(ARN + "q-${aws:PrincipalTag/team, 'x'}", ALICE, "q-blue", id="unused default"),
    pytest.param(ARN + "q-${*}", ALICE, "q-*", id="escaped star"),
    pytest.param(ARN + "q-${?}", ALICE, "q-?", id="escaped question mark"),
    pytest.param(ARN + "q-${$}", ALICE, "q-$", id="escaped dollar"),
    pytest.param(ARN + "q-$*{aws:username}", ALICE, "q-${aws:username}", id="dollar alone"),
]


@pytest.mark.parametrize(("resource", "caller", "expected"), RESOURCES)
def test_variable_in_a_resource_names_exactly_these_queues(
    resource: str, caller: Principal, expected: str
) -> None:
    names = " ".join(dict.fromkeys(NAMES.split()))
    found = allowed_queues(user_policy(allow(Resource=resource)), caller, names)
    assert found == expected.split()
    found = allowed_queues(user_policy(allow(), deny(Resource=resource)), caller, names)
    assert found == [name for name in names.split() if name not in expected.split()]


@pytest.mark.parametrize("version", [{"Version": "2008-10-17"}, {}], ids=["2008", "no version"])
def test_variables_of_the_older_version_are_literal_text(version: dict[str, str]) -> None:
    def policy(statement: Statement) -> Policy:
        text = json.dumps({**version, "Statement": statement})
        return compile_policy(text, PolicyKind.IDENTITY, "policy")

    found = allowed_queues(policy(allow(Resource=OF_USER)), ALICE, "q-alice q-${aws:username}")
    assert found == ["q-${aws:username}"]
    condition = {"StringEquals": {"aws:username": "${aws:username}"}}
    assert not decision(policies=[policy(allow(Condition=condition))]).allowed
    assert decision(
        policies=[policy(allow(Resource="arn:aws:sqs:*:*:${${"))], arn=ARN + "${${"
    ).allowed


def test_missing_value_in_not_resource_allows_nothing_and_denies_everything() -> None:
    members = {"Resource": None, "NotResource": ARN + "${aws:PrincipalTag/none}"}
    assert not decision(policies=[user_policy(allow(**members))]).allowed
    assert not decision(policies=[user_policy(allow(), deny(**members))]).allowed
    members = {"Resource": None, "NotResource": ARN + "${aws:username}"}
    assert allowed_queues(user_policy(allow(**members)), ALICE, "alice bob") == ["bob"]


def test_variable_with_two_values_allows_nothing_and_denies_everything() -> None:
    caller = user("alice", tags={"team": "a", "TEAM": "b"})
    for members in (
        {"Resource": ARN + "${aws:PrincipalTag/team}"},
        {"Resource": None, "NotResource": ARN + "${aws:PrincipalTag/team}"},
        {"Condition": {"StringEquals": {"aws:username": "${aws:PrincipalTag/team}"}}},
        {"Condition": {"StringNotLike": {"aws:username": "${aws:PrincipalTag/team}"}}},
        {"Condition": {"ArnLike": {"aws:PrincipalArn": "${aws:PrincipalTag/team}"}}},
    ):
        assert not decision(caller, [user_policy(allow(**members))]).allowed
        assert not decision(caller, [user_policy(allow(), deny(**members))]).allowed


USER_ARN = f"arn:aws:iam::{OWNER}:user/"
CONDITIONS = [
    pytest.param("StringEquals", "aws:username", "${aws:username}", True, id="equal"),
    pytest.param("StringEquals", "aws:PrincipalTag/star", "${*}", True, id="escape"),
    pytest.param("StringEquals", "aws:username", "*${aws:username}", False, id="literal star"),
    pytest.param("StringEquals", TEAM, "${aws:username, 'x'}", False, id="not equal"),
    pytest.param("StringEquals", TEAM, "${aws:PrincipalTag/none}", False, id="missing"),
    pytest.param("StringNotEquals", TEAM, "${aws:PrincipalTag/none}", True, id="missing, negated"),
    pytest.param("StringEquals", TEAM, "${aws:PrincipalTag/none, 'blue'}", True, id="default"),
    pytest.param("StringEqualsIgnoreCase", TEAM, "${aws:PrincipalTag/n, 'BLUE'}", True, id="case"),
    pytest.param("StringLike", "aws:userid", "*${aws:PrincipalTag/n, 'ICE'}", True, id="like"),
    pytest.param("StringLike", TEAM, "${aws:PrincipalTag/star}", False, id="value is literal"),
    pytest.param("StringLike", TEAM, "b*${aws:PrincipalTag/empty}", True, id="empty value"),
    pytest.param("StringNotLike", TEAM, "${aws:PrincipalTag/none}", True, id="not like missing"),
    pytest.param("ArnEquals", "aws:PrincipalArn", USER_ARN + "${aws:username}", True, id="ARN"),
    pytest.param("ArnLike", "aws:PrincipalArn", "${aws:PrincipalArn}", True, id="whole ARN"),
    pytest.param("ArnLike", "aws:PrincipalArn", USER_ARN + "${*}", False, id="ARN, escape"),
    pytest.param(
        "ArnLike", "aws:PrincipalArn", USER_ARN + "${aws:PrincipalTag/none}", False, id="no ARN"
    ),
    pytest.param(
        "ArnNotLike", "aws:PrincipalArn", USER_ARN + "${aws:PrincipalTag/none}", True, id="not ARN"
    ),
    pytest.param("ArnLike", "aws:PrincipalArn", "${aws:username}", None, id="no parts of an ARN"),
]


@pytest.mark.parametrize(("operator", "key", "value", "expected"), CONDITIONS)
def test_variable_in_a_condition_has_this_outcome(
    operator: str, key: str, value: str, expected: bool | None
) -> None:
    condition = {operator: {key: value}}
    allowed = decision(policies=[user_policy(allow(Condition=condition))]).allowed
    denied = not decision(policies=[user_policy(allow(), deny(Condition=condition))]).allowed
    assert (None if denied and not allowed else allowed) is expected
    assert denied is (expected is not False)


@pytest.mark.parametrize(
    "text",
    [
        "${",
        "${aws:username",
        "${}",
        "${username}",
        "${aws:nothing}",
        "${sqs:name}",
        "${aws:TagKeys}",
        "${aws:PrincipalTag/}",
        "${${aws:username}}",
        "${aws:username, x}",
        "${aws:username, 'x}",
        "${aws:username, }",
        "${aws:username, 'x' 'y'}",
        "${aws:username, 'it's'}",
        "${aws:username,, 'x'}",
        "${**}",
        "${\u017fws:username}",
    ],
)
def test_malformed_variable_is_rejected(text: str) -> None:
    condition = {"StringLike": {"aws:UserAgent": text}}
    for statement in (deny(Resource=ARN + text), deny(Condition=condition)):
        with pytest.raises(PolicyError, match="statement 1"):
            user_policy(statement)


@pytest.mark.parametrize(
    "resource",
    [
        "${aws:username}",
        "arn:aws:sqs:${aws:RequestedRegion}:000000000000:orders",
        "arn:aws:sqs:us-east-1:${aws:PrincipalAccount}:orders",
        "arn:aws:sqs:us-east-1:${aws:username}",
        "arn:aws:sqs:*${aws:username}",
    ],
)
def test_variable_before_the_last_segment_of_a_resource_is_rejected(resource: str) -> None:
    with pytest.raises(PolicyError, match="statement 1"):
        user_policy(deny(Resource=resource))


@pytest.mark.parametrize(
    ("operator", "key"),
    [
        ("NumericEquals", "aws:EpochTime"),
        ("DateLessThan", "aws:CurrentTime"),
        ("Bool", "aws:SecureTransport"),
        ("IpAddress", "aws:SourceIp"),
        ("BinaryEquals", "aws:userid"),
        ("Null", "aws:userid"),
    ],
)
def test_variable_in_a_value_of_another_type_is_rejected(operator: str, key: str) -> None:
    with pytest.raises(PolicyError, match="is not a value of"):
        user_policy(deny(Condition={operator: {key: "${aws:PrincipalTag/x, '1'}"}}))


# Condition keys

SERVICE_FACTS = {"source_arn": f"arn:aws:sns:us-east-1:{OTHER}:t", "source_account": OTHER}
KEYS: list[tuple[str, str, dict[str, Any], str | None]] = [
    ("aws:SourceIp", "alice", {}, "10.1.2.3"),
    ("aws:SecureTransport", "alice", {}, "true"),
    ("aws:SecureTransport", "anonymous", {"is_secure": False}, "false"),
    ("aws:PrincipalArn", "alice", {}, USER_ARN + "alice"),
    ("aws:PrincipalArn", "anonymous", {}, None),
    ("aws:PrincipalArn", "sns", {}, None),
    ("aws:PrincipalAccount", "alice", {}, OWNER),
    ("aws:PrincipalAccount", "anonymous", {}, "anonymous"),
    ("aws:PrincipalType", "admin", {}, "User"),
    ("aws:PrincipalType", "anonymous", {}, "Anonymous"),
    ("aws:userid", "alice", {}, "AIDAALICE"),
    ("aws:userid", "anonymous", {}, "anonymous"),
    ("aws:username", "alice", {}, "alice"),
    ("aws:username", "anonymous", {}, None),
    ("aws:username", "sns", {}, None),
    ("aws:CurrentTime", "alice", {}, "2026-01-02T03:04:05Z"),
    ("aws:EpochTime", "alice", {}, "1767323045"),
    ("aws:EpochTime", "alice", {"now": NOW + 1}, "1767323046"),
    ("aws:UserAgent", "alice", {}, "aws-sdk/1.0"),
    ("aws:UserAgent", "alice", {"user_agent": ""}, None),
    ("aws:Referer", "alice", {"referer": "https://example.com/"}, "https://example.com/"),
    ("aws:Referer", "alice", {}, None),
    ("aws:RequestedRegion", "alice", {}, "us-east-1"),
    ("aws:SourceArn", "sns", SERVICE_FACTS, SERVICE_FACTS["source_arn"]),
    ("aws:SourceAccount", "sns", SERVICE_FACTS, OTHER),
    ("aws:SourceArn", "alice", SERVICE_FACTS, None),
    ("aws:SourceArn", "anonymous", SERVICE_FACTS, None),
    ("aws:SourceAccount", "admin", SERVICE_FACTS, None),
    ("aws:ViaAWSService", "sns", {}, "false"),
    ("aws:PrincipalIsAWSService", "sns", {}, "true"),
    ("aws:PrincipalIsAWSService", "alice", {}, "false"),
    ("aws:PrincipalServiceName", "sns", {}, "sns.amazonaws.com"),
    ("aws:PrincipalServiceName", "alice", {}, None),
    ("aws:ResourceAccount", "other", {}, OWNER),
    ("aws:PrincipalTag/team", "alice", {}, "blue"),
    ("aws:PrincipalTag/team", "bob", {}, None),
    ("aws:RequestTag/cost", "alice", {"request_tags": {"Cost": "1"}}, "1"),
    ("aws:RequestTag/cost", "alice", {"request_tags": {"Costs": "1"}}, None),
    ("aws:TagKeys", "alice", {"tag_keys": ["Cost"]}, "Cost"),
    ("aws:TagKeys", "alice", {}, None),
    ("aws:MultiFactorAuthPresent", "alice", {}, None),
    ("aws:TokenAge", "alice", {}, None),
    ("aws:SourceVpc", "alice", {}, None),
    ("aws:SourceVpce", "alice", {}, None),
    ("aws:PrincipalOrgID", "alice", {}, None),
]


@pytest.mark.parametrize(
    ("key", "caller", "facts", "expected"),
    [pytest.param(*row, id=f"{row[0]} of {row[1]}, {row[3]}") for row in KEYS],
)
def test_key_has_this_value(
    key: str, caller: str, facts: dict[str, Any], expected: str | None
) -> None:
    changed = msgspec.structs.replace(FACTS, **facts)

    def is_allowed(condition: dict[str, Any]) -> bool:
        statement: Statement = allow(Condition=condition, Principal="*")
        policies = [user_policy(allow())] if caller == "other" else []
        # The admin is allowed without a policy, so ask whether a Deny reaches it.
        if caller == "admin":
            return not decision(
                CALLERS[caller],
                [],
                queue_policy(deny(Condition=condition, Principal="*")),
                facts=changed,
            ).allowed
        return decision(CALLERS[caller], policies, queue_policy(statement), facts=changed).allowed

    assert is_allowed({"Null": {key: expected is None}})
    assert not is_allowed({"Null": {key: expected is not None}})
    if expected is not None:
        assert is_allowed({"StringEquals": {key: expected}})
        assert not is_allowed({"StringNotEquals": {key: expected}})


def test_tags_of_the_queue_are_known_to_the_policies_of_users_only() -> None:
    blue = {"StringEquals": {"aws:ResourceTag/team": "blue"}}
    for tags, expected in (({"Team": "blue"}, True), ({"Team": "red"}, False), (None, False)):
        of_user = decision(policies=[user_policy(allow(Condition=blue))], tags=tags)
        of_queue = decision(queue=queue_policy(for_all(allow(Condition=blue))), tags=tags)
        assert of_user.allowed is expected
        assert not of_queue.allowed


def test_template_of_sns_is_no_public_access() -> None:
    # The older template allows all callers, and the condition is what limits it to the topic.
    topic = f"arn:aws:sns:us-east-1:{OTHER}:t"
    statement = for_all(
        allow(
            Action="SQS:SendMessage",
            Resource=ORDERS,
            Condition={"ArnEquals": {"aws:SourceArn": topic}},
        )
    )
    claimed = msgspec.structs.replace(FACTS, source_arn=topic)
    for name, caller in CALLERS.items():
        decided = decision(caller, [], queue_policy(statement), facts=claimed)
        assert decided.allowed is (name in {"sns", "admin"})
        assert decision(caller, [], queue_policy(statement)).allowed is (name == "admin")
