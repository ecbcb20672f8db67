"""Expired messages: find the queues that have some, and delete them.

No request returns an expired message; deleting it only frees space. AWS: MessageRetentionPeriod
counts from when a message was sent. In a standard dead-letter queue it counts from the original
sending, in a FIFO one from the move.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from storage import locking
from storage.messages import transitions
from storage.messages.counts import expired_dead_letters
from storage.messages.rows import STEP_ROWS, Step
from storage.queues import RetainingQueue
from storage.schema import is_dead_letter, messages
from storage.schema import queues as queue_table
from storage.transaction import Transaction


def queues_with_expired(
    connection: sa.Connection, queues: Iterable[RetainingQueue], now_ms: int
) -> Sequence[int]:
    """Return the ids of the queues that have expired messages, in the given order.

    `now_ms` is in epoch milliseconds.
    """
    is_of_queue = messages.c.queue_id == sa.bindparam("queue")
    oldest = sa.select(messages.c.sent_at_ms).where(is_of_queue).order_by(messages.c.id).limit(1)
    oldest_dead_letter = (
        sa.select(messages.c.sent_at_ms)
        .where(is_of_queue, is_dead_letter)
        .order_by(messages.c.sent_at_ms, messages.c.id)
        .limit(1)
    )
    found = []
    for queue in queues:
        expired_ms = now_ms - queue.retention_ms
        sent_at_ms = connection.scalar(oldest, {"queue": queue.id})
        if sent_at_ms is not None and sent_at_ms > expired_ms:
            sent_at_ms = connection.scalar(oldest_dead_letter, {"queue": queue.id})
        if sent_at_ms is not None and sent_at_ms <= expired_ms:
            found.append(queue.id)
    return found


_RETENTION = sa.select(queue_table.c.retention_ms).where(queue_table.c.id == sa.bindparam("queue"))


def free_expired(transaction: Transaction, queue_id: int, limit: int = STEP_ROWS) -> int:
    """Delete up to `limit` of a queue's expired messages; return how many were deleted.

    Deletes fewer if their bodies are large (see `storage.messages.rows.Step`).

    Locks groups before their messages, as a receive does, so the two cannot deadlock.
    Return 0 for a queue id that has been dropped: `dropped_queues` frees its rows.
    """
    retention_ms = transaction.connection.scalar(_RETENTION, {"queue": queue_id})
    if retention_ms is None:
        return 0
    expired_ms = transaction.now_ms - retention_ms
    state = messages.c
    rows = sa.select(state.id, state.group_id, state.sent_at_ms, state.size).where(
        state.queue_id == queue_id
    )
    expired: dict[int, sa.Row[int, str | None, int, int]] = {}
    for statement in (
        rows.order_by(state.id),
        rows.where(*expired_dead_letters(expired_ms)).order_by(state.sent_at_ms),
    ):
        for row in transaction.connection.execute(statement.limit(limit)):
            if row.sent_at_ms <= expired_ms:
                expired[row.id] = row
    step = Step(limit).deleted(list(expired.values()))
    transaction.fifo_groups.lock({(queue_id, row.group_id) for row in step if row.group_id})
    numbers = [row.id for row in step]
    # A message that another server is deleting must not be subtracted from the count twice.
    locked = locking.lock_messages_without_waiting(transaction.connection, queue_id, numbers)
    transitions.delete_locked(transaction, queue_id, locked)
    return len(locked)
