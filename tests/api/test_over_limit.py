"""Receives from a queue that has reached the limit of messages in flight (OverLimit)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api.dead_letters import create
from tests.api.live_server import AlarmCountingClock, LiveServer, config
from tests.api.sqs_clients import Clients, Sqs, bodies, rejection
from tests.databases import NewDatabase
from tests.waiting import TIMEOUT_SECONDS

LIMIT = 3
TOO_MANY = (
    403,
    "OverLimit",
    (
        "Too many messages have been received without being deleted.\n"
        "Please delete your received messages or let them timeout before receiving more."
    ),
)


@pytest.fixture(scope="module")
def limited_clock(database_kind: str) -> AlarmCountingClock:
    return AlarmCountingClock()


@pytest.fixture(scope="module")
def limited_server(
    new_database: NewDatabase, limited_clock: AlarmCountingClock
) -> Iterator[LiveServer]:
    settings = config(new_database(), in_flight_limit=LIMIT)
    with contextlib.closing(LiveServer(settings, limited_clock)) as server:
        yield server


@pytest.fixture
def limited_sqs(limited_server: LiveServer, protocol: str, clients: Clients) -> Sqs:
    """Return a client of a server with an in-flight limit of 3 messages per queue."""
    return clients.get(protocol, limited_server.url, "test", "us-east-1")


def fill_to_limit(sqs: Sqs, queue: str, *texts: str) -> list[str]:
    """Send messages, each in its own group, receive up to the limit, and return the handles."""
    for text in texts:
        deduplication = {"MessageDeduplicationId": text} if queue.endswith(".fifo") else {}
        sqs.send_message(QueueUrl=queue, MessageBody=text, MessageGroupId=text, **deduplication)
    answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    assert len(answer["Messages"]) == LIMIT
    return [message["ReceiptHandle"] for message in answer["Messages"]]


def test_short_poll_of_standard_queue_at_the_in_flight_limit_is_rejected(
    limited_sqs: Sqs, name: str, limited_clock: AlarmCountingClock
) -> None:
    queue = create(limited_sqs, name)
    first, second, _ = fill_to_limit(limited_sqs, queue, *"12345")
    assert rejection(limited_sqs.receive_message, QueueUrl=queue) == TOO_MANY
    limited_sqs.delete_message(QueueUrl=queue, ReceiptHandle=first)
    assert bodies(limited_sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)) == ["4"]
    assert rejection(limited_sqs.receive_message, QueueUrl=queue) == TOO_MANY
    limited_sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=second, VisibilityTimeout=0)
    assert len(bodies(limited_sqs.receive_message(QueueUrl=queue))) == 1
    assert rejection(limited_sqs.receive_message, QueueUrl=queue) == TOO_MANY
    limited_clock.advance(30)
    received = limited_sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    assert len(bodies(received)) == LIMIT


def test_short_poll_of_fifo_queue_at_the_in_flight_limit_is_empty(
    limited_sqs: Sqs, name: str
) -> None:
    queue = create(limited_sqs, f"{name}.fifo")
    handle, *_ = fill_to_limit(limited_sqs, queue, *"12345")
    assert "Messages" not in limited_sqs.receive_message(QueueUrl=queue)
    limited_sqs.delete_message(QueueUrl=queue, ReceiptHandle=handle)
    assert bodies(limited_sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)) == ["4"]


@pytest.mark.parametrize("ending", ["", ".fifo"], ids=["standard", "fifo"])
def test_long_poll_at_the_in_flight_limit_is_empty(
    limited_sqs: Sqs, name: str, ending: str, limited_clock: AlarmCountingClock
) -> None:
    queue = create(limited_sqs, name + ending)
    fill_to_limit(limited_sqs, queue, *"1234")
    with ThreadPoolExecutor() as threads:
        poll = threads.submit(limited_sqs.receive_message, QueueUrl=queue, WaitTimeSeconds=7)
        limited_clock.wait_for_alarms(7)
        limited_clock.advance(7)
        assert "Messages" not in poll.result(TIMEOUT_SECONDS)


@pytest.mark.parametrize("ending", ["", ".fifo"], ids=["standard", "fifo"])
def test_long_poll_at_the_in_flight_limit_wakes_up_when_a_visibility_timeout_ends(
    limited_sqs: Sqs, name: str, ending: str, limited_clock: AlarmCountingClock
) -> None:
    queue = create(limited_sqs, name + ending)
    handle, *_ = fill_to_limit(limited_sqs, queue, *"1234")
    limited_sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=5)
    with ThreadPoolExecutor() as threads:
        poll = threads.submit(limited_sqs.receive_message, QueueUrl=queue, WaitTimeSeconds=13)
        limited_clock.wait_for_alarms(13)
        limited_clock.advance(5)
        received = bodies(poll.result(TIMEOUT_SECONDS))
    assert len(received) == 1
    assert received[0] in {"1", "4"}


def test_each_queue_has_its_own_in_flight_limit(limited_sqs: Sqs, name: str) -> None:
    fill_to_limit(limited_sqs, create(limited_sqs, name), *"123")
    fill_to_limit(limited_sqs, create(limited_sqs, f"{name}-other"), *"123")
