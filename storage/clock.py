"""The clock that the storage engine is given: time is an argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """What the engine needs of time; the process decides whose time it is."""

    def now_ms(self) -> int:
        """Give the current time in epoch milliseconds."""
        ...

    def call_at(self, when_ms: int, callback: Callable[[], None], /) -> Callable[[], None]:
        """Call back once it is `when_ms`; what is returned cancels that."""
        ...

    def adjust(self, now_ms: float, error_ms: float, /) -> None:
        """Hear that it is `now_ms`, give or take `error_ms`, by the clock of all servers."""
        ...

    def raise_floor(self, reached_ms: int, /) -> None:
        """Hear that it was `reached_ms` already, before this process began or on another server."""
        ...
