"""Repeated log records: the first is written at once, the others are counted."""

from __future__ import annotations

import logging
import threading

import pytest

from queueserver.repeated_records import RepeatedRecords
from tests.waiting import TIMEOUT_SECONDS

WINDOW_SECONDS = 1_000.0


class Time:
    """The seconds that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Counted:
    """The records that stand for several others."""

    def __init__(self) -> None:
        self.time = Time()
        self.records: list[tuple[str, str, int]] = []
        self.repeated = RepeatedRecords(self._add, WINDOW_SECONDS, self.time)

    def _add(self, record: logging.LogRecord) -> None:
        self.records.append((record.name, record.getMessage(), vars(record)["repeated"]))

    def is_repeated(self, text: str, *values: object, **details: object) -> bool:
        members = {"name": "a", "levelname": "INFO", "msg": text, "args": values, **details}
        return self.repeated.count(logging.makeLogRecord(members))


@pytest.fixture
def counted() -> Counted:
    return Counted()


def test_first_record_is_written_and_its_repetitions_are_counted(counted: Counted) -> None:
    found = [counted.is_repeated("disk is full: file=%s", "q.db") for _ in range(4)]
    assert found == [False, True, True, True]
    assert counted.records == []
    counted.repeated.flush()
    assert counted.records == [("a", "disk is full: file=q.db", 3)]


@pytest.mark.parametrize(
    ("values", "details"),
    [
        pytest.param(("r.db",), {}, id="value"),
        pytest.param(("q.db",), {"name": "b"}, id="logger"),
        pytest.param(("q.db",), {"levelno": 40}, id="level"),
        pytest.param(("q.db",), {"exc_info": (OSError, OSError(28), None)}, id="exception"),
    ],
)
def test_record_that_differs_is_written(
    counted: Counted, values: tuple[str, ...], details: dict[str, object]
) -> None:
    assert not counted.is_repeated("disk is full: file=%s", "q.db")
    assert not counted.is_repeated("disk is full: file=%s", *values, **details)
    counted.repeated.flush()
    assert counted.records == []


def test_records_that_differ_in_the_request_id_only_are_counted(counted: Counted) -> None:
    text = "invalid request: request_id=%s reason=%s"
    assert [counted.is_repeated(text, n, "bad") for n in range(3)] == [False, True, True]
    assert not counted.is_repeated(text, 3, "worse")
    counted.repeated.flush()
    assert counted.records == [("a", "invalid request: request_id=2 reason=bad", 2)]


def test_record_is_written_again_when_its_window_is_over(counted: Counted) -> None:
    assert not counted.is_repeated("x")
    counted.time.seconds = WINDOW_SECONDS
    assert not counted.is_repeated("x")


def test_record_that_goes_past_its_window_is_counted_in_the_next_one(counted: Counted) -> None:
    assert [counted.is_repeated("x"), counted.is_repeated("x")] == [False, True]
    counted.time.seconds = WINDOW_SECONDS
    counted.repeated.flush()
    assert counted.is_repeated("x")
    counted.repeated.flush()
    assert counted.records == [("a", "x", 1), ("a", "x", 1)]


def test_flood_of_different_texts_is_written_and_not_remembered(counted: Counted) -> None:
    for number in range(1_500):
        assert not counted.is_repeated("text %d", number)
    assert [counted.is_repeated("text %d", n) for n in (0, 999, 1_000)] == [True, True, False]
    counted.repeated.flush()
    counted.time.seconds = 2 * WINDOW_SECONDS
    assert not counted.is_repeated("text 1000")
    assert counted.is_repeated("text 1000")


def test_long_text_is_written_and_not_remembered(counted: Counted) -> None:
    text = "x" * 4_001
    assert not counted.is_repeated(text)
    assert not counted.is_repeated(text)


def test_count_is_reported_by_itself_when_the_window_is_over() -> None:
    reported = threading.Event()
    repeated = RepeatedRecords(lambda _: reported.set(), seconds=0.01)
    record = logging.makeLogRecord({"msg": "x"})
    while not repeated.count(record):
        pass
    assert reported.wait(TIMEOUT_SECONDS)
