"""Fair queues: a tenant that floods a standard queue does not keep the others waiting.

A tenant (a message group of a standard queue) is noisy while it holds more than a tenth of the
messages in flight, and at least thirty. Messages of quiet tenants are received before those of
noisy ones, and among noisy tenants the one with the least in flight goes first: so AWS says of its
own. What it costs depends on the number of tenants and of messages in flight, not on any backlog.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage.fifo import STATE, Row
from storage.schema import messages
from storage.transaction import Transaction

_NOISY_SHARE = 10
_NOISY_AT_LEAST = 30
_COUNT_AGAIN_MS = 1_000
_COUNT_AGAIN_CLAIMS = 10
_UNSHARED_LOOKED_THROUGH = 1_000
"""Among how many of the oldest visible messages those without a tenant are looked for."""

_TENANTS_IN_FLIGHT = (
    sa.select(messages.c.tenant_id, sa.func.count())
    .where(
        messages.c.queue_id == bindparam("queue"),
        messages.c.visible_at_ms > bindparam("now"),
        messages.c.receive_count > 0,
    )
    .group_by(messages.c.tenant_id)
)


def noisy_tenants(transaction: Transaction, queue_id: int) -> dict[str, int]:
    """Give the noisy tenants, by how many messages each has in flight.

    They are counted again when a second has passed, or as many messages were claimed meanwhile as
    could make a difference.
    """
    estimate = transaction.estimates.of(queue_id)
    total = sum(estimate.tenants.values())
    if (
        estimate.counted_at_ms is None
        or not 0 <= transaction.now_ms - estimate.counted_at_ms < _COUNT_AGAIN_MS
        or estimate.claimed >= max(_COUNT_AGAIN_CLAIMS, total // _NOISY_SHARE)
    ):
        rows = transaction.connection.execute(
            _TENANTS_IN_FLIGHT, {"queue": queue_id, "now": transaction.now_ms}
        )
        estimate.tenants = {row[0]: row[1] for row in rows}
        estimate.counted_at_ms = transaction.now_ms
        estimate.claimed = 0
        total = sum(estimate.tenants.values())
    return _noisy(estimate.tenants, total)


def _noisy(tenants: Mapping[str | None, int], total: int) -> dict[str, int]:
    return {
        tenant: count
        for tenant, count in tenants.items()
        if tenant is not None and count >= _NOISY_AT_LEAST and count * _NOISY_SHARE > total
    }


def _tenant_heads() -> sa.Select[str, int]:
    """Find each tenant's first message by visibility, one step in the index for each tenant."""
    queue_id: sa.BindParameter[int] = bindparam("queue")

    def first_after(tenant_id: sa.ColumnElement[str] | str) -> sa.ScalarSelect[str]:
        after = messages.alias()
        return (
            sa.select(after.c.tenant_id)
            .where(after.c.queue_id == queue_id, after.c.tenant_id > tenant_id)
            .order_by(after.c.tenant_id)
            .limit(1)
            .scalar_subquery()
        )

    walk = sa.select(first_after("").label("tenant_id")).cte("walk", recursive=True)
    walk = walk.union_all(
        sa.select(first_after(walk.c.tenant_id)).where(walk.c.tenant_id.is_not(None))
    )
    head = (
        sa.select(messages.c.visible_at_ms)
        .where(messages.c.queue_id == queue_id, messages.c.tenant_id == walk.c.tenant_id)
        .order_by(messages.c.visible_at_ms, messages.c.id)
        .limit(1)
        .scalar_subquery()
    )
    return sa.select(walk.c.tenant_id, head).where(walk.c.tenant_id.is_not(None))


_TENANT_HEADS = _tenant_heads()

_OF_TENANT = (
    sa.select(*STATE)
    .where(
        messages.c.queue_id == bindparam("queue"),
        messages.c.tenant_id == bindparam("tenant"),
        messages.c.visible_at_ms <= bindparam("now"),
    )
    .order_by(messages.c.visible_at_ms, messages.c.id)
    .limit(bindparam("wanted", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)

_OLDEST = (
    sa.select(*STATE)
    .where(messages.c.queue_id == bindparam("queue"), messages.c.visible_at_ms <= bindparam("now"))
    .order_by(messages.c.visible_at_ms, messages.c.id)
    .limit(_UNSHARED_LOOKED_THROUGH)
    .with_for_update(skip_locked=True)
)


def choose(
    transaction: Transaction, queue_id: int, noisy: Mapping[str, int], wanted: int
) -> list[Row]:
    """Choose visible messages: those of quiet tenants, oldest first, and then those of noisy ones.

    Messages without a tenant are quiet, each for itself.
    """
    parameters = {"queue": queue_id, "now": transaction.now_ms}
    heads = transaction.connection.execute(_TENANT_HEADS, parameters).all()
    waiting = {tenant: at_ms for tenant, at_ms in heads if at_ms <= transaction.now_ms}
    quiet = sorted(waiting.keys() - noisy.keys(), key=lambda tenant: waiting[tenant])
    chosen = [
        row for row in transaction.connection.execute(_OLDEST, parameters) if row.tenant_id is None
    ][:wanted]
    chosen += _first_of(transaction, queue_id, quiet, wanted)
    chosen.sort(key=lambda row: (row.visible_at_ms, row.id))
    del chosen[wanted:]
    loud = sorted(waiting.keys() & noisy.keys(), key=lambda tenant: noisy[tenant])
    return chosen + _first_of(transaction, queue_id, loud, wanted - len(chosen))


def _first_of(
    transaction: Transaction, queue_id: int, tenants: Collection[str], wanted: int
) -> list[Row]:
    """Take from one tenant after the other; what a quiet one may be short of, others have."""
    chosen: list[Row] = []
    for tenant in tenants:
        if len(chosen) >= wanted:
            break
        parameters = {
            "queue": queue_id,
            "now": transaction.now_ms,
            "tenant": tenant,
            "wanted": wanted - len(chosen),
        }
        chosen += transaction.connection.execute(_OF_TENANT, parameters)
    return chosen


def note_claims(transaction: Transaction, queue_id: int, rows: Iterable[Row]) -> None:
    """Remember that messages of tenants were claimed, so that they are counted again in time."""
    estimate = transaction.estimates.of(queue_id)
    estimate.claimed += sum(1 for row in rows if row.tenant_id is not None)
