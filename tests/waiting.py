"""Timeouts of whatever a test waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

TIMEOUT_SECONDS = 30
"""How long a test waits for an event that must happen; only a failing test waits this long."""

TRANSACTION_TIMEOUT_SECONDS = 9
"""The same while a transaction stays open: PostgreSQL ends a transaction that is idle for 10 s."""


def wait_until(condition: Callable[[], bool], failure: str = "timed out") -> None:
    """Block until a condition is true, which something else must make true."""
    assert any(condition() for _ in poll_until_timeout()), failure


def poll_until_timeout() -> Iterator[None]:
    """Yield once for each check of a condition, as often as possible, until the timeout."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        yield
