"""boto3 of 2023, the last one with the Query protocol."""

from __future__ import annotations

import pytest

from tests.clients.scenarios import Facts, Play


@pytest.fixture(scope="module")
def facts(play: Play) -> Facts:
    return play("boto3_query")


def test_client_uses_the_query_protocol(facts: Facts) -> None:
    assert facts["protocol"] == "query"


def test_message_is_received_unchanged(facts: Facts) -> None:
    assert facts["cycle"] == {
        "same id": True,
        "same body": True,
        "same attributes": True,
        "same digests": [True, True],
        "system": [
            "AWSTraceHeader",
            "ApproximateFirstReceiveTimestamp",
            "ApproximateReceiveCount",
            "SenderId",
            "SentTimestamp",
        ],
        "trace": "Root=1-5759e988-bd862e3fe1be46a994272793",
        "nothing": ["ResponseMetadata"],
        "tags": {"team": "a+b=c"},
    }


def test_attributes_are_set_and_read(facts: Facts) -> None:
    assert facts["attributes"] == {
        "names": [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesDelayed",
            "ApproximateNumberOfMessagesNotVisible",
            "CreatedTimestamp",
            "DelaySeconds",
            "LastModifiedTimestamp",
            "MaximumMessageSize",
            "MessageRetentionPeriod",
            "Policy",
            "QueueArn",
            "ReceiveMessageWaitTimeSeconds",
            "SqsManagedSseEnabled",
            "VisibilityTimeout",
        ],
        "same policy": True,
        "requested": {
            "DelaySeconds": "1",
            "VisibilityTimeout": "7",
            "QueueArn": "arn:aws:sqs:us-east-1:000000000000:set",
        },
        "none": None,
    }


def test_fifo_queue_keeps_order_and_drops_duplicates(facts: Facts) -> None:
    assert facts["fifo"] == {
        "bodies": [["1"], ["3"], ["2"]],
        "group": "a",
        "rising": True,
        "deduplicated": True,
    }


def test_batches_report_successful_and_failed_entries(facts: Facts) -> None:
    reason = "Message must be shorter than 1024 bytes."
    assert facts["batch"] == {
        "sent": [f"e{n}" for n in range(9)],
        "not sent": [
            {
                "Id": "big",
                "SenderFault": True,
                "Code": "InvalidParameterValue",
                "Message": f"One or more parameters cannot be validated. Reason: {reason}",
            }
        ],
        "received": [f"body {n}" for n in range(9)],
        "changed": [9, None],
        "deleted": 9,
        "not deleted": [["bad", "ReceiptHandleIsInvalid", True]],
    }


def test_messages_are_dead_lettered_and_moved_back(facts: Facts) -> None:
    assert facts["dead_letters"] == {
        "received": [["poison"], []],
        "sources": True,
        "handle": True,
        "back": ["poison"],
        "to move": 1,
    }


def test_lists_are_encoded_and_decoded(facts: Facts) -> None:
    assert facts["lists"] == {
        "pages": [2, 2, 1],
        "accounts": 2,
        "actions": ["SQS:ReceiveMessage", "SQS:SendMessage"],
        "purged": None,
        "nothing": None,
    }


@pytest.mark.parametrize(
    ("case", "exception", "code", "message", "status"),
    [
        pytest.param(
            "queue",
            "QueueDoesNotExist",
            "AWS.SimpleQueueService.NonExistentQueue",
            "The specified queue does not exist for this wsdl version.",
            400,
            id="missing queue",
        ),
        pytest.param(
            "exists",
            "QueueNameExists",
            "QueueAlreadyExists",
            "A queue already exists with the same name and a different value for attribute "
            "DelaySeconds",
            400,
            id="name in use with other attributes",
        ),
        pytest.param(
            "name",
            "ClientError",
            "InvalidParameterValue",
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
            400,
            id="invalid queue name",
        ),
        pytest.param(
            "attribute",
            "InvalidAttributeName",
            "InvalidAttributeName",
            "Unknown Attribute Foo.",
            400,
            id="unknown attribute",
        ),
        pytest.param(
            "handle",
            "ReceiptHandleIsInvalid",
            "ReceiptHandleIsInvalid",
            'The input receipt handle "garbage" is not a valid receipt handle.',
            404,
            id="invalid receipt handle",
        ),
        pytest.param(
            "contents",
            "InvalidMessageContents",
            "InvalidMessageContents",
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | "
            "#x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
            400,
            id="forbidden character",
        ),
        pytest.param(
            "empty",
            "EmptyBatchRequest",
            "AWS.SimpleQueueService.EmptyBatchRequest",
            "There should be at least one SendMessageBatchRequestEntry in the request.",
            400,
            id="empty batch",
        ),
        pytest.param(
            "ids",
            "BatchEntryIdsNotDistinct",
            "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            "Id same repeated.",
            400,
            id="duplicate entry id",
        ),
        pytest.param(
            "wait",
            "ClientError",
            "InvalidParameterValue",
            "Value 21 for parameter WaitTimeSeconds is invalid. "
            "Reason: Must be >= 0 and <= 20, if provided.",
            400,
            id="wait time out of range",
        ),
    ],
)
def test_rejection_raises_the_exception_of_the_sdk(
    facts: Facts, case: str, exception: str, code: str, message: str, status: int
) -> None:
    assert facts["errors"][case] == [exception, code, message, "Sender", status]


def test_move_task_from_a_missing_queue_is_rejected(facts: Facts) -> None:
    _, code, _, _, status = facts["errors"]["task"]
    assert (code, status) == ("ResourceNotFoundException", 404)
