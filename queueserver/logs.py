"""Log lines: to stderr, as text or as JSON; nothing waits for the reader of stderr."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from queueserver.line_writer import LineWriter
from queueserver.repeated_records import RepeatedRecords
from queueserver.standard_streams import STDERR

_FLUSH_SECONDS = 1.0
"""Timeout for the reader of stderr, when the process ends."""


def start_logging(level: str, style: str) -> None:
    """Write log records of a level (`info`) and above to stderr, in a style: `text` or `json`."""
    handler = LineHandler(STDERR)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class LineHandler(logging.Handler):
    """Gives each record to a line writer; counts records that repeat an earlier one."""

    def __init__(self, writer: LineWriter, repeated: RepeatedRecords | None = None) -> None:
        super().__init__()
        self._writer = writer
        self._repeated = repeated or RepeatedRecords(self.handle)
        writer.describe_dropped = self._describe_dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it if it repeats another one."""
        try:
            if repetitions(record) or not self._repeated.count(record):
                self._writer.write(self.format(record))
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Write the counts of repeated records; wait until all is written, at most one second."""
        self._repeated.flush()
        self._writer.flush(_FLUSH_SECONDS)

    def _describe_dropped(self, count: int) -> str:
        text = "dropped log lines, because stderr was full or failed: count=%d"
        return self.format(
            logging.LogRecord(__name__, logging.WARNING, "", 0, text, (count,), None)
        )


def repetitions(record: logging.LogRecord) -> int:
    """Return how many records a record stands for: 0 if it was logged itself."""
    return getattr(record, "repeated", 0)


class TextLines(logging.Formatter):
    """Formats a record as one line: time (UTC), level, logger, message.

    Text that a client sent cannot look like a record of its own: control characters are escaped,
    and the lines of a traceback are indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        message = one_line(record.getMessage())
        if count := repetitions(record):
            message = f"{message} repeated={count}"
        line = f"{_time(record)} {record.levelname} {record.name}: {message}"
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            line = "\n".join((line, *(f"    {one_line(row)}" for row in trace)))
        return line


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, and any exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        members: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if count := repetitions(record):
            members["repeated"] = count
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return json.dumps(members)


def one_line(text: str) -> str:
    """Escape the characters that a terminal or a line reader would obey instead of show."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _time(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
