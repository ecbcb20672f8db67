"""The standard streams, which a parent process may have closed, filled or stopped reading."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from queueserver.line_writer import LineWriter

_FLUSH_SECONDS = 1.0
"""Timeout for the reader of stderr, before the process ends."""

STDERR = LineWriter(2)
"""Log lines and the line of an error go to stderr by this writer, in order."""


class OutputError(Exception):
    """A command's output cannot be written to stdout."""


def open_missing() -> None:
    """Open /dev/null for each standard stream that is closed.

    Otherwise the next file or socket that the process opens gets the free descriptor: lines for
    stdout end in it, and libuv aborts the process when it closes it.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            # The system gives the lowest free descriptor: those below are open.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, _open_stream(descriptor))


def _open_stream(descriptor: int) -> TextIO:
    if descriptor:
        return open(descriptor, "w", encoding="utf-8", closefd=False)
    return open(descriptor, encoding="utf-8", closefd=False)


def print_output(text: str) -> None:
    """Write text to stdout.

    Raises:
        OutputError: it cannot be written.
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except OSError as error:
        _discard_output()
        raise OutputError(f"cannot write to stdout: {error.strerror}") from error


def print_error(line: str) -> None:
    """Write a line to stderr, after the log lines; wait for its reader at most one second."""
    STDERR.write(line)
    STDERR.flush(_FLUSH_SECONDS)


def _discard_output() -> None:
    """Make /dev/null of stdout: at exit, Python writes what is still in the stream's buffer."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
