"""Lines for a standard stream, which a thread writes: no caller waits for the stream's reader."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable

_LIMIT_BYTES = 1024 * 1024
"""Most bytes that wait for a stream whose reader is slow."""


def _dropped_line(count: int) -> str:
    return f"dropped lines, because they could not be written: count={count}"


class LineWriter:
    """Writes lines to a descriptor, in order, on a thread that starts with the first line.

    The descriptor stays as it is: a pipe or a terminal belongs to the parent process, too. While
    `limit_bytes` are waiting, further lines are dropped and counted. When half of them are written,
    one line reports how many were dropped. The descriptor may fail: a line that it rejects counts
    as dropped, and is reported before the next one.

    Attributes:
        describe_dropped: returns the line that reports how many lines were dropped.
        on_error: is called on the thread when a line could not be written.
    """

    def __init__(
        self,
        descriptor: int,
        limit_bytes: int = _LIMIT_BYTES,
        on_error: Callable[[OSError], None] | None = None,
    ) -> None:
        self.describe_dropped: Callable[[int], str] = _dropped_line
        self.on_error = on_error
        self._descriptor = descriptor
        self._limit_bytes = limit_bytes
        self._changed = threading.Condition()
        self._lines: deque[tuple[bytes, int]] = deque()
        """Each line, and the number of lines that are dropped with it if it is not written."""
        self._size_bytes = 0
        self._dropped = 0
        self._is_dropping = False
        self._is_writing = False
        self._is_torn = False
        self._thread: threading.Thread | None = None

    def write(self, line: str) -> None:
        """Append a line, without its line feed; this never blocks."""
        content = _encode(line)
        with self._changed:
            is_full = self._lines and self._size_bytes + len(content) > self._limit_bytes
            if self._is_dropping or is_full:
                self._is_dropping = True
                self._dropped += 1
                return
            if self._dropped:
                self._report_dropped()
            self._append(content, 1)
            if self._thread is None:
                # Daemon: a reader that never reads must not keep the process from ending.
                self._thread = threading.Thread(target=self._run, name="lines", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until all lines are written, at most for some seconds; return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines and not self._is_writing, seconds)

    def _append(self, content: bytes, count: int) -> None:
        self._lines.append((content, count))
        self._size_bytes += len(content)

    def _report_dropped(self) -> None:
        self._append(_encode(self.describe_dropped(self._dropped)), self._dropped)
        self._dropped = 0

    def _run(self) -> None:
        while True:
            content, count = self._take()
            error: OSError | None = None
            try:
                self._write(content)
            except OSError as failure:
                error = failure
            with self._changed:
                self._is_writing = False
                if error is not None:
                    self._dropped += count
                self._changed.notify_all()
            if error is not None and self.on_error is not None:
                self.on_error(error)

    def _take(self) -> tuple[bytes, int]:
        with self._changed:
            self._changed.wait_for(lambda: self._lines)
            content, count = self._lines.popleft()
            self._size_bytes -= len(content)
            self._is_writing = True
            if self._is_dropping and self._size_bytes <= self._limit_bytes // 2:
                self._is_dropping = False
                self._report_dropped()
            return content, count

    def _write(self, content: bytes) -> None:
        """Write a line; begin a new one first, if the one before was cut off by an error."""
        rest = memoryview(b"\n" + content if self._is_torn else content)
        is_begun = self._is_torn
        while rest:
            try:
                written = os.write(self._descriptor, rest)
            except BlockingIOError:
                # The parent process has made the descriptor non-blocking.
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()
                continue
            except OSError:
                self._is_torn = is_begun
                raise
            is_begun = True
            rest = rest[written:]
        self._is_torn = False


def _encode(line: str) -> bytes:
    return f"{line}\n".encode(errors="backslashreplace")
