"""Resource and NotResource: exactly which queues a statement names."""

from __future__ import annotations

import pytest

from queueserver.policies.errors import PolicyError
from tests.policies.requests import (
    OTHER,
    OWNER,
    allow,
    decision,
    deny,
    for_all,
    queue_policy,
    user_policy,
)


def arn(name: str, account: str = OWNER, region: str = "us-east-1", partition: str = "aws") -> str:
    return f"arn:{partition}:sqs:{region}:{account}:{name}"


QUEUES = {
    "orders": arn("orders"),
    "Orders": arn("Orders"),
    "orders.fifo": arn("orders.fifo"),
    "ordersXfifo": arn("ordersXfifo"),
    "orders-dlq": arn("orders-dlq"),
    "in Europe": arn("orders", region="eu-west-1"),
    "in China": arn("orders", partition="aws-cn"),
    "of another": arn("orders", OTHER),
    "all": arn("*"),
    "with a line break": arn("orders\n"),
}
ALL = set(QUEUES)
HERE = ALL - {"in Europe", "in China", "of another"}

PATTERNS = [
    ("*", ALL),
    (arn("orders"), {"orders"}),
    (arn("orders.fifo"), {"orders.fifo"}),
    (arn("orders?fifo"), {"orders.fifo", "ordersXfifo"}),
    (arn("orders?"), {"with a line break"}),
    (arn("order?"), {"orders"}),
    (arn("*rder*"), HERE - {"all"}),
    (arn("orders*"), HERE - {"all", "Orders"}),
    (arn("o*s"), {"orders"}),
    (arn("*"), HERE),
    (arn("?*"), HERE),
    (arn("?"), {"all"}),
    (arn("[a-z]*"), set()),
    (arn("(orders)"), set()),
    (arn("orders+"), set()),
    (arn("orders", account="*"), {"orders", "of another"}),
    (arn("orders", account="?" * 12), {"orders", "of another"}),
    (arn("orders", account="?" * 11), set()),
    (arn("orders", account=""), set()),
    (arn("orders", region="*"), {"orders", "in Europe"}),
    (arn("orders", region="us-*"), {"orders"}),
    (arn("orders", region="*-1"), {"orders", "in Europe"}),
    (arn("orders", region="us*1"), {"orders"}),
    (arn("orders", partition="*"), {"orders", "in China"}),
    (arn("*", "*", "*"), ALL - {"in China"}),
    (arn("*", "*", "*", "*"), ALL),
    ("arn:aws:sqs:*", ALL - {"in China"}),
    ("arn:aws:sqs:us-east-1:*", HERE | {"of another"}),
    ("arn:aws:sqs:us-*:orders", {"orders", "of another"}),
    ("arn:aws:sqs:u*1:*", HERE | {"of another"}),
    (f"arn:aws:sqs:*:{OTHER}:*", {"of another"}),
    (f"arn:aws:sqs:*:{OWNER}*", ALL - {"in China", "of another"}),
    ("arn:aws:s3:::*", set()),
    ("arn:aws:s3:::bucket/*", set()),
    ("arn:aws:SQS:*", set()),
    ("arn:aws:logs:*:*:log-group:*:*", set()),
]


@pytest.mark.parametrize(("pattern", "expected"), PATTERNS, ids=[row[0] for row in PATTERNS])
def test_pattern_names_exactly_these_queues(pattern: str, expected: set[str]) -> None:
    def allowed(*statements: dict[str, object]) -> set[str]:
        policy = user_policy(*statements)
        return {
            name for name, arn in QUEUES.items() if decision(policies=[policy], arn=arn).allowed
        }

    assert allowed(allow(Resource=pattern)) == expected
    assert allowed(allow(Resource=None, NotResource=[pattern])) == ALL - expected
    assert allowed(allow(), deny(Resource=[pattern])) == ALL - expected
    assert allowed(allow(), deny(Resource=None, NotResource=pattern)) == expected


def test_patterns_of_a_list_add_up() -> None:
    policy = user_policy(allow(Resource=[arn("a"), arn("b*")]))
    assert [name for name in "abc" if decision(policies=[policy], arn=arn(name)).allowed] == [
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    "resource",
    [
        "orders",
        "**",
        "?",
        "arn",
        "arn:*",
        "*:*",
        "arn:aws",
        "arn:aws:*",
        "arn:aws:s*:us-east-1:000000000000:orders",
        "arn:aws:s?s:us-east-1:000000000000:orders",
        "arn:aws:*:us-east-1:000000000000:orders",
        "arn:aws::us-east-1:000000000000:orders",
        "arn:aws:sqs:us-east-1:000000000000",
        "arn:aws:sqs:us-east-1:orders",
        "arn:aws:sqs:u*1:orders",
        "ARN:aws:sqs:us-east-1:000000000000:orders",
        "a*:aws:sqs:us-east-1:000000000000:orders",
        "http://sqs.us-east-1.amazonaws.com/000000000000/orders",
        " *",
    ],
)
@pytest.mark.parametrize("element", ["Resource", "NotResource"])
def test_text_that_is_no_resource_is_rejected(element: str, resource: str) -> None:
    with pytest.raises(PolicyError, match=r'is not "\*" or the ARN|does not name its service'):
        user_policy(deny(**{"Resource": None, element: ["*", resource]}))


@pytest.mark.parametrize("resource", [arn("other"), arn("*", OTHER), "arn:aws:s3:::*"])
def test_statement_for_another_queue_has_no_effect(resource: str) -> None:
    # A queue's policy concerns that queue only, whatever else its statements name.
    policy = queue_policy(for_all(allow(Resource=resource)))
    assert not decision(queue=policy).allowed
    policy = queue_policy(for_all(allow()), for_all(deny(Resource=resource)))
    assert decision(queue=policy).allowed
