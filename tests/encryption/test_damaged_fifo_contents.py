"""Damaged contents in FIFO queues: they block their own group in order, and no other group."""

from __future__ import annotations

import json

import pytest

from tests.clock import ManualClock
from tests.encryption.encrypting_server import (
    EncryptingServer,
    Message,
    Start,
    bodies,
    end_visibility_timeouts,
    receive_count,
)
from tests.encryption.stored_rows import Content, StoredRows
from tests.histories.client import queue_arn

QUEUE = "q.fifo"
DEAD = "dead.fifo"


def send(server: EncryptingServer, group: str, *messages: str) -> None:
    server.send(QUEUE, *messages, MessageGroupId=group)


def damage(rows: StoredRows, place: int) -> Content:
    """Change the content that was sent at a place of the order; return it as it was."""
    content = rows.contents()[place]
    rows.restore(content._replace(envelope=content.envelope[:-1]))
    return content


def received(messages: list[Message]) -> list[tuple[str, str]]:
    """Return body and receive count of received messages."""
    return [(message["Body"], receive_count(message)) for message in messages]


@pytest.fixture
def server(start: Start) -> EncryptingServer:
    server = start()
    server.create(DEAD)
    policy = {"deadLetterTargetArn": queue_arn(DEAD), "maxReceiveCount": 1}
    server.create(QUEUE, RedrivePolicy=json.dumps(policy))
    return server


def test_damaged_head_blocks_its_group_and_no_other(
    server: EncryptingServer, rows: StoredRows, clock: ManualClock
) -> None:
    send(server, "blocked", "b1", "b2", "b3")
    send(server, "sound", "s1", "s2")
    head = damage(rows, 0)
    sound = server.receive(QUEUE)
    assert received(sound) == [("s1", "1"), ("s2", "1")]
    server.delete(QUEUE, *sound)
    for _ in range(3):
        end_visibility_timeouts(clock)
        error = server.receive_error(QUEUE)
        assert (error.status, error.code) == (500, "InternalFailure")
        assert server.receive(QUEUE) == []  # in flight
        send(server, "sound", f"sent at {clock.now_ms()}")
        (other,) = server.receive(QUEUE)
        assert other["Body"].startswith("sent at")
        server.delete(QUEUE, other)
    assert (server.count(QUEUE), server.count(DEAD)) == (3, 0)
    rows.restore(head)
    end_visibility_timeouts(clock)
    assert received(server.receive(QUEUE)) == [("b1", "1"), ("b2", "1"), ("b3", "1")]


def test_messages_behind_a_damaged_one_are_not_delivered_before_it(
    server: EncryptingServer, rows: StoredRows, clock: ManualClock
) -> None:
    send(server, "g", "m1", "m2", "m3")
    middle = damage(rows, 1)
    first = server.receive(QUEUE)
    assert received(first) == [("m1", "1")]
    server.delete(QUEUE, *first)
    end_visibility_timeouts(clock)
    assert server.receive_error(QUEUE).status == 500
    rows.restore(middle)
    end_visibility_timeouts(clock)
    assert received(server.receive(QUEUE)) == [("m2", "1"), ("m3", "1")]
    assert server.count(DEAD) == 0


def test_message_before_a_damaged_one_is_delivered_again_if_it_is_not_deleted(
    server: EncryptingServer, rows: StoredRows, clock: ManualClock
) -> None:
    server.call("SetQueueAttributes", QueueUrl=QUEUE, Attributes={"RedrivePolicy": ""})
    send(server, "g", "m1", "m2", "m3")
    damage(rows, 1)
    assert received(server.receive(QUEUE)) == [("m1", "1")]
    end_visibility_timeouts(clock)
    assert received(server.receive(QUEUE)) == [("m1", "2")]


def test_damaged_message_can_be_removed_only_with_its_queue_or_a_purge(
    server: EncryptingServer, rows: StoredRows, clock: ManualClock
) -> None:
    send(server, "g", "damaged", "behind")
    damage(rows, 0)
    assert server.receive_error(QUEUE).status == 500
    server.call("PurgeQueue", QueueUrl=QUEUE)
    send(server, "g", "after")
    assert received(server.receive(QUEUE)) == [("after", "1")]


# Receive attempts


def test_repeated_attempt_of_a_damaged_message_fails_and_works_after_its_repair(
    server: EncryptingServer, rows: StoredRows, clock: ManualClock
) -> None:
    send(server, "g", "m1", "m2")
    first = server.receive(QUEUE, ReceiveRequestAttemptId="attempt")
    assert received(first) == [("m1", "1"), ("m2", "1")]
    content = damage(rows, 1)
    clock.advance(10)
    for _ in range(2):
        error = server.receive_error(QUEUE, ReceiveRequestAttemptId="attempt")
        assert (error.status, error.code) == (500, "InternalFailure")
    rows.restore(content)
    again = server.receive(QUEUE, ReceiveRequestAttemptId="attempt")
    assert received(again) == received(first)
    server.delete(QUEUE, *again)
    assert server.count(QUEUE) == 0


def test_attempt_that_met_a_damaged_message_repeats_only_the_others(
    server: EncryptingServer, rows: StoredRows, clock: ManualClock
) -> None:
    send(server, "g", "m1", "m2")
    content = damage(rows, 1)
    first = server.receive(QUEUE, ReceiveRequestAttemptId="attempt")
    assert bodies(first) == ["m1"]
    rows.restore(content)
    assert received(server.receive(QUEUE, ReceiveRequestAttemptId="attempt")) == [("m1", "1")]
    server.delete(QUEUE, *first)
    end_visibility_timeouts(clock)
    assert received(server.receive(QUEUE)) == [("m2", "1")]


def test_attempt_that_found_only_a_damaged_message_is_not_recorded(
    server: EncryptingServer, rows: StoredRows, clock: ManualClock
) -> None:
    send(server, "g", "m1")
    content = damage(rows, 0)
    assert server.receive_error(QUEUE, ReceiveRequestAttemptId="attempt").status == 500
    rows.restore(content)
    end_visibility_timeouts(clock)
    again = server.receive(QUEUE, ReceiveRequestAttemptId="attempt")
    assert received(again) == [("m1", "1")]
