"""Measure how long a request keeps an event loop from running anything else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from time import process_time

from tests.waiting import TIMEOUT_SECONDS

_TICK_SECONDS = 0.001


class LoopPauses:
    """Measures the longest pause of an event loop that runs on another thread.

    A timer of the loop is due every millisecond. The pause between two ticks is measured in
    processor time of the whole process: other programs do not count, but a thread that does not let
    the loop run because it holds Python's global lock does.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._last_seconds = 0.0
        self._is_stopping = False
        self._has_stopped = Event()
        self.longest_seconds = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure the longest pause from the beginning to the end of a block."""
        self._is_stopping = False
        self._has_stopped.clear()
        self._loop.call_soon_threadsafe(self._begin)
        try:
            yield
        finally:
            self._is_stopping = True
            assert self._has_stopped.wait(TIMEOUT_SECONDS)

    def _begin(self) -> None:
        self.longest_seconds = 0.0
        self._last_seconds = process_time()
        self._tick()

    def _tick(self) -> None:
        now = process_time()
        self.longest_seconds = max(self.longest_seconds, now - self._last_seconds)
        self._last_seconds = now
        if self._is_stopping:
            self._has_stopped.set()
        else:
            self._loop.call_later(_TICK_SECONDS, self._tick)
