"""Log lines: no record can forge another one, and repeated and dropped records are counted."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator

import pytest

from queueserver.line_writer import LineWriter
from queueserver.logs import JsonLines, LineHandler, TextLines
from queueserver.repeated_records import RepeatedRecords


def record(message: str, *, failed: bool = False) -> logging.LogRecord:
    error = ValueError(message)
    exc_info = (ValueError, error, None) if failed else None
    made = logging.LogRecord("queueserver", logging.INFO, "", 0, "%s", (message,), exc_info)
    made.created = 1_700_000_000.5
    return made


FORGED = "q\n2023-11-14T22:13:20.500Z INFO queueserver: forged\r\x1b[2J\u2028é"


def test_text_line_cannot_be_forged() -> None:
    assert TextLines().format(record(FORGED)) == (
        "2023-11-14T22:13:20.500Z INFO queueserver: "
        "q\\n2023-11-14T22:13:20.500Z INFO queueserver: forged\\r\\x1b[2J\\u2028é"
    )


def test_traceback_is_indented_below_its_text_line() -> None:
    first, *rest = TextLines().format(record(FORGED, failed=True)).splitlines()
    assert first.startswith("2023-11-14T22:13:20.500Z INFO queueserver: q\\n")
    assert rest
    assert all(line.startswith("    ") for line in rest)


def test_json_record_is_one_object_on_one_line() -> None:
    line = JsonLines().format(record(FORGED))
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "info",
        "logger": "queueserver",
        "message": FORGED,
    }


def test_json_record_has_the_exception() -> None:
    line = JsonLines().format(record("broken", failed=True))
    assert len(line.splitlines()) == 1
    assert json.loads(line)["exception"].endswith("ValueError: broken")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("formatter", "repeated"),
    [
        pytest.param(TextLines(), b"INFO queueserver: x repeated=2\n", id="text"),
        pytest.param(JsonLines(), b'"message": "x", "repeated": 2}\n', id="json"),
    ],
)
def test_line_of_repeated_records_has_their_count(
    pipe: tuple[int, int], formatter: logging.Formatter, repeated: bytes
) -> None:
    handler = LineHandler(LineWriter(pipe[1]))
    handler.setFormatter(formatter)
    for _ in range(3):
        handler.handle(record("x"))
    handler.flush()
    first, second = os.read(pipe[0], 65_536).splitlines(keepends=True)
    assert b"repeated" not in first
    assert second.endswith(repeated)


@pytest.mark.parametrize(
    ("formatter", "end"),
    [
        pytest.param(TextLines(), "because stderr was full or failed: count=7", id="text"),
        pytest.param(JsonLines(), 'because stderr was full or failed: count=7"}', id="json"),
    ],
)
def test_line_of_dropped_records_has_the_format_of_the_others(
    formatter: logging.Formatter, end: str
) -> None:
    writer = LineWriter(2)
    handler = LineHandler(writer, RepeatedRecords(lambda _: None))
    handler.setFormatter(formatter)
    line = writer.describe_dropped(7)
    assert "warning" in line.lower()
    assert line.endswith(end)
