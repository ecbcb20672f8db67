"""Dead-letter queues: moves, retention, redrive allow policies, and lists of sources."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.dead_letters import COLOUR, TRACE, arn_of, create, redrive
from tests.api.live_server import AlarmCountingClock
from tests.api.sqs_clients import Connect, Sqs, bodies, receive, rejection

# Moves to the dead-letter queue


def test_receive_beyond_maximum_receive_count_moves_the_message(
    sqs: Sqs, source: str, dead: str, clock: AlarmCountingClock
) -> None:
    system = {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}}
    sent = sqs.send_message(
        QueueUrl=source,
        MessageBody="x",
        MessageGroupId="tenant",
        MessageAttributes=COLOUR,
        MessageSystemAttributes=system,
    )
    sent_at = clock.now_ms()
    clock.advance(1)
    assert len(receive(sqs, source, VisibilityTimeout=5)) == 1
    clock.advance(5)
    assert receive(sqs, dead) == []
    assert receive(sqs, source) == []
    (message,) = receive(sqs, dead)
    assert message["MessageId"] == sent["MessageId"]
    assert message["Body"] == "x"
    assert message["MessageAttributes"] == COLOUR
    assert message["Attributes"] == {
        "ApproximateFirstReceiveTimestamp": str(sent_at + 1_000),
        "ApproximateReceiveCount": "2",
        "AWSTraceHeader": TRACE,
        "DeadLetterQueueSourceArn": arn_of(source),
        "MessageGroupId": "tenant",
        "SenderId": "000000000000",
        "SentTimestamp": str(sent_at),
    }


@pytest.mark.parametrize("count", [2, 3])
def test_message_is_received_exactly_maximum_receive_count_times(
    sqs: Sqs, name: str, dead: str, count: int
) -> None:
    queue = create(sqs, name, redrive(dead, count))
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    counts = [len(receive(sqs, queue, VisibilityTimeout=0)) for _ in range(count + 1)]
    assert counts == [1] * count + [0]
    assert len(receive(sqs, dead)) == 1


def test_receive_returns_messages_behind_exhausted_ones(sqs: Sqs, source: str, dead: str) -> None:
    for number in range(3):
        sqs.send_message(QueueUrl=source, MessageBody=f"old {number}")
    receive(sqs, source, VisibilityTimeout=0)
    sqs.send_message(QueueUrl=source, MessageBody="new")
    assert [message["Body"] for message in receive(sqs, source)] == ["new"]
    moved = sorted(message["Body"] for message in receive(sqs, dead))
    assert moved == ["old 0", "old 1", "old 2"]


def test_dead_letter_queue_can_have_a_dead_letter_queue(sqs: Sqs, name: str) -> None:
    third = create(sqs, f"{name}-3")
    second = create(sqs, f"{name}-2", redrive(third))
    first = create(sqs, f"{name}-1", redrive(second, 2))
    sqs.send_message(QueueUrl=first, MessageBody="x")
    for _ in range(3):
        receive(sqs, first, VisibilityTimeout=0)
    # The receives from the first queue do not count in the second.
    (message,) = receive(sqs, second, VisibilityTimeout=0)
    assert message["Attributes"]["ApproximateReceiveCount"] == "3"
    assert receive(sqs, second) == []
    (message,) = receive(sqs, third)
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == arn_of(second)
    assert message["Attributes"]["ApproximateReceiveCount"] == "4"


def test_queue_can_be_its_own_dead_letter_queue(sqs: Sqs, queue: str) -> None:
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=redrive(queue))
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    assert [len(receive(sqs, queue, VisibilityTimeout=0)) for _ in range(3)] == [1, 1, 1]


def test_message_stays_in_the_source_if_the_dead_letter_queue_is_deleted(
    sqs: Sqs, source: str, dead: str
) -> None:
    sqs.send_message(QueueUrl=source, MessageBody="x")
    sqs.delete_queue(QueueUrl=dead)
    assert [len(receive(sqs, source, VisibilityTimeout=0)) for _ in range(3)] == [1, 1, 1]


def test_cleared_redrive_policy_moves_no_message(sqs: Sqs, source: str, dead: str) -> None:
    sqs.send_message(QueueUrl=source, MessageBody="x")
    receive(sqs, source, VisibilityTimeout=0)
    sqs.set_queue_attributes(QueueUrl=source, Attributes={"RedrivePolicy": ""})
    assert len(receive(sqs, source)) == 1
    assert receive(sqs, dead) == []


def test_retention_of_a_dead_letter_counts_from_its_first_send(
    sqs: Sqs, source: str, dead: str, clock: AlarmCountingClock
) -> None:
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"MessageRetentionPeriod": "100"})
    sqs.send_message(QueueUrl=source, MessageBody="x")
    receive(sqs, source, VisibilityTimeout=60)
    clock.advance(60)
    receive(sqs, source)
    clock.advance(39.999)
    assert len(receive(sqs, dead, VisibilityTimeout=0)) == 1
    clock.advance(0.001)
    assert receive(sqs, dead) == []


def test_counts_follow_dead_lettered_messages(sqs: Sqs, source: str, dead: str) -> None:
    sqs.send_message(QueueUrl=source, MessageBody="x")
    for _ in range(2):
        receive(sqs, source, VisibilityTimeout=0)
    wanted = ["ApproximateNumberOfMessages"]
    counts = [
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"][wanted[0]]
        for url in (source, dead)
    ]
    assert counts == ["0", "1"]


# FIFO queues


def test_dead_letter_unblocks_its_group_in_the_fifo_queue(
    sqs: Sqs, name: str, clock: AlarmCountingClock
) -> None:
    dead = create(sqs, f"{name}-dead.fifo", {"MessageRetentionPeriod": "100"})
    queue = create(sqs, f"{name}.fifo", redrive(dead))
    sent = [
        sqs.send_message(
            QueueUrl=queue, MessageBody=body, MessageGroupId="g", MessageDeduplicationId=body
        )
        for body in ("1", "2")
    ]
    (first,) = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=60)["Messages"]
    assert first["Body"] == "1"
    clock.advance(60)
    assert [message["Body"] for message in receive(sqs, queue)] == ["2"]
    clock.advance(99.999)
    (message,) = receive(sqs, dead, VisibilityTimeout=0)
    attributes = message["Attributes"]
    assert message["MessageId"] == sent[0]["MessageId"]
    assert attributes["MessageGroupId"] == "g"
    assert attributes["DeadLetterQueueSourceArn"] == arn_of(queue)
    assert attributes["ApproximateReceiveCount"] == "2"
    assert attributes["SequenceNumber"] > sent[1]["SequenceNumber"]
    clock.advance(0.001)
    assert receive(sqs, dead) == []


def test_equal_deduplication_ids_are_both_kept_in_the_dead_letter_queue(
    sqs: Sqs, name: str
) -> None:
    dead = create(sqs, f"{name}-dead.fifo")
    for number in range(2):
        queue = create(sqs, f"{name}-{number}.fifo", redrive(dead))
        sqs.send_message(
            QueueUrl=queue, MessageBody="x", MessageGroupId="g", MessageDeduplicationId="d"
        )
        for _ in range(2):
            receive(sqs, queue, VisibilityTimeout=0)
    received = receive(sqs, dead)
    assert len(received) == 2
    for message in received:
        assert message["Attributes"]["MessageDeduplicationId"] == message["MessageId"]


# Allowed sources


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [
        pytest.param("allowAll", True, id="allow all"),
        pytest.param("denyAll", False, id="deny all"),
        pytest.param("byQueue", True, id="allow this queue"),
        pytest.param("byOther", False, id="allow another queue"),
    ],
)
def test_redrive_allow_policy_restricts_the_sources(
    sqs: Sqs, queue: str, dead: str, permission: str, allowed: bool
) -> None:
    policy: dict[str, Any] = {"redrivePermission": permission}
    if permission.startswith("by"):
        source = arn_of(queue if permission == "byQueue" else f"{queue}-that-is-not-there")
        policy = {"redrivePermission": "byQueue", "sourceQueueArns": [source]}
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps(policy)})
    request = {"QueueUrl": queue, "Attributes": redrive(dead)}
    if allowed:
        sqs.set_queue_attributes(**request)
    else:
        assert rejection(sqs.set_queue_attributes, **request).message.endswith(
            "The redrive allow policy of the queue doesn't allow it."
        )
        answer = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])
        assert "Attributes" not in answer


def test_redrive_allow_policy_does_not_affect_existing_sources(
    sqs: Sqs, source: str, dead: str
) -> None:
    deny = {"RedriveAllowPolicy": '{"redrivePermission":"denyAll"}'}
    sqs.set_queue_attributes(QueueUrl=dead, Attributes=deny)
    sqs.set_queue_attributes(QueueUrl=source, Attributes={"DelaySeconds": "0"})
    sqs.send_message(QueueUrl=source, MessageBody="x")
    for _ in range(2):
        receive(sqs, source, VisibilityTimeout=0)
    assert bodies(sqs.receive_message(QueueUrl=dead)) == ["x"]


def test_dead_letter_queue_must_be_in_the_region_of_its_source(
    connect: Connect, sqs: Sqs, name: str
) -> None:
    dead = create(connect(region="eu-west-1"), f"{name}-dead")
    policy = {"deadLetterTargetArn": arn_of(dead, "eu-west-1"), "maxReceiveCount": 1}
    rejected = rejection(
        sqs.create_queue, QueueName=name, Attributes={"RedrivePolicy": json.dumps(policy)}
    )
    assert rejected.message.endswith("Reason: Dead letter target does not exist.")


# Lists of sources


def test_sources_of_a_dead_letter_queue_are_listed_in_pages(sqs: Sqs, name: str, dead: str) -> None:
    listing = {"QueueUrl": dead}
    assert not sqs.list_dead_letter_source_queues(**listing).get("queueUrls")
    sources = [create(sqs, f"{name}-{number}", redrive(dead)) for number in range(5)]
    whole = sqs.list_dead_letter_source_queues(**listing)
    assert whole["queueUrls"] == sources
    assert "NextToken" not in whole
    pages = sqs.get_paginator("list_dead_letter_source_queues").paginate(
        **listing, PaginationConfig={"PageSize": 2}
    )
    assert [page["queueUrls"] for page in pages] == [sources[:2], sources[2:4], sources[4:]]
    token = sqs.list_dead_letter_source_queues(**listing, MaxResults=2)["NextToken"]
    rest = sqs.list_dead_letter_source_queues(**listing, MaxResults=10, NextToken=token)
    assert rest["queueUrls"] == sources[2:], "another page size"


def test_former_sources_are_not_listed(sqs: Sqs, name: str, dead: str) -> None:
    sources = [create(sqs, f"{name}-{number}", redrive(dead)) for number in range(3)]
    sqs.set_queue_attributes(QueueUrl=sources[0], Attributes={"RedrivePolicy": ""})
    sqs.delete_queue(QueueUrl=sources[1])
    sqs.set_queue_attributes(QueueUrl=sources[2], Attributes={"DelaySeconds": "1"})
    sqs.add_permission(
        QueueUrl=sources[2], Label="a", AWSAccountIds=["111122223333"], Actions=["*"]
    )
    found = sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"]
    assert found == [sources[2]]
