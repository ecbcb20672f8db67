"""Receive attempts: a receive from a FIFO queue whose response was lost can be repeated.

AWS: for five minutes, a receive with the same ReceiveRequestAttemptId and the same parameters gets
the same messages, provided that none of them was deleted or changed, or has expired.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage import locking
from storage.messages.commands import ReceiveAttempt, ReceiveAttemptExpired
from storage.schema import receive_attempts
from storage.transaction import Transaction

ATTEMPT_MS = 300_000
"""How long an attempt can be repeated, from the first receive with its id (AWS: five minutes)."""


class AttemptedMessage(NamedTuple):
    """A message of an attempt, as the attempt left it."""

    number: int
    receive_count: int
    visible_at_ms: int


class RecordedAttempt(NamedTuple):
    """An attempt of the last five minutes, the time of its first receive, and its messages."""

    made_at_ms: int
    parameters: Sequence[Any]
    messages: Sequence[AttemptedMessage]


_is_the_attempt = sa.and_(
    receive_attempts.c.queue_id == bindparam("queue"),
    receive_attempts.c.attempt_id == bindparam("attempt"),
)
_FIND = locking.lock_row(sa.select(receive_attempts).where(_is_the_attempt))
_DELETE = receive_attempts.delete().where(_is_the_attempt)


def find(
    transaction: Transaction, queue_id: int, attempt: ReceiveAttempt
) -> RecordedAttempt | None:
    """Lock and return the attempt with this id, or None if there was none in five minutes.

    Raises:
        ReceiveAttemptExpired: the attempt had other parameters.
    """
    key = {"queue": queue_id, "attempt": attempt.attempt_id}
    row = transaction.connection.execute(_FIND, key).first()
    if row is None or row.made_at_ms <= transaction.now_ms - ATTEMPT_MS:
        return None
    if row.parameters != list(attempt.parameters):
        raise ReceiveAttemptExpired
    return RecordedAttempt(
        row.made_at_ms, row.parameters, [AttemptedMessage(*claim) for claim in row.claims]
    )


def record(
    transaction: Transaction,
    queue_id: int,
    attempt: ReceiveAttempt,
    made_at_ms: int,
    messages: Sequence[AttemptedMessage],
) -> None:
    """Record the messages of an attempt, in place of those recorded before."""
    key = {"queue": queue_id, "attempt": attempt.attempt_id}
    transaction.connection.execute(_DELETE, key)
    transaction.connection.execute(
        receive_attempts.insert(),
        {
            "queue_id": queue_id,
            "attempt_id": attempt.attempt_id,
            "made_at_ms": made_at_ms,
            "parameters": list(attempt.parameters),
            "claims": [list(message) for message in messages],
        },
    )


def free_expired(transaction: Transaction, limit: int) -> int:
    """Delete up to `limit` attempts older than five minutes; return how many there were."""
    old = (
        sa.select(receive_attempts.c.queue_id, receive_attempts.c.attempt_id)
        .where(receive_attempts.c.made_at_ms <= transaction.now_ms - ATTEMPT_MS)
        .order_by(receive_attempts.c.made_at_ms)
        .limit(limit)
    )
    found = sorted(tuple(row) for row in transaction.connection.execute(old))
    rows = [{"queue": queue_id, "attempt": attempt_id} for queue_id, attempt_id in found]
    if rows:
        transaction.connection.execute(_DELETE, rows)
    return len(rows)
