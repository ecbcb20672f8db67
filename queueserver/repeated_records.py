"""Repeated log records, which are counted instead of written."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from time import perf_counter

WINDOW_SECONDS = 10.0
"""Time after a record in which records with the same text are counted only."""

_MOST_TEXTS = 1_000
"""Most texts that are remembered; the records of further ones are all written."""

_LONGEST_TEXT = 4_000
"""Longest text, in characters, that is remembered."""

_REQUEST_ID = re.compile(r"\brequest_id=\S+")
"""The value that makes each line about a request differ from the others."""


@dataclass(slots=True)
class _Text:
    """A text that was written: its window, and the latest record that repeats it."""

    until: float
    count: int = 0
    name: str = ""
    level: int = 0
    message: str = ""


class RepeatedRecords:
    """Counts the records that repeat an earlier one within a window of some seconds.

    Records repeat each other if logger, level, text and exception are the same; the ID of a request
    may differ. The first one is not counted. When its window is over, `emit` gets one record for
    all that were counted, whose attribute `repeated` is their number, and the next window begins.
    """

    def __init__(
        self,
        emit: Callable[[logging.LogRecord], object],
        seconds: float = WINDOW_SECONDS,
        now: Callable[[], float] = perf_counter,
    ) -> None:
        self._emit = emit
        self._seconds = seconds
        self._now = now
        self._lock = threading.Lock()
        self._texts: dict[Hashable, _Text] = {}
        self._next_purge = 0.0
        self._timer: threading.Timer | None = None

    def count(self, record: logging.LogRecord) -> bool:
        """Return whether a record repeats another one, and count it if it does."""
        message = record.getMessage()
        exception = repr(record.exc_info[1]) if record.exc_info else ""
        if len(message) + len(exception) > _LONGEST_TEXT:
            return False
        key = (record.name, record.levelno, _REQUEST_ID.sub("", message), exception)
        with self._lock:
            now = self._now()
            text = self._texts.get(key)
            if text is None or (text.until <= now and not text.count):
                self._remember(key, now)
                return False
            text.count += 1
            text.name, text.level, text.message = record.name, record.levelno, message
            if self._timer is None:
                self._timer = threading.Timer(max(text.until - now, 0.0), self.flush)
                self._timer.daemon = True
                self._timer.start()
            return True

    def flush(self) -> None:
        """Report each text that was repeated in one record, and begin its next window."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            until = self._now() + self._seconds
            records = []
            for text in self._texts.values():
                if text.count:
                    records.append(_summary(text))
                    text.until, text.count = until, 0
        for record in records:
            self._emit(record)

    def _remember(self, key: Hashable, now: float) -> None:
        if len(self._texts) >= _MOST_TEXTS and now >= self._next_purge:
            self._next_purge = now + 1.0
            self._texts = {
                known: text for known, text in self._texts.items() if text.count or text.until > now
            }
        if key in self._texts or len(self._texts) < _MOST_TEXTS:
            self._texts[key] = _Text(now + self._seconds)


def _summary(text: _Text) -> logging.LogRecord:
    record = logging.LogRecord(text.name, text.level, "", 0, text.message, (), None)
    record.repeated = text.count
    return record
