"""Fair queues: one tenant's backlog in a standard queue does not delay other tenants' messages.

A tenant is a message group of a standard queue. AWS: a tenant is noisy if it has more than 10 % of
the messages in flight, and at least 30. Messages of quiet tenants are received before those of
noisy ones, and among noisy tenants the one with the least messages in flight comes first. A message
without a group is a quiet tenant of its own.

The cost depends neither on the backlog nor on the number of tenants: each search reads a limited
number of rows, and the next search continues where the last one ended. So with very many tenants, a
quiet tenant's message that is neither among the oldest nor among the newest can be found late.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage import locking
from storage.messages.in_flight import IS_IN_FLIGHT
from storage.messages.rows import STATE, MessageState
from storage.schema import messages
from storage.sql.arrays import among
from storage.sql.statement import Statement
from storage.transaction import Transaction

_NOISY_SHARE = 10
_NOISY_AT_LEAST = 30
_COUNT_AGAIN_MS = 1_000
_COUNT_AGAIN_CLAIMS = 10
_COMPARED_LIMIT = 10_000
"""Tenants are compared among so many messages in flight: those with the latest timeouts.

This is not the in-flight limit of a queue, for which see `storage.messages.in_flight`."""
_OLDEST_LIMIT = 1_000
_NEWEST_LIMIT = 200
_TENANTS_LIMIT = 200
"""Most visible messages, from either end of the queue, and most tenants, that one search reads."""
_IN_ORDER = (messages.c.visible_at_ms, messages.c.queued_at_ms, messages.c.id)
_REVERSED = tuple(column.desc() for column in _IN_ORDER)
"""The order of visible messages, and of those of one tenant: ready messages come first."""
_WAITING_LIMIT = 1_000
"""The search for quiet tenants stops when so many are known to have messages."""


def _noisy_tenants() -> sa.Select[str, int, int]:
    """Find the noisy tenants, each one's messages in flight, and the messages in flight of all."""
    # Reads the index only, which has the receive count: so rows of delayed messages are not read.
    found = (
        sa.select(messages.c.id)
        .where(IS_IN_FLIGHT)
        .order_by(*_REVERSED)
        .limit(_COMPARED_LIMIT)
        .subquery("in_flight")
    )
    state = messages.alias("state")
    count = sa.func.count()
    tenants = (
        sa.select(state.c.tenant_id, count, sa.func.sum(count).over())
        .join_from(
            found,
            state,
            sa.and_(state.c.queue_id == bindparam("queue"), state.c.id == found.c.id),
        )
        .group_by(state.c.tenant_id)
        .subquery("tenants")
    )
    tenant_id, had, total = tenants.c
    return sa.select(tenant_id, had, total).where(
        had >= _NOISY_AT_LEAST, had * _NOISY_SHARE > total, tenant_id.is_not(None)
    )


_NOISY_TENANTS = Statement(_noisy_tenants())


def noisy_tenants(transaction: Transaction, queue_id: int) -> Mapping[str, int]:
    """Return the noisy tenants, with the number of messages in flight that each had.

    The result is up to a second old. It is counted again sooner after claims that could change it.
    """
    hint = transaction.hints.of(queue_id)
    if (
        hint.counted_at_ms is None
        or not 0 <= transaction.now_ms - hint.counted_at_ms < _COUNT_AGAIN_MS
        or hint.claimed >= max(_COUNT_AGAIN_CLAIMS, hint.compared // _NOISY_SHARE)
    ):
        parameters = {"queue": queue_id, "now": transaction.now_ms}
        rows = _NOISY_TENANTS.rows(transaction.connection, parameters)
        hint.noisy = {tenant: had for tenant, had, _ in rows}
        hint.compared = int(rows[0][2]) if rows else hint.in_flight
        hint.counted_at_ms = transaction.now_ms
        hint.claimed = 0
    return hint.noisy


def _tenant_heads() -> sa.Select[str, int, int]:
    """Find the next tenants after `after`, with the times of each one's first message.

    Costs three index searches for each tenant.
    """
    queue_id: sa.BindParameter[int] = bindparam("queue")

    def first_after(tenant_id: sa.ColumnElement[str]) -> sa.ScalarSelect[str]:
        after = messages.alias()
        return (
            sa.select(after.c.tenant_id)
            .where(after.c.queue_id == queue_id, after.c.tenant_id > tenant_id)
            .order_by(after.c.tenant_id)
            .limit(1)
            .scalar_subquery()
        )

    walk = sa.select(
        first_after(bindparam("after", type_=sa.Text)).label("tenant_id"),
        sa.literal(1).label("place"),
    ).cte("walk", recursive=True)
    walk = walk.union_all(
        sa.select(first_after(walk.c.tenant_id), walk.c.place + 1).where(
            walk.c.tenant_id.is_not(None), walk.c.place < _TENANTS_LIMIT
        )
    )
    first = messages.alias("first")
    first_id = (
        sa.select(messages.c.id)
        .where(messages.c.queue_id == queue_id, messages.c.tenant_id == walk.c.tenant_id)
        .order_by(*_IN_ORDER)
        .limit(1)
        .scalar_subquery()
    )
    return sa.select(walk.c.tenant_id, first.c.visible_at_ms, first.c.queued_at_ms).join_from(
        walk, first, sa.and_(first.c.queue_id == queue_id, first.c.id == first_id)
    )


_TENANT_HEADS = Statement(_tenant_heads())


def _quiet_among(*order: sa.ColumnElement[Any]) -> Statement:
    """Find messages of quiet tenants among the first `limit` visible ones in an order."""
    first_visible = (
        sa.select(messages.c.id, messages.c.tenant_id, messages.c.queued_at_ms)
        .where(
            messages.c.queue_id == bindparam("queue"), messages.c.visible_at_ms <= bindparam("now")
        )
        .order_by(*order)
        .limit(bindparam("limit", type_=sa.Integer))
        .subquery("looked_at")
    )
    tenant_id = first_visible.c.tenant_id
    return Statement(
        sa.select(first_visible).where(
            sa.or_(tenant_id.is_(None), sa.not_(among(tenant_id, "noisy")))
        )
    )


_QUIET_OLDEST = _quiet_among(*_IN_ORDER)
_QUIET_NEWEST = _quiet_among(*_REVERSED)

_STILL_VISIBLE = Statement(
    locking.with_locks_if_free(
        sa.select(*STATE).where(
            messages.c.queue_id == bindparam("queue"),
            among(messages.c.id, "numbers"),
            messages.c.visible_at_ms <= bindparam("now"),
        )
    )
)

_OF_TENANT = Statement(
    locking.with_locks_if_free(
        sa.select(*STATE)
        .where(
            messages.c.queue_id == bindparam("queue"),
            messages.c.tenant_id == bindparam("tenant"),
            messages.c.visible_at_ms <= bindparam("now"),
        )
        .order_by(*_IN_ORDER)
        .limit(bindparam("wanted", type_=sa.Integer))
    )
)


def choose(
    transaction: Transaction, queue_id: int, noisy: Mapping[str, int], wanted: int
) -> list[MessageState]:
    """Choose and lock up to `wanted` visible messages: of quiet tenants first, then of noisy ones.

    Messages of quiet tenants are in the order of the queue. A message without a
    tenant is a quiet one.
    """
    # Reads at least `wanted` messages: a receive must not return none from a queue that has some.
    oldest = _quiet(transaction, queue_id, _QUIET_OLDEST, noisy, max(_OLDEST_LIMIT, wanted))
    if len(oldest) >= wanted:
        chosen = _lock(transaction, queue_id, oldest[:wanted])
    else:
        chosen = _choose_behind(transaction, queue_id, noisy, oldest, wanted)
    chosen.sort(key=_by_age)
    del chosen[wanted:]
    by_noise = sorted(noisy, key=lambda tenant: noisy[tenant])
    return chosen + _first_of(transaction, queue_id, by_noise, wanted - len(chosen))


def _choose_behind(
    transaction: Transaction,
    queue_id: int,
    noisy: Mapping[str, int],
    oldest: Sequence[MessageState],
    wanted: int,
) -> list[MessageState]:
    """Choose messages of quiet tenants that are not among the oldest messages.

    Looks among the newest messages, and for the first message of each tenant.
    """
    waiting = transaction.hints.of(queue_id).waiting
    found = {row.id: row for row in oldest}
    if len(waiting) < _WAITING_LIMIT:
        _visit_tenants(transaction, queue_id)
        newest = _quiet(transaction, queue_id, _QUIET_NEWEST, noisy, _NEWEST_LIMIT)
        found.update((row.id, row) for row in newest)
    rows = sorted(found.values(), key=_by_age)
    for row in rows:
        if row.tenant_id is not None:
            waiting[row.tenant_id] = min(
                row.queued_at_ms, waiting.get(row.tenant_id, row.queued_at_ms)
            )
    without_tenant = [row for row in rows if row.tenant_id is None]
    chosen = _lock(transaction, queue_id, without_tenant[:wanted])
    quiet = sorted(waiting.keys() - noisy.keys(), key=lambda tenant: waiting[tenant])
    return chosen + _first_of(transaction, queue_id, quiet, wanted)


def _visit_tenants(transaction: Transaction, queue_id: int) -> None:
    """Record in the hints which of the next tenants have visible messages, and how old ones."""
    hint = transaction.hints.of(queue_id)
    parameters = {"queue": queue_id, "after": hint.walked_to}
    heads = _TENANT_HEADS.rows(transaction.connection, parameters)
    for tenant_id, visible_at_ms, queued_at_ms in heads:
        hint.waiting.pop(tenant_id, None)
        if visible_at_ms <= transaction.now_ms:
            hint.waiting[tenant_id] = queued_at_ms
    hint.walked_to = heads[-1].tenant_id if len(heads) == _TENANTS_LIMIT else ""


def _by_age(row: MessageState) -> tuple[int, int]:
    return row.queued_at_ms, row.id


def _quiet(
    transaction: Transaction,
    queue_id: int,
    statement: Statement,
    noisy: Mapping[str, int],
    limit: int,
) -> list[MessageState]:
    parameters = {
        "queue": queue_id,
        "now": transaction.now_ms,
        "noisy": list(noisy),
        "limit": limit,
    }
    return sorted(statement.rows(transaction.connection, parameters), key=_by_age)


def _lock(
    transaction: Transaction, queue_id: int, rows: Sequence[MessageState]
) -> list[MessageState]:
    """Lock messages that are still visible, except those that another server has locked."""
    if not rows:
        return []
    numbers = sorted(row.id for row in rows)
    parameters = {"queue": queue_id, "now": transaction.now_ms, "numbers": numbers}
    return _STILL_VISIBLE.rows(transaction.connection, parameters)


def _first_of(
    transaction: Transaction, queue_id: int, tenants: Collection[str], wanted: int
) -> list[MessageState]:
    """Lock up to `wanted` visible messages, from one tenant after the other.

    A tenant is removed from `waiting` once its messages were read, so that others are next.
    """
    waiting = transaction.hints.of(queue_id).waiting
    chosen: list[MessageState] = []
    for tenant in tenants:
        if len(chosen) >= wanted:
            break
        waiting.pop(tenant, None)
        parameters = {
            "queue": queue_id,
            "now": transaction.now_ms,
            "tenant": tenant,
            "wanted": wanted - len(chosen),
        }
        chosen += _OF_TENANT.rows(transaction.connection, parameters)
    return chosen


def record_claims(transaction: Transaction, queue_id: int, rows: Iterable[MessageState]) -> None:
    """Record in the hints that messages were claimed, so that tenants are soon compared again."""
    hint = transaction.hints.of(queue_id)
    hint.claimed += sum(1 for row in rows if row.tenant_id is not None)
