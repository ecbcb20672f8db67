"""The actions on queues, as real clients see them in both protocols and on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.live_server import SleepersClock
from tests.api.sqs_clients import Sqs, bodies, refusal

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


def test_a_new_queue_has_the_defaults_and_says_who_it_is(
    sqs: Sqs, name: str, clock: SleepersClock
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


def test_a_queue_is_made_with_its_attributes_and_tags(sqs: Sqs, name: str) -> None:
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


def test_creating_a_queue_again_gives_the_same_queue(sqs: Sqs, name: str) -> None:
    queue = sqs.create_queue(QueueName=name, Attributes={"DelaySeconds": "5"})["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="kept", DelaySeconds=0)
    for same in ({}, {"DelaySeconds": "5"}, {"VisibilityTimeout": "30"}):
        assert sqs.create_queue(QueueName=name, Attributes=same)["QueueUrl"] == queue
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["kept"]


def test_creating_a_queue_with_another_value_is_refused(sqs: Sqs, name: str) -> None:
    sqs.create_queue(QueueName=name)
    assert refusal(sqs.create_queue, QueueName=name, Attributes={"DelaySeconds": "5"}) == (
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
def test_a_queue_that_breaks_a_rule_is_not_made(
    sqs: Sqs, name: str, parameters: dict[str, Any], code: str
) -> None:
    assert refusal(sqs.create_queue, **{"QueueName": name, **parameters}).code == code
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=name)


def test_a_queue_is_found_by_its_name(sqs: Sqs, queue: str, name: str, protocol: str) -> None:
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == queue
    found = sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId="000000000000")
    assert found["QueueUrl"] == queue
    refused = refusal(sqs.get_queue_url, QueueName=f"{name}-not")
    assert refused == (400, "AWS.SimpleQueueService.NonExistentQueue", NO_SUCH_QUEUE[protocol])


@pytest.mark.parametrize("text", ["a\x00b", "\uffff", "é", "x" * 10_000])
def test_names_that_no_queue_can_have_are_not_found(sqs: Sqs, queue: str, text: str) -> None:
    refused = refusal(sqs.get_queue_url, QueueName=text)
    assert refused.code == "AWS.SimpleQueueService.NonExistentQueue"
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=text)


def test_an_account_that_is_none_has_no_queues(sqs: Sqs, name: str, queue: str) -> None:
    refused = refusal(sqs.get_queue_url, QueueName=name, QueueOwnerAWSAccountId="\x00")
    assert refused.code == "AWS.SimpleQueueService.NonExistentQueue"


def test_queues_are_listed_in_pages(sqs: Sqs, name: str) -> None:
    queues = [sqs.create_queue(QueueName=f"{name}-{number:02}")["QueueUrl"] for number in range(25)]
    whole = sqs.list_queues(QueueNamePrefix=name)
    assert whole["QueueUrls"] == queues
    assert "NextToken" not in whole
    pages = sqs.get_paginator("list_queues").paginate(
        QueueNamePrefix=name, PaginationConfig={"PageSize": 10}
    )
    assert [page["QueueUrls"] for page in pages] == [queues[:10], queues[10:20], queues[20:]]


def test_a_page_that_holds_the_rest_has_no_next_one(sqs: Sqs, name: str) -> None:
    for number in range(2):
        sqs.create_queue(QueueName=f"{name}-{number}")
    assert "NextToken" not in sqs.list_queues(QueueNamePrefix=name, MaxResults=2)


def test_a_page_token_is_good_for_the_same_request_only(sqs: Sqs, name: str) -> None:
    for number in range(3):
        sqs.create_queue(QueueName=f"{name}-{number}")
    token = sqs.list_queues(QueueNamePrefix=name, MaxResults=1)["NextToken"]
    refused = [
        refusal(sqs.list_queues, QueueNamePrefix=name, MaxResults=2, NextToken=token),
        refusal(sqs.list_queues, QueueNamePrefix=name, MaxResults=1, NextToken="made up"),
        refusal(sqs.list_queues, QueueNamePrefix=name, NextToken=token),
    ]
    assert [answer.message for answer in refused] == [
        (
            "Invalid NextToken value. If you are passing in NextToken, "
            "you must not change the other request parameters."
        ),
        "Invalid or expired next token.",
        "MaxResults is a mandatory parameter when you provide a value for NextToken.",
    ]


def test_attributes_are_changed_one_by_one_and_all_or_none(
    sqs: Sqs, queue: str, clock: SleepersClock
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
    assert refusal(sqs.set_queue_attributes, QueueUrl=queue, Attributes=wrong) == (
        400,
        "InvalidAttributeValue",
        "Invalid value for the parameter DelaySeconds.",
    )
    assert attributes(sqs, queue) == changed


def test_attributes_are_given_only_when_asked_for(sqs: Sqs, queue: str) -> None:
    assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=queue)
    assert attributes(sqs, queue, "Policy") == {}
    assert refusal(
        sqs.get_queue_attributes, QueueUrl=queue, AttributeNames=["VisibilityTimeout", "Colour"]
    ) == (400, "InvalidAttributeName", "Unknown Attribute Colour.")


def test_a_changed_attribute_counts_for_the_next_request(sqs: Sqs, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x" * 1_025)
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MaximumMessageSize": "1024"})
    assert refusal(sqs.send_message, QueueUrl=queue, MessageBody="x" * 1_025) == (
        400,
        "InvalidParameterValue",
        "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.",
    )


def test_the_counters_tell_visible_in_flight_and_delayed_apart(sqs: Sqs, queue: str) -> None:
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
    sqs.untag_queue(QueueUrl=queue, TagKeys=["b", "A", "never was"])
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"a": "1"}


def test_a_queue_has_room_for_50_tags(sqs: Sqs, queue: str, name: str) -> None:
    tags = {f"key-{number}": "value" for number in range(50)}
    sqs.tag_queue(QueueUrl=queue, Tags=tags)
    refused = refusal(sqs.tag_queue, QueueUrl=queue, Tags={"one": "more"})
    assert refused.message == f"Too many tags added for queue {name}."
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == tags


def test_a_purge_takes_visible_delayed_and_received_messages(sqs: Sqs, queue: str) -> None:
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


def test_a_deleted_queue_is_gone_for_every_action(sqs: Sqs, queue: str, protocol: str) -> None:
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
    sqs.send_message(QueueUrl=queue, MessageBody="gone with it")
    sqs.delete_queue(QueueUrl=queue)
    gone = (400, "AWS.SimpleQueueService.NonExistentQueue", NO_SUCH_QUEUE[protocol])
    for call, parameters in calls:
        assert refusal(call, QueueUrl=queue, **parameters) == gone, call.__name__
    assert queue not in sqs.list_queues().get("QueueUrls", [])


def test_a_name_is_free_again_and_the_new_queue_empty(sqs: Sqs, queue: str, name: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="old")
    handle = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)["Messages"][0]
    sqs.delete_queue(QueueUrl=queue)
    again = sqs.create_queue(QueueName=name, Attributes={"DelaySeconds": "1"})["QueueUrl"]
    assert again == queue
    assert attributes(sqs, queue, "DelaySeconds") == {"DelaySeconds": "1"}
    sqs.send_message(QueueUrl=queue, MessageBody="new", DelaySeconds=0)
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=handle["ReceiptHandle"])
    assert bodies(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)) == ["new"]


def test_without_cooldowns_nobody_waits(sqs: Sqs, queue: str, name: str) -> None:
    sqs.purge_queue(QueueUrl=queue)
    sqs.purge_queue(QueueUrl=queue)
    sqs.delete_queue(QueueUrl=queue)
    assert sqs.create_queue(QueueName=name)["QueueUrl"] == queue


def test_with_cooldowns_a_purge_and_a_deleted_name_take_60_seconds(
    strict_sqs: Sqs, strict_clock: SleepersClock, name: str
) -> None:
    sqs = strict_sqs
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.purge_queue(QueueUrl=queue)
    strict_clock.advance(59.999)
    assert refusal(sqs.purge_queue, QueueUrl=queue) == (
        403,
        "AWS.SimpleQueueService.PurgeQueueInProgress",
        f"Only one PurgeQueue operation on {name} is allowed every 60 seconds.",
    )
    strict_clock.advance(0.001)
    sqs.purge_queue(QueueUrl=queue)

    sqs.delete_queue(QueueUrl=queue)
    strict_clock.advance(59.999)
    assert refusal(sqs.create_queue, QueueName=name) == (
        400,
        "AWS.SimpleQueueService.QueueDeletedRecently",
        (
            "You must wait 60 seconds after deleting a queue before you can create another "
            "with the same name."
        ),
    )
    strict_clock.advance(0.001)
    assert sqs.create_queue(QueueName=name)["QueueUrl"] == queue


def test_what_a_queue_allows_now_is_not_refused_as_before(sqs: Sqs, name: str) -> None:
    url = sqs.create_queue(QueueName=name, Attributes={"MaximumMessageSize": "1024"})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "4096"})
    sqs.send_message(QueueUrl=url, MessageBody="x" * 2_000)
    sqs.delete_queue(QueueUrl=url)
    refused = refusal(sqs.send_message, QueueUrl=url, MessageBody="x" * 5_000)
    assert refused.code == "AWS.SimpleQueueService.NonExistentQueue"
