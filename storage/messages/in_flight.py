"""The in-flight limit: how many more messages of a queue may be in flight, and when to check again.

The limit is the setting `in_flight_limit` (AWS: about 120,000 per queue). Each receive enforces it
with the functions here (`storage.messages.receive`); `transitions.make_in_flight` makes messages in
flight. Counting costs time in proportion to the messages in flight, so the server counts them
seldom, and adds its own claims since.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage.schema import messages
from storage.sql.statement import Statement
from storage.transaction import Transaction

_CHECK_AGAIN_MS = 1_000
"""Delay before a receiver at the in-flight limit checks again, for deletes on other servers.

Other servers notify of deletes only if they know that the queue is at the limit."""

_PARTS = 16
"""With other servers, count again after using 1/16 of what is left.

Far from the limit, a queue is counted once in thousands of claimed messages."""

IS_IN_FLIGHT = sa.and_(
    messages.c.queue_id == bindparam("queue"),
    messages.c.visible_at_ms > bindparam("now"),
    messages.c.receive_count > 0,
)
"""The condition that a message of `queue` is in flight at `now`: not visible, received before."""

_COUNT = Statement(sa.select(sa.func.count()).where(IS_IN_FLIGHT))

_NEXT_VISIBLE_AT = Statement(
    sa.select(messages.c.visible_at_ms)
    .where(IS_IN_FLIGHT)
    .order_by(messages.c.visible_at_ms, messages.c.queued_at_ms, messages.c.id)
    .limit(1)
)


def remaining(transaction: Transaction, queue_id: int, wanted: int, limit: int) -> int:
    """Return how many more messages of the queue may be in flight; negative if there are too many.

    Counts again when claims since the last count plus `wanted` could use up what was left. A stale
    count then never rejects a receive. With other servers, whose claims are not known here, counts
    again sooner.
    """
    hint = transaction.hints.of(queue_id)
    parts = _PARTS if transaction.capabilities.has_concurrent_writers else 1
    claims = hint.in_flight - (hint.counted or 0) + wanted
    if hint.counted is None or claims * parts >= limit - hint.counted:
        parameters = {"queue": queue_id, "now": transaction.now_ms}
        hint.in_flight = _COUNT.value(transaction.connection, parameters)
        hint.counted = hint.in_flight
    return limit - hint.in_flight


def next_check_ms(transaction: Transaction, queue_id: int) -> int | None:
    """Return when a receiver at the limit should check again, None if nothing is in flight.

    That is when the next visibility timeout ends. Deletes on this server wake receivers at once.
    """
    parameters = {"queue": queue_id, "now": transaction.now_ms}
    next_ms: int | None = _NEXT_VISIBLE_AT.value(transaction.connection, parameters)
    if not transaction.capabilities.has_concurrent_writers:
        return next_ms
    soon_ms = transaction.now_ms + _CHECK_AGAIN_MS
    return soon_ms if next_ms is None else min(next_ms, soon_ms)
