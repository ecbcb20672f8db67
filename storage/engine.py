"""The interface between the database's front and one kind of database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import sqlalchemy as sa

from storage.clock import Clock
from storage.notifications import NotificationHandler, Notifications

T = TypeVar("T")


class Engine(Protocol):
    """One kind of database: its connections, transactions and notifications.

    Methods raise the errors of SQLAlchemy and of the operating system; `storage.errors` classifies
    them.

    Attributes:
        is_shared: whether several servers may use the database at the same time.
    """

    is_shared: bool

    async def open(self, clock: Clock, /) -> bytes:
        """Create or migrate the tables, set the clock, and return the database's secret."""
        ...

    def listen(self, handler: NotificationHandler, /) -> None:
        """Pass the notifications of other servers, and changes of leadership, to a handler."""
        ...

    def notify(self, connection: sa.Connection, sent: Notifications, now_ms: int, /) -> None:
        """Notify the other servers when this transaction commits."""
        ...

    async def transact(
        self,
        function: Callable[[sa.Connection], T],
        is_small: bool,
        has_more: Callable[[], bool],
        /,
    ) -> T:
        """Run a function in a transaction of the only writer, and commit.

        The engine may run a small transaction (a few milliseconds) on the event loop. It calls
        `has_more` just before COMMIT; the result tells whether the next transaction follows at
        once.
        """
        ...

    async def read(self, function: Callable[[sa.Connection], T], /) -> T:
        """Run a function that only reads, concurrently with the writer where that is possible."""
        ...

    def take_numbers(self, connection: sa.Connection, count: int, /) -> Sequence[int]:
        """Take the next `count` numbers within a transaction: increasing, never taken twice."""
        ...

    async def close(self) -> None:
        """Close all connections; a second call does nothing."""
        ...

    def display_url(self) -> str:
        """Return the name of the database for error messages, without its password."""
        ...
