"""How long an answer may take, whatever was sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import process_time

SECONDS = 2.0


@contextmanager
def in_time() -> Iterator[None]:
    """See that what is done takes little time of the processor.

    What the clock on the wall says is the machine's: it may do something else for seconds.
    """
    began = process_time()
    yield
    took = process_time() - began
    assert took < SECONDS, f"it took {took:.1f} seconds of the processor"
