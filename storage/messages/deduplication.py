"""Deduplication: detect messages that were sent to a FIFO queue in the last five minutes.

AWS: such a message is accepted, but not sent again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import TypeAlias

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


Candidate: TypeAlias = tuple[int, str, bytes]
"""A message that may be a duplicate: its queue id, key and message id. Duplicates have the same
queue and key."""

Numbered: TypeAlias = tuple[SentMessage, bool]
"""The number and id of the message that was sent first, and whether a candidate is that message."""


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


def deduplicate(transaction: Transaction, candidates: Sequence[Candidate]) -> list[Numbered]:
    """Add numbers to messages that are not duplicates; record their keys for five minutes.

    A message is a duplicate of one sent in the last five minutes, even if that was deleted since
    (AWS), or of one before it in `candidates`. Requires that the messages' groups are locked.

    Returns:
        For each candidate, the number and id of the message that was sent first, and whether the
        candidate is that message, and so is new.
    """
    numbers = transaction.take_numbers(len(candidates))
    insert_new = transaction.capabilities.insert_new_keys
    if insert_new is not None:
        # Most messages are no duplicates. Then all rows are inserted, and no key is looked up.
        results, rows = _number(candidates, numbers, {}, transaction.now_ms)
        if insert_new.insert(transaction.connection, rows) == len(rows):
            return results
    known = _find(transaction, {candidate[:2] for candidate in candidates})
    results, rows = _number(candidates, numbers, known, transaction.now_ms)
    # In key order: two servers that insert the same keys wait for each other.
    rows.sort(key=itemgetter(0, 1))
    _INSERT.change_each(transaction.connection, rows)
    return results


def _number(
    candidates: Sequence[Candidate],
    numbers: Sequence[int],
    known: dict[tuple[int, str], SentMessage],
    now_ms: int,
) -> tuple[list[Numbered], list[tuple[int, str, bytes, int, int]]]:
    """Add numbers to candidates whose keys are not known; return the rows to insert too.

    Keys that have been inserted with these numbers before are those of new messages.
    """
    results = []
    rows = []
    for (queue_id, key, message_id), number in zip(candidates, numbers, strict=True):
        sent = known.get((queue_id, key))
        if sent is None:
            sent = known[queue_id, key] = SentMessage(number, message_id)
            rows.append((queue_id, key, message_id, number, now_ms))
        results.append((sent, sent.number == number))
    return results, rows


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
    _DELETE.change_all(transaction.connection, expired)
    return known


def keyed_digest(queue_id: int, key: str, deduplication_key: bytes) -> str:
    """Return what stands for a key of a queue in a database with encrypted messages.

    A deduplication id may be the SHA-256 digest of a body, which shows whether a body is a guessed
    one. Ids that clients have chosen are treated alike: AWS takes the id of a client for that of a
    body if they are equal. With the queue in the digest, equal bodies in two queues do not show.
    """
    content = f"{queue_id} {key}".encode()
    return hashlib.blake2b(content, key=deduplication_key, digest_size=32).hexdigest()


_PAGE = 1_000
"""Rows that are changed at a time when a database is encrypted."""

_ORDER_TYPES = (sa.BigInteger, sa.BigInteger)


def replace_ids_by_digests(connection: sa.Connection, deduplication_key: bytes) -> None:
    """Replace all keys by their keyed digests, so that duplicates are still detected."""
    # Not in the order of keys, which change.
    order = (deduplications.c.sent_at_ms, deduplications.c.number)
    page = sa.select(deduplications).order_by(*order).limit(_PAGE)
    change = (
        deduplications.update()
        .where(
            deduplications.c.queue_id == bindparam("queue"),
            deduplications.c.key == bindparam("known_as"),
        )
        .values(key=bindparam("digest"))
    )
    after = (-1, -1)
    while rows := connection.execute(
        page.where(sa.tuple_(*order) > sa.tuple_(*after, types=_ORDER_TYPES))
    ).all():
        values = [
            {
                "queue": row.queue_id,
                "known_as": row.key,
                "digest": keyed_digest(row.queue_id, row.key, deduplication_key),
            }
            for row in rows
        ]
        connection.execute(change, values)
        after = rows[-1].sent_at_ms, rows[-1].number


def free_expired(transaction: Transaction, limit: int) -> int:
    """Delete up to `limit` keys older than five minutes; return how many were deleted."""
    old = (
        sa.select(deduplications.c.queue_id, deduplications.c.key)
        .where(deduplications.c.sent_at_ms <= transaction.now_ms - DEDUPLICATION_MS)
        .order_by(deduplications.c.sent_at_ms)
        .limit(limit)
    )
    rows = sorted(tuple(row) for row in transaction.connection.execute(old))
    _DELETE.change_all(transaction.connection, rows)
    return len(rows)
