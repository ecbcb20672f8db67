"""The writer of lines: no caller waits, lines keep their order, dropped lines are counted."""

from __future__ import annotations

import fcntl
import os
import re
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from queueserver.line_writer import LineWriter
from tests.waiting import TIMEOUT_SECONDS

PIPE_BYTES = 4_096
LIMIT_BYTES = 10_000
FULL_DEVICE = "/dev/full"


class Pipe(NamedTuple):
    """The two ends of a small pipe."""

    reader: int
    writer: int

    def read_until(self, end: str) -> list[str]:
        """Read the lines up to one that contains a text."""
        content = b""
        while end.encode() not in content or not content.endswith(b"\n"):
            content += os.read(self.reader, 65_536)
        return content.decode().splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe(*os.pipe())
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(made.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield made
    for descriptor in made:
        os.close(descriptor)


def test_lines_are_written_in_order(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer)
    for number in range(300):
        writer.write(f"{number}")
    assert pipe.read_until("299") == [str(number) for number in range(300)]
    assert writer.flush(TIMEOUT_SECONDS)


def test_line_keeps_characters_that_utf8_lacks(pipe: Pipe) -> None:
    LineWriter(pipe.writer).write("é \udcff")
    assert pipe.read_until("\n") == ["é \\udcff"]


def test_unread_pipe_blocks_no_caller_and_dropped_lines_are_counted_once_it_is_read(
    pipe: Pipe,
) -> None:
    writer = LineWriter(pipe.writer, LIMIT_BYTES)
    for number in range(5_000):
        writer.write(f"line {number:04}")
    assert not writer.flush(0)
    lines = pipe.read_until("count=")
    (report,) = (line for line in lines if "count=" in line)
    count = int(report.removeprefix("dropped lines, because they could not be written: count="))
    assert lines[: 5_000 - count] == [f"line {number:04}" for number in range(5_000 - count)]
    assert lines[5_000 - count :] == [report]
    assert (5_000 - count) * len("line 0000\n") <= LIMIT_BYTES + PIPE_BYTES + 65_536
    writer.write("later")
    assert pipe.read_until("later") == ["later"]


def test_line_longer_than_the_limit_is_written_alone(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer, LIMIT_BYTES)
    writer.write("x" * 3 * LIMIT_BYTES)
    assert pipe.read_until("\n") == ["x" * 3 * LIMIT_BYTES]


def test_descriptor_that_the_parent_made_non_blocking_loses_no_line(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    writer = LineWriter(pipe.writer)
    for number in range(3_000):
        writer.write(f"{number}")
    assert pipe.read_until("2999") == [str(number) for number in range(3_000)]
    assert not os.get_blocking(pipe.writer), "the parent's descriptor was changed"


def test_writer_leaves_a_blocking_descriptor_as_it_is(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer)
    writer.write("x")
    assert writer.flush(TIMEOUT_SECONDS)
    assert os.get_blocking(pipe.writer)


def test_lines_that_a_descriptor_rejects_are_counted_before_the_next_line(pipe: Pipe) -> None:
    if not os.path.exists(FULL_DEVICE):  # noqa: PTH110
        pytest.skip(f"the system has no {FULL_DEVICE}")
    failed = threading.Semaphore(0)
    descriptor = os.open(FULL_DEVICE, os.O_WRONLY)
    try:
        writer = LineWriter(descriptor, on_error=lambda _: failed.release())
        for _ in range(2):
            writer.write("lost")
            # The second time, the report of the first line is lost, too.
            assert failed.acquire(timeout=TIMEOUT_SECONDS)
        assert failed.acquire(timeout=TIMEOUT_SECONDS)
        os.dup2(pipe.writer, descriptor)
        # The report may come first and alone; it does not contain this text.
        writer.write("next line")
        report, line = pipe.read_until("next line")
        assert re.search(r"count=2$", report)
        assert line == "next line"
    finally:
        os.close(descriptor)
