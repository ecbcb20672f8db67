"""Message move tasks: moved messages, lists of tasks, failures, rates and restarts."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.dead_letters import COLOUR, TRACE, arn_of, create, redrive
from tests.api.live_server import AlarmCountingClock, LiveServer, config
from tests.api.sqs_clients import Clients, Sqs, bodies, receive, rejection
from tests.waiting import poll_until_timeout


@pytest.fixture
def other(sqs: Sqs, name: str) -> str:
    """Create a queue that is no source, and return its URL."""
    return create(sqs, f"{name}-other")


def dead_letter(sqs: Sqs, source: str, *texts: str, **parameters: object) -> None:
    """Send messages to a source, and move them to its dead-letter queue."""
    for text in texts:
        sqs.send_message(QueueUrl=source, MessageBody=text, **parameters)
        for _ in range(2):
            receive(sqs, source, VisibilityTimeout=0)


def start_task(sqs: Sqs, dead: str, **parameters: object) -> str:
    handle: str = sqs.start_message_move_task(SourceArn=arn_of(dead), **parameters)["TaskHandle"]
    return handle


def list_tasks(sqs: Sqs, dead: str, **parameters: object) -> list[dict[str, Any]]:
    answer = sqs.list_message_move_tasks(SourceArn=arn_of(dead), **parameters)
    found: list[dict[str, Any]] = answer.get("Results", [])
    return found


def wait_until_ended(sqs: Sqs, dead: str) -> dict[str, Any]:
    """Wait until the only listed task ends, and return it."""
    for _ in poll_until_timeout():
        (task,) = list_tasks(sqs, dead)
        if task["Status"] not in {"RUNNING", "CANCELLING"}:
            return task
    raise AssertionError(f"the task does not end: {task}")


# Moved messages


def test_messages_move_back_to_their_source_queues(
    sqs: Sqs, name: str, dead: str, clock: AlarmCountingClock
) -> None:
    sources = [create(sqs, f"{name}-{number}", redrive(dead)) for number in range(2)]
    for number, source in enumerate(sources):
        dead_letter(sqs, source, f"{number}-a", f"{number}-b")
    clock.advance(5)
    start_task(sqs, dead)
    task = wait_until_ended(sqs, dead)
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 4)
    for number, source in enumerate(sources):
        received = [message["Body"] for message in receive(sqs, source)]
        assert received == [f"{number}-a", f"{number}-b"]
    assert receive(sqs, dead) == []


def test_moved_message_is_a_new_message_with_the_same_content(
    sqs: Sqs, source: str, dead: str, clock: AlarmCountingClock
) -> None:
    system = {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}}
    dead_letter(
        sqs,
        source,
        "x",
        MessageGroupId="tenant",
        MessageAttributes=COLOUR,
        MessageSystemAttributes=system,
    )
    (old,) = receive(sqs, dead, VisibilityTimeout=0)
    clock.advance(5)
    start_task(sqs, dead)
    assert wait_until_ended(sqs, dead)["Status"] == "COMPLETED"
    (new,) = receive(sqs, source)
    assert new["MessageId"] != old["MessageId"]
    for member in ("Body", "MD5OfBody", "MessageAttributes", "MD5OfMessageAttributes"):
        assert new[member] == old[member]
    now = str(clock.now_ms())
    assert new["Attributes"] == {
        "ApproximateFirstReceiveTimestamp": now,
        "ApproximateReceiveCount": "1",
        "AWSTraceHeader": TRACE,
        "MessageGroupId": "tenant",
        "SenderId": "000000000000",
        "SentTimestamp": now,
    }


def test_each_moved_message_has_its_own_message_id(sqs: Sqs, source: str, dead: str) -> None:
    dead_letter(sqs, source, "1", "2", "3")
    start_task(sqs, dead)
    wait_until_ended(sqs, dead)
    assert len({message["MessageId"] for message in receive(sqs, source)}) == 3


def test_task_with_destination_moves_messages_to_it(
    sqs: Sqs, source: str, dead: str, other: str
) -> None:
    dead_letter(sqs, source, "x")
    sqs.send_message(QueueUrl=dead, MessageBody="sent to the dead-letter queue")
    start_task(sqs, dead, DestinationArn=arn_of(other))
    task = wait_until_ended(sqs, dead)
    assert task["Status"] == "COMPLETED"
    assert task["DestinationArn"] == arn_of(other)
    assert sorted(message["Body"] for message in receive(sqs, other)) == [
        "sent to the dead-letter queue",
        "x",
    ]


def test_messages_in_flight_are_not_moved(
    sqs: Sqs, source: str, dead: str, clock: AlarmCountingClock
) -> None:
    dead_letter(sqs, source, "1", "2")
    assert bodies(sqs.receive_message(QueueUrl=dead)) == ["1"]
    start_task(sqs, dead)
    task = wait_until_ended(sqs, dead)
    assert task["ApproximateNumberOfMessagesToMove"] == 1
    assert [message["Body"] for message in receive(sqs, source)] == ["2"]
    clock.advance(30)
    assert [message["Body"] for message in receive(sqs, dead)] == ["1"]


def test_fifo_messages_move_back_with_their_groups_and_deduplication_ids(
    sqs: Sqs, name: str
) -> None:
    dead = create(sqs, f"{name}-dead.fifo")
    source = create(sqs, f"{name}.fifo", redrive(dead))
    for body in ("1", "2"):
        dead_letter(sqs, source, body, MessageGroupId="g", MessageDeduplicationId=body)
    start_task(sqs, dead)
    task = wait_until_ended(sqs, dead)
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 2)
    received = receive(sqs, source)
    assert [message["Body"] for message in received] == ["1", "2"]
    assert {message["Attributes"]["MessageGroupId"] for message in received} == {"g"}
    deduplication_ids = [message["Attributes"]["MessageDeduplicationId"] for message in received]
    assert deduplication_ids == ["1", "2"]
    assert receive(sqs, dead) == []


def test_counts_follow_moved_messages(sqs: Sqs, source: str, dead: str) -> None:
    dead_letter(sqs, source, "1", "2", "3")
    start_task(sqs, dead)
    wait_until_ended(sqs, dead)
    wanted = "ApproximateNumberOfMessages"
    counts = [
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[wanted])["Attributes"][wanted]
        for url in (source, dead)
    ]
    assert counts == ["3", "0"]


# Lists of tasks


def test_task_handle_encodes_task_id_and_source_arn(sqs: Sqs, source: str, dead: str) -> None:
    content = json.loads(base64.b64decode(start_task(sqs, dead)))
    assert content.pop("sourceArn") == arn_of(dead)
    assert list(content) == ["taskId"]


def test_completed_task_is_listed_without_handle_and_unset_parameters(
    sqs: Sqs, source: str, dead: str, clock: AlarmCountingClock
) -> None:
    dead_letter(sqs, source, "x")
    start_task(sqs, dead)
    assert wait_until_ended(sqs, dead) == {
        "Status": "COMPLETED",
        "SourceArn": arn_of(dead),
        "ApproximateNumberOfMessagesMoved": 1,
        "ApproximateNumberOfMessagesToMove": 1,
        "StartedTimestamp": clock.now_ms(),
    }


def test_ten_latest_tasks_of_a_queue_are_listed_newest_first(
    sqs: Sqs, source: str, dead: str, clock: AlarmCountingClock
) -> None:
    assert list_tasks(sqs, dead) == []
    started = []
    for _ in range(12):
        clock.advance(1)
        start_task(sqs, dead)
        started.append(wait_until_ended(sqs, dead)["StartedTimestamp"])
    listed = [task["StartedTimestamp"] for task in list_tasks(sqs, dead, MaxResults=10)]
    assert listed == started[:1:-1]
    assert [task["StartedTimestamp"] for task in list_tasks(sqs, dead)] == started[-1:]


@pytest.mark.parametrize("task_id", ["", "\x00", "\ud800", "é", "x" * 10_000], ids=ascii)
def test_handle_of_an_unknown_task_is_rejected(sqs: Sqs, queue: str, task_id: str) -> None:
    content = json.dumps({"taskId": task_id, "sourceArn": arn_of(queue)}, ensure_ascii=False)
    handle = base64.b64encode(content.encode(errors="surrogatepass")).decode()
    assert 400 <= rejection(sqs.cancel_message_move_task, TaskHandle=handle).status < 500


# Failures


def test_task_fails_at_a_message_without_a_source_queue(sqs: Sqs, source: str, dead: str) -> None:
    sqs.send_message(QueueUrl=dead, MessageBody="sent to the dead-letter queue")
    start_task(sqs, dead)
    task = wait_until_ended(sqs, dead)
    assert (task["Status"], task["FailureReason"]) == ("FAILED", "CouldNotDetermineMessageSource")
    assert [message["Body"] for message in receive(sqs, dead)] == ["sent to the dead-letter queue"]


def test_task_fails_if_the_source_queue_of_its_messages_is_deleted(
    sqs: Sqs, name: str, source: str, dead: str
) -> None:
    create(sqs, f"{name}-second", redrive(dead))
    dead_letter(sqs, source, "x")
    sqs.delete_queue(QueueUrl=source)
    start_task(sqs, dead)
    task = wait_until_ended(sqs, dead)
    expected = ("FAILED", "AWS.SimpleQueueService.NonExistentQueue")
    assert (task["Status"], task["FailureReason"]) == expected
    assert [message["Body"] for message in receive(sqs, dead)] == ["x"]


# Rates, and events while a task runs


class TaskServer:
    """A server whose clock is used by one move task only, with a source and a dead-letter queue."""

    def __init__(self, database: str, protocol: str, clients: Clients) -> None:
        self.clock = AlarmCountingClock()
        self._settings = config(database)
        self._clients, self._protocol = clients, protocol
        self._start()
        self.dead = create(self.sqs, "dead")
        self.source = create(self.sqs, "source", redrive(self.dead))

    def close(self) -> None:
        self.server.close()

    def restart(self) -> None:
        self.server.close()
        self._start()

    def _start(self) -> None:
        self.server = LiveServer(self._settings, self.clock)
        self.sqs = self._clients.get(self._protocol, self.server.url, "test", "us-east-1")

    def moved_count(self) -> int:
        """Wait until the task waits for its next step; return the number of moved messages."""
        self.clock.wait_for_alarms(1)
        (task,) = list_tasks(self.sqs, self.dead)
        assert task["ApproximateNumberOfMessagesToMove"] == 5
        count: int = task["ApproximateNumberOfMessagesMoved"]
        return count

    def start_task_at(self, per_second: int, **parameters: object) -> str:
        """Start a task with 5 messages, wait for its first step, and return its handle."""
        dead_letter(self.sqs, self.source, *"12345")
        handle = start_task(
            self.sqs, self.dead, MaxNumberOfMessagesPerSecond=per_second, **parameters
        )
        assert self.moved_count() == per_second
        return handle


@pytest.fixture
def task_server(own_database: str, protocol: str, clients: Clients) -> Iterator[TaskServer]:
    with contextlib.closing(TaskServer(own_database, protocol, clients)) as task_server:
        yield task_server


def test_task_moves_at_most_its_rate_per_second(task_server: TaskServer) -> None:
    handle = task_server.start_task_at(2)
    started_ms = task_server.clock.now_ms()
    assert list_tasks(task_server.sqs, task_server.dead) == [
        {
            "TaskHandle": handle,
            "Status": "RUNNING",
            "SourceArn": arn_of(task_server.dead),
            "MaxNumberOfMessagesPerSecond": 2,
            "ApproximateNumberOfMessagesMoved": 2,
            "ApproximateNumberOfMessagesToMove": 5,
            "StartedTimestamp": started_ms,
        }
    ]
    task_server.clock.advance(0.999)
    task_server.clock.wait_for_alarms(0.001)
    assert list_tasks(task_server.sqs, task_server.dead)[0]["ApproximateNumberOfMessagesMoved"] == 2
    task_server.clock.advance(0.001)
    assert task_server.moved_count() == 4
    task_server.clock.advance(1)
    assert task_server.moved_count() == 5
    task_server.clock.advance(1)
    task = wait_until_ended(task_server.sqs, task_server.dead)
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 5)
    assert [message["Body"] for message in receive(task_server.sqs, task_server.source)] == list(
        "12345"
    )


def test_cancelled_task_leaves_the_remaining_messages(task_server: TaskServer) -> None:
    handle = task_server.start_task_at(2)
    answer = task_server.sqs.cancel_message_move_task(TaskHandle=handle)
    assert answer["ApproximateNumberOfMessagesMoved"] == 2
    (task,) = list_tasks(task_server.sqs, task_server.dead)
    assert task["Status"] == "CANCELLING"
    assert "TaskHandle" not in task
    rejected = rejection(task_server.sqs.cancel_message_move_task, TaskHandle=handle)
    assert rejected.message == "Only active tasks can be cancelled."
    assert rejection(start_task, sqs=task_server.sqs, dead=task_server.dead).message.startswith(
        "There is already a"
    )
    task_server.clock.advance(1)
    task = wait_until_ended(task_server.sqs, task_server.dead)
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("CANCELLED", 2)
    assert len(receive(task_server.sqs, task_server.dead, VisibilityTimeout=0)) == 3
    start_task(task_server.sqs, task_server.dead)
    assert wait_until_ended(task_server.sqs, task_server.dead)["Status"] == "COMPLETED"
    assert len(receive(task_server.sqs, task_server.source)) == 5


def test_task_fails_if_its_destination_is_deleted_while_it_runs(task_server: TaskServer) -> None:
    other = create(task_server.sqs, "other")
    task_server.start_task_at(1, DestinationArn=arn_of(other))
    task_server.sqs.delete_queue(QueueUrl=other)
    task_server.clock.advance(1)
    task = wait_until_ended(task_server.sqs, task_server.dead)
    assert task["Status"] == "FAILED"
    assert task["FailureReason"] == "AWS.SimpleQueueService.NonExistentQueue"
    assert task["ApproximateNumberOfMessagesMoved"] == 1
    assert len(receive(task_server.sqs, task_server.dead)) == 4


def test_task_continues_after_a_server_restart(task_server: TaskServer) -> None:
    handle = task_server.start_task_at(2)
    task_server.restart()
    assert task_server.moved_count() == 4
    assert list_tasks(task_server.sqs, task_server.dead)[0]["TaskHandle"] == handle
    task_server.restart()
    assert task_server.moved_count() == 5
    task_server.clock.advance(1)
    assert wait_until_ended(task_server.sqs, task_server.dead)["Status"] == "COMPLETED"
    assert len(receive(task_server.sqs, task_server.source)) == 5


def test_task_cancelled_before_a_restart_ends_after_it(task_server: TaskServer) -> None:
    handle = task_server.start_task_at(2)
    task_server.sqs.cancel_message_move_task(TaskHandle=handle)
    task_server.restart()
    task = wait_until_ended(task_server.sqs, task_server.dead)
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("CANCELLED", 2)


def test_dead_letter_queue_can_be_deleted_while_its_task_runs(task_server: TaskServer) -> None:
    task_server.start_task_at(2)
    task_server.sqs.delete_queue(QueueUrl=task_server.dead)
    rejected = rejection(
        task_server.sqs.list_message_move_tasks, SourceArn=arn_of(task_server.dead)
    )
    assert (rejected.status, rejected.code) == (404, "ResourceNotFoundException")
    task_server.clock.advance(1)
    again = create(task_server.sqs, "dead")
    create(task_server.sqs, "source", redrive(again))
    assert wait_until_ended(task_server.sqs, again)["ApproximateNumberOfMessagesMoved"] == 2
