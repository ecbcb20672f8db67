"""The clock that the process passes to the storage engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """The time by which messages become visible and expire, in epoch milliseconds."""

    def now_ms(self) -> int:
        """Return the current time in epoch milliseconds."""
        ...

    def call_at(self, when_ms: int, callback: Callable[[], None], /) -> Callable[[], None]:
        """Call `callback` once it is `when_ms`; return a function that cancels the call."""
        ...

    def adjust(self, now_ms: float, error_ms: float, /) -> None:
        """Follow the clock that all servers share: it shows `now_ms`, accurate to `error_ms`."""
        ...

    def raise_floor(self, floor_ms: int, /) -> None:
        """Return no time before `floor_ms` from now on.

        Another server, or this one before its restart, has already reached that time.
        """
        ...
