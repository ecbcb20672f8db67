"""Actions on queues: create, find, list, attributes, tags, purge and delete."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.live_server import AlarmCountingClock
from tests.api.sqs_clients import Sqs, bodies, rejection

NO_SUCH_QUEUE = {
    "json": "The specified queue does not exist.",
    "query": "The specified queue does not exist for this wsdl version.",
}
DEFAULTS = {
    "ApproximateNumberOfMessages": "0",
    "ApproximateNumberOfMessagesDelayed": "0",
    "ApproximateNumberOfMessagesNotVisible": "0",
    "DelaySeconds": "0",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}


def attributes(sqs: Sqs, queue: str, *names: str) -> dict[str, str]:
    answer = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=list(names or ("All",)))
    found: dict[str, str] = answer.get("Attributes", {})
    return found


def test_new_queue_has_default_attributes_and_its_arn(
    sqs: Sqs, name: str, clock: AlarmCountingClock
) -> None:
    created = sqs.create_queue(QueueName=name)["QueueUrl"]
    now = str(clock.now_ms() // 1_000)
    assert created == f"{sqs.meta.endpoint_url}/000000000000/{name}"
    assert attributes(sqs, created) == {
        **DEFAULTS,
        "CreatedTimestamp": now,
        "LastModifiedTimestamp": now,
        "QueueArn": f"arn:aws:sqs:us-east-1:000000000000:{name}",
    }


def test_queue_is_created_with_attributes_and_tags(sqs: Sqs, name: str) -> None:
    queue = sqs.create_queue(
        QueueName=name,
        Attributes={"DelaySeconds": "5", "VisibilityTimeout": "7"},
        tags={"team": "größer", "empty": ""},
    )["QueueUrl"]
    assert attributes(sqs, queue, "VisibilityTimeout", "DelaySeconds") == {
        "DelaySeconds": "5",
        "VisibilityTimeout": "7",
    }
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"team": "größer", "empty": ""}


def test_repeated_create_returns_the_existing_queue(sqs: Sqs, name: str) -> None:
    queue = sqs.create_queue(QueueName=name, Attributes={"DelaySeconds": "5"})["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="x", DelaySeconds=0)
    for same in ({}, {"DelaySeconds": "5"}, {"VisibilityTimeout": "30"}):
        assert sqs.create_queue(QueueName=name, Attributes=same)["QueueUrl"] == queue
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["x"]


def test_repeated_create_with_another_attribute_value_is_rejected(sqs: Sqs, name: str) -> None:
    sqs.create_queue(QueueName=name)
    assert rejection(sqs.create_queue, QueueName=name, Attributes={"DelaySeconds": "5"}) == (
        400,
        "QueueAlreadyExists",
        (
            "A queue already exists with the same name and a different value for attribute "
            "DelaySeconds"
        ),
    )


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        pytest.param({"QueueName": "no spaces"}, "InvalidParameterValue", id="name"),
        pytest.param(
            {"Attributes": {"DelaySeconds": "901"}}, "InvalidAttributeValue", id="attribute value"
        ),
        pytest.param({"Attributes": {"Colour": "red"}}, "InvalidAttributeName", id="attribute"),
        pytest.param({"tags": {"a?": "b"}}, "InvalidParameterValue", id="tag"),
    ],
)
def test_invalid_create_makes_no_queue(
    sqs: Sqs, name: str, parameters: dict[str, Any], code: str
) -> None:
    assert rejection(sqs.create_queue, **{"QueueName": name, **parameters}).code == code
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=name)


def test_queue_is_found_by_name(sqs: Sqs, queue: str, name: str, protocol: str) -> None:
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == queue
    found = sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId="000000000000")
    assert found["QueueUrl"] == queue
    rejected = rejection(sqs.get_queue_url, QueueName=f"{name}-not")
    assert rejected == (400, "AWS.SimpleQueueService.NonExistentQueue", NO_SUCH_QUEUE[protocol])


@pytest.mark.parametrize("text", ["a\x00b", "\uffff", "é", "x" * 10_000])
def test_invalid_queue_names_are_not_found(sqs: Sqs, queue: str, text: str) -> None:
    rejected = rejection(sqs.get_queue_url, QueueName=text)
    assert rejected.code == "AWS.SimpleQueueService.NonExistentQueue"
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=text)


def test_invalid_account_id_has_no_queues(sqs: Sqs, name: str, queue: str) -> None:
    rejected = rejection(sqs.get_queue_url, QueueName=name, QueueOwnerAWSAccountId="\x00")
    assert rejected.code == "AWS.SimpleQueueService.NonExistentQueue"


def test_queues_are_listed_in_pages(sqs: Sqs, name: str) -> None:
    queues = [sqs.create_queue(QueueName=f"{name}-{number:02}")["QueueUrl"] for number in range(25)]
    whole = sqs.list_queues(QueueNamePrefix=name)
    assert whole["QueueUrls"] == queues
    assert "NextToken" not in whole
    pages = sqs.get_paginator("list_queues").paginate(
        QueueNamePrefix=name, PaginationConfig={"PageSize": 10}
    )
    assert [page["QueueUrls"] for page in pages] == [queues[:10], queues[10:20], queues[20:]]


def test_last_page_has_no_next_token(sqs: Sqs, name: str) -> None:
    for number in range(2):
        sqs.create_queue(QueueName=f"{name}-{number}")
    assert "NextToken" not in sqs.list_queues(QueueNamePrefix=name, MaxResults=2)


def test_page_token_is_valid_with_another_page_size(sqs: Sqs, name: str) -> None:
    queues = [sqs.create_queue(QueueName=f"{name}-{number}")["QueueUrl"] for number in range(5)]
    first = sqs.list_queues(QueueNamePrefix=name, MaxResults=2)
    token = first["NextToken"]
    rest = sqs.list_queues(QueueNamePrefix=name, MaxResults=10, NextToken=token)
    assert [*first["QueueUrls"], *rest["QueueUrls"]] == queues
    assert "NextToken" not in rest
    smaller = sqs.list_queues(QueueNamePrefix=name, MaxResults=1, NextToken=token)
    assert smaller["QueueUrls"] == queues[2:3]


def test_page_token_is_valid_only_for_the_same_prefix(sqs: Sqs, name: str) -> None:
    for number in range(3):
        sqs.create_queue(QueueName=f"{name}-{number}")
    token = sqs.list_queues(QueueNamePrefix=name, MaxResults=1)["NextToken"]
    rejected = [
        rejection(sqs.list_queues, QueueNamePrefix=f"{name}-", MaxResults=1, NextToken=token),
        rejection(sqs.list_queues, MaxResults=1, NextToken=token),
        rejection(sqs.list_queues, QueueNamePrefix=name, MaxResults=1, NextToken="garbage"),
        rejection(sqs.list_queues, QueueNamePrefix=name, NextToken=token),
    ]
    other_list = (
        "Invalid NextToken value. If you are passing in NextToken, "
        "you must not change the other request parameters."
    )
    assert [answer.message for answer in rejected] == [
        other_list,
        other_list,
        "Invalid or expired next token.",
        "MaxResults is a mandatory parameter when you provide a value for NextToken.",
    ]


def test_set_attributes_changes_only_the_given_ones_and_all_or_none(
    sqs: Sqs, queue: str, clock: AlarmCountingClock
) -> None:
    before = attributes(sqs, queue)
    clock.advance(5)
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "77"})
    changed = {
        **before,
        "VisibilityTimeout": "77",
        "LastModifiedTimestamp": str(clock.now_ms() // 1_000),
    }
    assert attributes(sqs, queue) == changed
    clock.advance(5)
    wrong = {"VisibilityTimeout": "88", "DelaySeconds": "x"}
    assert rejection(sqs.set_queue_attributes, QueueUrl=queue, Attributes=wrong) == (
        400,
        "InvalidAttributeValue",
        "Invalid value for the parameter DelaySeconds.",
    )
    assert attributes(sqs, queue) == changed


def test_only_requested_attributes_are_returned(sqs: Sqs, queue: str) -> None:
    assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=queue)
    assert attributes(sqs, queue, "Policy") == {}
    assert rejection(
        sqs.get_queue_attributes, QueueUrl=queue, AttributeNames=["VisibilityTimeout", "Colour"]
    ) == (400, "InvalidAttributeName", "Unknown Attribute Colour.")


def test_changed_attribute_applies_to_the_next_request(sqs: Sqs, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x" * 1_025)
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MaximumMessageSize": "1024"})
    assert rejection(sqs.send_message, QueueUrl=queue, MessageBody="x" * 1_025) == (
        400,
        "InvalidParameterValue",
        "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.",
    )


def test_counts_separate_visible_in_flight_and_delayed_messages(sqs: Sqs, queue: str) -> None:
    for delay_seconds in (0, 0, 0, 60, 60):
        sqs.send_message(QueueUrl=queue, MessageBody="x", DelaySeconds=delay_seconds)
    sqs.receive_message(QueueUrl=queue)
    counters = {
        "ApproximateNumberOfMessages": "2",
        "ApproximateNumberOfMessagesNotVisible": "1",
        "ApproximateNumberOfMessagesDelayed": "2",
    }
    assert attributes(sqs, queue, *counters) == counters


def test_tags_are_added_overwritten_and_removed(sqs: Sqs, queue: str) -> None:
    assert "Tags" not in sqs.list_queue_tags(QueueUrl=queue)
    sqs.tag_queue(QueueUrl=queue, Tags={"a": "1", "b": "2"})
    sqs.tag_queue(QueueUrl=queue, Tags={"b": "3", "A": ""})
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"a": "1", "b": "3", "A": ""}
    sqs.untag_queue(QueueUrl=queue, TagKeys=["b", "A", "missing"])
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"a": "1"}


def test_queue_has_at_most_50_tags(sqs: Sqs, queue: str, name: str) -> None:
    tags = {f"key-{number}": "value" for number in range(50)}
    sqs.tag_queue(QueueUrl=queue, Tags=tags)
    rejected = rejection(sqs.tag_queue, QueueUrl=queue, Tags={"one": "more"})
    assert rejected.message == f"Too many tags added for queue {name}."
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == tags


def test_purge_deletes_visible_delayed_and_in_flight_messages(sqs: Sqs, queue: str) -> None:
    for delay_seconds in (0, 0, 60):
        sqs.send_message(QueueUrl=queue, MessageBody="old", DelaySeconds=delay_seconds)
    handle = sqs.receive_message(QueueUrl=queue)["Messages"][0]["ReceiptHandle"]
    sqs.purge_queue(QueueUrl=queue)
    counters = [name for name in DEFAULTS if name.startswith("Approximate")]
    assert set(attributes(sqs, queue, *counters).values()) == {"0"}
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=handle)
    sqs.send_message(QueueUrl=queue, MessageBody="new")
    received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    assert bodies(received) == ["new"]


def test_every_action_on_a_deleted_queue_is_rejected(sqs: Sqs, queue: str, protocol: str) -> None:
    handle = {"ReceiptHandle": "x"}
    calls: list[tuple[Any, dict[str, Any]]] = [
        (sqs.send_message, {"MessageBody": "x"}),
        (sqs.send_message_batch, {"Entries": [{"Id": "a", "MessageBody": "x"}]}),
        (sqs.receive_message, {}),
        (sqs.delete_message, handle),
        (sqs.delete_message_batch, {"Entries": [{"Id": "a", **handle}]}),
        (sqs.change_message_visibility, {**handle, "VisibilityTimeout": 1}),
        (
            sqs.change_message_visibility_batch,
            {"Entries": [{"Id": "a", "VisibilityTimeout": 1, **handle}]},
        ),
        (sqs.get_queue_attributes, {"AttributeNames": ["All"]}),
        (sqs.set_queue_attributes, {"Attributes": {"DelaySeconds": "1"}}),
        (sqs.tag_queue, {"Tags": {"a": "b"}}),
        (sqs.untag_queue, {"TagKeys": ["a"]}),
        (sqs.list_queue_tags, {}),
        (sqs.purge_queue, {}),
        (sqs.delete_queue, {}),
    ]
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    sqs.delete_queue(QueueUrl=queue)
    missing = (400, "AWS.SimpleQueueService.NonExistentQueue", NO_SUCH_QUEUE[protocol])
    for call, parameters in calls:
        assert rejection(call, QueueUrl=queue, **parameters) == missing, call.__name__
    assert queue not in sqs.list_queues().get("QueueUrls", [])


def test_queue_recreated_under_a_deleted_name_is_empty(sqs: Sqs, queue: str, name: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="old")
    handle = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)["Messages"][0]
    sqs.delete_queue(QueueUrl=queue)
    again = sqs.create_queue(QueueName=name, Attributes={"DelaySeconds": "1"})["QueueUrl"]
    assert again == queue
    assert attributes(sqs, queue, "DelaySeconds") == {"DelaySeconds": "1"}
    sqs.send_message(QueueUrl=queue, MessageBody="new", DelaySeconds=0)
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=handle["ReceiptHandle"])
    assert bodies(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)) == ["new"]


def test_without_cooldowns_purge_and_recreate_succeed_at_once(
    sqs: Sqs, queue: str, name: str
) -> None:
    sqs.purge_queue(QueueUrl=queue)
    sqs.purge_queue(QueueUrl=queue)
    sqs.delete_queue(QueueUrl=queue)
    assert sqs.create_queue(QueueName=name)["QueueUrl"] == queue


def test_with_cooldowns_purge_and_recreate_are_rejected_for_60_seconds(
    cooldown_sqs: Sqs, cooldown_clock: AlarmCountingClock, name: str
) -> None:
    sqs = cooldown_sqs
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.purge_queue(QueueUrl=queue)
    cooldown_clock.advance(59.999)
    assert rejection(sqs.purge_queue, QueueUrl=queue) == (
        403,
        "AWS.SimpleQueueService.PurgeQueueInProgress",
        f"Only one PurgeQueue operation on {name} is allowed every 60 seconds.",
    )
    cooldown_clock.advance(0.001)
    sqs.purge_queue(QueueUrl=queue)

    sqs.delete_queue(QueueUrl=queue)
    cooldown_clock.advance(59.999)
    assert rejection(sqs.create_queue, QueueName=name) == (
        400,
        "AWS.SimpleQueueService.QueueDeletedRecently",
        (
            "You must wait 60 seconds after deleting a queue before you can create another "
            "with the same name."
        ),
    )
    cooldown_clock.advance(0.001)
    assert sqs.create_queue(QueueName=name)["QueueUrl"] == queue


def test_raised_message_size_limit_applies_to_the_next_send(sqs: Sqs, name: str) -> None:
    url = sqs.create_queue(QueueName=name, Attributes={"MaximumMessageSize": "1024"})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "4096"})
    sqs.send_message(QueueUrl=url, MessageBody="x" * 2_000)
    sqs.delete_queue(QueueUrl=url)
    rejected = rejection(sqs.send_message, QueueUrl=url, MessageBody="x" * 5_000)
    assert rejected.code == "AWS.SimpleQueueService.NonExistentQueue"
