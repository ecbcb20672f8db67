"""The current boto3, used as in its guide."""

from __future__ import annotations

import hashlib

import pytest

from tests.clients.scenarios import Facts, Play


@pytest.fixture(scope="module")
def facts(play: Play) -> Facts:
    return play("boto3_current")


def digest(body: str) -> str:
    return hashlib.md5(body.encode()).hexdigest()


def test_queue_is_created_found_and_changed(facts: Facts) -> None:
    assert facts["create_and_find"] == {
        "same": True,
        "delays": ["5", "0"],
        "all": [True],
        "rejection": "The specified queue does not exist.",
    }


def test_messages_are_sent_processed_and_deleted(facts: Facts) -> None:
    assert facts["send_and_process"] == {
        "one": digest("boto3"),
        "successful": ["1", "2"],
        "failed": None,
        "greetings": [
            ["boto3", "Daniel", digest("boto3")],
            ["hello", "Daniel", digest("hello")],
            ["world", None, digest("world")],
        ],
        "left": "0",
    }


def test_handles_change_visibility_and_delete_messages(facts: Facts) -> None:
    assert facts["change_and_delete"] == {
        "same": True,
        "counts": ["1", "2"],
        "changed": [{"Id": "a"}],
        "deleted": [{"Id": "a"}],
        "failed": [["b", "ReceiptHandleIsInvalid"]],
        "left": [True],
        "in flight after a purge": "0",
    }


def test_undeleted_message_moves_to_the_dead_letter_queue(facts: Facts) -> None:
    assert facts["dead_letters"] == {"sources": [True], "received": [["poison"], [], ["poison"]]}


def test_permission_is_added_and_removed(facts: Facts) -> None:
    assert facts["permissions"] == {
        "statement": {
            "Sid": "read",
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": "SQS:ReceiveMessage",
            "Resource": "arn:aws:sqs:us-east-1:000000000000:shared",
        },
        "left": None,
    }


def test_queues_are_listed_page_by_page(facts: Facts) -> None:
    assert facts["pages"] == {
        "pages": [["page-0", "page-1", "page-2"], ["page-3", "page-4", "page-5"]],
        "filtered": [f"page-{number}" for number in range(7)],
        "left": [],
    }
