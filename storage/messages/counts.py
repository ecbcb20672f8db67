"""Count a queue's messages: visible, in flight, delayed."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from storage.queues import Queue
from storage.schema import backlogs, is_dead_letter, messages


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of a queue's messages in each state; expired messages are not counted.

    AWS: the attributes ApproximateNumberOfMessages, -NotVisible and -Delayed.
    """

    visible: int
    in_flight: int
    delayed: int


def count(connection: sa.Connection, queue: Queue, now_ms: int) -> Counts:
    """Count a queue's messages at a time in epoch milliseconds.

    The cost does not depend on how many are visible. `backlogs` has the number of all rows. Rows
    that are not visible are counted in the index. Expired rows that are not freed yet are
    subtracted. Their ids are lower than that of the first row that has not expired, because ids are
    in the order of sending. Only dead-lettered messages that kept their time of sending are counted
    separately.
    """
    state = messages.c
    expired_ms = now_ms - queue.retention_ms
    is_of_queue = state.queue_id == queue.id
    total = connection.scalar(sa.select(backlogs.c.messages).where(backlogs.c.queue_id == queue.id))
    not_visible = connection.execute(
        _tally(now_ms).where(is_of_queue, state.visible_at_ms > now_ms)
    ).one()
    first_alive = connection.scalar(
        sa.select(state.id)
        .where(is_of_queue, state.sent_at_ms > expired_ms)
        .order_by(state.id)
        .limit(1)
    )
    expired = [_tally(now_ms).where(is_of_queue)]
    if first_alive is not None:
        expired = [
            _tally(now_ms).where(is_of_queue, state.id < first_alive),
            _tally(now_ms, state.id > first_alive).where(
                is_of_queue, *expired_dead_letters(expired_ms)
            ),
        ]
    found = [connection.execute(tally).one() for tally in expired]
    expired_rows, expired_not_visible, expired_delayed = (
        sum(parts) for parts in zip(*found, strict=True)
    )
    delayed = not_visible.delayed - expired_delayed
    in_flight = not_visible.not_visible - expired_not_visible - delayed
    visible = (total or 0) - expired_rows - (not_visible.not_visible - expired_not_visible)
    return Counts(visible=visible, in_flight=in_flight, delayed=delayed)


def _tally(now_ms: int, only: sa.ColumnElement[bool] | None = None) -> sa.Select[int, int, int]:
    """Count all rows, the rows that are not visible, and the delayed rows among those.

    `only` is a further condition for counted rows. It is not in the WHERE clause, so that the
    planner does not choose an index for it.
    """
    counts = sa.true() if only is None else only
    is_not_visible = sa.and_(counts, messages.c.visible_at_ms > now_ms)
    is_delayed = sa.and_(is_not_visible, messages.c.receive_count == 0)
    return sa.select(
        sa.func.count(sa.case((counts, 1))),
        sa.func.count(sa.case((is_not_visible, 1))).label("not_visible"),
        sa.func.count(sa.case((is_delayed, 1))).label("delayed"),
    ).select_from(messages)


def expired_dead_letters(expired_ms: int) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """Return the conditions for expired messages that kept their time of sending when they moved.

    They were sent at `expired_ms` or before, and moved to a standard dead-letter queue. Their ids
    are not in the order of sending.
    """
    return is_dead_letter, messages.c.sent_at_ms <= expired_ms
