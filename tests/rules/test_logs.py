"""Log lines: the text of a record cannot forge another record, in either format."""

from __future__ import annotations

import json
import logging

from queueserver.logs import JsonLines, TextLines


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
