"""Deduplication: what FIFO queues were sent before, and are not to be sent again.

Refuses to know what two messages have in common: it is given what each is known by.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage.schema import deduplications
from storage.sql.arrays import among, by_queue, in_order
from storage.sql.statement import Statement
from storage.transaction import Transaction

DEDUPLICATION_MS = 300_000
"""How long an id is known, counted from the send that brought it first."""


class SentMessage(NamedTuple):
    """What a send is told of its message, or of the one that it duplicates."""

    number: int
    message_id: bytes


class Candidate(NamedTuple):
    """A message that a FIFO queue may have been sent before, by what it is known by there."""

    queue_id: int
    key: str
    message_id: bytes


_KNOWN = Statement(
    sa.select(deduplications)
    .where(
        deduplications.c.queue_id == bindparam("queue"),
        among(deduplications.c.key, "keys"),
    )
    # One order for all servers wherever several rows are waited for: so no two wait in a circle.
    .order_by(in_order(deduplications.c.key))
    .with_for_update()
)

_FORGET = Statement(
    deduplications.delete().where(
        deduplications.c.queue_id == bindparam("queue"),
        deduplications.c.key == bindparam("known_as"),
    )
)

_KNOW = Statement(deduplications.insert())


def deduplicate(
    transaction: Transaction, candidates: Sequence[Candidate]
) -> list[tuple[SentMessage, bool]]:
    """Tell for each candidate what it is known as, and whether it is new.

    A candidate is also held against those before it. Deduplication ids count for five minutes from
    the first send, whatever has become of its message.
    """
    known = _known(transaction, {candidate[:2] for candidate in candidates})
    verdicts: list[tuple[SentMessage, bool]] = []
    rows: list[dict[str, Any]] = []
    numbers = transaction.take_numbers(len(candidates))
    for candidate, number in zip(candidates, numbers, strict=True):
        key = candidate[:2]
        if key in known:
            verdicts.append((known[key], False))
            continue
        sent = known[key] = SentMessage(number, candidate.message_id)
        verdicts.append((sent, True))
        rows.append(
            {
                "queue_id": candidate.queue_id,
                "key": candidate.key,
                "message_id": candidate.message_id,
                "number": number,
                "sent_at_ms": transaction.now_ms,
            }
        )
    if rows:
        rows.sort(key=itemgetter("queue_id", "key"))
        _KNOW.change_each(transaction.connection, rows)
    return verdicts


def _known(
    transaction: Transaction, candidates: Collection[tuple[int, str]]
) -> dict[tuple[int, str], SentMessage]:
    """Find what was sent within five minutes, and free_expired what was sent before."""
    known: dict[tuple[int, str], SentMessage] = {}
    stale: list[dict[str, Any]] = []
    for queue_id, keys in by_queue(candidates):
        rows = _KNOWN.rows(transaction.connection, {"queue": queue_id, "keys": keys})
        for row in rows:
            if row.sent_at_ms > transaction.now_ms - DEDUPLICATION_MS:
                known[queue_id, row.key] = SentMessage(row.number, row.message_id)
            else:
                stale.append({"queue": queue_id, "known_as": row.key})
    if stale:
        _FORGET.change_all(transaction.connection, stale)
    return known


def free_expired(transaction: Transaction, limit: int) -> int:
    """Free up to `limit` deduplication ids that do not count any more."""
    old = (
        sa.select(deduplications.c.queue_id, deduplications.c.key)
        .where(deduplications.c.sent_at_ms <= transaction.now_ms - DEDUPLICATION_MS)
        .order_by(deduplications.c.sent_at_ms)
        .limit(limit)
    )
    found = sorted(tuple(row) for row in transaction.connection.execute(old))
    rows = [{"queue": queue_id, "known_as": key} for queue_id, key in found]
    if rows:
        _FORGET.change_all(transaction.connection, rows)
    return len(rows)
