"""The JavaScript SDK v3, which checks every digest, and the sqs-consumer library."""

from __future__ import annotations

import pytest

from tests.clients.scenarios import Facts, Play


@pytest.fixture(scope="module")
def facts(play: Play) -> Facts:
    return play("javascript_sdk")


def test_queue_is_created_described_and_listed(facts: Facts) -> None:
    assert facts["queue"] == {
        "timeout": "45",
        "arn": "arn:aws:sqs:us-east-1:000000000000:created",
        "tags": {"team": "checkout"},
        "found": True,
        "pages": [2, 2, 1],
    }


def test_message_is_received_unchanged(facts: Facts) -> None:
    assert facts["cycle"] == {
        "sameId": True,
        "sameBody": True,
        "sameDigest": True,
        "text": "ü",
        "number": {"DataType": "Number.int", "StringValue": "007"},
        "bytes": True,
        "trace": "Root=1-5759e988-bd862e3fe1be46a994272793",
        "count": "1",
    }


def test_batches_report_successful_and_failed_entries(facts: Facts) -> None:
    assert facts["batch"] == {
        "sent": [f"e{n}" for n in range(9)],
        "notSent": [["big", "InvalidParameterValue", True]],
        "received": [f"body {n}" for n in range(9)],
        "changed": [9, None],
        "deleted": 9,
        "notDeleted": [["bad", "ReceiptHandleIsInvalid", True]],
    }


def test_fifo_queue_keeps_order_and_drops_duplicates(facts: Facts) -> None:
    assert facts["fifo"] == {
        "bodies": [["1"], ["3"], ["2"]],
        "group": "a",
        "rising": True,
        "sameNumber": True,
        "deduplicated": True,
    }


def test_long_poll_ends_with_a_message_and_an_aborted_one_claims_none(facts: Facts) -> None:
    assert facts["longPoll"] == {
        "bodies": ["during the poll"],
        "none": [],
        "aborted": "AbortError",
        "next": ["after the abort"],
        "isEarly": True,
    }


@pytest.mark.parametrize(
    ("case", "name", "message", "status"),
    [
        pytest.param(
            "queue",
            "QueueDoesNotExist",
            "The specified queue does not exist.",
            400,
            id="missing queue",
        ),
        pytest.param(
            "exists",
            "QueueNameExists",
            "A queue already exists with the same name and a different value for attribute "
            "DelaySeconds",
            400,
            id="name in use with other attributes",
        ),
        pytest.param(
            "handle",
            "ReceiptHandleIsInvalid",
            'The input receipt handle "garbage" is not a valid receipt handle.',
            404,
            id="invalid receipt handle",
        ),
        pytest.param(
            "contents",
            "InvalidMessageContents",
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | "
            "#x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
            400,
            id="forbidden character",
        ),
        pytest.param(
            "empty",
            "EmptyBatchRequest",
            "There should be at least one SendMessageBatchRequestEntry in the request.",
            400,
            id="empty batch",
        ),
        pytest.param(
            "ids", "BatchEntryIdsNotDistinct", "Id same repeated.", 400, id="duplicate entry id"
        ),
    ],
)
def test_rejection_raises_the_exception_of_the_sdk(
    facts: Facts, case: str, name: str, message: str, status: int
) -> None:
    assert facts["errors"][case] == {
        "name": name,
        "message": message,
        "fault": "client",
        "status": status,
        "known": True,
    }


def test_rejection_without_an_exception_class_is_named_by_its_query_code(facts: Facts) -> None:
    wait = facts["errors"]["wait"]
    assert (wait["name"], wait["status"]) == ("InvalidParameterValue", 400)
    assert wait["message"] == (
        "Value 21 for parameter WaitTimeSeconds is invalid. "
        "Reason: Must be >= 0 and <= 20, if provided."
    )


def test_queue_is_purged_and_deleted(facts: Facts) -> None:
    assert facts["purgeAndDelete"] == {"purged": [], "status": 200}


def test_client_without_endpoint_uses_the_queue_url(facts: Facts) -> None:
    assert facts["byQueueUrl"] == ["found"]


def test_consumer_handles_each_message_once_and_failing_message_is_dead_lettered(
    facts: Facts,
) -> None:
    assert facts["consumer"] == {
        "handled": [n for n in range(50) if n != 13],
        "errors": ["processing_error", "processing_error"],
        "left": ["0", "0"],
        "dead": ["13"],
    }
