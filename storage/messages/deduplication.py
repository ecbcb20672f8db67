"""Deduplication: detect messages that were sent to a FIFO queue in the last five minutes.

AWS: such a message is accepted, but not sent again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage import locking
from storage.messages.commands import SentMessage
from storage.schema import deduplications
from storage.sql.arrays import among, by_queue
from storage.sql.statement import Statement
from storage.transaction import Transaction

DEDUPLICATION_MS = 300_000
"""Time for which a deduplication id counts, from the first send with it (AWS: five minutes)."""


class Candidate(NamedTuple):
    """A message that may be a duplicate; duplicates have the same queue and key."""

    queue_id: int
    key: str
    message_id: bytes


_KNOWN = Statement(
    locking.with_ordered_locks(
        sa.select(deduplications).where(
            deduplications.c.queue_id == bindparam("queue"),
            among(deduplications.c.key, "keys"),
        ),
        deduplications.c.key,
    )
)

_DELETE = Statement(
    deduplications.delete().where(
        deduplications.c.queue_id == bindparam("queue"),
        deduplications.c.key == bindparam("known_as"),
    ),
    ["queue", "known_as"],
)

_INSERT = Statement(
    deduplications.insert(), ["queue_id", "key", "message_id", "number", "sent_at_ms"]
)


def deduplicate(
    transaction: Transaction, candidates: Sequence[Candidate]
) -> list[tuple[SentMessage, bool]]:
    """Add numbers to messages that are not duplicates; record their keys for five minutes.

    A message is a duplicate of one sent in the last five minutes, even if that was deleted since
    (AWS), or of one before it in `candidates`. Requires that the messages' groups are locked.

    Returns:
        For each candidate, the number and id of the message that was sent first, and whether the
        candidate is that message, and so is new.
    """
    known = _find(transaction, {candidate[:2] for candidate in candidates})
    results: list[tuple[SentMessage, bool]] = []
    rows: list[tuple[int, str, bytes, int, int]] = []
    numbers = transaction.take_numbers(len(candidates))
    for candidate, number in zip(candidates, numbers, strict=True):
        key = candidate[:2]
        if key in known:
            results.append((known[key], False))
            continue
        sent = known[key] = SentMessage(number, candidate.message_id)
        results.append((sent, True))
        queue_id, deduplication_key, message_id = candidate
        rows.append((queue_id, deduplication_key, message_id, number, transaction.now_ms))
    if rows:
        # In key order: two servers that insert the same keys wait for each other.
        rows.sort(key=itemgetter(0, 1))
        _INSERT.change_each(transaction.connection, rows)
    return results


def _find(
    transaction: Transaction, keys: Collection[tuple[int, str]]
) -> dict[tuple[int, str], SentMessage]:
    """Return what was sent with these keys in the last five minutes; delete what is older."""
    known: dict[tuple[int, str], SentMessage] = {}
    expired: list[tuple[int, str]] = []
    for queue_id, its_keys in by_queue(keys):
        rows = _KNOWN.rows(transaction.connection, {"queue": queue_id, "keys": its_keys})
        for row in rows:
            if row.sent_at_ms > transaction.now_ms - DEDUPLICATION_MS:
                known[queue_id, row.key] = SentMessage(row.number, row.message_id)
            else:
                expired.append((queue_id, row.key))
    if expired:
        _DELETE.change_all(transaction.connection, expired)
    return known


def free_expired(transaction: Transaction, limit: int) -> int:
    """Delete up to `limit` keys older than five minutes; return how many were deleted."""
    old = (
        sa.select(deduplications.c.queue_id, deduplications.c.key)
        .where(deduplications.c.sent_at_ms <= transaction.now_ms - DEDUPLICATION_MS)
        .order_by(deduplications.c.sent_at_ms)
        .limit(limit)
    )
    rows = sorted(tuple(row) for row in transaction.connection.execute(old))
    if rows:
        _DELETE.change_all(transaction.connection, rows)
    return len(rows)
