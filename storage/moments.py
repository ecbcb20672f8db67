"""The latest moment that a database knows of, so that time goes on from there whatever clocks say.

A server that starts beside a clock that was set back would hide what was visible before. The moment
is noted once a minute, and read when a server starts. Refuses to ask what time it is.
"""

from __future__ import annotations

import sqlalchemy as sa

from storage.schema import bodies, messages, properties
from storage.transaction import Transaction

_IS_OURS = properties.c.name == "reached_ms"


def note(transaction: Transaction) -> None:
    """Note that it is now; what was noted of later moments stays."""
    connection, now_ms = transaction.connection, transaction.now_ms
    noted = connection.scalar(sa.select(properties.c.value).where(_IS_OURS))
    if noted is None:
        connection.execute(properties.insert().values(name="reached_ms", value=str(now_ms)))
    elif int(noted) < now_ms:
        connection.execute(properties.update().where(_IS_OURS).values(value=str(now_ms)))


def reached_ms(connection: sa.Connection) -> int:
    """Give the moment that was noted last, or 0."""
    return int(connection.scalar(sa.select(properties.c.value).where(_IS_OURS)) or 0)


def sent_last_ms(connection: sa.Connection) -> int:
    """Give when the message was sent that has the largest number, or 0.

    That is of use, and quick, where bodies are keyed by numbers alone.
    """
    largest = sa.select(sa.func.max(bodies.c.id)).scalar_subquery()
    key = sa.select(bodies.c.queue_id, bodies.c.id).where(bodies.c.id == largest).subquery()
    sent_at = sa.select(messages.c.sent_at_ms).join_from(
        messages, key, sa.and_(messages.c.queue_id == key.c.queue_id, messages.c.id == key.c.id)
    )
    return connection.scalar(sent_at) or 0
