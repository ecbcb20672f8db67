"""Two servers of one PostgreSQL, of which the second lacks a key: KMS's errors, and no harm.

A server checks its keys at its start and at a reload. So the key comes after the second's start.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from tests.clock import ManualClock
from tests.encryption.encrypting_server import (
    KEYS,
    EncryptingServer,
    bodies,
    end_visibility_timeouts,
    receive_count,
    starting,
)
from tests.histories.client import queue_arn
from tests.waiting import TIMEOUT_SECONDS, wait_until

KEY = {"KmsMasterKeyId": "other"}
TEXT = "Key 'arn:aws:kms:us-east-1:000000000000:key/other' does not exist"


class Servers(NamedTuple):
    """Two servers on one database.

    Attributes:
        complete: has all keys.
        lacking: has only the first key.
    """

    complete: EncryptingServer
    lacking: EncryptingServer


@pytest.fixture
def servers(postgresql: str, clock: ManualClock) -> Iterator[Servers]:
    with starting(postgresql, clock) as start:
        lacking = start({"first": KEYS["first"]})
        yield Servers(start(KEYS), lacking)


def create_with_dead_letters(servers: Servers) -> None:
    """Create a queue `q` with the other key, which a message leaves after one receive."""
    servers.complete.create("dead")
    policy = {"deadLetterTargetArn": queue_arn("dead"), "maxReceiveCount": 1}
    servers.complete.create("q", RedrivePolicy=json.dumps(policy), **KEY)


@pytest.mark.parametrize(
    ("protocol", "error_type"),
    [("json", "com.amazonaws.sqs#KmsNotFound"), ("query", None)],
)
def test_receive_without_the_key_answers_the_error_of_kms(
    servers: Servers, clock: ManualClock, protocol: str, error_type: str | None
) -> None:
    complete, lacking = servers
    create_with_dead_letters(servers)
    complete.create("first")
    complete.send("q", "a")
    complete.send("first", "b")
    for _ in range(3):
        error = lacking.receive_error("q", protocol)
        assert error == (400, error_type, "KMS.NotFoundException", TEXT)
        end_visibility_timeouts(clock)
    assert bodies(lacking.receive("first")) == ["b"]
    (message,) = complete.receive("q")
    assert (message["Body"], receive_count(message)) == ("a", "1")


@pytest.mark.parametrize("protocol", ["json", "query"])
def test_send_without_the_key_answers_the_error_of_kms(servers: Servers, protocol: str) -> None:
    complete, lacking = servers
    complete.create("q", **KEY)
    single = {"QueueUrl": "q", "MessageBody": "x"}
    batch = {"QueueUrl": "q", "Entries": [{"Id": "0", "MessageBody": "x"}]}
    for action, parameters in (("SendMessage", single), ("SendMessageBatch", batch)):
        error = lacking.error(action, protocol, **parameters)
        assert (error.status, error.code) == (400, "KMS.NotFoundException")
    assert complete.count("q") == 0


def test_messages_of_other_keys_are_received_beside_one_whose_key_is_missing(
    servers: Servers, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    complete, lacking = servers
    complete.create("q")
    complete.send("q", "a")
    complete.call("SetQueueAttributes", QueueUrl="q", Attributes=KEY)
    complete.send("q", "b")
    complete.call("SetQueueAttributes", QueueUrl="q", Attributes={"KmsMasterKeyId": ""})
    complete.send("q", "c")
    assert bodies(lacking.receive("q")) == ["a", "c"]
    (line,) = (text for text in caplog.messages if "cannot be decrypted" in text)
    assert "queue=q message_id=" in line
    assert "reason=the key 'other' (fingerprint " in line
    end_visibility_timeouts(clock)
    received = [(each["Body"], receive_count(each)) for each in complete.receive("q")]
    # A message that could not be decrypted has gone to the back of the queue.
    assert received == [("a", "2"), ("c", "2"), ("b", "1")]


def test_long_poll_that_finds_only_a_message_whose_key_is_missing_is_answered_at_once(
    servers: Servers,
) -> None:
    complete, lacking = servers
    complete.create("q", **KEY)
    complete.send("q", "before")
    assert lacking.receive_error("q", WaitTimeSeconds=20).text == TEXT
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(lacking.receive_error, "q", WaitTimeSeconds=20)
        complete.send("q", "meanwhile")
        assert waiting.result(TIMEOUT_SECONDS).text == TEXT


def test_fifo_message_whose_key_is_missing_blocks_only_its_group(
    servers: Servers, clock: ManualClock
) -> None:
    complete, lacking = servers
    complete.create("q.fifo", **KEY)
    complete.send("q.fifo", "b1", MessageGroupId="blocked")
    complete.call("SetQueueAttributes", QueueUrl="q.fifo", Attributes={"KmsMasterKeyId": ""})
    complete.send("q.fifo", "b2", MessageGroupId="blocked")
    complete.send("q.fifo", "s1", MessageGroupId="sound")
    assert bodies(lacking.receive("q.fifo")) == ["s1"]
    end_visibility_timeouts(clock)
    received = [(each["Body"], receive_count(each)) for each in complete.receive("q.fifo")]
    assert sorted(received) == [("b1", "1"), ("b2", "1"), ("s1", "2")]


def test_server_without_the_key_moves_the_message_to_the_dead_letter_queue_and_back(
    servers: Servers, clock: ManualClock
) -> None:
    complete, lacking = servers
    create_with_dead_letters(servers)
    complete.send("q", "a")
    assert bodies(complete.receive("q")) == ["a"]
    end_visibility_timeouts(clock)
    assert lacking.receive("q") == []
    assert lacking.count("dead") == 1
    assert lacking.receive_error("dead").text == TEXT
    end_visibility_timeouts(clock)
    lacking.call("StartMessageMoveTask", SourceArn=queue_arn("dead"))
    wait_until(lambda: complete.count("q") == 1)
    (message,) = complete.receive("q")
    assert message["Body"] == "a"


def test_reload_with_the_key_lets_receives_succeed(servers: Servers, clock: ManualClock) -> None:
    complete, lacking = servers
    complete.create("q", **KEY)
    complete.send("q", "a")
    assert lacking.receive_error("q").text == TEXT
    end_visibility_timeouts(clock)
    lacking.reload(KEYS)
    (message,) = lacking.receive("q")
    assert (message["Body"], receive_count(message)) == ("a", "1")
