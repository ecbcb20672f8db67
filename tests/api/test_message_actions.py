"""Actions on messages of standard queues: send, receive, delete, visibility and batches."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.live_server import AlarmCountingClock
from tests.api.sqs_clients import Sqs, bodies, receive, rejection

INVALID_HANDLE = (
    404,
    "ReceiptHandleIsInvalid",
    'The input receipt handle "garbage" is not a valid receipt handle.',
)


def receive_handle(sqs: Sqs, queue: str, **parameters: object) -> str:
    """Receive the only message, and return its receipt handle."""
    (message,) = receive(sqs, queue, **parameters)
    text: str = message["ReceiptHandle"]
    return text


def test_message_is_sent_received_and_deleted(
    sqs: Sqs, queue: str, clock: AlarmCountingClock
) -> None:
    sent = sqs.send_message(QueueUrl=queue, MessageBody="hello")
    assert sent["MD5OfMessageBody"] == "5d41402abc4b2a76b9719d911017c592"
    sent_at = str(clock.now_ms())
    clock.advance(1.5)
    (message,) = receive(sqs, queue)
    assert message == {
        "MessageId": sent["MessageId"],
        "ReceiptHandle": message["ReceiptHandle"],
        "MD5OfBody": "5d41402abc4b2a76b9719d911017c592",
        "Body": "hello",
        "Attributes": {
            "ApproximateFirstReceiveTimestamp": str(clock.now_ms()),
            "ApproximateReceiveCount": "1",
            "SenderId": "000000000000",
            "SentTimestamp": sent_at,
        },
    }
    assert "-" not in message["ReceiptHandle"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    clock.advance(30)
    assert receive(sqs, queue) == []


def test_receive_returns_no_attributes_by_default(sqs: Sqs, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert set(message) == {"MessageId", "ReceiptHandle", "MD5OfBody", "Body"}


def test_receive_returns_one_message_by_default(sqs: Sqs, queue: str) -> None:
    sqs.send_message_batch(
        QueueUrl=queue, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(10)]
    )
    sqs.send_message(QueueUrl=queue, MessageBody="10")
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["0"]
    received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    assert bodies(received) == [str(number) for number in range(1, 11)]
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)


def test_repeated_delete_succeeds_and_garbage_handle_is_rejected(sqs: Sqs, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    receipt = receive_handle(sqs, queue)
    for _ in range(2):
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=receipt)
    assert rejection(sqs.delete_message, QueueUrl=queue, ReceiptHandle="garbage") == INVALID_HANDLE


def test_handle_of_another_queue_is_invalid(sqs: Sqs, queue: str, name: str) -> None:
    other = sqs.create_queue(QueueName=f"{name}-other")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    receipt = receive_handle(sqs, queue, VisibilityTimeout=0)
    rejected = rejection(sqs.delete_message, QueueUrl=other, ReceiptHandle=receipt)
    assert rejected.code == "ReceiptHandleIsInvalid"
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["x"]


def test_older_handle_deletes_from_standard_queue(
    sqs: Sqs, queue: str, clock: AlarmCountingClock
) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    first = receive_handle(sqs, queue)
    clock.advance(30)
    assert receive_handle(sqs, queue) != first
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=first)
    clock.advance(30)
    assert receive(sqs, queue) == []


def test_message_is_visible_again_after_its_visibility_timeout(
    sqs: Sqs, queue: str, clock: AlarmCountingClock
) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (first,) = receive(sqs, queue, VisibilityTimeout=10)
    clock.advance(9.999)
    assert receive(sqs, queue) == []
    clock.advance(0.001)
    (second,) = receive(sqs, queue)
    assert second["MessageId"] == first["MessageId"]
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    assert second["Attributes"] == {**first["Attributes"], "ApproximateReceiveCount": "2"}


def test_receive_with_visibility_timeout_zero_leaves_the_message_visible(
    sqs: Sqs, queue: str
) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    counts = [
        receive(sqs, queue, VisibilityTimeout=0)[0]["Attributes"]["ApproximateReceiveCount"]
        for _ in range(3)
    ]
    assert counts == ["1", "2", "3"]


def test_changed_visibility_timeout_counts_from_the_change(
    sqs: Sqs, queue: str, clock: AlarmCountingClock
) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    receipt = receive_handle(sqs, queue)
    clock.advance(20)
    sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=receipt, VisibilityTimeout=25)
    clock.advance(24.999)
    assert receive(sqs, queue) == []
    clock.advance(0.001)
    sqs.change_message_visibility(
        QueueUrl=queue, ReceiptHandle=receive_handle(sqs, queue), VisibilityTimeout=0
    )
    (message,) = receive(sqs, queue)
    assert message["Attributes"]["ApproximateReceiveCount"] == "3"


def test_visibility_of_a_visible_message_can_be_changed_by_its_last_handle(
    sqs: Sqs, queue: str, clock: AlarmCountingClock
) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    receipt = receive_handle(sqs, queue)
    clock.advance(31)
    sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=receipt, VisibilityTimeout=10)
    assert receive(sqs, queue) == []
    clock.advance(10)
    assert len(receive(sqs, queue)) == 1


def test_total_visibility_timeout_is_limited_to_12_hours(
    sqs: Sqs, queue: str, clock: AlarmCountingClock
) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    change = {"QueueUrl": queue, "ReceiptHandle": receive_handle(sqs, queue)}
    clock.advance(1)
    assert rejection(sqs.change_message_visibility, **change, VisibilityTimeout=43_200) == (
        400,
        "InvalidParameterValue",
        (
            "Value 43200 for parameter VisibilityTimeout is invalid. Reason: "
            "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]."
        ),
    )
    sqs.change_message_visibility(**change, VisibilityTimeout=43_199)
    clock.advance(43_198)
    assert receive(sqs, queue) == []
    clock.advance(1)
    assert len(receive(sqs, queue)) == 1


def test_visibility_of_a_deleted_message_cannot_be_changed(sqs: Sqs, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    receipt = receive_handle(sqs, queue)
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=receipt)
    change = {"QueueUrl": queue, "VisibilityTimeout": 1}
    assert rejection(sqs.change_message_visibility, **change, ReceiptHandle=receipt) == (
        400,
        "InvalidParameterValue",
        (
            f"Value {receipt} for parameter ReceiptHandle is invalid. Reason: "
            "Message does not exist or is not available for visibility timeout change."
        ),
    )
    rejected = rejection(sqs.change_message_visibility, **change, ReceiptHandle="garbage")
    assert rejected == INVALID_HANDLE


def test_delayed_message_becomes_visible_after_its_delay(
    sqs: Sqs, name: str, clock: AlarmCountingClock
) -> None:
    queue = sqs.create_queue(QueueName=name, Attributes={"DelaySeconds": "5"})["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="delay of the queue")
    sqs.send_message(QueueUrl=queue, MessageBody="no delay", DelaySeconds=0)
    sqs.send_message(QueueUrl=queue, MessageBody="delay of the message", DelaySeconds=900)
    received = [[message["Body"] for message in receive(sqs, queue, VisibilityTimeout=10_000)]]
    for seconds in (4.999, 0.001, 894.999, 0.001):
        clock.advance(seconds)
        received.append(
            [message["Body"] for message in receive(sqs, queue, VisibilityTimeout=10_000)]
        )
    assert received == [["no delay"], [], ["delay of the queue"], [], ["delay of the message"]]


def test_message_expires_after_the_retention_period(
    sqs: Sqs, name: str, clock: AlarmCountingClock
) -> None:
    attributes = {"MessageRetentionPeriod": "60"}
    queue = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="older")
    clock.advance(30)
    sqs.send_message(QueueUrl=queue, MessageBody="newer")
    clock.advance(29.999)
    (older, newer) = receive(sqs, queue)
    clock.advance(0.001)
    change = {"QueueUrl": queue, "VisibilityTimeout": 0}
    rejected = rejection(
        sqs.change_message_visibility, **change, ReceiptHandle=older["ReceiptHandle"]
    )
    assert rejected.code == "InvalidParameterValue"
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=older["ReceiptHandle"])
    sqs.change_message_visibility(**change, ReceiptHandle=newer["ReceiptHandle"])
    assert [message["Body"] for message in receive(sqs, queue)] == ["newer"]
    clock.advance(30)
    assert receive(sqs, queue) == []


def test_receives_return_disjoint_messages(sqs: Sqs, queue: str) -> None:
    sqs.send_message_batch(
        QueueUrl=queue, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(4)]
    )
    shares = [bodies(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=2)) for _ in range(3)]
    assert shares == [["0", "1"], ["2", "3"], []]


def test_batch_send_reports_successful_and_failed_entries(sqs: Sqs, name: str) -> None:
    attributes = {"MaximumMessageSize": "1024"}
    queue = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    answer = sqs.send_message_batch(
        QueueUrl=queue,
        Entries=[
            {"Id": "first", "MessageBody": "1"},
            {"Id": "big", "MessageBody": "x" * 1_025},
            {"Id": "late", "MessageBody": "2", "DelaySeconds": 901},
            {"Id": "fifo", "MessageBody": "3", "MessageDeduplicationId": "d"},
            {"Id": "control", "MessageBody": "\x01"},
            {"Id": "full", "MessageBody": "y" * 1_024},
        ],
    )
    assert [entry["Id"] for entry in answer["Successful"]] == ["first", "full"]
    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]] == [
        ("big", "InvalidParameterValue", True),
        ("late", "InvalidParameterValue", True),
        ("fifo", "InvalidParameterValue", True),
        ("control", "InvalidMessageContents", True),
    ]
    assert answer["Failed"][0]["Message"] == (
        "One or more parameters cannot be validated. Reason: "
        "Message must be shorter than 1024 bytes."
    )
    received = {message["MessageId"]: message["Body"] for message in receive(sqs, queue)}
    assert received == {
        entry["MessageId"]: body
        for entry, body in zip(answer["Successful"], ("1", "y" * 1_024), strict=True)
    }


def test_batch_delete_reports_successful_and_failed_entries(
    sqs: Sqs, queue: str, clock: AlarmCountingClock
) -> None:
    entries = [{"Id": str(number), "MessageBody": str(number)} for number in range(10)]
    sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    receipts = [message["ReceiptHandle"] for message in receive(sqs, queue)]
    answer = sqs.delete_message_batch(
        QueueUrl=queue,
        Entries=[
            {"Id": f"d{number}", "ReceiptHandle": "garbage" if number == 3 else receipt}
            for number, receipt in enumerate(receipts)
        ],
    )
    deleted = [f"d{number}" for number in range(10) if number != 3]
    assert [entry["Id"] for entry in answer["Successful"]] == deleted
    assert answer["Failed"] == [
        {
            "Id": "d3",
            "SenderFault": True,
            "Code": "ReceiptHandleIsInvalid",
            "Message": INVALID_HANDLE[2],
        }
    ]
    clock.advance(30)
    assert [message["Body"] for message in receive(sqs, queue)] == ["3"]


def test_batch_visibility_change_reports_successful_and_failed_entries(
    sqs: Sqs, queue: str
) -> None:
    entries = [{"Id": str(number), "MessageBody": str(number)} for number in range(4)]
    sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    receipts = [message["ReceiptHandle"] for message in receive(sqs, queue)]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=receipts[1])
    timeouts = (0, 0, 43_201, 0)
    answer = sqs.change_message_visibility_batch(
        QueueUrl=queue,
        Entries=[
            {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": timeout}
            for number, (receipt, timeout) in enumerate(zip(receipts, timeouts, strict=True))
        ],
    )
    assert [entry["Id"] for entry in answer["Successful"]] == ["0", "3"]
    assert {entry["Id"]: entry["Code"] for entry in answer["Failed"]} == {
        "1": "InvalidParameterValue",
        "2": "InvalidParameterValue",
    }
    assert [message["Body"] for message in receive(sqs, queue)] == ["0", "3"]


BATCH_REJECTIONS = [
    pytest.param(
        [], "EmptyBatchRequest", "There should be at least one {} in the request.", id="empty"
    ),
    pytest.param(
        [str(number) for number in range(11)],
        "TooManyEntriesInBatchRequest",
        "Maximum number of entries per request are 10. You have sent 11.",
        id="11 entries",
    ),
    pytest.param(["a", "a"], "BatchEntryIdsNotDistinct", "Id a repeated.", id="duplicate id"),
    pytest.param(
        ["a b"],
        "InvalidBatchEntryId",
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It "
        "can be at most 80 letters long.",
        id="invalid id",
    ),
]


@pytest.mark.parametrize(("ids", "code", "message"), BATCH_REJECTIONS)
@pytest.mark.parametrize(
    ("action", "entry"),
    [
        ("send_message_batch", {"MessageBody": "x"}),
        ("delete_message_batch", {"ReceiptHandle": "x"}),
        ("change_message_visibility_batch", {"ReceiptHandle": "x", "VisibilityTimeout": 1}),
    ],
)
def test_invalid_batch_is_rejected_as_a_whole(
    sqs: Sqs,
    queue: str,
    action: str,
    entry: dict[str, Any],
    ids: list[str],
    code: str,
    message: str,
) -> None:
    entry_name = f"{action.title().replace('_', '')}RequestEntry"
    entries = [{"Id": entry_id, **entry} for entry_id in ids]
    assert rejection(getattr(sqs, action), QueueUrl=queue, Entries=entries) == (
        400,
        f"AWS.SimpleQueueService.{code}",
        message.format(entry_name),
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        pytest.param(
            {"MaxNumberOfMessages": 11},
            "Value 11 for parameter MaxNumberOfMessages is invalid. "
            "Reason: Must be between 1 and 10, if provided.",
            id="number of messages",
        ),
        pytest.param(
            {"WaitTimeSeconds": 21},
            "Value 21 for parameter WaitTimeSeconds is invalid. "
            "Reason: Must be >= 0 and <= 20, if provided.",
            id="wait time",
        ),
        pytest.param(
            {"VisibilityTimeout": -1},
            "Value -1 for parameter VisibilityTimeout is invalid. "
            "Reason: Must be >= 0 and <= 43200, if provided.",
            id="visibility timeout",
        ),
    ],
)
def test_receive_parameter_out_of_range_is_rejected(
    sqs: Sqs, queue: str, parameters: dict[str, int], message: str
) -> None:
    rejected = rejection(sqs.receive_message, QueueUrl=queue, **parameters)
    assert rejected == (400, "InvalidParameterValue", message)


def test_rejected_message_is_not_sent(sqs: Sqs, queue: str) -> None:
    send = {"QueueUrl": queue, "MessageBody": "x"}
    rejected = [
        rejection(sqs.send_message, **{**send, "MessageBody": ""}).message,
        rejection(sqs.send_message, **{**send, "MessageBody": "\x00"}).code,
        rejection(sqs.send_message, **send, DelaySeconds=-1).message,
        rejection(sqs.send_message, **send, MessageGroupId="white space").code,
        rejection(sqs.send_message, **send, MessageDeduplicationId="d").message,
    ]
    assert rejected == [
        "The request must contain the parameter MessageBody.",
        "InvalidMessageContents",
        (
            "Value -1 for parameter DelaySeconds is invalid. "
            "Reason: DelaySeconds must be >= 0 and <= 900."
        ),
        "InvalidParameterValue",
        (
            "Value d for parameter MessageDeduplicationId is invalid. Reason: "
            "The request include parameter that is not valid for this queue type."
        ),
    ]
    assert receive(sqs, queue) == []
