"""The AWS CLI: commands, their output, and their exit status."""

from __future__ import annotations

import pytest

from tests.clients.scenarios import Facts, Play

SILENT = [0, "", ""]
REJECTED = 255
"""The exit status of the CLI for a rejected request."""


@pytest.fixture(scope="module")
def facts(play: Play) -> Facts:
    return play("aws_cli")


def test_queue_is_created_described_and_listed(facts: Facts) -> None:
    url = facts["url"]
    assert url.endswith("/000000000000/cli")
    assert facts["queue"] == {
        "created": [0, {"QueueUrl": url}, ""],
        "set": SILENT,
        "attributes": ["45", "0", "3600", "arn:aws:sqs:us-east-1:000000000000:cli"],
        "number of attributes": 12,
        "tags": [0, {"Tags": {"team": "checkout"}}, ""],
        "url": [0, url, ""],
        "listed": [0, {"QueueUrls": [url]}, ""],
        "nothing listed": SILENT,
    }


def test_message_is_sent_received_made_invisible_and_deleted(facts: Facts) -> None:
    assert facts["messages"] == {
        "same id": True,
        "same digests": [True, True],
        "body": "Information",
        "attributes": {
            "City": {"DataType": "String", "StringValue": "Any City"},
            "Population": {"DataType": "Number", "StringValue": "1250800"},
            "Greeting": {"DataType": "Binary", "BinaryValue": "SGVsbG8="},
        },
        "count": "1",
        "visibility changed": SILENT,
        "deleted": SILENT,
        "empty": SILENT,
    }


def test_partly_failed_batch_exits_with_status_0(facts: Facts) -> None:
    assert facts["batch"] == {
        "status": 0,
        "successful": ["one"],
        "failed": [["late", "InvalidParameterValue"]],
    }


def test_queue_is_purged_and_deleted(facts: Facts) -> None:
    missing = "AWS.SimpleQueueService.NonExistentQueue"
    assert facts["purge_and_delete"] == {
        "purged": SILENT,
        "left": [0, "ATTRIBUTES\t0", ""],
        "deleted": SILENT,
        "missing": [
            REJECTED,
            "",
            rejection("GetQueueUrl", missing, "The specified queue does not exist."),
        ],
    }


@pytest.mark.parametrize(
    ("case", "operation", "code", "message"),
    [
        pytest.param(
            "conflict",
            "CreateQueue",
            "QueueAlreadyExists",
            "A queue already exists with the same name and a different value for attribute "
            "VisibilityTimeout",
            id="name in use with other attributes",
        ),
        pytest.param(
            "handle",
            "DeleteMessage",
            "ReceiptHandleIsInvalid",
            'The input receipt handle "garbage" is not a valid receipt handle.',
            id="invalid receipt handle",
        ),
        pytest.param(
            "attribute",
            "SetQueueAttributes",
            "InvalidAttributeValue",
            "Invalid value for the parameter DelaySeconds.",
            id="attribute out of range",
        ),
        pytest.param(
            "too many",
            "ReceiveMessage",
            "InvalidParameterValue",
            "Value 11 for parameter MaxNumberOfMessages is invalid. "
            "Reason: Must be between 1 and 10, if provided.",
            id="parameter out of range",
        ),
    ],
)
def test_rejection_exits_with_status_255_and_prints_the_message(
    facts: Facts, case: str, operation: str, code: str, message: str
) -> None:
    assert facts["rejections"][case] == [REJECTED, "", rejection(operation, code, message)]


def rejection(operation: str, code: str, message: str) -> str:
    return f"An error occurred ({code}) when calling the {operation} operation: {message}"
