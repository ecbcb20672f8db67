"""How long an answer may take, whatever was sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, process_time

SECONDS = 2.0
PATIENCE_SECONDS = 20.0
"""What the machine may take besides: it may do something else for seconds, but not for more."""


@contextmanager
def in_time() -> Iterator[None]:
    """See that what is done takes little time of the processor, and does not wait for long."""
    began, worked = perf_counter(), process_time()
    yield
    took = process_time() - worked
    assert took < SECONDS, f"it took {took:.1f} seconds of the processor"
    took = perf_counter() - began
    assert took < PATIENCE_SECONDS, f"it took {took:.1f} seconds"
