"""Samples of a server's resource usage, and the rules on usage that must not grow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

PARTS = 6
"""Parts of a run: the first is the warm-up, the second the baseline for the later ones."""

MIB = 1024 * 1024
_GROWTH = 1.05
_FILE_GROWTH = 1.25
_SMALL_BYTES = 32 * MIB
"""A file of this size may have grown by chance: some bodies have almost one MiB."""
_LARGEST_LOG_BYTES = 64 * MIB
_MEMORY_SECONDS = 600
"""Shortest run whose memory is checked: in a shorter one, caches still fill."""

SLOWER = 3.0
"""Factor by which p99 may rise before the report says so."""

_LISTEN_STATE = "0A"


class Sample(NamedTuple):
    """The resource usage of the server at one time.

    Attributes:
        seconds: time since the load began.
        connections: the server's connections.
        surplus_connections: those of them that the client does not have.
        other_descriptors: its other open descriptors.
        log_bytes: the size of SQLite's write-ahead log.
        requests: how many were answered so far.
        backlog: messages that are sent and not deleted.
        cpu_seconds: CPU time of the process so far.
    """

    seconds: float
    resident_bytes: int
    connections: int
    surplus_connections: int
    other_descriptors: int
    database_bytes: int
    log_bytes: int
    requests: int
    backlog: int
    cpu_seconds: float


def descriptors(pid: int, port: int) -> tuple[int, int]:
    """Return how many connections on its port, and other descriptors, a process has (Linux)."""
    open_: list[str] = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        # The process may close a descriptor meanwhile.
        with contextlib.suppress(FileNotFoundError):
            open_.append(str(entry.readlink()))
    ours = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if int(local.rpartition(":")[2], 16) == port and state != _LISTEN_STATE:
            ours.add(f"socket:[{inode}]")
    connections = len(ours.intersection(open_))
    return connections, len(open_) - connections


def size(path: Path) -> int:
    """Return a file's size in bytes; 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def percentile(latencies: Iterable[float], share: float) -> float:
    """Return a percentile of latencies in seconds, in milliseconds; `share` is 0.99 for p99."""
    ordered = sorted(latencies)
    if not ordered:
        return 0.0
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


def part(samples: Sequence[Sample], number: int) -> Sequence[Sample]:
    """Return the samples of one part of a run; the first part is number 0.

    All parts have as many samples, even if the machine was busy in one of them.
    """
    return samples[len(samples) * number // PARTS : len(samples) * (number + 1) // PARTS]


def growth(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield the usage that has grown from the second part of a run to the last."""
    early, late = part(samples, 1), part(samples, PARTS - 1)
    # Half a part is five minutes of an hour: large bodies change the memory by a tenth from minute
    # to minute.
    first = early[: max(len(early) // 2, 1)]
    last = late[-max(len(late) // 2, 1) :]
    before = median(one.resident_bytes for one in first)
    after = median(one.resident_bytes for one in last)
    if samples[-1].seconds >= _MEMORY_SECONDS and after > before * _GROWTH:
        yield f"memory grew from {before / MIB:.1f} to {after / MIB:.1f} MiB"
    for name in ("surplus_connections", "other_descriptors"):
        # Every sample has some that are about to be closed: only the minimum must not rise.
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
