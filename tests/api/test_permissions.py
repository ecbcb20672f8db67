"""AddPermission and RemovePermission, and policies that read back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.dead_letters import arn_of
from tests.api.sqs_clients import Connect, Sqs, rejection

ACCOUNT, OTHER_ACCOUNT = "111122223333", "444455556666"


def policy(sqs: Sqs, queue: str) -> dict[str, Any] | None:
    answer = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"])
    text = answer.get("Attributes", {}).get("Policy")
    found: dict[str, Any] | None = text and json.loads(text)
    return found


def permit(sqs: Sqs, queue: str, label: str, *actions: str, accounts: tuple[str, ...]) -> None:
    sqs.add_permission(
        QueueUrl=queue, Label=label, AWSAccountIds=list(accounts), Actions=list(actions)
    )


def statement(queue: str, label: str, action: object, principal: object) -> dict[str, Any]:
    return {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": action,
        "Resource": arn_of(queue),
    }


def root(account: str) -> str:
    return f"arn:aws:iam::{account}:root"


def test_permission_is_one_statement_of_the_policy(sqs: Sqs, queue: str) -> None:
    permit(sqs, queue, "first", "ReceiveMessage", accounts=(ACCOUNT,))
    first = statement(queue, "first", "SQS:ReceiveMessage", root(ACCOUNT))
    document = {
        "Version": "2008-10-17",
        "Id": f"{arn_of(queue)}/SQSDefaultPolicy",
        "Statement": [first],
    }
    assert policy(sqs, queue) == document
    permit(sqs, queue, "second", "SendMessage", "PurgeQueue", accounts=(ACCOUNT, OTHER_ACCOUNT))
    permit(sqs, queue, "third", "*", accounts=(OTHER_ACCOUNT,))
    actions = ["SQS:SendMessage", "SQS:PurgeQueue"]
    second = statement(queue, "second", actions, [root(ACCOUNT), root(OTHER_ACCOUNT)])
    third = statement(queue, "third", "SQS:*", root(OTHER_ACCOUNT))
    assert policy(sqs, queue) == {**document, "Statement": [first, second, third]}
    sqs.remove_permission(QueueUrl=queue, Label="second")
    assert policy(sqs, queue) == {**document, "Statement": [first, third]}
    for label in ("first", "third"):
        sqs.remove_permission(QueueUrl=queue, Label=label)
    assert policy(sqs, queue) is None
    rejected = rejection(sqs.remove_permission, QueueUrl=queue, Label="first")
    assert rejected == (
        400,
        "InvalidParameterValue",
        "Value first for parameter Label is invalid. Reason: can't find label.",
    )


def test_add_permission_extends_an_existing_policy(sqs: Sqs, queue: str) -> None:
    own = {
        "Sid": "mine",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": arn_of(queue),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    document = {"Version": "2012-10-17", "Id": "mine", "Statement": own}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(document)})
    permit(sqs, queue, "more", "GetQueueUrl", accounts=(ACCOUNT,))
    more = statement(queue, "more", "SQS:GetQueueUrl", root(ACCOUNT))
    assert policy(sqs, queue) == {**document, "Statement": [own, more]}
    label = {"QueueUrl": queue, "Label": "mine"}
    rejected = rejection(sqs.add_permission, **label, AWSAccountIds=[ACCOUNT], Actions=["*"])
    assert rejected.message == "Value mine for parameter Label is invalid. Reason: Already exists."
    sqs.remove_permission(**label)
    assert policy(sqs, queue) == {**document, "Statement": [more]}


def test_permissions_change_no_other_attribute(sqs: Sqs, name: str) -> None:
    attributes = {"DelaySeconds": "7", "KmsMasterKeyId": "alias/mine"}
    queue = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    permit(sqs, queue, "a", "SendMessage", accounts=(ACCOUNT,))
    sqs.remove_permission(QueueUrl=queue, Label="a")
    answer = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=list(attributes))
    assert answer["Attributes"] == attributes


def test_rejected_permission_changes_nothing(sqs: Sqs, queue: str) -> None:
    permit(sqs, queue, "a", "SendMessage", accounts=(ACCOUNT,))
    before = policy(sqs, queue)
    for label, accounts, actions in (
        ("b", ["nobody"], ["SendMessage"]),
        ("b", [ACCOUNT], ["SendMessage", "TagQueue"]),
        ("a", [OTHER_ACCOUNT], ["SendMessage"]),
    ):
        given = {"Label": label, "AWSAccountIds": accounts, "Actions": actions}
        assert rejection(sqs.add_permission, QueueUrl=queue, **given).status == 400
    assert policy(sqs, queue) == before


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1"])
def test_principal_is_in_the_partition_of_the_queue(
    connect: Connect, name: str, region: str
) -> None:
    sqs = connect(region=region)
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    permit(sqs, queue, "a", "SendMessage", accounts=(ACCOUNT,))
    document = policy(sqs, queue)
    assert document is not None
    (only,) = document["Statement"]
    partition = only["Resource"].split(":")[1]
    assert partition in {"aws-cn", "aws-us-gov"}
    assert only["Principal"]["AWS"] == f"arn:{partition}:iam::{ACCOUNT}:root"


def test_policy_reads_back_unchanged_and_empty_text_clears_it(sqs: Sqs, queue: str) -> None:
    text = json.dumps(
        {"Statement": [statement(queue, "größe", "sqs:*", "*")], "Version": "2012-10-17"}, indent=2
    )
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": text})
    answer = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"])
    assert answer["Attributes"] == {"Policy": text}
    for _ in range(2):
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": ""})
        assert policy(sqs, queue) is None
