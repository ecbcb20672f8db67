"""Apply a changed delay of a FIFO queue to the messages that the queue has already.

AWS: for FIFO queues, a change of DelaySeconds affects the delay of messages already in the queue.
Messages that were received keep their visibility timeouts.

The delay is applied in steps, from the newest message to the oldest, so that a large backlog does
not block other transactions. The progress is stored, so that it continues after a restart.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage import locking
from storage.messages import transitions
from storage.schema import messages
from storage.schema import queue_delays as pending
from storage.transaction import Transaction

_LONGEST_DELAY_MS = 900_000
"""The longest delay (AWS: 900 s). Messages that were sent longer ago are visible with any delay."""

_FIRST_STEP = 1_000
"""Messages that are delayed in the transaction of the change itself."""

_DISCARD = pending.delete().where(pending.c.queue_id == bindparam("queue"))
_RECORD_PROGRESS = (
    pending.update()
    .where(pending.c.queue_id == bindparam("queue"))
    .values(before_id=bindparam("before"))
)

_FIRST_OF_STEP = (
    sa.select(messages.c.id)
    .where(messages.c.queue_id == bindparam("queue"), messages.c.id < bindparam("before"))
    .order_by(messages.c.id.desc())
    .limit(1)
    .offset(bindparam("passed", type_=sa.Integer))
)
_STEP = sa.select(messages.c.id, messages.c.group_id, messages.c.sent_at_ms).where(
    messages.c.queue_id == bindparam("queue"),
    messages.c.id >= bindparam("first"),
    messages.c.id < bindparam("before"),
)


def change(transaction: Transaction, queue_id: int, delay_ms: int) -> None:
    """Delay all messages that were never received until `delay_ms` after they were sent.

    The newest are delayed at once; `apply_pending` delays the others.
    """
    (before,) = transaction.take_numbers(1)
    discard(transaction, queue_id)
    row = {"queue_id": queue_id, "delay_ms": delay_ms, "before_id": before}
    transaction.connection.execute(pending.insert(), row)
    _apply_step(transaction, queue_id, delay_ms, before, _FIRST_STEP)


def apply_pending(transaction: Transaction, limit: int) -> bool:
    """Apply a pending delay to up to `limit` more messages; return False if there was none."""
    row = transaction.connection.execute(
        locking.with_locks_if_free(sa.select(pending).limit(1))
    ).first()
    if row is None:
        return False
    _apply_step(transaction, row.queue_id, row.delay_ms, row.before_id, limit)
    return True


def discard(transaction: Transaction, queue_id: int) -> None:
    """Discard a queue's pending delay; the remaining messages stay as they are."""
    transaction.connection.execute(_DISCARD, {"queue": queue_id})


def _apply_step(
    transaction: Transaction, queue_id: int, delay_ms: int, before: int, limit: int
) -> None:
    """Delay the newest `limit` messages with ids before `before`, and record the progress."""
    connection = transaction.connection
    step = {"queue": queue_id, "before": before}
    first = connection.scalar(_FIRST_OF_STEP, {**step, "passed": limit - 1})
    step["first"] = 0 if first is None else first
    rows = connection.execute(_STEP, step).all()
    transaction.fifo_groups.lock({(queue_id, row.group_id) for row in rows})
    numbers = sorted(row.id for row in rows)
    locked = locking.lock_messages(connection, queue_id, numbers)
    transitions.delay(transaction, queue_id, locked, delay_ms)
    longest_ago_ms = transaction.now_ms - _LONGEST_DELAY_MS
    if first is None or all(row.sent_at_ms <= longest_ago_ms for row in rows):
        discard(transaction, queue_id)
    else:
        connection.execute(_RECORD_PROGRESS, {"queue": queue_id, "before": first})
