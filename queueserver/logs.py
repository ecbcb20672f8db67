"""Log lines: to stderr, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime


def start_logging(level: str, style: str) -> None:
    """Write log records of a level (`info`) and above to stderr, in a style: `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class TextLines(logging.Formatter):
    """Formats a record as one line: time (UTC), level, logger, message.

    Text that a client sent cannot look like a record of its own: control characters are escaped,
    and the lines of a traceback are indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        message = one_line(record.getMessage())
        line = f"{_time(record)} {record.levelname} {record.name}: {message}"
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            line = "\n".join((line, *(f"    {one_line(row)}" for row in trace)))
        return line


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, and any exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        members = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
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
