"""How many messages of a queue are in flight, and when there is room for more.

SQS gives no more when there are so many; counting them costs what they weigh, so it is done seldom.
Refuses to remember anything: the hints do.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage.schema import messages
from storage.sql.statement import Statement
from storage.transaction import Transaction

_ROOM_MS = 1_000
"""How soon one looks again that found no room: what other servers delete is not told for that."""

_PARTS = 16
"""Into how many parts room is divided, of which a server takes one before it counts again.

A queue is so counted once in thousands of messages while it is far from the limit."""

IS_IN_FLIGHT = sa.and_(
    messages.c.queue_id == bindparam("queue"),
    messages.c.visible_at_ms > bindparam("now"),
    messages.c.receive_count > 0,
)
"""Whether a message of `queue` is in flight at the moment `now`: hidden, and not by a delay."""

_COUNT = Statement(sa.select(sa.func.count()).where(IS_IN_FLIGHT))

_NEXT_LAPSE = Statement(
    sa.select(messages.c.visible_at_ms)
    .where(IS_IN_FLIGHT)
    .order_by(messages.c.visible_at_ms, messages.c.id)
    .limit(1)
)


def remaining(transaction: Transaction, queue_id: int, wanted: int, limit: int) -> int:
    """Tell how many more messages SQS lets be in flight.

    Claims are added up, and what is in flight is counted only when they come to the room that there
    was: so where there seems to be none left, there is none. What other servers claim meanwhile is
    not in the sum, so where there are others a server takes a part of the room, and counts again.
    """
    hint = transaction.hints.of(queue_id)
    parts = _PARTS if transaction.is_shared else 1
    claims = hint.in_flight - (hint.counted or 0) + wanted
    if hint.counted is None or claims * parts >= limit - hint.counted:
        parameters = {"queue": queue_id, "now": transaction.now_ms}
        hint.in_flight = _COUNT.value(transaction.connection, parameters)
        hint.counted = hint.in_flight
    return limit - hint.in_flight


def next_check_ms(transaction: Transaction, queue_id: int) -> int | None:
    """Tell when it is worth to look again: when something in flight lapses.

    What is visible is of no use before that, or before something is deleted.
    """
    parameters = {"queue": queue_id, "now": transaction.now_ms}
    lapse_ms: int | None = _NEXT_LAPSE.value(transaction.connection, parameters)
    if not transaction.is_shared:
        return lapse_ms
    soon_ms = transaction.now_ms + _ROOM_MS
    return soon_ms if lapse_ms is None else min(lapse_ms, soon_ms)
