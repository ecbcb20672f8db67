"""FIFO queues, as real clients see them: order, groups, deduplication and repeated receives."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import pytest

from tests.api.live_server import PATIENCE_SECONDS, SleepersClock
from tests.api.sqs_clients import Sqs, bodies, refusal

COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@pytest.fixture
def fifo(sqs: Sqs, name: str) -> str:
    """Give the URL of an empty FIFO queue that deduplicates by content."""
    return create(sqs, name, ContentBasedDeduplication="true")


def create(sqs: Sqs, name: str, **attributes: str) -> str:
    url: str = sqs.create_queue(
        QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true", **attributes}
    )["QueueUrl"]
    return url


def send(sqs: Sqs, queue: str, *messages: str) -> list[dict[str, Any]]:
    """Send messages, each written as `group-rest`, into the group that it names."""
    return [
        sqs.send_message(QueueUrl=queue, MessageBody=text, MessageGroupId=text.split("-")[0])
        for text in messages
    ]


def receive(sqs: Sqs, queue: str, **parameters: object) -> list[dict[str, Any]]:
    request = {"MaxNumberOfMessages": 10, "AttributeNames": ["All"], **parameters}
    messages: list[dict[str, Any]] = sqs.receive_message(QueueUrl=queue, **request).get(
        "Messages", []
    )
    return messages


def texts(sqs: Sqs, queue: str, **parameters: object) -> list[str]:
    return [message["Body"] for message in receive(sqs, queue, **parameters)]


def delete(sqs: Sqs, queue: str, *messages: dict[str, Any]) -> None:
    for message in messages:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def hide(sqs: Sqs, queue: str, message: dict[str, Any], seconds: int) -> None:
    sqs.change_message_visibility(
        QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
    )


# Order and groups


def test_a_message_of_a_fifo_queue_tells_its_place(
    sqs: Sqs, fifo: str, clock: SleepersClock
) -> None:
    first, second = send(sqs, fifo, "g-1", "h-1")
    received = receive(sqs, fifo)
    now = str(clock.now_ms())
    for sent, message, group in zip((first, second), received, "gh", strict=True):
        assert message["Attributes"] == {
            "ApproximateFirstReceiveTimestamp": now,
            "ApproximateReceiveCount": "1",
            "MessageDeduplicationId": hashlib.sha256(f"{group}-1".encode()).hexdigest(),
            "MessageGroupId": group,
            "SenderId": "000000000000",
            "SentTimestamp": now,
            "SequenceNumber": sent["SequenceNumber"],
        }
        assert message["MessageId"] == sent["MessageId"]
        assert len(sent["SequenceNumber"]) == 20
        assert sent["SequenceNumber"].isdecimal()
    assert second["SequenceNumber"] > first["SequenceNumber"]


def test_a_receive_takes_whole_groups_in_the_queue_s_order(sqs: Sqs, fifo: str) -> None:
    send(sqs, fifo, "g1-1", "g2-1", "g1-2", "g1-3")
    assert texts(sqs, fifo) == ["g1-1", "g1-2", "g1-3", "g2-1"]


def test_a_message_in_flight_blocks_its_group_and_no_other(sqs: Sqs, fifo: str) -> None:
    send(sqs, fifo, "g1-1", "g1-2", "g2-1")
    (head,) = receive(sqs, fifo, MaxNumberOfMessages=1)
    assert head["Body"] == "g1-1"
    send(sqs, fifo, "g1-3")
    assert texts(sqs, fifo) == ["g2-1"]
    delete(sqs, fifo, head)
    assert texts(sqs, fifo) == ["g1-2", "g1-3"]


def test_a_group_is_free_when_all_in_flight_are_deleted(sqs: Sqs, fifo: str) -> None:
    send(sqs, fifo, "g-1", "g-2", "g-3")
    first, second = receive(sqs, fifo, MaxNumberOfMessages=2)
    delete(sqs, fifo, second)
    assert texts(sqs, fifo) == []
    delete(sqs, fifo, first)
    assert texts(sqs, fifo) == ["g-3"]


def test_messages_come_back_in_their_order(sqs: Sqs, fifo: str, clock: SleepersClock) -> None:
    send(sqs, fifo, "g-1", "g-2", "g-3")
    assert texts(sqs, fifo, MaxNumberOfMessages=2) == ["g-1", "g-2"]
    clock.advance(30)
    assert texts(sqs, fifo) == ["g-1", "g-2", "g-3"]


def test_a_message_shown_again_comes_alone_while_later_ones_are_in_flight(
    sqs: Sqs, fifo: str
) -> None:
    send(sqs, fifo, "g-1", "g-2", "g-3")
    head, *_ = receive(sqs, fifo)
    hide(sqs, fifo, head, 0)
    assert texts(sqs, fifo) == ["g-1"]
    assert texts(sqs, fifo) == []


def test_what_lies_before_a_message_that_stays_hidden_can_be_received(
    sqs: Sqs, fifo: str, clock: SleepersClock
) -> None:
    send(sqs, fifo, "g-1", "g-2", "g-3")
    _, second, _ = receive(sqs, fifo)
    hide(sqs, fifo, second, 60)
    clock.advance(30)
    assert texts(sqs, fifo) == ["g-1"]
    clock.advance(30)
    assert texts(sqs, fifo) == ["g-1", "g-2", "g-3"]


def test_a_group_that_was_served_goes_behind_the_others(
    sqs: Sqs, fifo: str, clock: SleepersClock
) -> None:
    send(sqs, fifo, "g1-1", "g1-2", "g2-1")
    clock.advance(0.001)
    (head,) = receive(sqs, fifo, MaxNumberOfMessages=1)
    hide(sqs, fifo, head, 0)
    assert texts(sqs, fifo) == ["g2-1", "g1-1", "g1-2"]


def test_counts_tell_received_messages_from_those_that_wait_behind_them(
    sqs: Sqs, fifo: str
) -> None:
    send(sqs, fifo, "g-1", "g-2", "g-3", "g-4", "g-5", "h-1")
    receive(sqs, fifo, MaxNumberOfMessages=2)
    answer = sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=list(COUNTS))
    assert answer["Attributes"] == dict(zip(COUNTS, ("4", "2", "0"), strict=True))


def test_a_queue_s_delay_holds_for_messages_that_are_there(
    sqs: Sqs, fifo: str, clock: SleepersClock
) -> None:
    send(sqs, fifo, "g-1")
    sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"DelaySeconds": "10"})
    sqs.send_message(QueueUrl=fifo, MessageBody="g-2", MessageGroupId="g", DelaySeconds=0)
    assert texts(sqs, fifo) == []
    answer = sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=list(COUNTS))
    assert answer["Attributes"] == dict(zip(COUNTS, ("0", "0", "2"), strict=True))
    clock.advance(10)
    assert texts(sqs, fifo) == ["g-1", "g-2"]


def test_a_queue_s_delay_comes_to_hold_for_a_large_backlog(
    sqs: Sqs, fifo: str, clock: SleepersClock
) -> None:
    for first in range(0, 1_200, 10):
        entries = [
            {"Id": str(n), "MessageBody": f"{first}-{n}", "MessageGroupId": f"g{first}"}
            for n in range(10)
        ]
        sqs.send_message_batch(QueueUrl=fifo, Entries=entries)
    sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"DelaySeconds": "10"})
    # What is not done with the change itself is done soon after it.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        answer = sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=list(COUNTS))
        if answer["Attributes"] == dict(zip(COUNTS, ("0", "0", "1200"), strict=True)):
            break
    assert texts(sqs, fifo) == []
    clock.advance(10)
    assert len(texts(sqs, fifo)) == 10


def test_a_handle_is_good_until_its_receive_is_over(
    sqs: Sqs, fifo: str, clock: SleepersClock
) -> None:
    send(sqs, fifo, "g-1")
    (message,) = receive(sqs, fifo, VisibilityTimeout=10)
    clock.advance(9)
    hide(sqs, fifo, message, 10)
    clock.advance(9)
    hide(sqs, fifo, message, 1)
    clock.advance(1)
    handle = message["ReceiptHandle"]
    refused = refusal(sqs.delete_message, QueueUrl=fifo, ReceiptHandle=handle)
    assert refused == (
        400,
        "InvalidParameterValue",
        (
            f"Value {handle} for parameter ReceiptHandle is invalid. "
            "Reason: The receipt handle has expired."
        ),
    )
    (again,) = receive(sqs, fifo)
    delete(sqs, fifo, again)
    delete(sqs, fifo, again)
    clock.advance(30)
    assert texts(sqs, fifo) == []


def test_the_type_of_a_queue_stays_what_it_is(sqs: Sqs, fifo: str) -> None:
    sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"FifoQueue": "true"})
    answer = sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=["FifoQueue"])
    assert answer["Attributes"] == {"FifoQueue": "true"}


# Deduplication


def test_a_duplicate_is_told_the_original_and_not_sent(sqs: Sqs, name: str) -> None:
    queue = create(sqs, name)
    request = {"QueueUrl": queue, "MessageDeduplicationId": "d"}
    first = sqs.send_message(**request, MessageBody="one", MessageGroupId="g")
    second = sqs.send_message(**request, MessageBody="two", MessageGroupId="h")
    for member in ("MessageId", "SequenceNumber"):
        assert second[member] == first[member]
    assert second["MD5OfMessageBody"] == hashlib.md5(b"two").hexdigest()
    (message,) = receive(sqs, queue)
    assert message["Body"] == "one"
    assert message["Attributes"]["MessageDeduplicationId"] == "d"


def test_an_id_is_known_for_five_minutes_whatever_became_of_its_message(
    sqs: Sqs, fifo: str, clock: SleepersClock
) -> None:
    send(sqs, fifo, "g-1")
    delete(sqs, fifo, *receive(sqs, fifo))
    clock.advance(299.999)
    send(sqs, fifo, "g-1")
    assert texts(sqs, fifo) == []
    clock.advance(0.001)
    send(sqs, fifo, "g-1")
    assert texts(sqs, fifo) == ["g-1"]


def test_a_purge_forgets_what_was_sent(sqs: Sqs, fifo: str) -> None:
    send(sqs, fifo, "g-1")
    sqs.purge_queue(QueueUrl=fifo)
    send(sqs, fifo, "g-1")
    assert texts(sqs, fifo) == ["g-1"]


def test_an_id_goes_before_the_content(sqs: Sqs, fifo: str) -> None:
    for number in ("1", "2"):
        sqs.send_message(
            QueueUrl=fifo, MessageBody="x", MessageGroupId="g", MessageDeduplicationId=number
        )
    attributes = {"a": {"DataType": "String", "StringValue": "x"}}
    for group in ("g", "h"):
        sqs.send_message(
            QueueUrl=fifo, MessageBody="y", MessageGroupId=group, MessageAttributes=attributes
        )
        attributes = {}
    assert texts(sqs, fifo) == ["x", "x", "y"]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        pytest.param("queue", ["x"], id="queue"),
        pytest.param("messageGroup", ["x", "x"], id="group"),
    ],
)
def test_the_scope_tells_how_far_an_id_reaches(
    sqs: Sqs, name: str, scope: str, expected: list[str]
) -> None:
    queue = create(sqs, name, DeduplicationScope=scope, ContentBasedDeduplication="true")
    other = {"queue": "messageGroup", "messageGroup": "queue"}[scope]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"DeduplicationScope": other})
    for group in ("g", "h", "g"):
        sqs.send_message(QueueUrl=queue, MessageBody="x", MessageGroupId=group)
    assert texts(sqs, queue) == expected


# Batches


def test_a_batch_is_sent_in_its_order_without_what_failed(sqs: Sqs, fifo: str) -> None:
    entries = [
        {"Id": body, "MessageBody": body, "MessageGroupId": group}
        for body, group in (("1", "g"), ("2", "bad group"), ("3", "g"), ("1-again", "g"))
    ]
    entries[3]["MessageBody"] = "1"
    answer = sqs.send_message_batch(QueueUrl=fifo, Entries=entries)
    assert [entry["Id"] for entry in answer["Failed"]] == ["2"]
    first, third, again = answer["Successful"]
    assert [entry["Id"] for entry in answer["Successful"]] == ["1", "3", "1-again"]
    assert third["SequenceNumber"] > first["SequenceNumber"] == again["SequenceNumber"]
    assert again["MessageId"] == first["MessageId"]
    assert texts(sqs, fifo) == ["1", "3"]


def test_a_batch_without_groups_sends_nothing(sqs: Sqs, fifo: str) -> None:
    entries = [
        {"Id": "a", "MessageBody": "a", "MessageGroupId": "g"},
        {"Id": "b", "MessageBody": "b"},
    ]
    refused = refusal(sqs.send_message_batch, QueueUrl=fifo, Entries=entries)
    assert refused.code == "InvalidParameterValue"
    assert texts(sqs, fifo) == []


def test_batches_delete_and_show_what_is_still_in_flight(
    sqs: Sqs, fifo: str, clock: SleepersClock
) -> None:
    send(sqs, fifo, "g-1", "h-1")
    lapsed, kept = receive(sqs, fifo)
    hide(sqs, fifo, kept, 60)
    clock.advance(30)
    handles = [
        {"Id": message["Body"], "ReceiptHandle": message["ReceiptHandle"]}
        for message in (lapsed, kept)
    ]
    changes = [{**handle, "VisibilityTimeout": 60} for handle in handles]
    for answer in (
        sqs.change_message_visibility_batch(QueueUrl=fifo, Entries=changes),
        sqs.delete_message_batch(QueueUrl=fifo, Entries=handles),
    ):
        assert [entry["Id"] for entry in answer["Successful"]] == ["h-1"]
        (failed,) = answer["Failed"]
        assert (failed["Id"], failed["Code"]) == ("g-1", "InvalidParameterValue")
    clock.advance(60)
    assert texts(sqs, fifo) == ["g-1"]


# Receives that are made again


def attempt(sqs: Sqs, queue: str, **parameters: object) -> list[dict[str, Any]]:
    return receive(sqs, queue, ReceiveRequestAttemptId="attempt", **parameters)


def test_an_attempt_made_again_is_given_the_same_messages_for_as_long_again(
    sqs: Sqs, fifo: str, clock: SleepersClock
) -> None:
    send(sqs, fifo, "g-1", "g-2", "h-1")
    first = attempt(sqs, fifo)
    clock.advance(29)
    assert attempt(sqs, fifo) == first
    clock.advance(29)
    assert texts(sqs, fifo) == []
    clock.advance(1)
    assert texts(sqs, fifo) == ["g-1", "g-2", "h-1"]


NOT_RETRYABLE = (
    400,
    "InvalidParameterValue",
    (
        "Value attempt for parameter ReceiveRequestAttemptId is invalid. Reason: The "
        "receiveRequestAttemptId is not valid anymore since the receive call is not retryable."
    ),
)


@pytest.mark.parametrize("what", ["delete", "change", "lapse", "other parameters"])
def test_an_attempt_whose_messages_met_anything_else_cannot_be_made_again(
    sqs: Sqs, fifo: str, clock: SleepersClock, what: str
) -> None:
    send(sqs, fifo, "g-1", "h-1")
    (message, _) = attempt(sqs, fifo)
    parameters: dict[str, Any] = {}
    match what:
        case "delete":
            delete(sqs, fifo, message)
        case "change":
            hide(sqs, fifo, message, 60)
        case "lapse":
            clock.advance(30)
        case _:
            parameters["MaxNumberOfMessages"] = 1
    assert refusal(lambda: attempt(sqs, fifo, **parameters)) == NOT_RETRYABLE


def test_an_attempt_is_remembered_for_five_minutes(
    sqs: Sqs, fifo: str, clock: SleepersClock
) -> None:
    send(sqs, fifo, "g-1", "h-1")
    (first,) = attempt(sqs, fifo, MaxNumberOfMessages=1, VisibilityTimeout=600)
    clock.advance(300)
    (second,) = attempt(sqs, fifo, MaxNumberOfMessages=1, VisibilityTimeout=600)
    assert (first["Body"], second["Body"]) == ("g-1", "h-1")


def test_attempts_on_a_standard_queue_mean_nothing(sqs: Sqs, queue: str) -> None:
    for body in ("1", "2"):
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    seen = [
        bodies(sqs.receive_message(QueueUrl=queue, ReceiveRequestAttemptId=name))
        for name in ("attempt", "attempt", "no attempt at all")
    ]
    assert seen == [["1"], ["2"], []]
