"""Claims: choose and lock the messages that the receives of a batch get from one queue.

A claim selects messages whose `visible_at_ms` has come, and locks them until COMMIT. It does not
make them in flight: the receive does that next (`transitions.make_in_flight`), by setting
`visible_at_ms` to the end of the visibility timeout. The one exception is PostgreSQL's statement
`claim_and_make_in_flight`, which does both; `Claimed.is_in_flight` then is True.

When a visibility timeout ends, nothing runs: no timer per message, no job. The message's row
matches the next claim again, because `visible_at_ms` has come. Waiting receivers are woken by one
timer per queue, when the queue's next message becomes visible (`storage.waiting.waiters`).

Messages that must not be delivered are removed on the way: expired ones (older than the retention)
are deleted, and exhausted ones move to the dead-letter queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage import locking
from storage.messages import fair_queues, transitions
from storage.messages.dead_letters import dead_letter
from storage.messages.rows import (
    CONTENT,
    STATE,
    DeliveryRules,
    Eligibility,
    MessageContent,
    MessageState,
)
from storage.queue_settings import LockedQueue
from storage.schema import bodies, messages
from storage.sql.arrays import among
from storage.sql.statement import Statement
from storage.transaction import Transaction

Found: TypeAlias = tuple[MessageState, MessageContent]
"""A message's state, and its content."""

_REMOVAL_ROUNDS = 10
_REMOVED_PER_ROUND = 500
"""A claim removes up to 10 rounds of 500 messages; the next claim removes the others."""


class Claimed(NamedTuple):
    """The messages that a claim has chosen.

    Attributes:
        shares: for each receive, its messages.
        is_complete: whether the claim has removed all undeliverable messages that it met.
        is_in_flight: whether the messages are in flight already.
    """

    shares: Sequence[Sequence[Found]]
    is_complete: bool
    is_in_flight: bool = False


visible_messages = locking.with_locks_if_free(
    sa.select(*STATE, *CONTENT)
    .join_from(
        messages,
        bodies,
        sa.and_(bodies.c.queue_id == messages.c.queue_id, bodies.c.id == messages.c.id),
    )
    .where(messages.c.queue_id == bindparam("queue"), messages.c.visible_at_ms <= bindparam("now"))
    .order_by(messages.c.visible_at_ms, messages.c.id)
    .limit(bindparam("wanted", type_=sa.Integer)),
    of=messages,
)
"""Lock the first `wanted` messages of `queue` that are visible at `now`; read state and content.

This condition is the end of a visibility timeout: a message matches once `visible_at_ms` has come.
"""

_CLAIM = Statement(visible_messages)

_VISIBLE_STATES = Statement(
    locking.with_locks_if_free(
        sa.select(*STATE)
        .where(
            messages.c.queue_id == bindparam("queue"), messages.c.visible_at_ms <= bindparam("now")
        )
        .order_by(messages.c.visible_at_ms, messages.c.id)
        .limit(_REMOVED_PER_ROUND)
    )
)

_CONTENT_OF = Statement(
    sa.select(bodies.c.id, *CONTENT).where(
        bodies.c.queue_id == bindparam("queue"), among(bodies.c.id, "numbers")
    )
)


def claim_standard(
    transaction: Transaction, queue: LockedQueue, maxima: Sequence[int], until_ms: int | None
) -> Claimed:
    """Claim the messages that became visible first, up to the total of `maxima`.

    Args:
        transaction: the transaction.
        queue: a standard queue.
        maxima: how many messages each receive wants.
        until_ms: the end of the visibility timeout in epoch milliseconds, if all receives have the
            same; None if they differ.
    """
    rules = DeliveryRules.of(queue, transaction.now_ms)
    at_once = None if until_ms is None else transaction.capabilities.claim_and_make_in_flight
    for _ in range(_REMOVAL_ROUNDS):
        parameters = {"queue": queue.id, "now": transaction.now_ms, "wanted": sum(maxima)}
        if at_once is None:
            rows = _CLAIM.rows(transaction.connection, parameters)
        else:
            parameters |= {"expired": rules.expired_ms, "most": rules.max_receive_count}
            rows = at_once.rows(transaction.connection, {**parameters, "until": until_ms})
        found: list[Found] = [(row, row) for row in rows if rules.is_eligible(row)]
        is_complete = len(found) == len(rows)
        if is_complete:
            break
        parameters = {"queue": queue.id, "now": transaction.now_ms}
        rules = _remove(
            transaction, queue, rules, _VISIBLE_STATES.rows(transaction.connection, parameters)
        )
    have_tenants = any(row.tenant_id is not None for row in rows)
    if have_tenants:
        found = _prefer_quiet_tenants(transaction, queue, rules, found)
    supply = iter(found)
    shares = [list(islice(supply, maximum)) for maximum in maxima]
    is_in_flight = at_once is not None and is_complete and not have_tenants
    return Claimed(shares, is_complete, is_in_flight)


def _remove(
    transaction: Transaction,
    queue: LockedQueue,
    rules: DeliveryRules,
    rows: Sequence[MessageState],
) -> DeliveryRules:
    """Delete expired messages, and dead-letter exhausted ones; leave the others.

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
    transitions.expire(transaction, queue.id, expired)
    if exhausted and not dead_letter(transaction, queue, exhausted):
        return rules.without_redrive()
    return rules


def _prefer_quiet_tenants(
    transaction: Transaction, queue: LockedQueue, rules: DeliveryRules, found: list[Found]
) -> list[Found]:
    """Replace messages of noisy tenants by those of quiet ones, if there are any."""
    noisy = fair_queues.noisy_tenants(transaction, queue.id)
    if any(row.tenant_id in noisy for row, _ in found):
        for _ in range(_REMOVAL_ROUNDS):
            rows = fair_queues.choose(transaction, queue.id, noisy, len(found))
            eligible = [row for row in rows if rules.is_eligible(row)]
            if len(eligible) == len(rows):
                break
            rules = _remove(transaction, queue, rules, rows)
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
    depth = 1
    for _ in range(_REMOVAL_ROUNDS):
        selection = groups.select(queue.id, maxima, rules.is_eligible, depth)
        if not selection.unwanted:
            break
        # Select again: other messages are first in their groups now. Without a dead-letter queue,
        # exhausted ones are delivered after all.
        rules = _remove(transaction, queue, rules, selection.unwanted)
        groups.write_back(wake_only_here=True)
        depth = _REMOVED_PER_ROUND
    chosen = [row for rows in selection.chosen for row in rows]
    supply = iter(with_content(transaction, queue.id, chosen))
    shares = [list(islice(supply, len(rows))) for rows in selection.chosen]
    return Claimed(shares, is_complete=not selection.unwanted)


def with_content(
    transaction: Transaction, queue_id: int, rows: Sequence[MessageState]
) -> list[Found]:
    """Read the content of messages that were chosen by their states."""
    if not rows:
        return []
    parameters: dict[str, Any] = {"queue": queue_id, "numbers": [row.id for row in rows]}
    content = {row.id: row for row in _CONTENT_OF.rows(transaction.connection, parameters)}
    return [(row, content[row.id]) for row in rows]
