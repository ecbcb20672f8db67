"""The time floor: the latest time that the servers of a database have reached.

If a server restarts while its clock is set back, messages that were visible would become invisible
again. So the leader records the time once a minute, and no server starts at an earlier time.
"""

from __future__ import annotations

import sqlalchemy as sa

from storage.schema import bodies, messages, properties
from storage.transaction import Transaction

_IS_FLOOR = properties.c.name == "reached_ms"
_FLOOR = sa.select(properties.c.value).where(_IS_FLOOR)

_SENT_AFTER_MS = 300_000
"""How long after the record a message's time of sending is believed.

One damaged message must not set the time of all."""


def record(transaction: Transaction) -> None:
    """Record the transaction's time, unless a later one is recorded."""
    connection, now_ms = transaction.connection, transaction.now_ms
    recorded = connection.scalar(_FLOOR)
    if recorded is None:
        connection.execute(properties.insert().values(name="reached_ms", value=str(now_ms)))
    elif _parse(recorded) < now_ms:
        connection.execute(properties.update().where(_IS_FLOOR).values(value=str(now_ms)))


def floor_ms(connection: sa.Connection) -> int:
    """Return the recorded time in epoch milliseconds; 0 if there is none, or it is damaged."""
    return _parse(connection.scalar(_FLOOR))


def _parse(recorded: object) -> int:
    return int(recorded) if isinstance(recorded, str) and recorded.isdecimal() else 0


def floor_by_messages_ms(connection: sa.Connection) -> int:
    """Return the recorded time, or the time when the last message was sent if that is later.

    Fast only where the key of bodies begins with the message's number.
    """
    recorded_ms = floor_ms(connection)
    return max(recorded_ms, min(_last_sent_ms(connection), recorded_ms + _SENT_AFTER_MS))


def _last_sent_ms(connection: sa.Connection) -> int:
    """Return when the message with the largest number was sent, or 0 if there is none."""
    largest = sa.select(sa.func.max(bodies.c.id)).scalar_subquery()
    key = sa.select(bodies.c.queue_id, bodies.c.id).where(bodies.c.id == largest).subquery()
    sent_at = sa.select(messages.c.sent_at_ms).join_from(
        messages, key, sa.and_(messages.c.queue_id == key.c.queue_id, messages.c.id == key.c.id)
    )
    sent_at_ms = connection.scalar(sent_at)
    return sent_at_ms if isinstance(sent_at_ms, int) else 0
