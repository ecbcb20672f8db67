"""Repeated CreateQueue: which requested attributes differ from those of the existing queue."""

from __future__ import annotations

import pytest

from queueserver.rules import attributes

FIFO = {"FifoQueue": "true"}
BY_GROUP = {"DeduplicationScope": "messageGroup"}
KEY = {"KmsMasterKeyId": "k", "KmsDataKeyReusePeriodSeconds": "60", "SqsManagedSseEnabled": "false"}
REDRIVE = '{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dlq","maxReceiveCount":3}'


def difference(requested: dict[str, str], stored: dict[str, str]) -> str | None:
    return attributes.find_difference(
        requested, attributes.parse_requested(requested, {}, creating=True), stored
    )


@pytest.mark.parametrize(
    ("requested", "differing"),
    [
        pytest.param({}, None, id="no attribute requested"),
        pytest.param({"DelaySeconds": "5", "VisibilityTimeout": "30"}, None, id="equal or default"),
        pytest.param({"DelaySeconds": "05"}, None, id="equal once normalised"),
        pytest.param({"KmsMasterKeyId": ""}, None, id="clearing an attribute that is not set"),
        pytest.param(
            {"KmsDataKeyReusePeriodSeconds": "300"}, None, id="default that All does not return"
        ),
        pytest.param({"SqsManagedSseEnabled": "TRUE"}, None, id="a boolean in capitals"),
        pytest.param({"DelaySeconds": "0"}, "DelaySeconds", id="default, but changed since"),
        pytest.param({"VisibilityTimeout": "31"}, "VisibilityTimeout", id="not the default"),
        pytest.param({"KmsMasterKeyId": "k"}, "KmsMasterKeyId", id="not set"),
    ],
)
def test_repeated_creation_compares_only_requested_attributes(
    requested: dict[str, str], differing: str | None
) -> None:
    assert difference(requested, {"DelaySeconds": "5"}) == differing


@pytest.mark.parametrize(
    ("requested", "differing"),
    [
        pytest.param({**FIFO, "ContentBasedDeduplication": "False"}, None, id="a default"),
        pytest.param({"FifoQueue": "True", **BY_GROUP}, None, id="equal"),
        pytest.param(
            {**FIFO, "DeduplicationScope": "queue"}, "DeduplicationScope", id="changed since"
        ),
        pytest.param(
            {**FIFO, "ContentBasedDeduplication": "true"}, "ContentBasedDeduplication", id="not set"
        ),
    ],
)
def test_repeated_creation_of_a_fifo_queue_compares_fifo_attributes(
    requested: dict[str, str], differing: str | None
) -> None:
    assert difference(requested, {**FIFO, **BY_GROUP}) == differing


@pytest.mark.parametrize(
    ("requested", "stored", "differing"),
    [
        pytest.param(
            {"SqsManagedSseEnabled": "true", "KmsDataKeyReusePeriodSeconds": "60"},
            {"SqsManagedSseEnabled": "true"},
            None,
            id="period that SSE-SQS leaves out",
        ),
        pytest.param(
            {"SqsManagedSseEnabled": "true", "KmsMasterKeyId": ""},
            {"SqsManagedSseEnabled": "true"},
            None,
            id="key that is cleared",
        ),
        pytest.param(
            {"KmsMasterKeyId": "k", "KmsDataKeyReusePeriodSeconds": "60"},
            KEY,
            None,
            id="key that disables SSE-SQS",
        ),
        pytest.param(
            {"SqsManagedSseEnabled": "true", "KmsDataKeyReusePeriodSeconds": "60"},
            KEY,
            "SqsManagedSseEnabled",
            id="another kind of encryption",
        ),
    ],
)
def test_repeated_creation_compares_what_the_request_would_store(
    requested: dict[str, str], stored: dict[str, str], differing: str | None
) -> None:
    assert difference(requested, stored) == differing


@pytest.mark.parametrize(
    ("requested", "stored", "differing"),
    [
        pytest.param(REDRIVE, REDRIVE, None, id="equal"),
        pytest.param(REDRIVE.replace("3", '"03"'), REDRIVE, None, id="equal once normalised"),
        pytest.param(REDRIVE, None, "RedrivePolicy", id="not set"),
        pytest.param("", REDRIVE, "RedrivePolicy", id="cleared, but set"),
        pytest.param("", None, None, id="cleared and not set"),
    ],
)
def test_repeated_creation_compares_documents(
    requested: str, stored: str | None, differing: str | None
) -> None:
    current = {} if stored is None else {"RedrivePolicy": stored}
    assert difference({"RedrivePolicy": requested}, current) == differing
