"""The AWS CLI: what is typed, what is printed, and the status that a shell script sees."""

from __future__ import annotations

import pytest

from tests.clients.scenarios import Facts, Play

QUIET = [0, "", ""]
REJECTED = 255
"""The CLI's status for a request that the service has rejected."""


@pytest.fixture(scope="module")
def seen(play: Play) -> Facts:
    return play("aws_cli")


def test_queue_is_created_described_and_listed(seen: Facts) -> None:
    url = seen["url"]
    assert url.endswith("/000000000000/cli")
    assert seen["queue"] == {
        "created": [0, {"QueueUrl": url}, ""],
        "set": QUIET,
        "attributes": ["45", "0", "3600", "arn:aws:sqs:us-east-1:000000000000:cli"],
        "number of attributes": 12,
        "tags": [0, {"Tags": {"team": "checkout"}}, ""],
        "url": [0, url, ""],
        "listed": [0, {"QueueUrls": [url]}, ""],
        "nothing listed": QUIET,
    }


def test_message_is_sent_received_made_invisible_and_deleted(seen: Facts) -> None:
    assert seen["messages"] == {
        "same id": True,
        "same digests": [True, True],
        "body": "Information",
        "attributes": {
            "City": {"DataType": "String", "StringValue": "Any City"},
            "Population": {"DataType": "Number", "StringValue": "1250800"},
            "Greeting": {"DataType": "Binary", "BinaryValue": "SGVsbG8="},
        },
        "count": "1",
        "hidden": QUIET,
        "deleted": QUIET,
        "empty": QUIET,
    }


def test_partly_failed_batch_exits_with_status_0(seen: Facts) -> None:
    assert seen["batch"] == {
        "status": 0,
        "successful": ["one"],
        "failed": [["late", "InvalidParameterValue"]],
    }


def test_queue_is_purged_and_deleted(seen: Facts) -> None:
    gone = "AWS.SimpleQueueService.NonExistentQueue"
    assert seen["farewell"] == {
        "purged": QUIET,
        "left": [0, "ATTRIBUTES\t0", ""],
        "deleted": QUIET,
        "gone": [
            REJECTED,
            "",
            rejection("GetQueueUrl", gone, "The specified queue does not exist."),
        ],
    }


@pytest.mark.parametrize(
    ("what", "operation", "code", "message"),
    [
        pytest.param(
            "conflict",
            "CreateQueue",
            "QueueAlreadyExists",
            "A queue already exists with the same name and a different value for attribute "
            "VisibilityTimeout",
            id="another queue has the name",
        ),
        pytest.param(
            "handle",
            "DeleteMessage",
            "ReceiptHandleIsInvalid",
            'The input receipt handle "garbage" is not a valid receipt handle.',
            id="no receipt handle",
        ),
        pytest.param(
            "attribute",
            "SetQueueAttributes",
            "InvalidAttributeValue",
            "Invalid value for the parameter DelaySeconds.",
            id="an attribute out of range",
        ),
        pytest.param(
            "too many",
            "ReceiveMessage",
            "InvalidParameterValue",
            "Value 11 for parameter MaxNumberOfMessages is invalid. "
            "Reason: Must be between 1 and 10, if provided.",
            id="a number out of range",
        ),
    ],
)
def test_rejection_exits_with_status_255_and_prints_the_message(
    seen: Facts, what: str, operation: str, code: str, message: str
) -> None:
    assert seen["rejections"][what] == [REJECTED, "", rejection(operation, code, message)]


def rejection(operation: str, code: str, message: str) -> str:
    return f"An error occurred ({code}) when calling the {operation} operation: {message}"
