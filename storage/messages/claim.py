"""Claims: which of a queue's visible messages a drain's receives are given, and hiding those.

What must not be given is cleared out of the way: a message that has expired is erased, and one that
was received often enough is buried in the dead-letter queue. Refuses to know who is given what.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage.messages import dead_letters, fair_queues, fifo_groups, transitions
from storage.messages.rows import CONTENT, STATE, MessageContent, MessageState
from storage.messages.transitions import in_flight_update
from storage.queue_settings import LockedQueue
from storage.schema import bodies, messages
from storage.sql.arrays import among
from storage.sql.statement import Statement
from storage.transaction import Transaction

_CLEARING_ROUNDS = 10
_CLEARED_PER_ROUND = 500
"""How much one claim makes way through messages that it must not give, before it gives up."""

_ANY_COUNT = 2**31 - 1


class Claimed(NamedTuple):
    """What a claim has found: a share for each receive, of messages as (state, content).

    `is_all` tells that none is left of what it met and must not give, `is_hidden` that the messages
    are hidden already.
    """

    shares: Sequence[Sequence[tuple[MessageState, MessageContent]]]
    is_all: bool
    is_hidden: bool = False


class Clearing:
    """What a claim must not give: expired messages, and exhausted ones if they have a place to go.

    Those sent until `expired_ms` have expired.
    """

    def __init__(self, transaction: Transaction, queue: LockedQueue) -> None:
        self.queue_id = queue.id
        self.expired_ms = transaction.now_ms - queue.retention_ms
        self._transaction = transaction
        self._queue = queue
        self._redrive = queue.redrive

    @property
    def most_receives(self) -> int:
        """A message that was received so often is given no more, as far as is known by now."""
        return _ANY_COUNT if self._redrive is None else self._redrive.max_receive_count

    def keeps(self, row: MessageState) -> bool:
        """Tell whether a message may be given, when it is visible."""
        return row.sent_at_ms > self.expired_ms and (
            self._redrive is None
            or row.receive_count < self._redrive.max_receive_count
            or row.visible_at_ms > self._transaction.now_ms
        )

    def clear(self, rows: Sequence[MessageState]) -> None:
        """Erase or bury messages; exhausted ones are kept after all if there is nowhere to go."""
        expired = [r for r in rows if self._has_expired(r)]
        transitions.expire(self._transaction, self.queue_id, expired)
        exhausted = [r for r in rows if not self._has_expired(r)]
        if not exhausted or self._redrive is None:
            return
        if not dead_letters.move_to_dead_letter_queue(
            self._transaction, self._queue, self._redrive.target, exhausted
        ):
            self._redrive = None

    def _has_expired(self, row: MessageState) -> bool:
        return bool(row.sent_at_ms <= self.expired_ms)


_head = (
    sa.select(*STATE, *CONTENT)
    .join_from(
        messages,
        bodies,
        sa.and_(bodies.c.queue_id == messages.c.queue_id, bodies.c.id == messages.c.id),
    )
    .where(messages.c.queue_id == bindparam("queue"), messages.c.visible_at_ms <= bindparam("now"))
    .order_by(messages.c.visible_at_ms, messages.c.id)
    .limit(bindparam("wanted", type_=sa.Integer))
    .with_for_update(of=messages, skip_locked=True)
)

_CLAIM = Statement(_head)

_VISIBLE_HEAD = Statement(
    sa.select(*STATE)
    .where(messages.c.queue_id == bindparam("queue"), messages.c.visible_at_ms <= bindparam("now"))
    .order_by(messages.c.visible_at_ms, messages.c.id)
    .limit(_CLEARED_PER_ROUND)
    .with_for_update(skip_locked=True)
)


def _claim_and_hide() -> sa.Select[*tuple[object, ...]]:
    """Write a claim that hides what it finds, if all of that may be given and nobody shares it."""
    head = _head.cte("head")
    may_be_given = sa.and_(
        head.c.sent_at_ms > bindparam("expired"),
        head.c.receive_count < bindparam("most"),
        head.c.tenant_id.is_(None),
    )
    are_all = sa.select(sa.func.bool_and(may_be_given)).select_from(head).scalar_subquery()
    numbers = sa.func.array(sa.select(head.c.id).scalar_subquery())
    hidden = in_flight_update.where(messages.c.id == sa.any_(numbers), are_all).cte("hidden")
    return sa.select(head).add_cte(hidden)


_CLAIM_AND_HIDE = Statement(_claim_and_hide())
"""For PostgreSQL, where it saves waiting for one more answer; SQLite could not say it."""


def claim_standard(
    transaction: Transaction, clearing: Clearing, maxima: Sequence[int], until_ms: int | None
) -> Claimed:
    """Take visible messages from the head of the index, clearing others out of the way.

    They are to be hidden `until_ms`, if all are hidden until the same moment.
    """
    parameters = {"queue": clearing.queue_id, "now": transaction.now_ms, "wanted": sum(maxima)}
    may_hide = transaction.is_shared and until_ms is not None
    for _ in range(_CLEARING_ROUNDS):
        if may_hide:
            rules = {"expired": clearing.expired_ms, "most": clearing.most_receives}
            hiding = {**parameters, **rules, "until": until_ms}
            rows = _CLAIM_AND_HIDE.rows(transaction.connection, hiding)
        else:
            rows = _CLAIM.rows(transaction.connection, parameters)
        kept = [(row, row) for row in rows if clearing.keeps(row)]
        is_all = len(kept) == len(rows)
        if is_all:
            break
        head = _VISIBLE_HEAD.rows(transaction.connection, parameters)
        clearing.clear([row for row in head if not clearing.keeps(row)])
    have_tenants = any(row.tenant_id is not None for row in rows)
    if have_tenants:
        kept = _treat_fairly(transaction, clearing, kept)
    supply = iter(kept)
    shares = [list(islice(supply, maximum)) for maximum in maxima]
    return Claimed(shares, is_all, is_hidden=may_hide and is_all and not have_tenants)


def _treat_fairly(
    transaction: Transaction, clearing: Clearing, found: list[tuple[MessageState, MessageContent]]
) -> list[tuple[MessageState, MessageContent]]:
    """Give other tenants' messages in place of those of noisy ones, where there are any."""
    queue_id = clearing.queue_id
    noisy = fair_queues.noisy_tenants(transaction, queue_id)
    if any(row.tenant_id in noisy for row, _ in found):
        for _ in range(_CLEARING_ROUNDS):
            rows = fair_queues.choose(transaction, queue_id, noisy, len(found))
            unfit = [row for row in rows if not clearing.keeps(row)]
            if not unfit:
                break
            clearing.clear(unfit)
        found = with_content(transaction, queue_id, [row for row in rows if clearing.keeps(row)])
    fair_queues.record_claims(transaction, queue_id, (row for row, _ in found))
    return found


def claim_fifo(transaction: Transaction, clearing: Clearing, maxima: Sequence[int]) -> Claimed:
    """Take what the groups deliver, clearing what must not be given out of their way."""
    queue_id = clearing.queue_id
    depth = 1
    for _ in range(_CLEARING_ROUNDS):
        chosen, met = fifo_groups.choose(transaction, queue_id, maxima, clearing.keeps, depth)
        if not met:
            break
        # What is behind comes next, and what is kept after all comes first: so choose again.
        clearing.clear(met)
        fifo_groups.settle(transaction, by_receive=True)
        depth = _CLEARED_PER_ROUND
    supply = iter(with_content(transaction, queue_id, [row for rows in chosen for row in rows]))
    return Claimed([list(islice(supply, len(rows))) for rows in chosen], is_all=not met)


_CONTENT_OF = Statement(
    sa.select(bodies.c.id, *CONTENT).where(
        bodies.c.queue_id == bindparam("queue"), among(bodies.c.id, "numbers")
    )
)


def with_content(
    transaction: Transaction, queue_id: int, rows: Sequence[MessageState]
) -> list[tuple[MessageState, MessageContent]]:
    """Read the content of messages that were chosen by their state alone."""
    if not rows:
        return []
    parameters = {"queue": queue_id, "numbers": [row.id for row in rows]}
    content = {row.id: row for row in _CONTENT_OF.rows(transaction.connection, parameters)}
    return [(row, content[row.id]) for row in rows]
