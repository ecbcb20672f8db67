"""What a storage function is given: a connection inside a transaction, and what goes with it.

The time is the transaction's, not the function's to ask for. News and changes of counts are
gathered here while functions run; both leave with the COMMIT and never without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from storage import schema
from storage.hints import Hints
from storage.notifications import Notifications
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
        hints: what this process remembers of queues.
        count_waiting: how many receivers stand in line for a queue id on this server.
        dirty_groups: (queue id, group) of FIFO groups whose messages changed, to be settled.
        locked_groups: (queue id, group) of FIFO groups whose rows this transaction has locked.
        is_shared: whether other servers work on the database, too.
        is_contended: whether this server has collided with another in the last seconds.
        notifications: who waits, on whatever server, hears of it after the COMMIT.
        revisions: of queues, by their ids, as far as they are known to hold until the COMMIT.
        local_wakeups: what a look saw, as in `news.arrivals`, for those who wait on this server.
    """

    __slots__ = (
        "_changes",
        "connection",
        "count_waiting",
        "dirty_groups",
        "hints",
        "is_contended",
        "is_shared",
        "local_wakeups",
        "locked_groups",
        "notifications",
        "now_ms",
        "revisions",
        "take_numbers",
    )

    def __init__(
        self,
        connection: sa.Connection,
        now_ms: int,
        take_numbers: Callable[[int], Sequence[int]],
        count_waiting: Callable[[int], int],
        hints: Hints,
        revisions: dict[int, int],
        *,
        is_shared: bool,
        is_contended: bool,
    ) -> None:
        self.connection = connection
        self.now_ms = now_ms
        self.take_numbers = take_numbers
        self.count_waiting = count_waiting
        self.hints = hints
        self.revisions = revisions
        self.is_shared = is_shared
        self.is_contended = is_contended
        self.notifications = Notifications()
        self.local_wakeups: list[tuple[int, int, int]] = []
        self.dirty_groups: set[tuple[int, str]] = set()
        self.locked_groups: set[tuple[int, str]] = set()
        self._changes: Counter[int] = Counter()

    def notify_visible(self, queue_id: int, visible_at_ms: int, count: int = 1) -> None:
        """Tell who waits, after the COMMIT, that messages are or will be visible."""
        self.notifications.arrivals.append((queue_id, visible_at_ms, count))

    def wake_local(self, queue_id: int, visible_at_ms: int) -> None:
        """Tell who waits on this server what a look saw; others have looked for themselves."""
        self.local_wakeups.append((queue_id, visible_at_ms, 1))

    def notify_dropped(self, queue_id: int) -> None:
        """Tell all receivers of a queue that was purged or deleted to look again."""
        self.notifications.gone.append(queue_id)

    def notify_background_work(self) -> None:
        """Tell who does the work of all servers, after the COMMIT, that there is some."""
        self.notifications.has_background_work = True

    def add_to_count(self, queue_id: int, change: int) -> None:
        """Note that a queue has `change` more messages than before."""
        self._changes[queue_id] += change

    def write_counts(self) -> None:
        """Write the changed counts; the last thing before COMMIT."""
        changes = [
            {"queue": queue_id, "change": change}
            for queue_id, change in sorted(self._changes.items())
            if change
        ]
        if changes:
            _ADD_TO_BACKLOG.change_with_commit(self.connection, changes)
