"""What the server uses while the load goes on, and what that may be in the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

PARTS = 6
"""The first of so many parts of a run is for warming up; the second is what others are held to."""

MIB = 1024 * 1024
_GROWTH = 1.05
_FILE_GROWTH = 1.25
_SMALL_BYTES = 32 * MIB
"""A file that is no larger may have grown by chance: some bodies have a whole MiB."""
_LARGEST_LOG_BYTES = 64 * MIB
_WORTH_SECONDS = 600
"""In a run that is shorter, memory says nothing yet: caches still fill."""

SLOWER = 3.0
"""By how much later p99 may be worse than early, before the report says so."""


_LISTENS = "0A"


class Sample(NamedTuple):
    """The server at a moment: seconds since the load began, bytes, counts.

    `strays` are connections that the server has and no client.
    """

    seconds: float
    resident_bytes: int
    connections: int
    strays: int
    others: int
    database_bytes: int
    log_bytes: int
    requests: int
    waiting: int
    cpu_seconds: float


def descriptors(pid: int, port: int) -> tuple[int, int]:
    """Count a process's connections on its port, and its other open descriptors. Linux only."""
    open_: list[str] = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        # What is gone was closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            open_.append(str(entry.readlink()))
    ours = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if int(local.rpartition(":")[2], 16) == port and state != _LISTENS:
            ours.add(f"socket:[{inode}]")
    connections = len(ours.intersection(open_))
    return connections, len(open_) - connections


def size(path: Path) -> int:
    """Give a file's size; one that is not there has none."""
    return path.stat().st_size if path.exists() else 0


def percentile(latencies: Iterable[float], share: float) -> float:
    """Give the latency in milliseconds that so great a share did not exceed."""
    ordered = sorted(latencies)
    if not ordered:
        return 0.0
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


def part(samples: Sequence[Sample], number: int) -> Sequence[Sample]:
    """Give the samples of one of the parts of a run, counted from nought.

    There are as many in each, even if the machine does something else for one of them.
    """
    return samples[len(samples) * number // PARTS : len(samples) * (number + 1) // PARTS]


def growth(samples: Sequence[Sample]) -> Iterator[str]:
    """Tell what has grown that must not: the last part of a run against the second."""
    early, late = part(samples, 1), part(samples, PARTS - 1)
    # Of an hour five minutes after the warm-up, and the last five: large bodies make it go up and
    # down by a tenth from minute to minute.
    first = early[: max(len(early) // 2, 1)]
    last = late[-max(len(late) // 2, 1) :]
    before = median(one.resident_bytes for one in first)
    after = median(one.resident_bytes for one in last)
    if samples[-1].seconds >= _WORTH_SECONDS and after > before * _GROWTH:
        yield f"memory grew from {before / MIB:.1f} to {after / MIB:.1f} MiB"
    for name in ("strays", "others"):
        # At every moment some are about to be closed.
        before, after = (min(getattr(one, name) for one in samples) for samples in (early, late))
        if after > before:
            yield f"descriptors ({name}) rose from {before} to {after}"
    before = max(one.database_bytes for one in [*part(samples, 0), *early])
    after = max(one.database_bytes for one in late)
    if after > max(before * _FILE_GROWTH, _SMALL_BYTES):
        yield f"the database grew from {before / MIB:.1f} to {after / MIB:.1f} MiB"
    largest = max(one.log_bytes for one in samples)
    if largest > _LARGEST_LOG_BYTES:
        yield f"the log had {largest / MIB:.1f} MiB"
