"""Evaluation: which side must allow, which denies, and what the decision names."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest

from queueserver.policies.actions import ACTIONS, SHAREABLE_ACTIONS
from queueserver.policies.documents import PolicyKind
from queueserver.policies.evaluation import Decision, Reason, UnmetAllow
from queueserver.policies.policy import (
    MAXIMUM_CACHED_MATCHES,
    Policy,
    UnreadablePolicy,
    compile_policy,
)
from tests.policies.requests import (
    ALICE,
    CALLERS,
    FACTS,
    ORDERS,
    OTHER,
    OWNER,
    allow,
    decision,
    deny,
    document,
    for_all,
    queue_policy,
    user_policy,
)

USER_SIDE = {
    "allow": [user_policy(allow())],
    "silent": [user_policy(allow(Action="sqs:ListQueues"))],
    "deny": [user_policy(allow()), user_policy(deny(Sid="no"))],
    "none": [],
}
ALICE_ARN, OTHER_ARN = f"arn:aws:iam::{OWNER}:user/alice", f"arn:aws:iam::{OTHER}:user/other"
QUEUE_SIDE = {
    "allow to all": queue_policy(for_all(allow())),
    "allow to the user": queue_policy(allow(Principal={"AWS": [ALICE_ARN, OTHER_ARN]})),
    "allow to the account": queue_policy(allow(Principal={"AWS": [OWNER, OTHER]})),
    "silent": queue_policy(for_all(allow(Action="sqs:GetQueueUrl"))),
    "deny": queue_policy(for_all(allow()), deny(Principal={"AWS": "*"}, Sid="no")),
    "none": None,
}
BY_USER, BY_QUEUE = Reason.NO_IDENTITY_ALLOW, Reason.NO_RESOURCE_ALLOW
DENIED_BY_USER, DENIED_BY_QUEUE = Reason.EXPLICIT_DENY_IDENTITY, Reason.EXPLICIT_DENY_RESOURCE
ALLOWED = Reason.ALLOWED
DIRECT, WHOLE = {"allow to all", "allow to the user"}, "allow to the account"


def expected_reason(caller: str, of_user: str, of_queue: str) -> Reason:
    """Return the reason by AWS's table of both sides."""
    if of_user == "deny":
        return DENIED_BY_USER
    if of_queue == "deny":
        return DENIED_BY_QUEUE
    user_allows = of_user == "allow" or "admin" in caller
    if CALLERS[caller].account == OWNER:
        return ALLOWED if user_allows or of_queue in DIRECT else BY_USER
    if not user_allows:
        return BY_USER
    return ALLOWED if of_queue in {*DIRECT, WHOLE} - excluded(caller) else BY_QUEUE


def excluded(caller: str) -> set[str]:
    return {"allow to the user"} if caller == "other admin" else set()


@pytest.mark.parametrize("caller", ["alice", "admin", "other", "other admin"])
@pytest.mark.parametrize(
    ("of_user", "of_queue"),
    [
        pytest.param(*row, id=f"user {row[0]}, queue {row[1]}")
        for row in product(USER_SIDE, QUEUE_SIDE)
    ],
)
def test_both_sides_decide_about_a_user(caller: str, of_user: str, of_queue: str) -> None:
    decided = decision(CALLERS[caller], USER_SIDE[of_user], QUEUE_SIDE[of_queue])
    assert decided.reason is expected_reason(caller, of_user, of_queue)
    assert decided.allowed is (decided.reason is ALLOWED)


@pytest.mark.parametrize("caller", ["sns", "anonymous"])
@pytest.mark.parametrize("of_user", ["allow", "none"])
def test_queue_alone_decides_about_a_caller_who_is_no_user(caller: str, of_user: str) -> None:
    for name, policy in QUEUE_SIDE.items():
        decided = decision(CALLERS[caller], USER_SIDE[of_user], policy)
        expected = {"allow to all": ALLOWED, "deny": DENIED_BY_QUEUE}.get(name, BY_QUEUE)
        assert decided.reason is expected


def test_deny_in_a_policy_of_a_caller_who_is_no_user_counts() -> None:
    decided = decision(CALLERS["sns"], USER_SIDE["deny"], QUEUE_SIDE["allow to all"])
    assert decided.reason is DENIED_BY_USER


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_only_eight_actions_are_shared(action: str) -> None:
    for name, caller in CALLERS.items():
        policies = [] if name == "bob" else [user_policy(allow())]
        decided = decision(caller, policies, queue_policy(for_all(allow(Action="*"))), action)
        is_owner = name in {"alice", "bob", "admin"}
        assert decided.allowed is (is_owner or action in SHAREABLE_ACTIONS)
        assert decided.reason is (ALLOWED if decided.allowed else BY_QUEUE)


@pytest.mark.parametrize(
    ("caller", "policies", "queue", "expected"),
    [
        pytest.param(
            "alice",
            [user_policy(allow(), name="first"), user_policy(deny(Sid="stop"), name="second")],
            None,
            Decision(False, DENIED_BY_USER, "second", "stop"),
            id="deny with a Sid",
        ),
        pytest.param(
            "alice",
            [user_policy(allow())],
            queue_policy(for_all(allow()), for_all(deny())),
            Decision(False, DENIED_BY_QUEUE, "queue policy", "2"),
            id="deny without a Sid",
        ),
        pytest.param(
            "alice",
            [user_policy(deny(Sid="mine"))],
            queue_policy(for_all(deny(Sid="theirs"))),
            Decision(False, DENIED_BY_USER, "user policy", "mine"),
            id="deny on both sides",
        ),
        pytest.param(
            "alice",
            [user_policy(deny(Sid="a\nb"))],
            None,
            Decision(False, DENIED_BY_USER, "user policy", "1"),
            id="Sid with a line break",
        ),
        pytest.param(
            "alice",
            [user_policy(deny(Sid="\x1b[2J"))],
            None,
            Decision(False, DENIED_BY_USER, "user policy", "1"),
            id="Sid with a control sequence",
        ),
        pytest.param(
            "alice",
            [user_policy(deny(Sid="x" * 129))],
            None,
            Decision(False, DENIED_BY_USER, "user policy", "1"),
            id="long Sid",
        ),
        pytest.param(
            "alice",
            [user_policy(deny(Sid="a reason=allowed"))],
            None,
            Decision(False, DENIED_BY_USER, "user policy", "1"),
            id="Sid with a space",
        ),
        pytest.param(
            "alice",
            [user_policy(deny(Sid="7"))],
            None,
            Decision(False, DENIED_BY_USER, "user policy", "1"),
            id="Sid that looks like a number",
        ),
        pytest.param(
            "alice",
            [user_policy(allow(Action="sqs:Get*")), user_policy(allow(Sid="go"), name="second")],
            None,
            Decision(True, ALLOWED, "second", "go"),
            id="allow",
        ),
        pytest.param(
            "anonymous",
            [],
            queue_policy(for_all(allow(Sid="public"))),
            Decision(True, ALLOWED, "queue policy", "public"),
            id="allow by the queue",
        ),
        pytest.param("admin", [], None, Decision(True, ALLOWED), id="admin"),
        pytest.param("alice", [], None, Decision(False, BY_USER), id="no policy"),
        pytest.param("anonymous", [], None, Decision(False, BY_QUEUE), id="anonymous"),
    ],
)
def test_decision_names_the_policy_and_the_statement(
    caller: str, policies: list[Policy], queue: Policy | None, expected: Decision
) -> None:
    assert decision(CALLERS[caller], policies, queue) == expected


@pytest.mark.parametrize("caller", CALLERS)
def test_unreadable_policy_denies_all_but_admins_of_its_account(caller: str) -> None:
    unreadable = UnreadablePolicy("queue policy", "statement 1: Effect is not Allow or Deny")
    decided = decision(CALLERS[caller], [user_policy(allow())], unreadable)
    if caller == "admin":
        assert decided.allowed
        denied = decision(CALLERS[caller], [user_policy(deny())], unreadable)
        assert denied.reason is DENIED_BY_USER
    else:
        assert decided == Decision(False, Reason.UNREADABLE_RESOURCE_POLICY, "queue policy")


def test_plain_http_is_denied_by_the_usual_template() -> None:
    # Many templates deny requests without TLS, which an admin cannot bypass.
    policy = queue_policy(
        for_all(deny(Sid="TLS", Condition={"Bool": {"aws:SecureTransport": "false"}}))
    )
    plain = msgspec.structs.replace(FACTS, is_secure=False)
    for name in ("alice", "admin"):
        assert decision(CALLERS[name], [user_policy(allow())], policy).allowed
        decided = decision(CALLERS[name], [user_policy(allow())], policy, facts=plain)
        assert decided == Decision(False, DENIED_BY_QUEUE, "queue policy", "TLS")


def test_deny_with_arn_not_equals_excepts_one_user() -> None:
    # AWS recommends this form in place of Deny with NotPrincipal.
    condition = {"ArnNotEquals": {"aws:PrincipalArn": ALICE_ARN}}
    policy = queue_policy(for_all(allow()), for_all(deny(Condition=condition)))
    reached = {
        name
        for name, caller in CALLERS.items()
        if decision(caller, [user_policy(allow())], policy).allowed
    }
    assert reached == {"alice"}


def test_deny_if_mfa_is_absent_reaches_all_callers() -> None:
    condition = {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}
    policy = queue_policy(for_all(allow()), for_all(deny(Condition=condition)))
    assert not any(decision(caller, [], policy).allowed for caller in CALLERS.values())


def test_cached_statements_are_those_of_the_same_caller_action_and_queue() -> None:
    # The second round finds everything in the caches, and decides the same.
    of_user = user_policy(allow(Action="sqs:Get*"), allow(Resource=f"{ORDERS}2"))
    of_queue = queue_policy(
        allow(Principal={"AWS": [ALICE_ARN, OTHER]}, Action="sqs:SendMessage"),
        allow(Principal={"Service": "sns.amazonaws.com"}),
        deny(
            NotPrincipal={
                "AWS": [OWNER, OTHER, ALICE_ARN, OTHER_ARN],
                "Service": "sns.amazonaws.com",
            }
        ),
    )
    requests: list[dict[str, Any]] = [
        {"principal": caller, "policies": [of_user], "queue": queue, "action": action, "arn": arn}
        for caller in CALLERS.values()
        for queue in (of_queue, None)
        for action in ("SendMessage", "GetQueueUrl", "DeleteQueue")
        for arn in (ORDERS, f"{ORDERS}2")
    ]
    first = [decision(**request) for request in requests]
    assert [decision(**request) for request in requests] == first
    assert len(set(map(str, first))) > 5


def test_caches_are_bounded() -> None:
    policy = user_policy(allow(Resource=f"{ORDERS}*"))
    for number in range(2 * MAXIMUM_CACHED_MATCHES + 10):
        assert decision(policies=[policy], arn=f"{ORDERS}{number}").allowed
    assert len(policy._cache) <= MAXIMUM_CACHED_MATCHES


def test_conditions_are_evaluated_for_each_request() -> None:
    policy = user_policy(allow(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}))
    outside = msgspec.structs.replace(FACTS, source_ip="192.0.2.1")
    for _ in range(2):
        assert decision(policies=[policy]).allowed
        assert not decision(policies=[policy], facts=outside).allowed


def test_name_of_a_policy_is_kept() -> None:
    policy = compile_policy(document(allow()), PolicyKind.IDENTITY, "/etc/q/orders.json")
    assert policy.name == "/etc/q/orders.json"
    assert decision(ALICE, [policy]).policy_name == "/etc/q/orders.json"


# Denials for want of an Allow whose condition is met


FROM_ELSEWHERE = {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
OVER_TLS = {"Bool": {"aws:SecureTransport": "true"}}
BY_ADDRESS = "IpAddress/aws:SourceIp"


@pytest.mark.parametrize(
    ("caller", "of_user", "of_queue", "expected"),
    [
        pytest.param(
            "alice",
            [allow(Sid="office", Condition=FROM_ELSEWHERE)],
            [],
            UnmetAllow("user policy", "office", BY_ADDRESS),
            id="policy of the user",
        ),
        pytest.param(
            "alice",
            [],
            [for_all(allow(Condition=FROM_ELSEWHERE))],
            UnmetAllow("queue policy", "1", BY_ADDRESS),
            id="policy of the queue",
        ),
        pytest.param(
            "alice",
            [allow(Condition=FROM_ELSEWHERE)],
            [for_all(allow(Condition=FROM_ELSEWHERE))],
            UnmetAllow("user policy", "1", BY_ADDRESS),
            id="both policies: that of the user comes first",
        ),
        pytest.param(
            "alice",
            [allow(Action="sqs:GetQueueUrl"), allow(Condition={**OVER_TLS, **FROM_ELSEWHERE})],
            [],
            UnmetAllow("user policy", "2", BY_ADDRESS),
            id="one of two conditions",
        ),
        pytest.param(
            "alice",
            [allow(Condition={"Null": {"aws:Referer": "false"}})],
            [],
            UnmetAllow("user policy", "1", "Null/aws:Referer"),
            id="Null",
        ),
        pytest.param(
            "alice",
            [allow(Condition={"DateLessThan": {"aws:PrincipalTag/Team": "2026-01-02"}})],
            [],
            UnmetAllow("user policy", "1", "DateLessThan/aws:PrincipalTag/Team"),
            id="value that cannot be compared",
        ),
        pytest.param(
            "alice",
            [allow(Condition={"StringEquals": {"aws:PrincipalTag/a b\n\u00e9": "x"}})],
            [],
            UnmetAllow("user policy", "1", "StringEquals/aws:PrincipalTag/a%20b%0A%C3%A9"),
            id="key with other characters",
        ),
        pytest.param(
            "alice",
            [allow(Condition={"StringEquals": {f"aws:PrincipalTag/{'x' * 300}": "x"}})],
            [],
            UnmetAllow("user policy", "1", f"StringEquals/aws:PrincipalTag/{'x' * 183}..."),
            id="long key",
        ),
        pytest.param(
            "alice",
            [allow(Resource=f"{ORDERS}-${{aws:username}}", Condition=FROM_ELSEWHERE)],
            [],
            None,
            id="another resource",
        ),
        pytest.param(
            "alice",
            [
                allow(
                    Resource=f"{ORDERS[:-6]}${{aws:PrincipalTag/none, 'orders'}}",
                    Condition=FROM_ELSEWHERE,
                )
            ],
            [],
            UnmetAllow("user policy", "1", BY_ADDRESS),
            id="resource with a variable",
        ),
        pytest.param(
            "alice",
            [allow(Action="sqs:GetQueueUrl", Condition=FROM_ELSEWHERE)],
            [],
            None,
            id="another action",
        ),
        pytest.param(
            "alice",
            [],
            [allow(Principal={"AWS": OWNER}, Condition=FROM_ELSEWHERE)],
            None,
            id="Allow for the account of the queue, which gives nothing",
        ),
        pytest.param(
            "other",
            [allow(Condition=FROM_ELSEWHERE)],
            [for_all(allow(Condition=FROM_ELSEWHERE))],
            UnmetAllow("user policy", "1", BY_ADDRESS),
            id="user of another account",
        ),
        pytest.param(
            "other",
            [allow()],
            [allow(Principal={"AWS": OTHER}, Condition=FROM_ELSEWHERE)],
            UnmetAllow("queue policy", "1", BY_ADDRESS),
            id="Allow for another account",
        ),
        pytest.param(
            "sns",
            [allow(Condition=FROM_ELSEWHERE)],
            [allow(Principal={"Service": "sns.amazonaws.com"}, Condition=FROM_ELSEWHERE)],
            UnmetAllow("queue policy", "1", BY_ADDRESS),
            id="service",
        ),
        pytest.param(
            "anonymous",
            [],
            [for_all(allow(Condition=FROM_ELSEWHERE))],
            UnmetAllow("queue policy", "1", BY_ADDRESS),
            id="anonymous",
        ),
    ],
)
def test_denial_names_the_first_allow_whose_condition_is_not_met(
    caller: str,
    of_user: list[dict[str, Any]],
    of_queue: list[dict[str, Any]],
    expected: UnmetAllow | None,
) -> None:
    policies = [user_policy(*of_user)] if of_user else []
    queue = queue_policy(*of_queue) if of_queue else None
    decided = decision(CALLERS[caller], policies, queue)
    assert not decided.allowed
    assert decided.unmet == expected


def test_action_that_no_queue_can_share_has_no_unmet_allow() -> None:
    queue = queue_policy(for_all(allow(Condition=FROM_ELSEWHERE)))
    decided = decision(CALLERS["anonymous"], [], queue, "DeleteQueue")
    assert decided == Decision(False, BY_QUEUE)


def test_decision_of_a_statement_has_no_unmet_allow() -> None:
    unmet = allow(Condition=FROM_ELSEWHERE)
    assert decision(ALICE, [user_policy(unmet, deny())]).unmet is None
    assert decision(ALICE, [user_policy(unmet, allow())]).unmet is None
