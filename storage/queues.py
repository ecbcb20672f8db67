"""Queues: what is known of them, and their creation, change, purge and end.

Refuses to interpret attributes and tags: they are text that the rules wrote and read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage import queue_delays
from storage.schema import (
    backlogs,
    deletions,
    dropped_queues,
    queues,
)
from storage.transaction import Transaction

STANDARD = "standard"
FIFO = "fifo"
FIFO_BY_GROUP = "fifo_by_group"
"""The kinds of queues; the last deduplicates within each message group."""


class QueueChanged(Exception):
    """The queue is gone, was purged, or has changed since the caller read it: read it again."""


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue as it was when it was read. Times are epoch milliseconds."""

    id: int
    revision: int
    kind: str
    account: str
    region: str
    name: str
    created_at_ms: int
    modified_at_ms: int
    purged_at_ms: int | None
    attributes: Mapping[str, str]
    tags: Mapping[str, str]
    dead_letter_target: str | None


def _named(account: str, region: str, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(queues.c.account == account, queues.c.region == region, queues.c.name == name)


def find(connection: sa.Connection, account: str, region: str, name: str) -> Queue | None:
    """Give the queue of that name, or None."""
    row = connection.execute(sa.select(queues).where(_named(account, region, name))).first()
    return Queue(**row._mapping) if row else None


def lock(
    transaction: Transaction, account: str, region: str, name: str, *, alone: bool = False
) -> Queue | None:
    """Give the queue of that name; it is neither purged nor deleted before the COMMIT.

    Who holds it `alone` waits for others who do, but not for those who send and receive.
    """
    statement = sa.select(queues).where(_named(account, region, name))
    row = transaction.connection.execute(
        statement.with_for_update(read=not alone, key_share=True)
    ).first()
    return Queue(**row._mapping) if row else None


def list_names(
    connection: sa.Connection, account: str, region: str, prefix: str, after: str, limit: int
) -> Sequence[str]:
    """Give up to `limit` names that begin with `prefix` and sort after `after`, by byte."""
    statement = (
        sa.select(queues.c.name)
        .where(queues.c.account == account, queues.c.region == region)
        .where(queues.c.name >= prefix, queues.c.name > after)
        .order_by(queues.c.name)
        .limit(limit)
    )
    if prefix:
        # Names are ASCII, so nothing that begins with the prefix sorts after prefix + DEL.
        statement = statement.where(queues.c.name < prefix + "\x7f")
    return connection.scalars(statement).all()


def list_dead_letter_sources(
    connection: sa.Connection, target: str, account: str, region: str, after: str, limit: int
) -> Sequence[str]:
    """Give up to `limit` names of queues whose dead-letter queue is `target`, by byte."""
    statement = (
        sa.select(queues.c.name)
        .where(queues.c.dead_letter_target == target)
        .where(queues.c.account == account, queues.c.region == region, queues.c.name > after)
        .order_by(queues.c.name)
        .limit(limit)
    )
    return connection.scalars(statement).all()


def list_after(connection: sa.Connection, after_id: int, limit: int) -> Sequence[Queue]:
    """Give up to `limit` queues of all accounts whose id is greater, by id."""
    statement = sa.select(queues).where(queues.c.id > after_id).order_by(queues.c.id).limit(limit)
    return [Queue(**row._mapping) for row in connection.execute(statement)]


def deleted_at_ms(connection: sa.Connection, account: str, region: str, name: str) -> int | None:
    """Tell when a queue of that name was last deleted, if that is still remembered."""
    return connection.scalar(
        sa.select(deletions.c.deleted_at_ms).where(
            deletions.c.account == account,
            deletions.c.region == region,
            deletions.c.name == name,
        )
    )


def create(
    transaction: Transaction,
    account: str,
    region: str,
    name: str,
    kind: str,
    attributes: Mapping[str, str],
    tags: Mapping[str, str],
    dead_letter_target: str | None = None,
) -> Queue:
    """Make the queue, or give the one that has the name already, unchanged."""
    existing = find(transaction.connection, account, region, name)
    if existing is not None:
        return existing
    (queue_id,) = transaction.take_numbers(1)
    now_ms = transaction.now_ms
    row: dict[str, Any] = {
        "id": queue_id,
        "revision": 1,
        "kind": kind,
        "account": account,
        "region": region,
        "name": name,
        "created_at_ms": now_ms,
        "modified_at_ms": now_ms,
        "purged_at_ms": None,
        "attributes": dict(attributes),
        "tags": dict(tags),
        "dead_letter_target": dead_letter_target,
    }
    transaction.connection.execute(queues.insert(), row)
    transaction.connection.execute(backlogs.insert(), {"queue_id": queue_id, "messages": 0})
    return Queue(**row)


def change_attributes(
    transaction: Transaction,
    queue: Queue,
    attributes: Mapping[str, str],
    dead_letter_target: str | None = None,
    delay_ms: int | None = None,
) -> None:
    """Replace all attributes, and with them the dead-letter queue, as the rules name it.

    A FIFO queue's delay holds for the messages that it has already, too; where they are many, that
    is left to `delays.go_on`.

    Raises:
        QueueChanged: `queue` is no longer what the database has.
    """
    _change(
        transaction,
        queue,
        attributes=dict(attributes),
        dead_letter_target=dead_letter_target,
        modified_at_ms=transaction.now_ms,
    )
    if queue.kind != STANDARD and delay_ms is not None:
        queue_delays.change(transaction, queue.id, delay_ms)
        transaction.notify_background_work()


def change_tags(transaction: Transaction, queue: Queue, tags: Mapping[str, str]) -> None:
    """Replace all tags, which does not count as a modification of the queue.

    Raises:
        QueueChanged: `queue` is no longer what the database has.
    """
    _change(transaction, queue, tags=dict(tags))


def purge(transaction: Transaction, queue: Queue) -> None:
    """Let go of all messages at once, in constant time: the queue goes on under a new id.

    Raises:
        QueueChanged: `queue` is no longer what the database has.
    """
    (new_id,) = transaction.take_numbers(1)
    _change(transaction, queue, id=new_id, purged_at_ms=transaction.now_ms)
    transaction.connection.execute(backlogs.insert(), {"queue_id": new_id, "messages": 0})
    _abandon(transaction, queue.id)


def delete(transaction: Transaction, queue: Queue) -> None:
    """End the queue and all its messages, in constant time.

    Raises:
        QueueChanged: `queue` is no longer what the database has.
    """
    connection = transaction.connection
    gone = connection.execute(queues.delete().where(_unchanged(queue)))
    if gone.rowcount != 1:
        raise QueueChanged
    key = {"account": queue.account, "region": queue.region, "name": queue.name}
    connection.execute(deletions.delete().filter_by(**key))
    connection.execute(deletions.insert(), {**key, "deleted_at_ms": transaction.now_ms})
    _abandon(transaction, queue.id)


def _unchanged(queue: Queue) -> sa.ColumnElement[bool]:
    return sa.and_(queues.c.id == queue.id, queues.c.revision == queue.revision)


def _change(transaction: Transaction, queue: Queue, **values: object) -> None:
    changed = transaction.connection.execute(
        queues.update().where(_unchanged(queue)).values(revision=queue.revision + 1, **values)
    )
    if changed.rowcount != 1:
        raise QueueChanged


def _abandon(transaction: Transaction, queue_id: int) -> None:
    transaction.connection.execute(dropped_queues.insert(), {"queue_id": queue_id})
    queue_delays.discard(transaction, queue_id)
    transaction.hints.forget(queue_id)
    transaction.notify_dropped(queue_id)
    transaction.notify_background_work()


def free_old_deletions(transaction: Transaction, before_ms: int) -> None:
    """Forget deletions that lie so far back that no rule asks for them."""
    transaction.connection.execute(deletions.delete().where(deletions.c.deleted_at_ms < before_ms))
