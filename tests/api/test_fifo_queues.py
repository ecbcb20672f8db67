"""FIFO queues: order, groups, deduplication and receive attempts."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.api.live_server import AlarmCountingClock
from tests.api.sqs_clients import Sqs, bodies, rejection
from tests.waiting import poll_until_timeout

COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@pytest.fixture
def fifo(sqs: Sqs, name: str) -> str:
    """Create an empty FIFO queue that deduplicates by content, and return its URL."""
    return create(sqs, name, ContentBasedDeduplication="true")


def create(sqs: Sqs, name: str, **attributes: str) -> str:
    url: str = sqs.create_queue(
        QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true", **attributes}
    )["QueueUrl"]
    return url


def send(sqs: Sqs, queue: str, *messages: str) -> list[dict[str, Any]]:
    """Send messages; each body is `group-rest` and names the message group."""
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


def receive_bodies(sqs: Sqs, queue: str, **parameters: object) -> list[str]:
    return [message["Body"] for message in receive(sqs, queue, **parameters)]


def delete(sqs: Sqs, queue: str, *messages: dict[str, Any]) -> None:
    for message in messages:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def change_visibility(sqs: Sqs, queue: str, message: dict[str, Any], seconds: int) -> None:
    sqs.change_message_visibility(
        QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
    )


# Order and groups


def test_fifo_message_has_sequence_number_group_and_deduplication_id(
    sqs: Sqs, fifo: str, clock: AlarmCountingClock
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


def test_receive_returns_group_by_group_in_queue_order(sqs: Sqs, fifo: str) -> None:
    send(sqs, fifo, "g1-1", "g2-1", "g1-2", "g1-3")
    assert receive_bodies(sqs, fifo) == ["g1-1", "g1-2", "g1-3", "g2-1"]


def test_message_in_flight_blocks_only_its_own_group(sqs: Sqs, fifo: str) -> None:
    send(sqs, fifo, "g1-1", "g1-2", "g2-1")
    (head,) = receive(sqs, fifo, MaxNumberOfMessages=1)
    assert head["Body"] == "g1-1"
    send(sqs, fifo, "g1-3")
    assert receive_bodies(sqs, fifo) == ["g2-1"]
    delete(sqs, fifo, head)
    assert receive_bodies(sqs, fifo) == ["g1-2", "g1-3"]


def test_group_unblocks_when_all_its_messages_in_flight_are_deleted(sqs: Sqs, fifo: str) -> None:
    send(sqs, fifo, "g-1", "g-2", "g-3")
    first, second = receive(sqs, fifo, MaxNumberOfMessages=2)
    delete(sqs, fifo, second)
    assert receive_bodies(sqs, fifo) == []
    delete(sqs, fifo, first)
    assert receive_bodies(sqs, fifo) == ["g-3"]


def test_messages_become_visible_again_in_their_order(
    sqs: Sqs, fifo: str, clock: AlarmCountingClock
) -> None:
    send(sqs, fifo, "g-1", "g-2", "g-3")
    assert receive_bodies(sqs, fifo, MaxNumberOfMessages=2) == ["g-1", "g-2"]
    clock.advance(30)
    assert receive_bodies(sqs, fifo) == ["g-1", "g-2", "g-3"]


def test_released_head_is_received_alone_while_later_messages_are_in_flight(
    sqs: Sqs, fifo: str
) -> None:
    send(sqs, fifo, "g-1", "g-2", "g-3")
    head, *_ = receive(sqs, fifo)
    change_visibility(sqs, fifo, head, 0)
    assert receive_bodies(sqs, fifo) == ["g-1"]
    assert receive_bodies(sqs, fifo) == []


def test_messages_before_one_in_flight_can_be_received(
    sqs: Sqs, fifo: str, clock: AlarmCountingClock
) -> None:
    send(sqs, fifo, "g-1", "g-2", "g-3")
    _, second, _ = receive(sqs, fifo)
    change_visibility(sqs, fifo, second, 60)
    clock.advance(30)
    assert receive_bodies(sqs, fifo) == ["g-1"]
    clock.advance(30)
    assert receive_bodies(sqs, fifo) == ["g-1", "g-2", "g-3"]


def test_group_received_last_is_received_after_the_other_groups(
    sqs: Sqs, fifo: str, clock: AlarmCountingClock
) -> None:
    send(sqs, fifo, "g1-1", "g1-2", "g2-1")
    clock.advance(0.001)
    (head,) = receive(sqs, fifo, MaxNumberOfMessages=1)
    change_visibility(sqs, fifo, head, 0)
    assert receive_bodies(sqs, fifo) == ["g2-1", "g1-1", "g1-2"]


def test_only_received_messages_of_a_group_count_as_in_flight(sqs: Sqs, fifo: str) -> None:
    send(sqs, fifo, "g-1", "g-2", "g-3", "g-4", "g-5", "h-1")
    receive(sqs, fifo, MaxNumberOfMessages=2)
    answer = sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=list(COUNTS))
    assert answer["Attributes"] == dict(zip(COUNTS, ("4", "2", "0"), strict=True))


def test_new_delay_of_fifo_queue_applies_to_existing_messages(
    sqs: Sqs, fifo: str, clock: AlarmCountingClock
) -> None:
    send(sqs, fifo, "g-1")
    sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"DelaySeconds": "10"})
    sqs.send_message(QueueUrl=fifo, MessageBody="g-2", MessageGroupId="g", DelaySeconds=0)
    assert receive_bodies(sqs, fifo) == []
    answer = sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=list(COUNTS))
    assert answer["Attributes"] == dict(zip(COUNTS, ("0", "0", "2"), strict=True))
    clock.advance(10)
    assert receive_bodies(sqs, fifo) == ["g-1", "g-2"]


def test_new_delay_of_fifo_queue_applies_to_a_large_backlog(
    sqs: Sqs, fifo: str, clock: AlarmCountingClock
) -> None:
    for first in range(0, 1_200, 10):
        entries = [
            {"Id": str(n), "MessageBody": f"{first}-{n}", "MessageGroupId": f"g{first}"}
            for n in range(10)
        ]
        sqs.send_message_batch(QueueUrl=fifo, Entries=entries)
    sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"DelaySeconds": "10"})
    # The server applies the delay to the rest of the backlog in the background.
    for _ in poll_until_timeout():
        answer = sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=list(COUNTS))
        if answer["Attributes"] == dict(zip(COUNTS, ("0", "0", "1200"), strict=True)):
            break
    assert receive_bodies(sqs, fifo) == []
    clock.advance(10)
    assert len(receive_bodies(sqs, fifo)) == 10


def test_expired_handle_cannot_delete_from_fifo_queue(
    sqs: Sqs, fifo: str, clock: AlarmCountingClock
) -> None:
    send(sqs, fifo, "g-1")
    (message,) = receive(sqs, fifo, VisibilityTimeout=10)
    clock.advance(9)
    change_visibility(sqs, fifo, message, 10)
    clock.advance(9)
    change_visibility(sqs, fifo, message, 1)
    clock.advance(1)
    handle = message["ReceiptHandle"]
    rejected = rejection(sqs.delete_message, QueueUrl=fifo, ReceiptHandle=handle)
    assert rejected == (
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
    assert receive_bodies(sqs, fifo) == []


def test_setting_fifo_queue_to_true_changes_nothing(sqs: Sqs, fifo: str) -> None:
    sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"FifoQueue": "true"})
    answer = sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=["FifoQueue"])
    assert answer["Attributes"] == {"FifoQueue": "true"}


# Deduplication


def test_duplicate_send_returns_the_original_and_adds_no_message(sqs: Sqs, name: str) -> None:
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


def test_deduplication_lasts_five_minutes_after_the_message_is_deleted(
    sqs: Sqs, fifo: str, clock: AlarmCountingClock
) -> None:
    send(sqs, fifo, "g-1")
    delete(sqs, fifo, *receive(sqs, fifo))
    clock.advance(299.999)
    send(sqs, fifo, "g-1")
    assert receive_bodies(sqs, fifo) == []
    clock.advance(0.001)
    send(sqs, fifo, "g-1")
    assert receive_bodies(sqs, fifo) == ["g-1"]


def test_purge_clears_deduplication_ids(sqs: Sqs, fifo: str) -> None:
    send(sqs, fifo, "g-1")
    sqs.purge_queue(QueueUrl=fifo)
    send(sqs, fifo, "g-1")
    assert receive_bodies(sqs, fifo) == ["g-1"]


def test_explicit_deduplication_id_overrides_content_based_deduplication(
    sqs: Sqs, fifo: str
) -> None:
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
    assert receive_bodies(sqs, fifo) == ["x", "x", "y"]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        pytest.param("queue", ["x"], id="queue"),
        pytest.param("messageGroup", ["x", "x"], id="message group"),
    ],
)
def test_deduplication_scope_is_fixed_at_creation(
    sqs: Sqs, name: str, scope: str, expected: list[str]
) -> None:
    queue = create(sqs, name, DeduplicationScope=scope, ContentBasedDeduplication="true")
    other = {"queue": "messageGroup", "messageGroup": "queue"}[scope]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"DeduplicationScope": other})
    for group in ("g", "h", "g"):
        sqs.send_message(QueueUrl=queue, MessageBody="x", MessageGroupId=group)
    assert receive_bodies(sqs, queue) == expected


# Batches


def test_batch_send_keeps_order_and_skips_failed_entries(sqs: Sqs, fifo: str) -> None:
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
    assert receive_bodies(sqs, fifo) == ["1", "3"]


def test_batch_with_an_entry_without_group_sends_nothing(sqs: Sqs, fifo: str) -> None:
    entries = [
        {"Id": "a", "MessageBody": "a", "MessageGroupId": "g"},
        {"Id": "b", "MessageBody": "b"},
    ]
    rejected = rejection(sqs.send_message_batch, QueueUrl=fifo, Entries=entries)
    assert rejected.code == "InvalidParameterValue"
    assert receive_bodies(sqs, fifo) == []


def test_batch_entries_with_expired_handles_fail_on_fifo_queue(
    sqs: Sqs, fifo: str, clock: AlarmCountingClock
) -> None:
    send(sqs, fifo, "g-1", "h-1")
    expired, in_flight = receive(sqs, fifo)
    change_visibility(sqs, fifo, in_flight, 60)
    clock.advance(30)
    handles = [
        {"Id": message["Body"], "ReceiptHandle": message["ReceiptHandle"]}
        for message in (expired, in_flight)
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
    assert receive_bodies(sqs, fifo) == ["g-1"]


# Receive attempts


def receive_attempt(sqs: Sqs, queue: str, **parameters: object) -> list[dict[str, Any]]:
    return receive(sqs, queue, ReceiveRequestAttemptId="attempt", **parameters)


def test_repeated_attempt_returns_the_same_messages_with_a_new_visibility_timeout(
    sqs: Sqs, fifo: str, clock: AlarmCountingClock
) -> None:
    send(sqs, fifo, "g-1", "g-2", "h-1")
    first = receive_attempt(sqs, fifo)
    clock.advance(29)
    assert receive_attempt(sqs, fifo) == first
    clock.advance(29)
    assert receive_bodies(sqs, fifo) == []
    clock.advance(1)
    assert receive_bodies(sqs, fifo) == ["g-1", "g-2", "h-1"]


NOT_RETRYABLE = (
    400,
    "InvalidParameterValue",
    (
        "Value attempt for parameter ReceiveRequestAttemptId is invalid. Reason: The "
        "receiveRequestAttemptId is not valid anymore since the receive call is not retryable."
    ),
)


@pytest.mark.parametrize("change", ["delete", "change visibility", "expiry", "other parameters"])
def test_attempt_cannot_be_repeated_after_its_messages_or_parameters_change(
    sqs: Sqs, fifo: str, clock: AlarmCountingClock, change: str
) -> None:
    send(sqs, fifo, "g-1", "h-1")
    (message, _) = receive_attempt(sqs, fifo)
    parameters: dict[str, Any] = {}
    match change:
        case "delete":
            delete(sqs, fifo, message)
        case "change visibility":
            change_visibility(sqs, fifo, message, 60)
        case "expiry":
            clock.advance(30)
        case _:
            parameters["MaxNumberOfMessages"] = 1
    assert rejection(lambda: receive_attempt(sqs, fifo, **parameters)) == NOT_RETRYABLE


def test_attempt_id_expires_after_five_minutes(
    sqs: Sqs, fifo: str, clock: AlarmCountingClock
) -> None:
    send(sqs, fifo, "g-1", "h-1")
    (first,) = receive_attempt(sqs, fifo, MaxNumberOfMessages=1, VisibilityTimeout=600)
    clock.advance(300)
    (second,) = receive_attempt(sqs, fifo, MaxNumberOfMessages=1, VisibilityTimeout=600)
    assert (first["Body"], second["Body"]) == ("g-1", "h-1")


def test_standard_queue_ignores_attempt_ids(sqs: Sqs, queue: str) -> None:
    for body in ("1", "2"):
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    received = [
        bodies(sqs.receive_message(QueueUrl=queue, ReceiveRequestAttemptId=name))
        for name in ("attempt", "attempt", "no attempt at all")
    ]
    assert received == [["1"], ["2"], []]
