"""What a storage function is given: a connection inside a transaction, and what goes with it.

The time is the transaction's, not the function's to ask for. News and changes of counts are
gathered here while functions run; both leave with the COMMIT and never without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from storage import schema
from storage.hints import Estimates
from storage.notifications import News
from storage.sql.statement import Statement

_ADD_TO_BACKLOG = Statement(
    schema.backlogs.update()
    .where(schema.backlogs.c.queue_id == sa.bindparam("queue"))
    .values(messages=schema.backlogs.c.messages + sa.bindparam("change"))
)


class Transaction:
    """One transaction, at one moment.

    Attributes:
        connection: SQLAlchemy's connection, inside the transaction.
        now_ms: the moment, in epoch milliseconds.
        take_numbers: gives the next n numbers: strictly increasing, never given twice.
        estimates: what this process remembers of queues.
        somebody_waits: how many receivers stand in line for a queue id on this server.
        touched: (queue id, group) of FIFO groups whose messages changed, to be settled.
        held: (queue id, group) of FIFO groups whose rows no other server changes before the COMMIT.
        is_shared: whether other servers work on the database, too.
        is_contended: whether this server has collided with another in the last seconds.
        news: who waits, on whatever server, hears of it after the COMMIT.
        numbers_ahead: numbers that were taken already, for messages of standard queues.
        revisions: of queues, by their ids, as far as they are known to hold until the COMMIT.
        seen: what a look saw, as in `news.arrivals`, for those who wait on this server.
    """

    __slots__ = (
        "_changes",
        "connection",
        "estimates",
        "held",
        "is_contended",
        "is_shared",
        "news",
        "now_ms",
        "numbers_ahead",
        "revisions",
        "seen",
        "somebody_waits",
        "take_numbers",
        "touched",
    )

    def __init__(
        self,
        connection: sa.Connection,
        now_ms: int,
        take_numbers: Callable[[int], Sequence[int]],
        somebody_waits: Callable[[int], int],
        estimates: Estimates,
        revisions: dict[int, int],
        *,
        is_shared: bool,
        is_contended: bool,
    ) -> None:
        self.connection = connection
        self.now_ms = now_ms
        self.take_numbers = take_numbers
        self.somebody_waits = somebody_waits
        self.estimates = estimates
        self.revisions = revisions
        self.is_shared = is_shared
        self.is_contended = is_contended
        self.news = News()
        self.numbers_ahead: Sequence[int] = ()
        self.seen: list[tuple[int, int, int]] = []
        self.touched: set[tuple[int, str]] = set()
        self.held: set[tuple[int, str]] = set()
        self._changes: Counter[int] = Counter()

    def announce(self, queue_id: int, visible_at_ms: int, count: int = 1) -> None:
        """Tell who waits, after the COMMIT, that messages are or will be visible."""
        self.news.arrivals.append((queue_id, visible_at_ms, count))

    def hand_on(self, queue_id: int, visible_at_ms: int) -> None:
        """Tell who waits on this server what a look saw; others have looked for themselves."""
        self.seen.append((queue_id, visible_at_ms, 1))

    def let_go(self, queue_id: int) -> None:
        """Tell all receivers of a queue that was purged or deleted to look again."""
        self.news.gone.append(queue_id)

    def leave_work(self) -> None:
        """Tell who does the work of all servers, after the COMMIT, that there is some."""
        self.news.has_work = True

    def count(self, queue_id: int, change: int) -> None:
        """Note that a queue has `change` more messages than before."""
        self._changes[queue_id] += change

    def settle(self) -> None:
        """Write the changed counts; the last thing before COMMIT."""
        changes = [
            {"queue": queue_id, "change": change}
            for queue_id, change in sorted(self._changes.items())
            if change
        ]
        if changes:
            _ADD_TO_BACKLOG.change_at_last(self.connection, changes)
