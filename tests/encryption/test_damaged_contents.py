"""Damaged encrypted contents: rejected and named in the log; others are served, none is counted.

A row is damaged by a changed bit, by a swap with another row, or by a change to its data key.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import pytest

from tests.clock import ManualClock
from tests.encryption.encrypting_server import (
    EncryptingServer,
    Start,
    bodies,
    end_visibility_timeouts,
    receive_count,
)
from tests.encryption.stored_rows import Content, StoredRows
from tests.histories.client import queue_arn
from tests.waiting import TIMEOUT_SECONDS

INTERNAL_FAILURE = (500, "InternalFailure")
KEY_NOT_FOUND = (400, "KMS.NotFoundException")
DAY_SECONDS = 86_400
"""The longest time for which a data key encrypts (AWS: KmsDataKeyReusePeriodSeconds)."""

ATTRIBUTES = {"colour": {"DataType": "String", "StringValue": "red"}}
RETENTION = {"MessageRetentionPeriod": str(14 * DAY_SECONDS)}


def name_in_log(content: Content) -> str:
    return f"queue=q message_id={uuid.UUID(bytes=content.message_id)} "


# One changed bit


def flipped(content: Content, position: int) -> bytes:
    """Return an encrypted record with one bit changed."""
    changed = bytearray(content.envelope)
    changed[position] ^= 1 << position % 8
    return bytes(changed)


def check_flips(
    server: EncryptingServer, rows: StoredRows, content: Content, positions: list[int]
) -> None:
    """Check for each position that the only message of the queue `q` is rejected."""
    for position in positions:
        changed = flipped(content, position)
        rows.run("UPDATE bodies SET envelope = $1 WHERE id = $2", changed, content.id)
        error = server.receive_error("q", VisibilityTimeout=0)
        assert (error.status, error.code) == INTERNAL_FAILURE, position
    rows.restore(content)


def test_changed_bit_in_any_byte_of_a_record_is_rejected(
    start: Start, rows: StoredRows, caplog: pytest.LogCaptureFixture
) -> None:
    server = start()
    server.create("q")
    server.send("q", "short", MessageAttributes=ATTRIBUTES)
    (content,) = rows.contents()
    positions = list(range(len(content.envelope)))
    check_flips(server, rows, content, positions)
    named = [text for text in caplog.messages if name_in_log(content) in text]
    assert len(named) == len(positions) > 50
    (message,) = server.receive("q")
    assert (message["Body"], receive_count(message)) == ("short", "1")
    assert message["MessageAttributes"] == ATTRIBUTES


def test_changed_bit_in_a_long_record_is_rejected(start: Start, rows: StoredRows) -> None:
    server = start()
    server.create("q")
    server.send("q", "long " * 50_000)
    (content,) = rows.contents()
    length = len(content.envelope)
    ends = [*range(40), *range(length - 40, length)]
    check_flips(server, rows, content, [*ends, *random.Random(1).sample(range(length), 20)])
    (message,) = server.receive("q")
    assert (message["Body"], receive_count(message)) == ("long " * 50_000, "1")


# Other damages: three messages with a data key each, of which the second is damaged

Damage: TypeAlias = Callable[[StoredRows, Content, Content], None]
"""Changes the second of the given contents; `swap` changes both."""


def set_envelope(change: Callable[[bytes], bytes]) -> Damage:
    def damage(rows: StoredRows, _: Content, content: Content) -> None:
        rows.restore(content._replace(envelope=change(content.envelope)))

    return damage


def take_over(*columns: str) -> Damage:
    """Copy columns of the other content."""

    def damage(rows: StoredRows, other: Content, content: Content) -> None:
        copied = {column: getattr(other, column) for column in columns}
        rows.restore(content._replace(**copied))

    return damage


def swap(*columns: str) -> Damage:
    """Swap columns of both contents."""

    def damage(rows: StoredRows, other: Content, content: Content) -> None:
        take_over(*columns)(rows, other, content)
        take_over(*columns)(rows, content, other)

    return damage


def swap_numbers(rows: StoredRows, other: Content, content: Content) -> None:
    """Swap the ids of two rows of `bodies`: each message refers to the other's content."""
    for old, new in ((other.id, -1), (content.id, other.id), (-1, content.id)):
        rows.run("UPDATE bodies SET id = $1 WHERE id = $2", new, old)


def set_data_key(number: int | None) -> Damage:
    def damage(rows: StoredRows, _: Content, content: Content) -> None:
        rows.restore(content._replace(data_key=number))

    return damage


def change_data_key(statement: str) -> Damage:
    """Run a statement on `data_keys`: `$1` is the number of the data key, `$2` the other's."""

    def damage(rows: StoredRows, other: Content, content: Content) -> None:
        values = (content.data_key, other.data_key)
        rows.run(statement, *values[: 2 if "$2" in statement else 1])

    return damage


def flip_wrapped_key(rows: StoredRows, _: Content, content: Content) -> None:
    ((wrapped,),) = rows.run("SELECT wrapped FROM data_keys WHERE id = $1", content.data_key)
    changed = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    rows.run("UPDATE data_keys SET wrapped = $1 WHERE id = $2", changed, content.data_key)


WHOLE_ROW = ("message_id", "data_key", "body", "envelope")
_DAMAGES = [
    pytest.param(set_envelope(lambda _: b""), id="empty"),
    pytest.param(set_envelope(lambda record: record[:1]), id="version only"),
    pytest.param(set_envelope(lambda record: record[:29]), id="nonce and tag only"),
    pytest.param(set_envelope(lambda record: record[:-1]), id="truncated"),
    pytest.param(set_envelope(lambda record: record + b"\0"), id="extended"),
    pytest.param(take_over("envelope"), id="record of another message"),
    pytest.param(take_over("data_key"), id="data key of another message"),
    pytest.param(take_over("message_id"), id="id of another message"),
    pytest.param(take_over("envelope", "data_key"), id="record and data key of another message"),
    pytest.param(take_over(*WHOLE_ROW), id="copy of another row"),
    pytest.param(set_data_key(None), id="marked as clear"),
    pytest.param(set_data_key(10**9), id="unknown data key"),
    pytest.param(change_data_key("DELETE FROM data_keys WHERE id = $1"), id="data key deleted"),
    pytest.param(flip_wrapped_key, id="data key changed"),
    pytest.param(
        change_data_key("UPDATE data_keys SET wrapped = '' WHERE id = $1"), id="data key empty"
    ),
    pytest.param(
        change_data_key(
            "UPDATE data_keys SET wrapped = (SELECT wrapped FROM data_keys WHERE id = $2)"
            " WHERE id = $1"
        ),
        id="wrapped key of another data key",
    ),
    pytest.param(
        change_data_key("UPDATE data_keys SET master_key = 'other' WHERE id = $1"),
        KEY_NOT_FOUND,
        id="master key renamed",
    ),
    pytest.param(
        change_data_key("UPDATE data_keys SET fingerprint = '0123456789abcdef' WHERE id = $1"),
        KEY_NOT_FOUND,
        id="fingerprint changed",
    ),
]
DAMAGES = [pytest.param(*(*each.values, INTERNAL_FAILURE)[:2], id=each.id) for each in _DAMAGES]
"""The damages, and the status and code of the error."""


class Stored:
    """Three messages, sent by a server that has stopped, on a server that has decrypted none."""

    def __init__(self, start: Start, rows: StoredRows, clock: ManualClock) -> None:
        sender = start()
        sender.create("dead", **RETENTION)
        policy = {"deadLetterTargetArn": queue_arn("dead"), "maxReceiveCount": 1}
        sender.create("q", RedrivePolicy=json.dumps(policy), **RETENTION)
        for body in ("a", "b", "c"):
            sender.send("q", body)
            clock.advance(DAY_SECONDS)
        sender.close()
        self.rows = rows
        self.server = start()
        self.contents = rows.contents()
        self.data_keys = rows.run("SELECT id, master_key, fingerprint, wrapped FROM data_keys")
        assert len({content.data_key for content in self.contents}) == len(self.contents) == 3

    def repair(self) -> None:
        for content in self.contents:
            self.rows.restore(content)
        for number, *values in self.data_keys:
            self.rows.run("DELETE FROM data_keys WHERE id = $1", number)
            self.rows.run(
                "INSERT INTO data_keys"
                " (id, master_key, fingerprint, wrapped, created_at_ms, encrypts_until_ms)"
                " VALUES ($1, $2, $3, $4, 0, 0)",
                number,
                *values,
            )


@pytest.fixture
def stored(start: Start, rows: StoredRows, clock: ManualClock) -> Stored:
    return Stored(start, rows, clock)


@pytest.mark.parametrize(("damage", "expected"), DAMAGES)
def test_damaged_message_is_rejected_and_not_counted_until_it_is_repaired(
    stored: Stored,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    damage: Damage,
    expected: tuple[int, str],
) -> None:
    server, (first, second, _) = stored.server, stored.contents
    damage(stored.rows, first, second)
    received = server.receive("q")
    assert bodies(received) == ["a", "c"]
    # The log has the id that the row has now.
    (damaged,) = (content for content in stored.rows.contents() if content.id == second.id)
    assert [text for text in caplog.messages if name_in_log(damaged) in text]
    server.delete("q", *received)
    # One more receive than the redrive policy allows would move it to the dead-letter queue.
    for _ in range(3):
        end_visibility_timeouts(clock)
        error = server.receive_error("q")
        assert (error.status, error.code) == expected
        assert server.receive("q") == []  # in flight
    assert (server.count("q"), server.count("dead")) == (1, 0)
    stored.repair()
    end_visibility_timeouts(clock)
    (message,) = server.receive("q")
    assert (message["Body"], receive_count(message)) == ("b", "1")
    assert message["Attributes"]["ApproximateFirstReceiveTimestamp"] == str(clock.now_ms())
    assert message["MessageId"] == str(uuid.UUID(bytes=second.message_id))


@pytest.mark.parametrize(
    "exchange",
    [
        pytest.param(swap("envelope"), id="records"),
        pytest.param(swap("data_key"), id="data keys"),
        pytest.param(swap("message_id"), id="message ids"),
        pytest.param(swap(*WHOLE_ROW), id="whole rows"),
        pytest.param(swap_numbers, id="numbers of rows"),
    ],
)
def test_swapped_rows_are_both_rejected(
    stored: Stored, clock: ManualClock, exchange: Damage
) -> None:
    server, (first, second, _) = stored.server, stored.contents
    exchange(stored.rows, first, second)
    assert bodies(server.receive("q")) == ["c"]
    end_visibility_timeouts(clock)
    exchange(stored.rows, second, first) if exchange is swap_numbers else stored.repair()
    assert [(each["Body"], receive_count(each)) for each in server.receive("q")] == [
        ("a", "1"),
        ("b", "1"),
    ]


def test_wrapped_keys_of_two_data_keys_cannot_be_swapped(
    stored: Stored, clock: ManualClock
) -> None:
    (first, *_), (second, *_), _ = stored.data_keys
    for old, new in ((first, -1), (second, first), (-1, second)):
        stored.rows.run("UPDATE data_keys SET id = $1 WHERE id = $2", new, old)
    assert bodies(stored.server.receive("q")) == ["c"]
    stored.repair()
    end_visibility_timeouts(clock)
    assert [receive_count(each) for each in stored.server.receive("q")][:2] == ["1", "1"]


def test_batch_of_ten_with_one_damaged_message_returns_nine(
    start: Start, rows: StoredRows, clock: ManualClock
) -> None:
    server = start()
    server.create("q")
    entries = [{"Id": str(number), "MessageBody": str(number)} for number in range(10)]
    server.call("SendMessageBatch", QueueUrl="q", Entries=entries)
    damaged = rows.contents()[4]
    set_envelope(lambda record: record[:-1])(rows, damaged, damaged)
    received = server.receive("q")
    assert bodies(received) == [str(number) for number in range(10) if number != 4]
    server.delete("q", *received)
    rows.restore(damaged)
    end_visibility_timeouts(clock)
    assert [receive_count(each) for each in server.receive("q")] == ["1"]


def test_clear_messages_and_other_queues_are_served_beside_damaged_ones(
    start: Start, rows: StoredRows, clock: ManualClock
) -> None:
    server = start()
    server.create("q")
    server.send("q", "damaged")
    (damaged,) = rows.contents()
    set_envelope(lambda record: record[:-1])(rows, damaged, damaged)
    clear = {"SqsManagedSseEnabled": "false"}
    server.call("SetQueueAttributes", QueueUrl="q", Attributes=clear)
    server.send("q", "clear")
    server.create("other")
    server.send("other", "encrypted")
    assert [content.data_key is None for content in rows.contents()] == [False, True, False]
    assert bodies(server.receive("q")) == ["clear"]
    assert bodies(server.receive("other")) == ["encrypted"]
    end_visibility_timeouts(clock)
    assert server.call("PurgeQueue", QueueUrl="q") == {}
    assert server.receive("q") == []


def test_messages_behind_more_damaged_ones_than_a_receive_takes_are_served_by_the_next(
    start: Start, rows: StoredRows
) -> None:
    server = start()
    server.create("q")
    server.send("q", *(str(number) for number in range(13)))
    for damaged in rows.contents()[:12]:
        rows.restore(damaged._replace(envelope=b""))
    for maximum in (10, 1, 1):
        error = server.receive_error("q", MaxNumberOfMessages=maximum)
        assert (error.status, error.code) == INTERNAL_FAILURE
    assert bodies(server.receive("q", MaxNumberOfMessages=1)) == ["12"]


def test_damaged_message_that_stays_visible_does_not_keep_others_from_being_served(
    start: Start, rows: StoredRows, clock: ManualClock
) -> None:
    server = start()
    server.create("q", VisibilityTimeout="0")
    server.send("q", "damaged", "sound")
    damaged, _ = rows.contents()
    rows.restore(damaged._replace(envelope=b""))
    assert server.receive_error("q", MaxNumberOfMessages=1).status == 500
    clock.advance(1)
    for _ in range(2):
        assert bodies(server.receive("q", MaxNumberOfMessages=1)) == ["sound"]


# Long polls


def test_long_poll_that_finds_only_a_damaged_message_is_answered_at_once(
    start: Start, rows: StoredRows
) -> None:
    server = start()
    server.create("q")
    server.send("q", "damaged")
    (damaged,) = rows.contents()
    set_envelope(lambda record: record[:-1])(rows, damaged, damaged)
    error = server.receive_error("q", WaitTimeSeconds=20)
    assert (error.status, error.code) == INTERNAL_FAILURE


def test_long_poll_is_served_beside_a_damaged_message_in_flight(
    start: Start, rows: StoredRows
) -> None:
    server = start()
    server.create("q")
    server.send("q", "damaged")
    (damaged,) = rows.contents()
    set_envelope(lambda record: record[:-1])(rows, damaged, damaged)
    assert server.receive_error("q").status == 500
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(server.receive, "q", WaitTimeSeconds=20)
        server.send("q", "sound")
        assert bodies(waiting.result(TIMEOUT_SECONDS)) == ["sound"]
