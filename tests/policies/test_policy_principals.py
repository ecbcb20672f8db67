"""Principal and NotPrincipal: exactly which callers a statement concerns."""

from __future__ import annotations

from typing import Any

import pytest

from queueserver.policies.errors import PolicyError
from tests.policies.requests import (
    CALLERS,
    OTHER,
    OWNER,
    allow,
    decision,
    deny,
    queue_policy,
    user,
    user_policy,
)

ALL = set(CALLERS)
OF_OWNER, OF_OTHER = {"alice", "bob", "admin"}, {"other", "other admin"}
EVERYTHING = user_policy(allow())
ALICE_ARN, OTHER_ARN = f"arn:aws:iam::{OWNER}:user/alice", f"arn:aws:iam::{OTHER}:user/other"


def aws(*names: str) -> dict[str, Any]:
    return {"Principal": {"AWS": list(names)}}


def not_aws(*names: str) -> dict[str, Any]:
    return {"NotPrincipal": {"AWS": list(names)}}


def root(account: str, partition: str = "aws") -> str:
    return f"arn:{partition}:iam::{account}:root"


# The element, the callers that an Allow reaches, and those that a Deny reaches. The users of the
# queue's account have no policy of their own for the Allow; those of the other account have.
ELEMENTS = [
    pytest.param({"Principal": "*"}, ALL, ALL, id="star"),
    pytest.param(aws("*"), ALL, ALL, id="star of AWS"),
    pytest.param(aws("*", OTHER), ALL, ALL, id="star and account"),
    pytest.param({"Principal": {"AWS": "*"}}, ALL, ALL, id="star of AWS without a list"),
    pytest.param(aws(OTHER), OF_OTHER, OF_OTHER, id="number of another account"),
    pytest.param(aws(root(OTHER)), OF_OTHER, OF_OTHER, id="root of another account"),
    pytest.param(aws(OWNER), set(), OF_OWNER, id="number of the own account gives users nothing"),
    pytest.param(aws(root(OWNER)), set(), OF_OWNER, id="root of the own account"),
    pytest.param(aws(root(OWNER, "aws-cn")), set(), OF_OWNER, id="root in China"),
    pytest.param(aws(root(OTHER, "aws-us-gov")), OF_OTHER, OF_OTHER, id="root in GovCloud"),
    pytest.param(aws(ALICE_ARN), {"alice"}, {"alice"}, id="user"),
    pytest.param(aws(ALICE_ARN, OTHER_ARN), {"alice", "other"}, {"alice", "other"}, id="two users"),
    pytest.param(
        aws(ALICE_ARN.replace("aws", "aws-cn", 1)), {"alice"}, {"alice"}, id="user in China"
    ),
    pytest.param(aws(ALICE_ARN, OWNER), {"alice"}, OF_OWNER, id="user and own account"),
    pytest.param(aws(f"arn:aws:iam::{OWNER}:user/Alice"), set(), set(), id="letter case of a name"),
    pytest.param(aws(f"arn:aws:iam::{OWNER}:user/alic"), set(), set(), id="part of a name"),
    pytest.param(aws(f"arn:aws:iam::{OWNER}:user/alice2"), set(), set(), id="longer name"),
    pytest.param(aws(f"arn:aws:iam::{OWNER}:user/a/alice"), set(), set(), id="name with a path"),
    pytest.param(aws(f"arn:aws:iam::{OTHER}:user/alice"), set(), set(), id="name in other account"),
    pytest.param(aws(f"arn:aws:iam::{OWNER}:user/root"), set(), set(), id="user called root"),
    pytest.param(aws(f"arn:aws:iam::{OWNER}:role/alice"), set(), set(), id="role"),
    pytest.param(
        aws(f"arn:aws:iam::{OWNER}:role/service-role/r"), set(), set(), id="role with a path"
    ),
    pytest.param(
        aws(f"arn:aws:sts::{OWNER}:assumed-role/alice/alice"), set(), set(), id="session of a role"
    ),
    pytest.param(aws(f"arn:aws:sts::{OWNER}:federated-user/alice"), set(), set(), id="federated"),
    pytest.param({"Principal": {"Service": "sns.amazonaws.com"}}, {"sns"}, {"sns"}, id="service"),
    pytest.param(
        {"Principal": {"Service": ["s3.amazonaws.com"]}}, set(), set(), id="another service"
    ),
    pytest.param(
        {"Principal": {"AWS": OTHER, "Service": ["sns.amazonaws.com"]}},
        OF_OTHER | {"sns"},
        OF_OTHER | {"sns"},
        id="account and service",
    ),
    pytest.param({"Principal": {"Federated": "*"}}, set(), set(), id="web identity"),
    pytest.param({"Principal": {"CanonicalUser": "alice"}}, set(), set(), id="canonical user"),
    pytest.param(
        not_aws(ALICE_ARN),
        ALL - {"alice"},
        ALL,
        id="NotPrincipal with a user: the Deny reaches the user through the account",
    ),
    pytest.param(
        not_aws(OWNER),
        ALL - OF_OWNER,
        ALL - {"admin"},
        id="NotPrincipal with an account: the Deny leaves out the admin only",
    ),
    pytest.param(
        not_aws(ALICE_ARN, root(OWNER)),
        ALL - OF_OWNER,
        ALL - {"alice", "admin"},
        id="NotPrincipal with a user and its root",
    ),
    pytest.param(
        not_aws(ALICE_ARN, OWNER),
        ALL - OF_OWNER,
        ALL - {"alice", "admin"},
        id="NotPrincipal with a user and its account",
    ),
    pytest.param(
        not_aws(ALICE_ARN, root(OTHER)),
        ALL - OF_OTHER - {"alice"},
        ALL - {"other admin"},
        id="NotPrincipal with a user and another account",
    ),
    pytest.param(
        {"NotPrincipal": {"Service": "sns.amazonaws.com"}},
        ALL - {"sns"},
        ALL - {"sns"},
        id="NotPrincipal with a service",
    ),
    pytest.param(
        {"NotPrincipal": {"CanonicalUser": "x"}}, ALL, ALL, id="NotPrincipal that matches no caller"
    ),
]


@pytest.mark.parametrize(("element", "allowed", "denied"), ELEMENTS)
def test_allow_reaches_exactly_the_callers_that_it_names(
    element: dict[str, Any], allowed: set[str], denied: set[str]
) -> None:
    policy = queue_policy(allow(**element))
    reached = {
        name
        for name, caller in CALLERS.items()
        if decision(caller, [EVERYTHING] if name in OF_OTHER else [], policy).allowed
    }
    assert reached - {"admin"} == allowed - {"admin"}
    assert "admin" in reached


@pytest.mark.parametrize(("element", "allowed", "denied"), ELEMENTS)
def test_deny_reaches_exactly_the_callers_that_it_names(
    element: dict[str, Any], allowed: set[str], denied: set[str]
) -> None:
    policy = queue_policy(allow(Principal="*"), deny(**element))
    reached = {
        name
        for name, caller in CALLERS.items()
        if not decision(caller, [EVERYTHING], policy).allowed
    }
    assert reached == denied


@pytest.mark.parametrize(
    "principal",
    [
        pytest.param(name, id=name[:50] or "empty")
        for name in (
            "1" * 11,
            "1" * 13,
            f"{OTHER} ",
            f"{OTHER}\n",
            "٣" * 12,
            "1111-2222-3333",
            "alice",
            "anonymous",
            "AIDAALICE",
            "**",
            "0*",
            "arn:aws:iam::*:root",
            f"arn:aws:iam::{OWNER[:-1]}:root",
            f"arn:aws:iam::{OWNER}:user/*",
            f"arn:aws:iam::{OWNER}:user/al?ce",
            f"arn:aws:iam::{OWNER}:user/a*/alice",
            f"arn:aws:iam::{OWNER}:user/",
            f"arn:aws:iam::{OWNER}:user//alice",
            f"arn:aws:iam::{OWNER}:user/alice\n",
            f"arn:aws:iam::{OWNER}:group/all",
            f"arn:aws:iam::{OWNER}:alice",
            f"arn:aws:iam:us-east-1:{OWNER}:root",
            f"arn:azure:iam::{OWNER}:root",
            f"ARN:aws:iam::{OWNER}:root",
            f"arn:aws:sts::{OWNER}:assumed-role/role",
            f"arn:aws:sts::{OWNER}:assumed-role/*/session",
            f"arn:aws:sqs:us-east-1:{OWNER}:orders",
        )
    ],
)
@pytest.mark.parametrize("element", ["Principal", "NotPrincipal"])
def test_text_that_names_no_principal_is_rejected(element: str, principal: str) -> None:
    with pytest.raises(PolicyError, match="is not a principal"):
        queue_policy(deny(**{element: {"AWS": [OTHER, principal]}}))


@pytest.mark.parametrize(
    "name", ["*", "sns.amazonaws.*", "sns amazonaws.com", "sn\u017f.amazonaws.com"]
)
def test_name_that_no_service_has_is_rejected(name: str) -> None:
    with pytest.raises(PolicyError, match="is not a service"):
        queue_policy(deny(Principal={"Service": name}))


@pytest.mark.parametrize("element", ["*", {"AWS": "*"}, {"AWS": ["*", OTHER]}])
def test_not_principal_that_lists_all_is_rejected(element: object) -> None:
    with pytest.raises(PolicyError, match="leaves no principal"):
        queue_policy(deny(NotPrincipal=element))


@pytest.mark.parametrize("name", ["*", "root", "..", "sns.amazonaws.com", "alice/", ""])
def test_user_with_the_name_of_something_else_is_only_itself(name: str) -> None:
    caller = user(name)
    for element in (
        aws(ALICE_ARN),
        aws(root(OWNER)),
        {"Principal": {"Service": "sns.amazonaws.com"}},
    ):
        assert not decision(caller, [], queue_policy(allow(**element))).allowed


def test_service_and_anonymous_callers_have_no_part_in_an_account() -> None:
    # A service user and an anonymous caller get no right from an account or a user's ARN.
    policy = queue_policy(allow(**aws(OWNER, ALICE_ARN, root(OTHER))))
    for name in ("sns", "anonymous"):
        assert not decision(CALLERS[name], [EVERYTHING], policy).allowed
