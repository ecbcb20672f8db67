"""How much may be in flight, and who comes first when one tenant has most of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api.dead_letters import create
from tests.api.live_server import PATIENCE_SECONDS, LiveServer, SleepersClock, config
from tests.api.sqs_clients import Clients, Sqs, bodies, refusal
from tests.databases import NewDatabase

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
def small_clock(database_kind: str) -> SleepersClock:
    return SleepersClock()


@pytest.fixture(scope="module")
def small_server(new_database: NewDatabase, small_clock: SleepersClock) -> Iterator[LiveServer]:
    settings = config(new_database(), in_flight_limit=LIMIT)
    with contextlib.closing(LiveServer(settings, small_clock)) as server:
        yield server


@pytest.fixture
def small_sqs(small_server: LiveServer, protocol: str, clients: Clients) -> Sqs:
    """Give a client of a server on which three messages of a queue may be in flight."""
    return clients.get(protocol, small_server.url, "test", "us-east-1")


def fill(sqs: Sqs, queue: str, *texts: str) -> list[str]:
    """Send messages, each into a group of its own, and receive what may be; give the handles."""
    for text in texts:
        deduplication = {"MessageDeduplicationId": text} if queue.endswith(".fifo") else {}
        sqs.send_message(QueueUrl=queue, MessageBody=text, MessageGroupId=text, **deduplication)
    answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    assert len(answer["Messages"]) == LIMIT
    return [message["ReceiptHandle"] for message in answer["Messages"]]


def test_a_short_poll_of_a_standard_queue_is_told_of_too_many_in_flight(
    small_sqs: Sqs, name: str, small_clock: SleepersClock
) -> None:
    queue = create(small_sqs, name)
    first, second, _ = fill(small_sqs, queue, *"12345")
    assert refusal(small_sqs.receive_message, QueueUrl=queue) == TOO_MANY
    small_sqs.delete_message(QueueUrl=queue, ReceiptHandle=first)
    assert bodies(small_sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)) == ["4"]
    assert refusal(small_sqs.receive_message, QueueUrl=queue) == TOO_MANY
    small_sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=second, VisibilityTimeout=0)
    assert len(bodies(small_sqs.receive_message(QueueUrl=queue))) == 1
    assert refusal(small_sqs.receive_message, QueueUrl=queue) == TOO_MANY
    small_clock.advance(30)
    received = small_sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    assert len(bodies(received)) == LIMIT


def test_a_short_poll_of_a_fifo_queue_is_given_nothing(small_sqs: Sqs, name: str) -> None:
    queue = create(small_sqs, f"{name}.fifo")
    handle, *_ = fill(small_sqs, queue, *"12345")
    assert "Messages" not in small_sqs.receive_message(QueueUrl=queue)
    small_sqs.delete_message(QueueUrl=queue, ReceiptHandle=handle)
    assert bodies(small_sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)) == ["4"]


@pytest.mark.parametrize("ending", ["", ".fifo"], ids=["standard", "fifo"])
def test_a_long_poll_is_given_nothing(
    small_sqs: Sqs, name: str, ending: str, small_clock: SleepersClock
) -> None:
    queue = create(small_sqs, name + ending)
    fill(small_sqs, queue, *"1234")
    with ThreadPoolExecutor() as threads:
        poll = threads.submit(small_sqs.receive_message, QueueUrl=queue, WaitTimeSeconds=7)
        small_clock.wait_for_sleepers(7)
        small_clock.advance(7)
        assert "Messages" not in poll.result(PATIENCE_SECONDS)


@pytest.mark.parametrize("ending", ["", ".fifo"], ids=["standard", "fifo"])
def test_a_long_poll_is_given_what_a_lapse_makes_room_for(
    small_sqs: Sqs, name: str, ending: str, small_clock: SleepersClock
) -> None:
    queue = create(small_sqs, name + ending)
    handle, *_ = fill(small_sqs, queue, *"1234")
    small_sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=5)
    with ThreadPoolExecutor() as threads:
        poll = threads.submit(small_sqs.receive_message, QueueUrl=queue, WaitTimeSeconds=13)
        small_clock.wait_for_sleepers(13)
        small_clock.advance(5)
        received = bodies(poll.result(PATIENCE_SECONDS))
    assert len(received) == 1
    assert received[0] in {"1", "4"}


def test_every_queue_has_its_own_limit(small_sqs: Sqs, name: str) -> None:
    fill(small_sqs, create(small_sqs, name), *"123")
    fill(small_sqs, create(small_sqs, f"{name}-other"), *"123")


# Fair queues


def send(sqs: Sqs, queue: str, tenant: str, count: int) -> None:
    for start in range(0, count, 10):
        entries = [
            {"Id": str(number), "MessageBody": tenant, "MessageGroupId": tenant}
            for number in range(start, min(start + 10, count))
        ]
        assert "Failed" not in sqs.send_message_batch(QueueUrl=queue, Entries=entries)


def receive(sqs: Sqs, queue: str, times: int) -> list[str]:
    return [
        body
        for _ in range(times)
        for body in bodies(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10))
    ]


def test_a_noisy_tenant_lets_quiet_ones_go_first(
    sqs: Sqs, queue: str, clock: SleepersClock
) -> None:
    send(sqs, queue, "noisy", 60)
    assert receive(sqs, queue, 4) == ["noisy"] * 40
    clock.advance(1)
    send(sqs, queue, "quiet", 3)
    sqs.send_message(QueueUrl=queue, MessageBody="nobody's")
    assert sorted(receive(sqs, queue, 1)[:4]) == ["nobody's", "quiet", "quiet", "quiet"]
    assert receive(sqs, queue, 2) == ["noisy"] * 14


def test_tenants_with_little_in_flight_are_served_in_turn(sqs: Sqs, queue: str) -> None:
    send(sqs, queue, "first", 20)
    assert receive(sqs, queue, 1) == ["first"] * 10
    send(sqs, queue, "second", 3)
    assert receive(sqs, queue, 2) == ["first"] * 10 + ["second"] * 3


def test_a_tenant_is_quiet_again_when_its_messages_are_deleted(
    sqs: Sqs, queue: str, clock: SleepersClock
) -> None:
    send(sqs, queue, "noisy", 50)
    for _ in range(4):
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        for message in answer["Messages"]:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    clock.advance(1)
    send(sqs, queue, "quiet", 1)
    assert receive(sqs, queue, 2) == ["noisy"] * 10 + ["quiet"]


def test_only_noisy_tenants_are_served_too_and_the_least_noisy_first(
    sqs: Sqs, queue: str, clock: SleepersClock
) -> None:
    send(sqs, queue, "loud", 60)
    assert len(receive(sqs, queue, 5)) == 50
    send(sqs, queue, "late", 40)
    for expected in ("late", "late", "late", "late", "loud"):
        clock.advance(1)
        assert receive(sqs, queue, 1) == [expected] * 10
