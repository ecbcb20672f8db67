"""Queue attributes read back with the values that a client has set.

Provisioning tools set attributes, and then poll until each of them reads back equal.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.dead_letters import arn_of, create, redrive
from tests.api.live_server import AlarmCountingClock
from tests.api.sqs_clients import Sqs, rejection

POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "",
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": ["sqs:SendMessage"],
                "Resource": "*",
            }
        ],
    }
)
COUNTS = {
    "ApproximateNumberOfMessages": "0",
    "ApproximateNumberOfMessagesDelayed": "0",
    "ApproximateNumberOfMessagesNotVisible": "0",
}
PLAIN = {
    "DelaySeconds": "1",
    "MaximumMessageSize": "2048",
    "MessageRetentionPeriod": "61",
    "ReceiveMessageWaitTimeSeconds": "2",
    "VisibilityTimeout": "3",
    "KmsMasterKeyId": "alias/mine",
    "KmsDataKeyReusePeriodSeconds": "600",
    "Policy": POLICY,
}
FIFO = {
    "FifoQueue": "true",
    "ContentBasedDeduplication": "true",
    "DeduplicationScope": "messageGroup",
    "FifoThroughputLimit": "perMessageGroupId",
}
FIFO_DEFAULTS = {
    "FifoQueue": "true",
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoThroughputLimit": "perQueue",
}
WITH_KEY = {"KmsMasterKeyId": "key", "KmsDataKeyReusePeriodSeconds": "300"}


def read_attributes(sqs: Sqs, queue: str, *names: str) -> dict[str, str]:
    answer = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=list(names or ("All",)))
    found: dict[str, str] = answer.get("Attributes", {})
    return found


@pytest.mark.parametrize("action", ["create", "set"])
@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
def test_every_attribute_reads_back_as_set(
    sqs: Sqs, name: str, clock: AlarmCountingClock, fifo: bool, action: str
) -> None:
    ending = ".fifo" if fifo else ""
    dead = create(sqs, f"{name}-dead{ending}")
    allow = {"redrivePermission": "byQueue", "sourceQueueArns": [arn_of(dead)]}
    wanted = {
        **PLAIN,
        **(FIFO if fifo else {}),
        "RedrivePolicy": json.dumps(
            json.loads(redrive(dead)["RedrivePolicy"]), separators=(",", ":")
        ),
        "RedriveAllowPolicy": json.dumps(allow, separators=(",", ":")),
    }
    if action == "create":
        queue = create(sqs, f"{name}{ending}", wanted)
    else:
        queue = create(sqs, f"{name}{ending}")
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=wanted)
    now = str(clock.now_ms() // 1_000)
    expected = {
        **COUNTS,
        **wanted,
        "CreatedTimestamp": now,
        "LastModifiedTimestamp": now,
        "QueueArn": arn_of(queue),
        "SqsManagedSseEnabled": "false",
    }
    assert read_attributes(sqs, queue) == expected
    assert len(expected) == (21 if fifo else 17)
    for attribute, value in expected.items():
        assert read_attributes(sqs, queue, attribute) == {attribute: value}
    assert create(sqs, f"{name}{ending}", wanted) == queue
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=wanted)
    assert read_attributes(sqs, queue) == expected


def test_fifo_queue_has_default_fifo_attributes(sqs: Sqs, name: str) -> None:
    queue = create(sqs, f"{name}.fifo")
    assert read_attributes(sqs, queue).items() >= FIFO_DEFAULTS.items()
    assert read_attributes(sqs, create(sqs, name), *FIFO_DEFAULTS) == {}


@pytest.mark.parametrize(
    ("attribute", "given", "shown"),
    [
        ("SqsManagedSseEnabled", "FALSE", "false"),
        ("VisibilityTimeout", "007", "7"),
        ("KmsMasterKeyId", "no such key", "no such key"),
        (
            "RedriveAllowPolicy",
            '{ "redrivePermission" : "denyAll" }',
            '{"redrivePermission":"denyAll"}',
        ),
        (
            "RedriveAllowPolicy",
            (
                '{"sourceQueueArns":["arn:aws:sqs:us-east-1:000000000000:a"],'
                '"redrivePermission":"byQueue"}'
            ),
            (
                '{"redrivePermission":"byQueue",'
                '"sourceQueueArns":["arn:aws:sqs:us-east-1:000000000000:a"]}'
            ),
        ),
    ],
)
def test_attribute_values_read_back_in_canonical_form(
    sqs: Sqs, queue: str, attribute: str, given: str, shown: str
) -> None:
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={attribute: given})
    assert read_attributes(sqs, queue, attribute) == {attribute: shown}


@pytest.mark.parametrize(
    "form",
    [
        pytest.param('{"deadLetterTargetArn":"ARN","maxReceiveCount":3}', id="count as number"),
        pytest.param('{"deadLetterTargetArn":"ARN","maxReceiveCount":"3"}', id="count as text"),
        pytest.param(
            ' {"maxReceiveCount": 3,\n "deadLetterTargetArn": "ARN"} ', id="other spaces and order"
        ),
    ],
)
def test_redrive_policies_are_compared_by_content(sqs: Sqs, name: str, form: str) -> None:
    arn = arn_of(create(sqs, f"{name}-dead"))
    canonical = {"RedrivePolicy": f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":3}}'}
    queue = create(sqs, name, canonical)
    again = {"RedrivePolicy": form.replace("ARN", arn)}
    assert create(sqs, name, again) == queue
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=again)
    assert read_attributes(sqs, queue, "RedrivePolicy") == canonical
    other = {"RedrivePolicy": canonical["RedrivePolicy"].replace("3}", "4}")}
    assert rejection(create, sqs=sqs, name=name, attributes=other) == (
        400,
        "QueueAlreadyExists",
        (
            "A queue already exists with the same name and a different value for attribute "
            "RedrivePolicy"
        ),
    )


def test_repeated_create_compares_with_the_current_attributes(sqs: Sqs, name: str) -> None:
    queue = create(sqs, name, {"DelaySeconds": "1"})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"DelaySeconds": "2"})
    assert create(sqs, name, {"DelaySeconds": "2"}) == queue
    assert rejection(create, sqs=sqs, name=name, attributes={"DelaySeconds": "1"}).status == 400
    for attributes in ({}, {"SqsManagedSseEnabled": "True"}, {"RedrivePolicy": "", "Policy": ""}):
        assert create(sqs, name, attributes) == queue


def test_repeated_create_compares_tags_if_given(sqs: Sqs, name: str) -> None:
    queue = sqs.create_queue(QueueName=name, tags={"a": "1"})["QueueUrl"]
    for tags in ({}, {"a": "1"}):
        assert sqs.create_queue(QueueName=name, tags=tags)["QueueUrl"] == queue
    rejected = rejection(sqs.create_queue, QueueName=name, tags={"a": "2"})
    assert rejected.message == (
        "A queue already exists with the same name and a different value for tags"
    )
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"a": "1"}


def test_repeated_create_of_fifo_queue_returns_the_existing_queue(sqs: Sqs, name: str) -> None:
    queue = create(sqs, f"{name}.fifo", FIFO)
    assert create(sqs, f"{name}.fifo", FIFO) == queue
    rejected = rejection(create, sqs=sqs, name=f"{name}.fifo", attributes=FIFO_DEFAULTS)
    assert rejected.message.endswith("a different value for attribute ContentBasedDeduplication")


@pytest.mark.parametrize("attribute", ["Policy", "RedrivePolicy", "RedriveAllowPolicy"])
def test_empty_text_clears_a_policy_document(
    sqs: Sqs, queue: str, name: str, attribute: str
) -> None:
    values = {
        "Policy": POLICY,
        "RedriveAllowPolicy": '{"redrivePermission":"denyAll"}',
        **redrive(create(sqs, f"{name}-dead")),
    }
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={attribute: ""})
    assert read_attributes(sqs, queue, attribute) == {}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={attribute: values[attribute]})
    assert list(read_attributes(sqs, queue, attribute)) == [attribute]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={attribute: ""})
    assert attribute not in read_attributes(sqs, queue)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param([], {"SqsManagedSseEnabled": "true"}, id="default"),
        pytest.param(
            [{"KmsMasterKeyId": "key"}], {**WITH_KEY, "SqsManagedSseEnabled": "false"}, id="KMS key"
        ),
        pytest.param(
            [{"KmsMasterKeyId": "key"}, {"SqsManagedSseEnabled": "true"}],
            {"SqsManagedSseEnabled": "true"},
            id="KMS key, then SQS key",
        ),
        pytest.param(
            [
                {"KmsMasterKeyId": "key"},
                {"KmsMasterKeyId": "", "KmsDataKeyReusePeriodSeconds": "300"},
            ],
            {"SqsManagedSseEnabled": "false"},
            id="KMS key, then none",
        ),
        pytest.param(
            [{"KmsDataKeyReusePeriodSeconds": "60"}],
            {"SqsManagedSseEnabled": "true"},
            id="reuse period without KMS key",
        ),
        pytest.param(
            [{"SqsManagedSseEnabled": "false"}], {"SqsManagedSseEnabled": "false"}, id="none"
        ),
    ],
)
def test_queue_has_one_kind_of_encryption_at_a_time(
    sqs: Sqs, queue: str, changes: list[dict[str, str]], expected: dict[str, Any]
) -> None:
    for attributes in changes:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=attributes)
    names = ("KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled")
    assert read_attributes(sqs, queue, *names) == expected
