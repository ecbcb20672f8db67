"""Counts of a queue's messages: visible, in flight, delayed."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from storage.queues import Queue
from storage.schema import backlogs, messages


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages a queue has, by what can be done with them now."""

    visible: int
    in_flight: int
    delayed: int


def count(connection: sa.Connection, queue: Queue, now_ms: int) -> Counts:
    """Count a queue's messages, at a cost that does not depend on how many are visible.

    All rows are counted as they come and go; what is hidden is counted in the index. What was sent
    at or before `expired_ms` and is not yet freed stands before the first that is alive: whatever
    comes after that one was sent later than it came, but for messages that a redrive brought.
    """
    state = messages.c
    expired_ms = now_ms - queue.retention_ms
    is_its = state.queue_id == queue.id
    total = connection.scalar(sa.select(backlogs.c.messages).where(backlogs.c.queue_id == queue.id))
    hidden = connection.execute(_tally(now_ms).where(is_its, state.visible_at_ms > now_ms)).one()
    first_alive = connection.scalar(
        sa.select(state.id).where(is_its, state.sent_at_ms > expired_ms).order_by(state.id).limit(1)
    )
    dead = [_tally(now_ms).where(is_its)]
    if first_alive is not None:
        dead = [
            _tally(now_ms).where(is_its, state.id < first_alive),
            _tally(now_ms, state.id > first_alive).where(is_its, *expired_redriven(expired_ms)),
        ]
    gone = [connection.execute(tally).one() for tally in dead]
    dead_rows, dead_hidden, dead_delayed = (sum(parts) for parts in zip(*gone, strict=True))
    delayed = hidden.delayed - dead_delayed
    in_flight = hidden.hidden - dead_hidden - delayed
    visible = (total or 0) - dead_rows - (hidden.hidden - dead_hidden)
    return Counts(visible=visible, in_flight=in_flight, delayed=delayed)


def _tally(now_ms: int, only: sa.ColumnElement[bool] | None = None) -> sa.Select[int, int, int]:
    """Count rows, those that are hidden, and those that are hidden and were never received.

    Of the rows that the statement finds, `only` says which count: no index is chosen for it.
    """
    counts = sa.true() if only is None else only
    is_hidden = sa.and_(counts, messages.c.visible_at_ms > now_ms)
    is_delayed = sa.and_(is_hidden, messages.c.receive_count == 0)
    return sa.select(
        sa.func.count(sa.case((counts, 1))),
        sa.func.count(sa.case((is_hidden, 1))).label("hidden"),
        sa.func.count(sa.case((is_delayed, 1))).label("delayed"),
    ).select_from(messages)


def expired_redriven(expired_ms: int) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """Find what a redrive brought and has expired, wherever it stands."""
    return messages.c.redriven_at_ms.is_not(None), messages.c.sent_at_ms <= expired_ms
