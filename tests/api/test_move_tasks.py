"""Message move tasks: what they move and how quickly, and what is told of them."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.dead_letters import COLOUR, TRACE, arn_of, create, redrive
from tests.api.live_server import LiveServer, SleepersClock, config
from tests.api.sqs_clients import Clients, Sqs, bodies, receive, refusal
from tests.waiting import poll_until_timeout


@pytest.fixture
def other(sqs: Sqs, name: str) -> str:
    """Give a queue to which messages may be moved."""
    return create(sqs, f"{name}-other")


def bury(sqs: Sqs, source: str, *texts: str, **parameters: object) -> None:
    """Let messages go from a source to its dead-letter queue."""
    for text in texts:
        sqs.send_message(QueueUrl=source, MessageBody=text, **parameters)
        for _ in range(2):
            receive(sqs, source, VisibilityTimeout=0)


def start(sqs: Sqs, dead: str, **parameters: object) -> str:
    handle: str = sqs.start_message_move_task(SourceArn=arn_of(dead), **parameters)["TaskHandle"]
    return handle


def tasks(sqs: Sqs, dead: str, **parameters: object) -> list[dict[str, Any]]:
    answer = sqs.list_message_move_tasks(SourceArn=arn_of(dead), **parameters)
    found: list[dict[str, Any]] = answer.get("Results", [])
    return found


def ended(sqs: Sqs, dead: str) -> dict[str, Any]:
    """Wait until the latest task has ended, and give what is told of it."""
    for _ in poll_until_timeout():
        (task,) = tasks(sqs, dead)
        if task["Status"] not in {"RUNNING", "CANCELLING"}:
            return task
    raise AssertionError(f"it does not end: {task}")


# What is moved, and where to


def test_messages_go_back_to_the_queues_they_came_from(
    sqs: Sqs, name: str, dead: str, clock: SleepersClock
) -> None:
    sources = [create(sqs, f"{name}-{number}", redrive(dead)) for number in range(2)]
    for number, source in enumerate(sources):
        bury(sqs, source, f"{number}-a", f"{number}-b")
    clock.advance(5)
    start(sqs, dead)
    task = ended(sqs, dead)
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 4)
    for number, source in enumerate(sources):
        received = [message["Body"] for message in receive(sqs, source)]
        assert received == [f"{number}-a", f"{number}-b"]
    assert receive(sqs, dead) == []


def test_a_moved_message_is_a_new_one_with_the_old_content(
    sqs: Sqs, source: str, dead: str, clock: SleepersClock
) -> None:
    system = {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}}
    bury(
        sqs,
        source,
        "x",
        MessageGroupId="tenant",
        MessageAttributes=COLOUR,
        MessageSystemAttributes=system,
    )
    (old,) = receive(sqs, dead, VisibilityTimeout=0)
    clock.advance(5)
    start(sqs, dead)
    assert ended(sqs, dead)["Status"] == "COMPLETED"
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


def test_every_moved_message_has_an_id_of_its_own(sqs: Sqs, source: str, dead: str) -> None:
    bury(sqs, source, "1", "2", "3")
    start(sqs, dead)
    ended(sqs, dead)
    assert len({message["MessageId"] for message in receive(sqs, source)}) == 3


def test_messages_may_be_moved_to_another_queue(
    sqs: Sqs, source: str, dead: str, other: str
) -> None:
    bury(sqs, source, "x")
    sqs.send_message(QueueUrl=dead, MessageBody="never dead")
    start(sqs, dead, DestinationArn=arn_of(other))
    task = ended(sqs, dead)
    assert task["Status"] == "COMPLETED"
    assert task["DestinationArn"] == arn_of(other)
    assert sorted(message["Body"] for message in receive(sqs, other)) == ["never dead", "x"]


def test_what_cannot_be_received_is_not_moved(
    sqs: Sqs, source: str, dead: str, clock: SleepersClock
) -> None:
    bury(sqs, source, "1", "2")
    assert bodies(sqs.receive_message(QueueUrl=dead)) == ["1"]
    start(sqs, dead)
    task = ended(sqs, dead)
    assert task["ApproximateNumberOfMessagesToMove"] == 1
    assert [message["Body"] for message in receive(sqs, source)] == ["2"]
    clock.advance(30)
    assert [message["Body"] for message in receive(sqs, dead)] == ["1"]


def test_messages_of_a_fifo_queue_go_back_in_their_groups(sqs: Sqs, name: str) -> None:
    dead = create(sqs, f"{name}-dead.fifo")
    source = create(sqs, f"{name}.fifo", redrive(dead))
    for body in ("1", "2"):
        bury(sqs, source, body, MessageGroupId="g", MessageDeduplicationId=body)
    start(sqs, dead)
    task = ended(sqs, dead)
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 2)
    received = receive(sqs, source)
    assert [message["Body"] for message in received] == ["1", "2"]
    assert {message["Attributes"]["MessageGroupId"] for message in received} == {"g"}
    known_by = [message["Attributes"]["MessageDeduplicationId"] for message in received]
    assert known_by == ["1", "2"]
    assert receive(sqs, dead) == []


def test_a_queue_s_counts_follow_what_is_moved(sqs: Sqs, source: str, dead: str) -> None:
    bury(sqs, source, "1", "2", "3")
    start(sqs, dead)
    ended(sqs, dead)
    wanted = "ApproximateNumberOfMessages"
    counts = [
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[wanted])["Attributes"][wanted]
        for url in (source, dead)
    ]
    assert counts == ["3", "0"]


# What is told


def test_a_task_handle_says_which_task_and_whose(sqs: Sqs, source: str, dead: str) -> None:
    said = json.loads(base64.b64decode(start(sqs, dead)))
    assert said.pop("sourceArn") == arn_of(dead)
    assert list(said) == ["taskId"]


def test_a_finished_task_is_told_without_handle_and_what_was_not_given(
    sqs: Sqs, source: str, dead: str, clock: SleepersClock
) -> None:
    bury(sqs, source, "x")
    start(sqs, dead)
    assert ended(sqs, dead) == {
        "Status": "COMPLETED",
        "SourceArn": arn_of(dead),
        "ApproximateNumberOfMessagesMoved": 1,
        "ApproximateNumberOfMessagesToMove": 1,
        "StartedTimestamp": clock.now_ms(),
    }


def test_of_a_queue_s_tasks_the_ten_latest_are_kept_newest_first(
    sqs: Sqs, source: str, dead: str, clock: SleepersClock
) -> None:
    assert tasks(sqs, dead) == []
    started = []
    for _ in range(12):
        clock.advance(1)
        start(sqs, dead)
        started.append(ended(sqs, dead)["StartedTimestamp"])
    told = [task["StartedTimestamp"] for task in tasks(sqs, dead, MaxResults=10)]
    assert told == started[:1:-1]
    assert [task["StartedTimestamp"] for task in tasks(sqs, dead)] == started[-1:]


@pytest.mark.parametrize("task_id", ["", "\x00", "\ud800", "é", "x" * 10_000], ids=ascii)
def test_a_handle_may_name_any_task_but_none_that_is_not_there(
    sqs: Sqs, queue: str, task_id: str
) -> None:
    said = json.dumps({"taskId": task_id, "sourceArn": arn_of(queue)}, ensure_ascii=False)
    handle = base64.b64encode(said.encode(errors="surrogatepass")).decode()
    assert 400 <= refusal(sqs.cancel_message_move_task, TaskHandle=handle).status < 500


# Failures


def test_a_task_fails_whose_message_does_not_say_where_it_came_from(
    sqs: Sqs, source: str, dead: str
) -> None:
    sqs.send_message(QueueUrl=dead, MessageBody="never dead")
    start(sqs, dead)
    task = ended(sqs, dead)
    assert (task["Status"], task["FailureReason"]) == ("FAILED", "CouldNotDetermineMessageSource")
    assert [message["Body"] for message in receive(sqs, dead)] == ["never dead"]


def test_a_task_fails_whose_source_is_gone(sqs: Sqs, name: str, source: str, dead: str) -> None:
    create(sqs, f"{name}-second", redrive(dead))
    bury(sqs, source, "x")
    sqs.delete_queue(QueueUrl=source)
    start(sqs, dead)
    task = ended(sqs, dead)
    expected = ("FAILED", "AWS.SimpleQueueService.NonExistentQueue")
    assert (task["Status"], task["FailureReason"]) == expected
    assert [message["Body"] for message in receive(sqs, dead)] == ["x"]


# Rates, and what happens meanwhile


class Stage:
    """A server of the test's own, on which nobody else's tasks wait for the clock."""

    def __init__(self, database: str, protocol: str, clients: Clients) -> None:
        self.clock = SleepersClock()
        self._settings = config(database)
        self._clients, self._protocol = clients, protocol
        self._begin()
        self.dead = create(self.sqs, "dead")
        self.source = create(self.sqs, "source", redrive(self.dead))

    def close(self) -> None:
        self.server.close()

    def restart(self) -> None:
        self.server.close()
        self._begin()

    def _begin(self) -> None:
        self.server = LiveServer(self._settings, self.clock)
        self.sqs = self._clients.get(self._protocol, self.server.url, "test", "us-east-1")

    def moved(self) -> int:
        """Wait until the task sleeps, and tell how many messages it has moved."""
        self.clock.wait_for_sleepers(1)
        (task,) = tasks(self.sqs, self.dead)
        assert task["ApproximateNumberOfMessagesToMove"] == 5
        count: int = task["ApproximateNumberOfMessagesMoved"]
        return count

    def begin(self, per_second: int, **parameters: object) -> str:
        """Begin to move five messages, so many a second, and wait for the first step."""
        bury(self.sqs, self.source, *"12345")
        handle = start(self.sqs, self.dead, MaxNumberOfMessagesPerSecond=per_second, **parameters)
        assert self.moved() == per_second
        return handle


@pytest.fixture
def stage(own_database: str, protocol: str, clients: Clients) -> Iterator[Stage]:
    with contextlib.closing(Stage(own_database, protocol, clients)) as stage:
        yield stage


def test_a_task_moves_as_many_a_second_as_it_may(stage: Stage) -> None:
    handle = stage.begin(2)
    started_ms = stage.clock.now_ms()
    assert tasks(stage.sqs, stage.dead) == [
        {
            "TaskHandle": handle,
            "Status": "RUNNING",
            "SourceArn": arn_of(stage.dead),
            "MaxNumberOfMessagesPerSecond": 2,
            "ApproximateNumberOfMessagesMoved": 2,
            "ApproximateNumberOfMessagesToMove": 5,
            "StartedTimestamp": started_ms,
        }
    ]
    stage.clock.advance(0.999)
    stage.clock.wait_for_sleepers(0.001)
    assert tasks(stage.sqs, stage.dead)[0]["ApproximateNumberOfMessagesMoved"] == 2
    stage.clock.advance(0.001)
    assert stage.moved() == 4
    stage.clock.advance(1)
    assert stage.moved() == 5
    stage.clock.advance(1)
    task = ended(stage.sqs, stage.dead)
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 5)
    assert [message["Body"] for message in receive(stage.sqs, stage.source)] == list("12345")


def test_a_cancelled_task_ends_and_leaves_what_it_has_not_moved(stage: Stage) -> None:
    handle = stage.begin(2)
    answer = stage.sqs.cancel_message_move_task(TaskHandle=handle)
    assert answer["ApproximateNumberOfMessagesMoved"] == 2
    (task,) = tasks(stage.sqs, stage.dead)
    assert task["Status"] == "CANCELLING"
    assert "TaskHandle" not in task
    refused = refusal(stage.sqs.cancel_message_move_task, TaskHandle=handle)
    assert refused.message == "Only active tasks can be cancelled."
    assert refusal(start, sqs=stage.sqs, dead=stage.dead).message.startswith("There is already a")
    stage.clock.advance(1)
    task = ended(stage.sqs, stage.dead)
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("CANCELLED", 2)
    assert len(receive(stage.sqs, stage.dead, VisibilityTimeout=0)) == 3
    start(stage.sqs, stage.dead)
    assert ended(stage.sqs, stage.dead)["Status"] == "COMPLETED"
    assert len(receive(stage.sqs, stage.source)) == 5


def test_a_task_fails_whose_destination_is_deleted_meanwhile(stage: Stage) -> None:
    other = create(stage.sqs, "other")
    stage.begin(1, DestinationArn=arn_of(other))
    stage.sqs.delete_queue(QueueUrl=other)
    stage.clock.advance(1)
    task = ended(stage.sqs, stage.dead)
    assert task["Status"] == "FAILED"
    assert task["FailureReason"] == "AWS.SimpleQueueService.NonExistentQueue"
    assert task["ApproximateNumberOfMessagesMoved"] == 1
    assert len(receive(stage.sqs, stage.dead)) == 4


def test_a_task_goes_on_when_the_server_starts_again(stage: Stage) -> None:
    handle = stage.begin(2)
    stage.restart()
    assert stage.moved() == 4
    assert tasks(stage.sqs, stage.dead)[0]["TaskHandle"] == handle
    stage.restart()
    assert stage.moved() == 5
    stage.clock.advance(1)
    assert ended(stage.sqs, stage.dead)["Status"] == "COMPLETED"
    assert len(receive(stage.sqs, stage.source)) == 5


def test_a_task_that_was_cancelled_before_a_restart_ends_after_it(stage: Stage) -> None:
    handle = stage.begin(2)
    stage.sqs.cancel_message_move_task(TaskHandle=handle)
    stage.restart()
    task = ended(stage.sqs, stage.dead)
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("CANCELLED", 2)


def test_a_task_s_source_may_be_deleted_meanwhile(stage: Stage) -> None:
    stage.begin(2)
    stage.sqs.delete_queue(QueueUrl=stage.dead)
    refused = refusal(stage.sqs.list_message_move_tasks, SourceArn=arn_of(stage.dead))
    assert (refused.status, refused.code) == (404, "ResourceNotFoundException")
    stage.clock.advance(1)
    again = create(stage.sqs, "dead")
    create(stage.sqs, "source", redrive(again))
    assert ended(stage.sqs, again)["ApproximateNumberOfMessagesMoved"] == 2
