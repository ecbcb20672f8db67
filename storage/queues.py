"""Queues: lookup, listing, creation, change, purge and deletion.

Attributes and tags are opaque here: the rules write and read them. Retention, delay and redrive
have columns of their own, because storage applies them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa

from storage import locking, queue_delays
from storage.queue_settings import (
    REDRIVE_COLUMNS,
    QueueName,
    QueueSettings,
    Redrive,
    redrive_columns,
    redrive_of,
)
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
    """The queue was changed, purged or deleted after the caller read it: read it again."""


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue, as it was when it was read. Times are epoch milliseconds.

    Attributes:
        id: new with every creation and every purge.
        revision: higher with every change.
        kind: `STANDARD`, `FIFO` or `FIFO_BY_GROUP`.
        purged_at_ms: the time of the last purge, or None.
        attributes: what the rules stored, by SQS's attribute names.
        retention_ms: how long a message is kept after it was sent.
        delay_ms: how long a message that a move task moves to the queue stays invisible.
        redrive: when messages move to which dead-letter queue, or None for never.
    """

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
    retention_ms: int
    delay_ms: int
    redrive: Redrive | None

    @property
    def full_name(self) -> QueueName:
        """The queue's account, region and name."""
        return QueueName(self.account, self.region, self.name)


class RetainingQueue(Protocol):
    """The part of a queue that says which of its messages have expired: a `Queue` has it."""

    @property
    def id(self) -> int:
        """The queue's id."""

    @property
    def retention_ms(self) -> int:
        """How long a message is kept after it was sent."""


class QueueRetention(NamedTuple):
    """A queue without its attributes and tags, which take up to 100 KB."""

    id: int
    name: str
    retention_ms: int


def _queue(row: sa.Row[*tuple[Any, ...]]) -> Queue:
    values = dict(row._mapping)
    redrive = redrive_of(*(values.pop(column) for column in REDRIVE_COLUMNS))
    return Queue(**values, redrive=redrive)


def _is_named(account: str, region: str, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(queues.c.account == account, queues.c.region == region, queues.c.name == name)


def find(connection: sa.Connection, account: str, region: str, name: str) -> Queue | None:
    """Return the queue of that name, or None."""
    row = connection.execute(sa.select(queues).where(_is_named(account, region, name))).first()
    return _queue(row) if row else None


def lock(
    transaction: Transaction, account: str, region: str, name: str, *, exclusive: bool = False
) -> Queue | None:
    """Return the queue of that name, locked against purge and deletion until COMMIT, or None.

    An `exclusive` lock waits for other exclusive ones, but not for those that send and receive.
    """
    statement = sa.select(queues).where(_is_named(account, region, name))
    row = transaction.connection.execute(
        locking.with_queue_lock(statement, exclusive=exclusive)
    ).first()
    return _queue(row) if row else None


def list_names(
    connection: sa.Connection, account: str, region: str, prefix: str, after: str, limit: int
) -> Sequence[str]:
    """Return up to `limit` names that begin with `prefix` and sort after `after`, by byte."""
    statement = (
        sa.select(queues.c.name)
        .where(queues.c.account == account, queues.c.region == region)
        .where(queues.c.name >= prefix, queues.c.name > after)
        .order_by(queues.c.name)
        .limit(limit)
    )
    if prefix:
        # Names are ASCII, so no name that begins with the prefix sorts after prefix + DEL.
        statement = statement.where(queues.c.name < prefix + "\x7f")
    return connection.scalars(statement).all()


def list_dead_letter_sources(
    connection: sa.Connection, target: QueueName, after: str, limit: int
) -> Sequence[str]:
    """Return up to `limit` names, after `after` by byte, of queues that redrive to `target`.

    Only queues of the target's account and region are listed: SQS allows no others.
    """
    statement = (
        sa.select(queues.c.name)
        .where(
            queues.c.dead_letter_account == target.account,
            queues.c.dead_letter_region == target.region,
            queues.c.dead_letter_name == target.name,
        )
        .where(queues.c.account == target.account, queues.c.region == target.region)
        .where(queues.c.name > after)
        .order_by(queues.c.name)
        .limit(limit)
    )
    return connection.scalars(statement).all()


def list_after(connection: sa.Connection, after_id: int, limit: int) -> Sequence[QueueRetention]:
    """Return up to `limit` queues of all accounts whose id is greater than `after_id`, by id."""
    rows = connection.execute(
        sa.select(queues.c.id, queues.c.name, queues.c.retention_ms)
        .where(queues.c.id > after_id)
        .order_by(queues.c.id)
        .limit(limit)
    )
    return [QueueRetention(*row) for row in rows]


def deleted_at_ms(connection: sa.Connection, account: str, region: str, name: str) -> int | None:
    """Return when a queue of that name was last deleted, or None.

    `free_old_deletions` removes old times.
    """
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
    settings: QueueSettings,
) -> Queue:
    """Create the queue, or return the one that has the name already, unchanged."""
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
        "retention_ms": settings.retention_ms,
        "delay_ms": settings.delay_ms,
    }
    columns = redrive_columns(settings.redrive)
    transaction.connection.execute(queues.insert(), {**row, **columns})
    transaction.connection.execute(backlogs.insert(), {"queue_id": queue_id, "messages": 0})
    return Queue(**row, redrive=settings.redrive)


def change_attributes(
    transaction: Transaction,
    queue: Queue,
    attributes: Mapping[str, str],
    settings: QueueSettings,
) -> None:
    """Replace all attributes, and the settings that follow from them.

    A new delay of a FIFO queue also applies to messages that the queue has already. If there
    are many, `queue_delays.apply_pending` changes the rest later. AWS: a change of DelaySeconds
    affects the messages already in a FIFO queue, but not those in a standard queue.

    Raises:
        QueueChanged: the database has another revision of the queue.
    """
    _change(
        transaction,
        queue,
        attributes=dict(attributes),
        retention_ms=settings.retention_ms,
        delay_ms=settings.delay_ms,
        modified_at_ms=transaction.now_ms,
        **redrive_columns(settings.redrive),
    )
    if queue.kind != STANDARD and settings.delay_ms != queue.delay_ms:
        queue_delays.change(transaction, queue.id, settings.delay_ms)
        transaction.notify_background_work()


def change_tags(transaction: Transaction, queue: Queue, tags: Mapping[str, str]) -> None:
    """Replace all tags. AWS: this does not change LastModifiedTimestamp.

    Raises:
        QueueChanged: the database has another revision of the queue.
    """
    _change(transaction, queue, tags=dict(tags))


def purge(transaction: Transaction, queue: Queue) -> None:
    """Delete all messages in constant time: give the queue a new id, and drop the old one.

    Raises:
        QueueChanged: the database has another revision of the queue.
    """
    (new_id,) = transaction.take_numbers(1)
    _change(transaction, queue, id=new_id, purged_at_ms=transaction.now_ms)
    transaction.connection.execute(backlogs.insert(), {"queue_id": new_id, "messages": 0})
    _drop(transaction, queue.id)


def delete(transaction: Transaction, queue: Queue) -> None:
    """Delete the queue and all its messages, in constant time.

    Raises:
        QueueChanged: the database has another revision of the queue.
    """
    connection = transaction.connection
    deleted = connection.execute(queues.delete().where(_is_unchanged(queue)))
    if deleted.rowcount != 1:
        raise QueueChanged
    key = {"account": queue.account, "region": queue.region, "name": queue.name}
    connection.execute(deletions.delete().filter_by(**key))
    connection.execute(deletions.insert(), {**key, "deleted_at_ms": transaction.now_ms})
    _drop(transaction, queue.id)


def _is_unchanged(queue: Queue) -> sa.ColumnElement[bool]:
    return sa.and_(queues.c.id == queue.id, queues.c.revision == queue.revision)


def _change(transaction: Transaction, queue: Queue, **values: object) -> None:
    changed = transaction.connection.execute(
        queues.update().where(_is_unchanged(queue)).values(revision=queue.revision + 1, **values)
    )
    if changed.rowcount != 1:
        raise QueueChanged


def _drop(transaction: Transaction, queue_id: int) -> None:
    """Record that the rows of a queue id are to be freed, and wake its waiting receivers."""
    transaction.connection.execute(dropped_queues.insert(), {"queue_id": queue_id})
    queue_delays.discard(transaction, queue_id)
    transaction.hints.drop(queue_id)
    transaction.notify_dropped(queue_id)
    transaction.notify_background_work()


def free_old_deletions(transaction: Transaction, before_ms: int) -> None:
    """Delete the record of queue deletions that are older than `before_ms`, epoch milliseconds."""
    transaction.connection.execute(deletions.delete().where(deletions.c.deleted_at_ms < before_ms))
