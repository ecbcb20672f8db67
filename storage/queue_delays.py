"""A FIFO queue's delay, changed: it holds for the messages that the queue has already, too.

It comes to hold from the newest back, in steps, so that a large backlog keeps nobody waiting. What
is noted of it outlives a restart. Refuses messages that were received: they have other timeouts.
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
"""Messages that were sent before are visible with any delay."""
_DELAYED_AT_ONCE = 1_000

_FORGET = pending.delete().where(pending.c.queue_id == bindparam("queue"))
_NOTE = (
    pending.update()
    .where(pending.c.queue_id == bindparam("queue"))
    .values(before_id=bindparam("before"))
)

_STEP_BACK = (
    sa.select(messages.c.id)
    .where(messages.c.queue_id == bindparam("queue"), messages.c.id < bindparam("before"))
    .order_by(messages.c.id.desc())
    .limit(1)
    .offset(bindparam("passed", type_=sa.Integer))
)
_OF_STEP = sa.select(messages.c.id, messages.c.group_id, messages.c.sent_at_ms).where(
    messages.c.queue_id == bindparam("queue"),
    messages.c.id >= bindparam("first"),
    messages.c.id < bindparam("before"),
)


def change(transaction: Transaction, queue_id: int, delay_ms: int) -> None:
    """Delay all messages that were never received by so much, counted from when they were sent.

    Of many, it holds for the newest at once, and `apply_pending` sees to the others.
    """
    (before,) = transaction.take_numbers(1)
    discard(transaction, queue_id)
    row = {"queue_id": queue_id, "delay_ms": delay_ms, "before_id": before}
    transaction.connection.execute(pending.insert(), row)
    _step_back(transaction, queue_id, delay_ms, before, _DELAYED_AT_ONCE)


def apply_pending(transaction: Transaction, limit: int) -> bool:
    """Let a new delay hold for up to `limit` more messages; False when all do as they should."""
    row = transaction.connection.execute(locking.lock_if_free(sa.select(pending).limit(1))).first()
    if row is None:
        return False
    _step_back(transaction, row.queue_id, row.delay_ms, row.before_id, limit)
    return True


def discard(transaction: Transaction, queue_id: int) -> None:
    """Leave the messages that are left as they are."""
    transaction.connection.execute(_FORGET, {"queue": queue_id})


def _step_back(
    transaction: Transaction, queue_id: int, delay_ms: int, before: int, limit: int
) -> None:
    """Delay messages before that number, the newest of them, and note how far that has come."""
    connection = transaction.connection
    step = {"queue": queue_id, "before": before}
    first = connection.scalar(_STEP_BACK, {**step, "passed": limit - 1})
    step["first"] = 0 if first is None else first
    rows = connection.execute(_OF_STEP, step).all()
    transaction.fifo_groups.lock({(queue_id, row.group_id) for row in rows})
    numbers = sorted(row.id for row in rows)
    locked = locking.lock_messages(connection, queue_id, numbers)
    transitions.delay(transaction, queue_id, locked, delay_ms)
    indifferent_ms = transaction.now_ms - _LONGEST_DELAY_MS
    if first is None or all(row.sent_at_ms <= indifferent_ms for row in rows):
        discard(transaction, queue_id)
    else:
        connection.execute(_NOTE, {"queue": queue_id, "before": first})
