"""Dead-letter queues: moving messages from queue to queue, each in one transaction.

A message is in exactly one queue at every commit. Refuses to decide when: the receive that meets
an exhausted message moves it, and a move task moves what it finds.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam

from storage import queues
from storage.messages import fifo_groups
from storage.messages.rows import Row
from storage.queue_settings import LockedQueue, QueueName
from storage.queues import Queue
from storage.schema import bodies, messages
from storage.transaction import Transaction

_MOVE_STATE = (
    messages.update()
    .where(messages.c.queue_id == bindparam("queue"), messages.c.id == bindparam("number"))
    .values(
        queue_id=bindparam("to_queue"),
        id=bindparam("to_number"),
        visible_at_ms=bindparam("now"),
        sent_at_ms=bindparam("sent"),
        receive_count=bindparam("receives"),
        first_received_at_ms=bindparam("first"),
        redriven_at_ms=bindparam("redriven"),
    )
)

_MOVE_BODY = (
    bodies.update()
    .where(bodies.c.queue_id == bindparam("queue"), bodies.c.id == bindparam("number"))
    .values(
        queue_id=bindparam("to_queue"),
        id=bindparam("to_number"),
        dead_letter_source=bindparam("source"),
    )
)

# A statement of its own: what a move does not change, it does not write.
_RENAME_BODY = _MOVE_BODY.values(message_id=bindparam("message"))


def move_to_dead_letter_queue(
    transaction: Transaction, source: LockedQueue, target_name: QueueName, rows: Sequence[Row]
) -> bool:
    """Move exhausted messages to the dead-letter queue, or say that there is none to move them to.

    Standard messages keep the time they were sent, so their retention goes on; FIFO messages begin
    anew and take the next places of their groups. A queue that is its own dead-letter queue keeps
    its messages and goes on delivering them.
    """
    target = queues.lock(transaction, *target_name)
    if target is None or target.id == source.id:
        return False
    is_fifo = target.kind != queues.STANDARD
    states = [
        {
            "sent": transaction.now_ms if is_fifo else row.sent_at_ms,
            "receives": row.receive_count,
            "first": row.first_received_at_ms,
            "redriven": None if is_fifo else transaction.now_ms,
        }
        for row in rows
    ]
    contents = [{"source": str(source.name)} for _ in rows]
    _move(transaction, source.id, target, rows, states, contents)
    return True


def move_as_new(
    transaction: Transaction, queue_id: int, target: Queue, rows: Sequence[Row]
) -> None:
    """Move messages as a move task does: they arrive as new ones, never received, under new ids."""
    states = [
        {"sent": transaction.now_ms, "receives": 0, "first": None, "redriven": None} for _ in rows
    ]
    contents = [{"source": None, "message": uuid.uuid4().bytes} for _ in rows]
    _move(transaction, queue_id, target, rows, states, contents)


def _move(
    transaction: Transaction,
    queue_id: int,
    target: Queue,
    rows: Sequence[Row],
    states: Sequence[dict[str, Any]],
    contents: Sequence[dict[str, Any]],
) -> None:
    """Move messages; what `states` and `contents` say of each is completed by where it goes."""
    now_ms = transaction.now_ms
    held = fifo_groups.hold_to_send(
        transaction, {(target.id, row.group_id) for row in rows if row.group_id is not None}
    )
    numbers = transaction.take_numbers(len(rows))
    for row, number, state, content in zip(rows, numbers, states, contents, strict=True):
        key = {"queue": queue_id, "number": row.id, "to_queue": target.id, "to_number": number}
        state.update(key, now=now_ms)
        content.update(key)
    move_body = _RENAME_BODY if "message" in contents[0] else _MOVE_BODY
    transaction.connection.execute(_MOVE_STATE, states)
    transaction.connection.execute(move_body, contents)
    transaction.add_to_count(queue_id, -len(rows))
    transaction.add_to_count(target.id, len(rows))
    transaction.notify_visible(target.id, now_ms, len(rows))
    arrived = [
        (target.id, row.group_id, number, now_ms)
        for row, number in zip(rows, numbers, strict=True)
        if row.group_id is not None
    ]
    if arrived:
        fifo_groups.join(transaction, arrived, held)
        transaction.dirty_groups.update((queue_id, row.group_id) for row in rows)
