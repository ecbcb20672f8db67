"""The latest moment that a database knows of, so that time goes on from there whatever clocks say.

A server that starts beside a clock that was set back would hide what was visible before. The moment
is noted once a minute, and read when a server starts. Refuses to ask what time it is.
"""

from __future__ import annotations

import sqlalchemy as sa

from storage.schema import bodies, messages, properties
from storage.transaction import Transaction

_IS_OURS = properties.c.name == "reached_ms"
_NOTED = sa.select(properties.c.value).where(_IS_OURS)

_SENT_AFTER_MS = 300_000
"""How long after the last record a message may have been sent, as far as it is believed.

What is written in one message that is damaged must not be the time of all."""


def record(transaction: Transaction) -> None:
    """Note that it is now; what was noted of later moments stays."""
    connection, now_ms = transaction.connection, transaction.now_ms
    noted = connection.scalar(_NOTED)
    if noted is None:
        connection.execute(properties.insert().values(name="reached_ms", value=str(now_ms)))
    elif _whole(noted) < now_ms:
        connection.execute(properties.update().where(_IS_OURS).values(value=str(now_ms)))


def reached_ms(connection: sa.Connection) -> int:
    """Give the moment that was noted last, or 0."""
    return _whole(connection.scalar(_NOTED))


def _whole(noted: object) -> int:
    """Read a record; one that is damaged is none."""
    return int(noted) if isinstance(noted, str) and noted.isdecimal() else 0


def reached_by_sends_ms(connection: sa.Connection) -> int:
    """Give the moment that was noted last, or when the last message was sent, if that is later.

    That is of use, and quick, where bodies are keyed by numbers alone.
    """
    noted_ms = reached_ms(connection)
    return max(noted_ms, min(_sent_last_ms(connection), noted_ms + _SENT_AFTER_MS))


def _sent_last_ms(connection: sa.Connection) -> int:
    """Give when the message was sent that has the largest number, or 0."""
    largest = sa.select(sa.func.max(bodies.c.id)).scalar_subquery()
    key = sa.select(bodies.c.queue_id, bodies.c.id).where(bodies.c.id == largest).subquery()
    sent_at = sa.select(messages.c.sent_at_ms).join_from(
        messages, key, sa.and_(messages.c.queue_id == key.c.queue_id, messages.c.id == key.c.id)
    )
    sent_at_ms = connection.scalar(sent_at)
    return sent_at_ms if isinstance(sent_at_ms, int) else 0
