"""Claims: choose and lock the messages that the receives of a batch get from one queue.

A claim from a standard queue first marks the messages ready whose `visible_at_ms` has come, and
then selects ready messages in the order of the queue. A claim locks its messages until COMMIT. It
does not make them in flight: the receive does that next (`transitions.make_in_flight`), by setting
`visible_at_ms` to the end of the visibility timeout. The one exception is PostgreSQL's statement
`claim_and_make_in_flight`, which does both; `Claimed.is_in_flight` then is True.

When a visibility timeout ends, nothing runs: no timer per message, no job. The next claim finds the
message, because `visible_at_ms` has come. Waiting receivers are woken by one timer per queue, when
the queue's next message becomes visible (`storage.waiting.waiters`).

Messages that must not be delivered are removed on the way: expired ones (older than the retention)
are deleted, and exhausted ones move to the dead-letter queue. One transaction removes one step of
them (`storage.messages.rows.Step`); the next claims remove the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage import locking, queues
from storage.messages import fair_queues, transitions
from storage.messages.contents import Found
from storage.messages.rows import (
    STATE,
    STEP_ROWS,
    DeliveryRules,
    Eligibility,
    MessageState,
    content_columns,
)
from storage.messages.transitions import READY_MS
from storage.queue_settings import LockedQueue
from storage.schema import bodies, messages
from storage.sql.arrays import among
from storage.sql.statement import Statement
from storage.transaction import Transaction

_LOOK_BEHIND = 1_000
"""Ready messages among which a claim looks for one that may be delivered, if it may remove none."""


class Claimed(NamedTuple):
    """The messages that a claim has chosen.

    Attributes:
        shares: for each receive, its messages.
        is_complete: whether the claim has removed all undeliverable messages that it met, has
            marked all messages ready whose time has come, and has read all that it found.
        is_in_flight: whether the messages are in flight already.
    """

    shares: Sequence[Sequence[Found]]
    is_complete: bool
    is_in_flight: bool = False


_is_ready = (
    messages.c.queue_id == bindparam("queue"),
    # A literal: each claim then binds one parameter less.
    messages.c.visible_at_ms == sa.literal_column(str(READY_MS), sa.BigInteger),
)
_IN_ORDER = (messages.c.queued_at_ms, messages.c.id)
_ready = sa.select(*STATE, messages.c.message_id).where(*_is_ready).order_by(*_IN_ORDER)
_wanted = bindparam("wanted", type_=sa.Integer)

_READY = Statement(
    sa.select(*STATE, *content_columns(messages.c.message_id))
    .join_from(messages, bodies, bodies.c.id == messages.c.body_id)
    .where(*_is_ready)
    .order_by(*_IN_ORDER)
    .limit(_wanted)
)
"""Read state and content of the first `wanted` ready messages of `queue`."""


def _ready_within() -> sa.Select[*tuple[Any, ...]]:
    first = locking.with_locks_if_free(_ready.limit(_wanted)).cte("first_ready")
    in_order = (first.c.queued_at_ms, first.c.id)
    before = sa.func.sum(first.c.size).over(order_by=in_order) - first.c.size
    summed = sa.select(first, before.label("bytes_before")).subquery("summed")
    states = [summed.c[column.name] for column in STATE]
    return (
        sa.select(*states, *content_columns(summed.c.message_id))
        .join_from(summed, bodies, bodies.c.id == summed.c.body_id)
        .where(summed.c.bytes_before < bindparam("bytes"))
        .order_by(summed.c.queued_at_ms, summed.c.id)
    )


ready_within = _ready_within()
"""Lock the first `wanted` ready messages of `queue`; read those of the first `bytes` bytes.

The last one may exceed them. The others stay ready.
"""

_READY_STATES = Statement(locking.with_locks_if_free(_ready.limit(STEP_ROWS)))
_FIRST_STATES = Statement(_ready.limit(_LOOK_BEHIND))

_CONTENT_OF = Statement(
    sa.select(messages.c.id, *content_columns(messages.c.message_id))
    .join_from(messages, bodies, bodies.c.id == messages.c.body_id)
    .where(messages.c.queue_id == bindparam("queue"), among(messages.c.id, "numbers"))
)


def claim_standard(
    transaction: Transaction, queue: LockedQueue, maxima: Sequence[int], until_ms: int | None
) -> Claimed:
    """Claim the first ready messages, up to the total of `maxima`.

    Args:
        transaction: the transaction.
        queue: a standard queue.
        maxima: how many messages each receive wants.
        until_ms: the end of the visibility timeout in epoch milliseconds, if all receives have the
            same; None if they differ.
    """
    rules = DeliveryRules.of(queue, transaction.now_ms)
    wanted = sum(maxima)
    ready = _read_ready(transaction, queue, rules, wanted, until_ms)
    eligible = list(filter(rules.is_eligible, ready.rows))
    may_remove = not transaction.step.is_over
    while len(eligible) < len(ready.rows) and not transaction.step.is_over:
        # The receives of a batch may want more messages than one step has, or fewer.
        states = _READY_STATES.rows(transaction.connection, {"queue": queue.id})
        met = {row.id: row for row in (*ready.rows, *states)}
        rules = _remove(transaction, queue, rules, list(met.values()))
        ready = _read_ready(transaction, queue, rules, wanted, until_ms)
        eligible = list(filter(rules.is_eligible, ready.rows))
    # A row of `_READY` is a message's state, and its content too.
    found = first = list(zip(eligible, eligible, strict=True))
    are_all_eligible = len(eligible) == len(ready.rows)
    if not are_all_eligible and not may_remove:
        found = _look_behind(transaction, queue, rules, wanted)
    if any(state.tenant_id is not None for state, _ in found):
        found = _prefer_quiet_tenants(transaction, queue, rules, found)
    if found is first:
        # `with_content` has counted the others: those that replace the first ones.
        transaction.content.take(ready.rows)
    supply = iter(found)
    shares = [list(islice(supply, maximum)) for maximum in maxima]
    is_complete = are_all_eligible and not ready.may_be_more and not transaction.content.is_over
    return Claimed(shares, is_complete, ready.is_in_flight)


class _Ready(NamedTuple):
    """The rows of ready messages that a claim has locked.

    Attributes:
        rows: state and content of each.
        is_in_flight: whether the messages are in flight already.
        may_be_more: whether there may be messages whose time has come that are not marked ready.
    """

    rows: Sequence[Any]
    is_in_flight: bool = False
    may_be_more: bool = False


def _read_ready(
    transaction: Transaction,
    queue: LockedQueue,
    rules: DeliveryRules,
    wanted: int,
    until_ms: int | None,
) -> _Ready:
    """Mark messages ready whose time has come, and lock the first ready ones."""
    left = transaction.content.bytes_left
    parameters = {"queue": queue.id, "wanted": wanted if left > 0 else 0, "bytes": left}
    at_once = transaction.capabilities.claim_and_make_in_flight
    if at_once is not None and until_ms is not None:
        conditions = {"expired": rules.expired_ms, "most": rules.max_receive_count}
        times = {"now": transaction.now_ms, "until": until_ms}
        rows = at_once.rows(transaction.connection, {**parameters, **conditions, **times})
        if not rows[0].has_due:
            rows = rows if rows[0].id is not None else []
            are_all = all(rules.is_eligible(row) and row.tenant_id is None for row in rows)
            return _Ready(rows, are_all)
    may_be_more = transitions.mark_ready(transaction, queue.id)
    within = transaction.capabilities.claim_within
    if within is None:
        rows = _READY.first_rows(transaction.connection, parameters, "size", left)
    else:
        rows = within.rows(transaction.connection, parameters)
    return _Ready(rows, may_be_more=may_be_more)


def _look_behind(
    transaction: Transaction, queue: LockedQueue, rules: DeliveryRules, wanted: int
) -> list[Found]:
    """Find messages that may be delivered behind undeliverable ones, which stay for now."""
    states = _FIRST_STATES.rows(transaction.connection, {"queue": queue.id})
    numbers = [row.id for row in states if rules.is_eligible(row)][:wanted]
    locked = locking.lock_messages_without_waiting(transaction.connection, queue.id, numbers)
    ready = [row for row in locked if row.visible_at_ms == READY_MS and rules.is_eligible(row)]
    ready.sort(key=lambda row: (row.queued_at_ms, row.id))
    return with_content(transaction, queue.id, ready)


def _remove(
    transaction: Transaction,
    queue: LockedQueue,
    rules: DeliveryRules,
    rows: Sequence[MessageState],
) -> DeliveryRules:
    """Delete expired messages, and dead-letter exhausted ones, as many as the step allows.

    Returns:
        The rules for the rest of the claim: without a dead-letter queue, exhausted messages are
        delivered.
    """
    expired, exhausted = [], []
    for row in rows:
        eligibility = rules.judge(row)
        if eligibility is Eligibility.EXPIRED:
            expired.append(row)
        elif eligibility is Eligibility.EXHAUSTED:
            exhausted.append(row)
    transitions.delete_locked(transaction, queue.id, transaction.step.deleted(expired))
    moved = transaction.step.moved(exhausted)
    if moved and not _dead_letter(transaction, queue, moved):
        return rules.without_redrive()
    return rules


def _dead_letter(
    transaction: Transaction, source: LockedQueue, rows: Sequence[MessageState]
) -> bool:
    """Move exhausted messages to their queue's dead-letter queue; return whether there is one.

    If the dead-letter queue does not exist, or is the queue itself, messages stay in their queue,
    which continues to deliver them (AWS: observed). Locks the dead-letter queue.
    """
    if source.redrive is None:
        return False
    target = queues.lock(transaction, *source.redrive.target)
    if target is None or target.id == source.id:
        return False
    transitions.dead_letter(transaction, source.id, target.id, rows, source.name)
    return True


def _prefer_quiet_tenants(
    transaction: Transaction, queue: LockedQueue, rules: DeliveryRules, found: list[Found]
) -> list[Found]:
    """Replace messages of noisy tenants by those of quiet ones, if there are any."""
    noisy = fair_queues.noisy_tenants(transaction, queue.id)
    if any(row.tenant_id in noisy for row, _ in found):
        rows = fair_queues.choose(transaction, queue.id, noisy, len(found))
        while not all(map(rules.is_eligible, rows)) and not transaction.step.is_over:
            rules = _remove(transaction, queue, rules, rows)
            rows = fair_queues.choose(transaction, queue.id, noisy, len(found))
        eligible = [row for row in rows if rules.is_eligible(row)]
        found = with_content(transaction, queue.id, eligible)
    fair_queues.record_claims(transaction, queue.id, (row for row, _ in found))
    return found


def claim_fifo(transaction: Transaction, queue: LockedQueue, maxima: Sequence[int]) -> Claimed:
    """Claim the messages that the groups of a FIFO queue deliver.

    `maxima` is how many messages each receive wants.
    """
    rules = DeliveryRules.of(queue, transaction.now_ms)
    groups = transaction.fifo_groups
    selection = groups.select(queue.id, maxima, rules.is_eligible)
    while selection.unwanted and not transaction.step.is_over:
        # Look deeper into one group: it may have many such messages. But one receive may not reach
        # the group that another receive has met them in.
        deeper = groups.select(queue.id, [max(maxima)], rules.is_eligible, STEP_ROWS).unwanted
        rules = _remove(transaction, queue, rules, deeper or selection.unwanted)
        groups.write_back(wake_only_here=True)
        # Other messages are first in their groups now. Without a dead-letter queue, exhausted ones
        # are delivered after all.
        selection = groups.select(queue.id, maxima, rules.is_eligible)
    chosen = [row for rows in selection.chosen for row in rows]
    supply = iter(with_content(transaction, queue.id, chosen))
    shares = [list(islice(supply, len(rows))) for rows in selection.chosen]
    is_complete = not selection.unwanted and not transaction.content.is_over
    return Claimed(shares, is_complete)


def with_content(
    transaction: Transaction, queue_id: int, rows: Sequence[MessageState]
) -> list[Found]:
    """Read the content of messages that were chosen by their states.

    Reads that of the first messages only, if the transaction may read no more bytes.
    """
    rows = transaction.content.take(rows)
    if not rows:
        return []
    parameters: dict[str, Any] = {"queue": queue_id, "numbers": [row.id for row in rows]}
    content = {row.id: row for row in _CONTENT_OF.rows(transaction.connection, parameters)}
    return [(row, content[row.id]) for row in rows]
