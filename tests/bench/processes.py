"""The measured processes, and their CPU time and memory. Linux only: it reads /proc."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
"""This checkout."""

_TICKS = os.sysconf("SC_CLK_TCK")
_STOP_SECONDS = 60
_URL = re.compile("https?://")


class Usage(NamedTuple):
    """CPU seconds (user and system) of all threads, and peak memory in bytes."""

    cpu_seconds: float
    peak_bytes: int


class Server(NamedTuple):
    """A running server: its base URL, and its process id if this process started it."""

    url: str
    pid: int | None

    def usage(self) -> Usage:
        """Return the usage so far; zeros for a server that this process did not start."""
        if self.pid is None:
            return Usage(0.0, 0)
        # The clock of a process's CPU time, as clock_getcpuclockid() returns it.
        clock = ~self.pid << 3 | 2
        return Usage(time.clock_gettime(clock), self._memory("VmHWM"))

    def kernel_seconds(self) -> float:
        """Return how much of the CPU time the kernel has used; 0 for a foreign server."""
        if self.pid is None:
            return 0.0
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[12]) / _TICKS

    def resident_bytes(self) -> int:
        """Return the memory now; 0 for a server that this process did not start."""
        return 0 if self.pid is None else self._memory("VmRSS")

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition(f"{name}:")[2].split()[0]) * 1024


@contextmanager
def started(
    *arguments: str, checkout: Path = ROOT, pass_fds: Sequence[int] = ()
) -> Iterator[Server]:
    """Run a program of a checkout that prints a line with its URL when it listens.

    The first argument is a module, or the path of a script. `pass_fds` stay open in the process.

    Raises:
        RuntimeError: the program ended, or printed something else.
    """
    program = () if arguments[0].endswith(".py") else ("-m",)
    process = subprocess.Popen(
        # Without the working directory on the path: it may be another checkout.
        [sys.executable, "-P", *program, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        pass_fds=pass_fds,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = next((word for word in line.split() if _URL.match(word)), None)
        if url is None:
            raise RuntimeError(f"{' '.join(arguments)} did not start: {line!r}")
        yield Server(url, process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=_STOP_SECONDS)


class LogPosition(NamedTuple):
    """How far a SQLite log is written: its frames, their bytes, and the log's salt.

    The salt changes when SQLite starts the log again from its beginning.
    """

    frames: int
    frame_bytes: int
    salt: bytes


def log_position(database: Path) -> LogPosition:
    """Return the position that the log's index (`-shm`) has in its header."""
    header = database.with_name(database.name + "-shm").read_bytes()[:40]
    # SQLite writes 65,536 as 1.
    page_bytes = int.from_bytes(header[14:16], sys.byteorder)
    frames = int.from_bytes(header[16:20], sys.byteorder)
    return LogPosition(frames, (65_536 if page_bytes == 1 else page_bytes) + 24, header[32:40])


def logged_bytes(database: Path) -> int:
    """Return the used length of a SQLite log."""
    position = log_position(database)
    return position.frames * position.frame_bytes


def stored_bytes(database: Path) -> int:
    """Return the size of a SQLite database with its log."""
    return sum(path.stat().st_size for path in database.parent.glob(database.name + "*"))
