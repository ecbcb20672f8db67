"""Transactions: the argument of every function that reads and changes the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from storage import schema
from storage.encryption.data_keys import DataKeys
from storage.engine import Capabilities
from storage.hints import Hints
from storage.messages.fifo_groups import FifoGroups
from storage.messages.rows import ContentBudget, Step
from storage.queue_settings import LockedQueue
from storage.sql.statement import Statement
from storage.waiting.notifications import Notifications

_ADD_TO_BACKLOG = Statement(
    schema.backlogs.update()
    .where(schema.backlogs.c.queue_id == sa.bindparam("queue"))
    .values(messages=schema.backlogs.c.messages + sa.bindparam("change"))
)


class Transaction:
    """One transaction of the writer. Its time stands still.

    Notifications and changes of counts are collected while functions run. They take effect with
    COMMIT, or never.

    Attributes:
        connection: SQLAlchemy's connection, inside the transaction.
        now_ms: the transaction's time, in epoch milliseconds; functions read no clock.
        take_numbers: takes the next n numbers, increasing and never taken twice.
        count_waiting: counts the receivers on this server that wait for a queue id.
        hints: estimates about queues, in this server's memory.
        known_queues: queues by id, as they stay until COMMIT. On PostgreSQL the transaction has
            locked them. On SQLite they need no lock, and are cached between transactions.
        fifo_groups: the groups of FIFO queues that the transaction locks and changes.
        capabilities: what the engine can do.
        notifications: for receivers on all servers, and for the leader; sent with COMMIT.
        content: the bytes of message content that claims may still read.
        step: the undeliverable messages that claims may still remove.
        data_keys: the data keys that encrypt and decrypt contents.
        deduplication_key: makes keyed digests of deduplication ids; None while they are in clear.
        local_wakeups: wake-ups of receivers on this server only, in the form of
            `notifications.visible`.
    """

    __slots__ = (
        "_changes",
        "capabilities",
        "connection",
        "content",
        "count_waiting",
        "data_keys",
        "deduplication_key",
        "fifo_groups",
        "hints",
        "known_queues",
        "local_wakeups",
        "notifications",
        "now_ms",
        "step",
        "take_numbers",
    )

    def __init__(
        self,
        connection: sa.Connection,
        now_ms: int,
        take_numbers: Callable[[int], Sequence[int]],
        count_waiting: Callable[[int], int],
        hints: Hints,
        known_queues: dict[int, LockedQueue],
        capabilities: Capabilities,
        step: Step,
        data_keys: DataKeys,
        deduplication_key: bytes | None,
        *,
        is_conflict_likely: bool,
    ) -> None:
        self.connection = connection
        self.now_ms = now_ms
        self.take_numbers = take_numbers
        self.count_waiting = count_waiting
        self.hints = hints
        self.known_queues = known_queues
        self.capabilities = capabilities
        self.step = step
        self.data_keys = data_keys
        self.deduplication_key = deduplication_key
        self.content = ContentBudget()
        self.notifications = Notifications()
        self.local_wakeups: list[tuple[int, int, int]] = []
        self.fifo_groups = FifoGroups(
            connection,
            now_ms,
            self.notifications.visible,
            self.local_wakeups,
            capabilities,
            is_conflict_likely=is_conflict_likely,
        )
        self._changes: dict[int, int] = {}

    def notify_receivers(self, queue_id: int, visible_at_ms: int, count: int = 1) -> None:
        """Notify waiting receivers on all servers: they can claim messages from a time on.

        Messages are visible, or become visible at `visible_at_ms`. Or messages that were visible
        can be claimed now, because the queue is no longer at its in-flight limit.
        """
        self.notifications.visible.append((queue_id, visible_at_ms, count))

    def wake_local(self, queue_id: int, visible_at_ms: int) -> None:
        """Wake a receiver on this server only, for messages that a receive has left.

        Receivers on other servers have been notified of these messages before.
        """
        self.local_wakeups.append((queue_id, visible_at_ms, 1))

    def notify_dropped(self, queue_id: int) -> None:
        """Notify all receivers of a queue that it was purged or deleted."""
        self.notifications.dropped.append(queue_id)

    def notify_background_work(self) -> None:
        """Notify the leader that there is background work to do."""
        self.notifications.has_background_work = True

    def add_to_count(self, queue_id: int, change: int) -> None:
        """Add `change` to the queue's count of messages; it may be negative."""
        self._changes[queue_id] = self._changes.get(queue_id, 0) + change

    def write_counts(self) -> None:
        """Write the changed counts, in the order of queue ids, as the last step before COMMIT.

        Every transaction that sends to a queue locks the row of the queue's count. So it stays
        locked for a short time only.
        """
        changes = [
            {"queue": queue_id, "change": change}
            for queue_id, change in sorted(self._changes.items())
            if change
        ]
        if changes:
            _ADD_TO_BACKLOG.change_with_commit(self.connection, changes)
