"""Receive attempts: a receive from a FIFO queue whose response was lost can be repeated.

AWS: for five minutes, a receive with the same ReceiveRequestAttemptId and the same parameters gets
the same messages, provided that none of them was deleted or changed, or has expired.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage import locking
from storage.locking import GroupKey
from storage.messages.commands import Receive, ReceiveAttempt, ReceiveAttemptExpired
from storage.schema import receive_attempts
from storage.transaction import Transaction

ATTEMPT_MS = 300_000
"""Time to repeat an attempt, from the first receive with its id (AWS: five minutes)."""


AttemptKey: TypeAlias = tuple[int, str]
"""A queue id and the id of a receive attempt."""


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

    def check_parameters(self, attempt: ReceiveAttempt) -> None:
        """Check that a receive which repeats the attempt has the same parameters.

        Raises:
            ReceiveAttemptExpired: the parameters are different.
        """
        if self.parameters != list(attempt.parameters):
            raise ReceiveAttemptExpired


_is_the_attempt = sa.and_(
    receive_attempts.c.queue_id == bindparam("queue"),
    receive_attempts.c.attempt_id == bindparam("attempt"),
)
_FIND = locking.with_row_lock(sa.select(receive_attempts).where(_is_the_attempt))
_DELETE = receive_attempts.delete().where(_is_the_attempt)


def key_of(command: Receive) -> AttemptKey | None:
    """Return the key of a receive's attempt; None if it has none, or was withdrawn."""
    if command.attempt is None or not command.maximum:
        return None
    return command.queue_id, command.attempt.attempt_id


def lock(
    transaction: Transaction, commands: Collection[Receive]
) -> dict[AttemptKey, RecordedAttempt]:
    """Lock the attempts that receives may repeat; return those of the last five minutes, by key.

    Also locks an attempt that is made now. So if two servers get the same attempt at once, one of
    them finds what the other has recorded. Call this before groups are locked (see
    `storage.locking`).
    """
    keys = {key for command in commands if (key := key_of(command)) is not None}
    statement = transaction.capabilities.lock_attempts
    if keys and statement is not None:
        statement.rows(transaction.connection, {"keys": sorted(map(_lock_key, keys))})
    found = {}
    for key in sorted(keys):
        queue_id, attempt_id = key
        parameters = {"queue": queue_id, "attempt": attempt_id}
        row = transaction.connection.execute(_FIND, parameters).first()
        if row is not None and row.made_at_ms > transaction.now_ms - ATTEMPT_MS:
            messages = [AttemptedMessage(*message) for message in row.claims]
            found[key] = RecordedAttempt(row.made_at_ms, row.parameters, messages)
    return found


def _lock_key(key: AttemptKey) -> int:
    """Return a signed 64-bit integer that stands for an attempt: the same on every server."""
    queue_id, attempt_id = key
    digest = hashlib.blake2b(f"{queue_id} {attempt_id}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), signed=True)


def groups_of(
    transaction: Transaction, attempts: Mapping[AttemptKey, RecordedAttempt]
) -> set[GroupKey]:
    """Return the groups that the messages of attempts are in."""
    numbers: dict[int, list[int]] = defaultdict(list)
    for (queue_id, _), attempt in attempts.items():
        numbers[queue_id] += [message.number for message in attempt.messages]
    return locking.groups_of_messages(transaction.connection, numbers)


def record(
    transaction: Transaction,
    queue_id: int,
    attempt: ReceiveAttempt,
    made_at_ms: int,
    messages: Sequence[AttemptedMessage],
) -> RecordedAttempt:
    """Record the messages of an attempt, in place of those recorded before; return the record."""
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
    return RecordedAttempt(made_at_ms, list(attempt.parameters), messages)


def free_expired(transaction: Transaction, limit: int) -> int:
    """Delete up to `limit` attempts older than five minutes; return how many were deleted."""
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
