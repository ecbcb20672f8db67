"""Long polling over real sockets: which events wake up a waiting receiver, and which do not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest

from tests.api.dead_letters import arn_of, create, redrive
from tests.api.live_server import AlarmCountingClock, LiveServer, config
from tests.api.raw_http import exchange, json_headers, open_socket, request_bytes
from tests.api.sqs_clients import Sqs, bodies, rejection
from tests.waiting import TIMEOUT_SECONDS

RECEIVERS = 1_000
GROUP = 50
"""Receivers that begin together: a thousand at once would wait too long for their first read."""

Poll: TypeAlias = Future[dict[str, Any]]
Wait: TypeAlias = Callable[..., Poll]


@pytest.fixture
def wait(sqs: Sqs, queue: str, clock: AlarmCountingClock) -> Iterator[Wait]:
    """Return a function that starts a long poll of 20 s, and returns once the receiver waits."""
    with ThreadPoolExecutor() as threads:
        waiting: list[Poll] = []

        def start(**parameters: object) -> Poll:
            request = {"QueueUrl": queue, "WaitTimeSeconds": 20, **parameters}
            waiting.append(threads.submit(sqs.receive_message, **request))
            clock.wait_for_alarms(20, sum(1 for poll in waiting if not poll.done()))
            return waiting[-1]

        yield start
        clock.advance(20)


def bodies_of(poll: Poll) -> list[str]:
    return bodies(poll.result(TIMEOUT_SECONDS))


def test_send_wakes_up_a_waiting_receiver(sqs: Sqs, queue: str, wait: Wait) -> None:
    poll = wait()
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    assert bodies_of(poll) == ["x"]


def test_longest_waiting_receiver_is_served_first(sqs: Sqs, queue: str, wait: Wait) -> None:
    first, second = wait(), wait()
    for poll in (first, second):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        assert bodies_of(poll) == ["x"]


def test_batch_send_wakes_up_a_receiver_for_each_message(sqs: Sqs, queue: str, wait: Wait) -> None:
    polls = [wait() for _ in range(3)]
    sqs.send_message_batch(
        QueueUrl=queue, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(3)]
    )
    assert sorted(body for poll in polls for body in bodies_of(poll)) == ["0", "1", "2"]


def test_long_poll_returns_visible_messages_at_once(sqs: Sqs, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=20)
    assert bodies(answer) == ["x"]


def test_receiver_wakes_up_when_a_delay_ends(
    sqs: Sqs, queue: str, wait: Wait, clock: AlarmCountingClock
) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="before", DelaySeconds=5)
    poll = wait()
    clock.advance(5)
    assert bodies_of(poll) == ["before"]
    poll = wait()
    sqs.send_message(QueueUrl=queue, MessageBody="during the poll", DelaySeconds=7)
    clock.advance(7)
    assert bodies_of(poll) == ["during the poll"]


def test_receiver_wakes_up_when_a_visibility_timeout_ends(
    sqs: Sqs, queue: str, wait: Wait, clock: AlarmCountingClock
) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    sqs.receive_message(QueueUrl=queue, VisibilityTimeout=5)
    poll = wait(AttributeNames=["ApproximateReceiveCount"])
    clock.advance(5)
    assert bodies_of(poll) == ["x"]
    (message,) = poll.result()["Messages"]
    assert message["Attributes"] == {"ApproximateReceiveCount": "2"}


def test_receiver_wakes_up_when_a_message_is_released(sqs: Sqs, queue: str, wait: Wait) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    poll = wait()
    sqs.change_message_visibility(
        QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
    )
    assert bodies_of(poll) == ["x"]


def test_receiver_keeps_waiting_when_a_visibility_timeout_is_extended(
    sqs: Sqs, queue: str, wait: Wait, clock: AlarmCountingClock
) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=5)["Messages"]
    poll = wait()
    sqs.change_message_visibility(
        QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=10
    )
    clock.advance(5)
    clock.wait_for_alarms(15)
    assert not poll.done()
    clock.advance(5)
    assert bodies_of(poll) == ["x"]


def test_empty_long_poll_ends_at_its_deadline(wait: Wait, clock: AlarmCountingClock) -> None:
    poll = wait()
    clock.advance(19.999)
    clock.wait_for_alarms(0.001)
    assert not poll.done()
    clock.advance(0.001)
    assert "Messages" not in poll.result(TIMEOUT_SECONDS)


def test_wait_time_of_the_queue_is_the_default_of_a_receive(
    sqs: Sqs, queue: str, clock: AlarmCountingClock
) -> None:
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"ReceiveMessageWaitTimeSeconds": "3"})
    with ThreadPoolExecutor() as threads:
        poll = threads.submit(sqs.receive_message, QueueUrl=queue)
        clock.wait_for_alarms(3)
        assert "Messages" not in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=0)
        clock.advance(3)
        assert "Messages" not in poll.result(TIMEOUT_SECONDS)


def test_receiver_keeps_waiting_after_a_purge(sqs: Sqs, queue: str, wait: Wait) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="old", DelaySeconds=5)
    poll = wait()
    sqs.purge_queue(QueueUrl=queue)
    sqs.send_message(QueueUrl=queue, MessageBody="new")
    assert bodies_of(poll) == ["new"]


def test_long_poll_ends_at_its_deadline_after_a_purge(
    sqs: Sqs, queue: str, wait: Wait, clock: AlarmCountingClock
) -> None:
    poll = wait()
    sqs.purge_queue(QueueUrl=queue)
    clock.advance(20)
    assert "Messages" not in poll.result(TIMEOUT_SECONDS)


def test_receiver_keeps_waiting_after_a_change_of_attributes(
    sqs: Sqs, queue: str, wait: Wait
) -> None:
    poll = wait()
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "0"})
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    assert bodies_of(poll) == ["x"]
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["x"]


def test_waiting_receiver_is_rejected_when_its_queue_is_deleted(
    sqs: Sqs, queue: str, wait: Wait
) -> None:
    poll = wait()
    sqs.delete_queue(QueueUrl=queue)
    rejected = rejection(lambda: poll.result(TIMEOUT_SECONDS))
    assert (rejected.status, rejected.code) == (400, "AWS.SimpleQueueService.NonExistentQueue")


def test_disconnected_receiver_claims_no_message(
    sqs: Sqs, server: LiveServer, queue: str, clock: AlarmCountingClock, wait: Wait
) -> None:
    request = request_bytes("ReceiveMessage", QueueUrl=queue, WaitTimeSeconds=20)
    client = open_socket(server.url, request)
    clock.wait_for_alarms(20)
    client.close()
    clock.wait_for_alarms(20, 0)
    poll = wait(AttributeNames=["ApproximateReceiveCount"])
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = poll.result(TIMEOUT_SECONDS)["Messages"]
    assert message["Attributes"] == {"ApproximateReceiveCount": "1"}


def test_receiver_that_disconnects_during_a_send_claims_no_message(
    sqs: Sqs, server: LiveServer, queue: str, clock: AlarmCountingClock
) -> None:
    request = request_bytes("ReceiveMessage", QueueUrl=queue, WaitTimeSeconds=20)
    for number in range(10):
        client = open_socket(server.url, request)
        clock.wait_for_alarms(20)
        client.close()
        sqs.send_message(QueueUrl=queue, MessageBody=str(number))
        (message,) = sqs.receive_message(
            QueueUrl=queue, AttributeNames=["ApproximateReceiveCount"]
        )["Messages"]
        assert message["Body"] == str(number)
        assert message["Attributes"] == {"ApproximateReceiveCount": "1"}


# FIFO queues, dead letters and move tasks


@pytest.fixture
def fifo(sqs: Sqs, name: str) -> str:
    """Create a FIFO queue with two visible messages of one group, and return its URL."""
    queue = create(sqs, f"{name}.fifo")
    for body in ("1", "2"):
        sqs.send_message(
            QueueUrl=queue, MessageBody=body, MessageGroupId="g", MessageDeduplicationId=body
        )
    return queue


def receive_handle(sqs: Sqs, queue: str) -> str:
    """Receive one message, and return its receipt handle."""
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    handle: str = message["ReceiptHandle"]
    return handle


def test_receiver_wakes_up_when_a_group_unblocks(sqs: Sqs, fifo: str, wait: Wait) -> None:
    handle = receive_handle(sqs, fifo)
    poll = wait(QueueUrl=fifo)
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=handle)
    assert bodies_of(poll) == ["2"]


def test_receiver_wakes_up_when_the_head_of_a_group_is_released(
    sqs: Sqs, fifo: str, wait: Wait
) -> None:
    handle = receive_handle(sqs, fifo)
    poll = wait(QueueUrl=fifo, MaxNumberOfMessages=10)
    sqs.change_message_visibility(QueueUrl=fifo, ReceiptHandle=handle, VisibilityTimeout=0)
    assert bodies_of(poll) == ["1", "2"]


def test_receiver_wakes_up_when_the_visibility_timeout_of_a_group_head_ends(
    sqs: Sqs, fifo: str, wait: Wait, clock: AlarmCountingClock
) -> None:
    sqs.receive_message(QueueUrl=fifo, VisibilityTimeout=11)
    poll = wait(QueueUrl=fifo)
    clock.advance(11)
    assert bodies_of(poll) == ["1"]


def test_receiver_wakes_up_for_another_group_and_not_for_a_blocked_one(
    sqs: Sqs, fifo: str, wait: Wait
) -> None:
    receive_handle(sqs, fifo)
    poll = wait(QueueUrl=fifo)
    for group in ("g", "h"):
        sqs.send_message(
            QueueUrl=fifo, MessageBody=group, MessageGroupId=group, MessageDeduplicationId=group
        )
    assert bodies_of(poll) == ["h"]


def test_receiver_wakes_up_when_the_delay_of_a_fifo_queue_ends(
    sqs: Sqs, name: str, wait: Wait, clock: AlarmCountingClock
) -> None:
    queue = create(sqs, f"{name}.fifo", {"DelaySeconds": "9"})
    poll = wait(QueueUrl=queue)
    sqs.send_message(
        QueueUrl=queue, MessageBody="x", MessageGroupId="g", MessageDeduplicationId="d"
    )
    clock.advance(9)
    assert bodies_of(poll) == ["x"]


@pytest.mark.parametrize("ending", ["", ".fifo"], ids=["standard", "fifo"])
def test_receiver_wakes_up_for_a_dead_letter_and_for_a_moved_message(
    sqs: Sqs, name: str, wait: Wait, ending: str
) -> None:
    dead = create(sqs, f"{name}-dead{ending}")
    source = create(sqs, f"{name}-source{ending}", redrive(dead))
    group = {"MessageGroupId": "g"}
    deduplication = {"MessageDeduplicationId": "d"} if ending else {}
    sqs.send_message(QueueUrl=source, MessageBody="x", **group, **deduplication)
    sqs.receive_message(QueueUrl=source, VisibilityTimeout=0)
    poll = wait(QueueUrl=dead, VisibilityTimeout=0)
    assert "Messages" not in sqs.receive_message(QueueUrl=source)
    assert bodies_of(poll) == ["x"]
    poll = wait(QueueUrl=source)
    sqs.start_message_move_task(SourceArn=arn_of(dead))
    assert bodies_of(poll) == ["x"]


def test_receiver_of_the_source_receives_the_message_behind_a_dead_letter(
    sqs: Sqs, name: str, wait: Wait, clock: AlarmCountingClock
) -> None:
    dead = create(sqs, f"{name}-dead")
    source = create(sqs, f"{name}-source", redrive(dead))
    sqs.send_message(QueueUrl=source, MessageBody="old")
    sqs.receive_message(QueueUrl=source, VisibilityTimeout=3)
    poll, of_dead = wait(QueueUrl=source), wait(QueueUrl=dead)
    clock.advance(3)
    assert bodies_of(of_dead) == ["old"]
    sqs.send_message(QueueUrl=source, MessageBody="new")
    assert bodies_of(poll) == ["new"]


async def test_stop_answers_a_thousand_waiting_receivers(
    own_database: str,
) -> None:
    clock = AlarmCountingClock()
    server = LiveServer(config(own_database), clock)
    address = urlsplit(server.url)
    polls: list[asyncio.Task[bytes]] = []

    async def receive(request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(request)
        await writer.drain()
        try:
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    with raised_file_limit():
        try:
            body = json.dumps({"QueueName": "q"})
            create = exchange(server.url, headers=json_headers("CreateQueue"), body=body)
            assert create.status == 200
            request = request_bytes("ReceiveMessage", QueueUrl="q", WaitTimeSeconds=20)
            while len(polls) < RECEIVERS:
                polls += [asyncio.create_task(receive(request)) for _ in range(GROUP)]
                await asyncio.to_thread(clock.wait_for_alarms, 20, len(polls))
        finally:
            await asyncio.to_thread(server.close)
        answers = await asyncio.gather(*polls)
    assert len(answers) == RECEIVERS
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\n{}")


@contextlib.contextmanager
def raised_file_limit() -> Iterator[None]:
    """Raise the limit of open files, because both ends of each connection are in this process."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(limits[0], 4_096), limits[1]), limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
