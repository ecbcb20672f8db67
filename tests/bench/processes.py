"""The measured processes, and their CPU time and memory. Linux only: it reads /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_STOP_SECONDS = 60


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
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{self.pid}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0])
        return Usage((int(fields[11]) + int(fields[12])) / _TICKS, peak * 1024)

    def resident_bytes(self) -> int:
        """Return the memory now; 0 for a server that this process did not start."""
        if self.pid is None:
            return 0
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@contextmanager
def started(*arguments: str) -> Iterator[Server]:
    """Run a Python module that prints a line with its URL when it listens.

    Raises:
        RuntimeError: the module ended, or printed something else.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = next((word for word in line.split() if word.startswith("http://")), None)
        if url is None:
            raise RuntimeError(f"{' '.join(arguments)} did not start: {line!r}")
        yield Server(url, process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=_STOP_SECONDS)


def logged_bytes(database: Path) -> int:
    """Return the used length of a SQLite log, by the frame count in its index (`-shm`)."""
    header = database.with_name(database.name + "-shm").read_bytes()[:20]
    return int.from_bytes(header[16:20], sys.byteorder) * (4096 + 24)


def stored_bytes(database: Path) -> int:
    """Return the size of a SQLite database with its log."""
    return sum(path.stat().st_size for path in database.parent.glob(database.name + "*"))
