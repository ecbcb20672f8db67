"""The time that a test may take for one input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, process_time

CPU_SECONDS = 2.0
WALL_SECONDS = 20.0
"""Far more than CPU_SECONDS, because other processes may use the machine for seconds."""


@contextmanager
def time_limit() -> Iterator[None]:
    """Fail if a block takes more than CPU_SECONDS of processor time, or WALL_SECONDS in all."""
    wall_start, cpu_start = perf_counter(), process_time()
    yield
    taken = process_time() - cpu_start
    assert taken < CPU_SECONDS, f"took {taken:.1f} s of processor time"
    taken = perf_counter() - wall_start
    assert taken < WALL_SECONDS, f"took {taken:.1f} s"
