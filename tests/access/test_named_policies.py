"""Policies with names: what AWS's managed policies and the short forms allow."""

from __future__ import annotations

import pytest

from queueserver.access.named_policies import MANAGED_POLICIES, SHORT_FORMS
from queueserver.policies.actions import ACTIONS
from queueserver.policies.documents import PolicyKind
from queueserver.policies.evaluation import Resource, decide
from queueserver.policies.policy import Policy, compile_policy
from queueserver.policies.requests import RequestFacts
from tests.access.user_files import NOW, UserFiles, user

ACCOUNT = "123456789012"
READ_ONLY = {
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "ListMessageMoveTasks",
    "ListQueues",
    "ListQueueTags",
}
SEND = {"SendMessage", "GetQueueUrl", "GetQueueAttributes"}
RECEIVE = {
    "ReceiveMessage",
    "DeleteMessage",
    "ChangeMessageVisibility",
    "GetQueueUrl",
    "GetQueueAttributes",
}
LAMBDA = {"ReceiveMessage", "DeleteMessage", "GetQueueAttributes"}


def arn(queue: str = "orders", account: str = ACCOUNT, region: str = "us-east-1") -> str:
    """Return the ARN of a queue."""
    partition = "aws-cn" if region.startswith("cn-") else "aws"
    return f"arn:{partition}:sqs:{region}:{account}:{queue}"


def alice(*lines: str) -> str:
    """Return a configuration file with the user alice."""
    return user("alice", f"account = '{ACCOUNT}'", *lines)


def allowed(
    files: UserFiles, document: str, resource: str, queue_policy: Policy | None = None
) -> set[str]:
    """Return the actions on a resource that the user alice of a configuration file is allowed."""
    access_key = files.load(document).users.find("AKALICE")
    assert access_key is not None
    owner, account = access_key.user, resource.split(":")[4]
    facts = RequestFacts(
        source_ip="127.0.0.1",
        is_secure=False,
        user_agent="",
        referer="",
        now=NOW,
        region=resource.split(":")[3],
    )
    return {
        action
        for action in ACTIONS
        if decide(
            owner.principal,
            owner.policies,
            action,
            Resource(resource, account, policy=queue_policy),
            facts,
        ).allowed
    }


@pytest.mark.parametrize(
    ("policy", "resource", "actions"),
    [
        pytest.param("AmazonSQSFullAccess", arn(), set(ACTIONS), id="full access"),
        pytest.param("AmazonSQSReadOnlyAccess", arn(), READ_ONLY, id="read only"),
        pytest.param("AWSLambdaSQSQueueExecutionRole", arn(), LAMBDA, id="lambda"),
        pytest.param("send:orders", arn(), SEND, id="send"),
        pytest.param("receive:orders", arn(), RECEIVE, id="receive"),
        pytest.param("admin:orders", arn(), set(ACTIONS), id="admin"),
        pytest.param("send", arn(), SEND, id="send to all queues"),
        pytest.param("receive", arn("a.fifo"), RECEIVE, id="receive from all queues"),
        pytest.param("admin", arn(), set(ACTIONS), id="admin of all queues"),
        pytest.param("admin", arn("*"), set(ACTIONS), id="admin lists queues"),
        pytest.param("admin:orders", arn("*"), set(), id="admin of a queue does not list queues"),
        pytest.param("send:orders", arn("Orders"), set(), id="case of the name"),
        pytest.param("send:orders", arn("orders2"), set(), id="name that continues"),
        pytest.param("send:orders", arn("my-orders"), set(), id="name that begins earlier"),
        pytest.param("send:orders", arn("orders.fifo"), set(), id="FIFO queue"),
        pytest.param("send:orders.fifo", arn("orders.fifo"), SEND, id="name of a FIFO queue"),
        pytest.param("send:orders.fifo", arn("ordersXfifo"), set(), id="dot is no wildcard"),
        pytest.param("send:*.fifo", arn("orders.fifo"), SEND, id="all FIFO queues"),
        pytest.param("send:*.fifo", arn("orders"), set(), id="only FIFO queues"),
        pytest.param("send:order-*", arn("order-eu-1"), SEND, id="prefix"),
        pytest.param("send:order-*", arn("order"), set(), id="prefix without its hyphen"),
        pytest.param("send:order-?", arn("order-1"), SEND, id="one character"),
        pytest.param("send:order-?", arn("order-12"), set(), id="two characters"),
        pytest.param("send:*-dlq", arn("orders-dlq"), SEND, id="suffix"),
        pytest.param("send:orders", arn(region="eu-west-1"), SEND, id="every region"),
        pytest.param("send:orders", arn(region="cn-north-1"), SEND, id="every partition"),
    ],
)
def test_policy_allows_these_actions_and_no_others(
    policy: str, resource: str, actions: set[str], files: UserFiles
) -> None:
    assert allowed(files, alice(f"policies = ['{policy}']"), resource) == actions


@pytest.mark.parametrize("policy", [*MANAGED_POLICIES, *SHORT_FORMS, "send:*", "admin:orders"])
def test_queue_of_another_account_needs_its_own_policy(policy: str, files: UserFiles) -> None:
    document = alice(f"policies = ['{policy}']")
    assert allowed(files, document, arn(account="999999999999")) == set()


@pytest.mark.parametrize(
    ("policy", "actions"),
    [
        pytest.param("AmazonSQSFullAccess", {"SendMessage"}, id="managed policy"),
        pytest.param("send:orders", set(), id="short form"),
        pytest.param("send", set(), id="short form of all queues"),
    ],
)
def test_short_form_is_for_queues_of_the_users_account_only(
    policy: str, actions: set[str], files: UserFiles
) -> None:
    foreign = arn(account="999999999999")
    text = (
        '{ "Statement": { "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*", '
        f'"Principal": {{ "AWS": "{ACCOUNT}" }} }} }}'
    )
    queue_policy = compile_policy(text, PolicyKind.QUEUE, "queue policy")
    document = alice(f"policies = ['{policy}']")
    assert allowed(files, document, foreign, queue_policy) == actions


# Documents and files

DENY = '{ "Effect": "Deny", "Action": "sqs:GetQueueUrl", "Resource": "*" }'
TEXT = f'{{ "Version": "2012-10-17", "Statement": [{DENY}] }}'


TABLE = """
[[users.alice.policy_documents]]
Version = "2012-10-17"

[[users.alice.policy_documents.Statement]]
Effect = "Deny"
Action = ["sqs:GetQueueUrl"]
Resource = "*"
"""


@pytest.mark.parametrize(
    ("line", "tables"),
    [
        pytest.param(f"policy_documents = ['{TEXT}']", "", id="JSON"),
        pytest.param(
            "policy_documents = [{ Version = '2012-10-17', Statement = [{ Effect = 'Deny', "
            "Action = 'sqs:GetQueueUrl', Resource = '*' }] }]",
            "",
            id="inline table",
        ),
        pytest.param("", TABLE, id="table"),
        pytest.param("policy_files = ['deny.json']", "", id="file"),
    ],
)
def test_document_applies_with_the_named_policies(line: str, tables: str, files: UserFiles) -> None:
    files.write("deny.json", TEXT, 0o644)
    document = alice("policies = ['send:orders']", line) + tables
    assert allowed(files, document, arn()) == SEND - {"GetQueueUrl"}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param("", "", id="no JSON"),
        pytest.param("[]", "", id="list"),
        pytest.param('{"Statement": []}', "", id="no statement"),
        pytest.param(TEXT.replace("Deny", "deny"), "statement 1", id="effect"),
        pytest.param(TEXT.replace("sqs:", "sqs:*:"), "statement 1", id="action"),
        pytest.param(TEXT.replace("}]", ', "Principal": "*" }]'), "statement 1", id="principal"),
        pytest.param(
            TEXT.replace("}]", ', "Condition": { "StringEqualz": { "aws:username": "a" } } }]'),
            "statement 1",
            id="operator",
        ),
    ],
)
def test_document_that_does_not_compile_is_rejected(
    document: str, reason: str, files: UserFiles
) -> None:
    files.write("bad.json", document, 0o644)
    by_text = files.error(alice(f"policy_documents = ['{document}']"))
    by_file = files.error(alice("policy_files = ['bad.json']"))
    assert by_text.startswith(f"users.alice.policy_documents[0]: {reason}")
    assert by_file == by_text.replace("policy_documents", "policy_files")


def test_file_of_a_policy_is_limited(files: UserFiles) -> None:
    files.write("long.json", TEXT + " " * 65_536)
    line = files.error(alice("policy_files = ['long.json']"))
    assert line.endswith("long.json: the file has more than 65536 bytes")
