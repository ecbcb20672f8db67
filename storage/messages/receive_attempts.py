"""Receives that named themselves: the same attempt again is given the same messages again.

For five minutes after the first, a receive from a FIFO queue that was lost on its way to the
client can be repeated without waiting for the visibility timeout. Refuses to repeat one whose
messages have met anything else since.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage.schema import receive_attempts
from storage.transaction import Transaction

ATTEMPT_MS = 300_000
"""How long an attempt may be repeated, counted from when it was first made."""


class ReceiveAttemptExpired(Exception):
    """An attempt by this name was made, and what it was given cannot be given again."""


class ReceiveAttempt(NamedTuple):
    """The name of a receive, and what else was asked for, which must not differ."""

    attempt_id: str
    parameters: Sequence[Any]


class AttemptedMessage(NamedTuple):
    """One message of an attempt, and until when it was hidden."""

    number: int
    receive_count: int
    hidden_until_ms: int


class RecordedAttempt(NamedTuple):
    """An attempt that was made, and may be repeated if nothing has changed since."""

    made_at_ms: int
    parameters: Sequence[Any]
    claims: Sequence[AttemptedMessage]


_FIND = (
    sa.select(receive_attempts)
    .where(
        receive_attempts.c.queue_id == bindparam("queue"),
        receive_attempts.c.attempt_id == bindparam("attempt"),
    )
    .with_for_update()
)

_FORGET = receive_attempts.delete().where(
    receive_attempts.c.queue_id == bindparam("queue"),
    receive_attempts.c.attempt_id == bindparam("attempt"),
)


def find(
    transaction: Transaction, queue_id: int, attempt: ReceiveAttempt
) -> RecordedAttempt | None:
    """Give what an attempt of this name was given, if it was made within five minutes.

    Raises:
        ReceiveAttemptExpired: it was made with other parameters.
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
    claims: Sequence[AttemptedMessage],
) -> None:
    """Remember what an attempt was given, in place of what it was given before."""
    key = {"queue": queue_id, "attempt": attempt.attempt_id}
    transaction.connection.execute(_FORGET, key)
    transaction.connection.execute(
        receive_attempts.insert(),
        {
            "queue_id": queue_id,
            "attempt_id": attempt.attempt_id,
            "made_at_ms": made_at_ms,
            "parameters": list(attempt.parameters),
            "claims": [list(claim) for claim in claims],
        },
    )


def free_expired(transaction: Transaction, limit: int) -> int:
    """Free up to `limit` attempts that cannot be repeated any more."""
    old = (
        sa.select(receive_attempts.c.queue_id, receive_attempts.c.attempt_id)
        .where(receive_attempts.c.made_at_ms <= transaction.now_ms - ATTEMPT_MS)
        .order_by(receive_attempts.c.made_at_ms)
        .limit(limit)
    )
    # In the order in which other servers free them.
    found = sorted(tuple(row) for row in transaction.connection.execute(old))
    rows = [{"queue": queue_id, "attempt": attempt_id} for queue_id, attempt_id in found]
    if rows:
        transaction.connection.execute(_FORGET, rows)
    return len(rows)
