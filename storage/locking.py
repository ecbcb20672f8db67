"""Lock order: how transactions of several servers lock rows without a deadlock.

Several servers may write to one PostgreSQL database. Two transactions deadlock if each waits for a
row that the other has locked. So every transaction that waits for locks takes them in this order:

1. move tasks;
2. queues, by id;
3. receive attempts, by a hash of queue id and attempt id, with advisory locks;
4. groups of FIFO queues, by queue id and group;
5. messages, by queue id and number; a message's body belongs to its message and needs no lock;
6. deduplication ids, by queue id and key;
7. counters (`backlogs`), by queue id, together with the COMMIT.

A FIFO group's lock covers its messages: no other server sends to the group, receives from it, or
deletes or changes its messages before COMMIT.

Four exceptions to the order:

- A lock that does not wait (SKIP LOCKED) may be taken at any time. Claims use it.
- A receive that meets exhausted messages already holds locks on groups and messages of the source
  queue. It then locks the dead-letter queue and that queue's groups. A move task, too, locks its
  destination after messages of its source. But it does not wait for groups of the destination, so
  it cannot deadlock with such a receive.
- A batch deletes and releases messages of standard queues without locking them first, which saves
  a statement. Both lock their rows in the order of queue and number.
- An INSERT waits if another transaction has inserted the same key and has not ended. This concerns
  groups and deduplication ids. Such a row cannot be locked before it is visible.

Deadlocks that remain possible are rare. PostgreSQL then fails one of the transactions, and the
writer retries it.

The functions named `with_...` add a locking clause to a SELECT; those named `lock_...` lock rows
now. Every SELECT that locks rows is made with one of them. One other statement locks rows before
they change: `insert_or_lock_groups` (storage/postgresql/statements.py) locks by ON CONFLICT.
`lock_attempts`, in the same file, takes advisory locks, because an attempt has no row before it is
recorded. SQLite has one writer, and ignores the locking clauses.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias, TypeVarTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage.messages.rows import STATE, MessageState
from storage.queue_settings import LockedQueue, QueueName, redrive_of
from storage.schema import groups, messages, queues
from storage.sql.arrays import among, by_queue, in_order
from storage.sql.statement import Statement

Columns = TypeVarTuple("Columns")

GroupKey: TypeAlias = tuple[int, str]
"""A queue id and a message group of it."""


class GroupNotLocked(RuntimeError):
    """A FIFO group, or a message of it, was changed before the group was locked: a bug."""


def with_row_lock(select: sa.Select[*Columns]) -> sa.Select[*Columns]:
    """Make a SELECT lock the one row that it finds, waiting for it."""
    return select.with_for_update()


def with_ordered_locks(
    select: sa.Select[*Columns], key: sa.ColumnElement[Any]
) -> sa.Select[*Columns]:
    """Make a SELECT by a list of keys lock the rows in key order, waiting for each."""
    return select.order_by(in_order(key)).with_for_update()


def with_locks_if_free(
    select: sa.Select[*Columns], *, of: sa.Table | None = None
) -> sa.Select[*Columns]:
    """Make a SELECT lock the rows that no other transaction has locked, and leave out the others.

    `of` is the table whose rows are locked, if the statement joins several.
    """
    return select.with_for_update(skip_locked=True, of=of)


def with_queue_lock(select: sa.Select[*Columns], *, exclusive: bool = False) -> sa.Select[*Columns]:
    """Make a SELECT lock rows of `queues`: the queues are not purged or deleted before COMMIT.

    The lock is shared: others may send to the queue, receive from it and change its attributes. An
    exclusive lock conflicts with exclusive locks and with updates of the row, not with shared
    locks.
    """
    return select.with_for_update(read=not exclusive, key_share=True)


queues_by_id = with_queue_lock(
    sa.select(
        queues.c.id,
        queues.c.revision,
        queues.c.kind,
        queues.c.account,
        queues.c.region,
        queues.c.name,
        queues.c.retention_ms,
        queues.c.dead_letter_account,
        queues.c.dead_letter_region,
        queues.c.dead_letter_name,
        queues.c.max_receive_count,
    )
    .where(among(queues.c.id, "ids"))
    .order_by(in_order(queues.c.id))
)
"""A SELECT that locks the queues whose ids are in the list `ids`, in the order of their ids."""

_QUEUES = Statement(queues_by_id)


def lock_queues(connection: sa.Connection, ids: Collection[int]) -> dict[int, LockedQueue]:
    """Lock queues by id with a shared lock; return those that exist, by id."""
    rows = _QUEUES.rows(connection, {"ids": sorted(ids)})
    return {row.id: locked_queue(row) for row in rows}


def locked_queue(row: Sequence[Any]) -> LockedQueue:
    """Return the queue that a row of `queues_by_id` describes."""
    queue_id, revision, kind, account, region, name, retention_ms, *redrive = row
    full_name = QueueName(account, region, name)
    return LockedQueue(queue_id, revision, kind, full_name, retention_ms, redrive_of(*redrive))


_groups = sa.select(groups.c.group_id).where(
    groups.c.queue_id == bindparam("queue"), among(groups.c.group_id, "groups")
)

_GROUPS = Statement(_groups)
_LOCK_GROUPS = Statement(with_ordered_locks(_groups, groups.c.group_id))
_LOCK_GROUPS_WITHOUT_WAITING = Statement(
    with_locks_if_free(_groups.order_by(in_order(groups.c.group_id)))
)


def lock_groups(connection: sa.Connection, keys: Collection[GroupKey]) -> set[GroupKey]:
    """Lock the rows of groups; return the keys of those that exist, which have messages.

    Do not call this directly; use `transaction.fifo_groups`, which remembers what is locked.
    """
    return {
        (queue_id, group_id)
        for queue_id, group_ids in by_queue(keys)
        for (group_id,) in _LOCK_GROUPS.rows(connection, {"queue": queue_id, "groups": group_ids})
    }


def find_busy_groups(
    connection: sa.Connection, queue_id: int, group_ids: Collection[str]
) -> set[str]:
    """Lock groups of a queue without waiting; return those that other transactions have locked."""
    named = {"queue": queue_id, "groups": sorted(group_ids)}
    free = {group_id for (group_id,) in _LOCK_GROUPS_WITHOUT_WAITING.rows(connection, named)}
    return {group_id for (group_id,) in _GROUPS.rows(connection, named)} - free


_GROUPS_OF_MESSAGES = Statement(
    sa.select(messages.c.group_id).where(
        messages.c.queue_id == bindparam("queue"),
        among(messages.c.id, "numbers"),
        messages.c.group_id.is_not(None),
    )
)


def groups_of_messages(
    connection: sa.Connection, numbers: Mapping[int, Collection[int]]
) -> set[GroupKey]:
    """Return the groups of messages, given as numbers by queue id, without locking anything.

    A message keeps its group as long as it keeps its number, so reading the group before locking is
    safe.
    """
    return {
        (queue_id, group_id)
        for queue_id, its_numbers in numbers.items()
        for (group_id,) in _GROUPS_OF_MESSAGES.rows(
            connection, {"queue": queue_id, "numbers": list(its_numbers)}
        )
    }


_messages_by_number = sa.select(*STATE).where(
    messages.c.queue_id == bindparam("queue"), among(messages.c.id, "numbers")
)

_LOCK_MESSAGES = Statement(with_ordered_locks(_messages_by_number, messages.c.id))
_LOCK_MESSAGES_WITHOUT_WAITING = Statement(
    with_locks_if_free(_messages_by_number.order_by(in_order(messages.c.id)))
)


def lock_messages(
    connection: sa.Connection, queue_id: int, numbers: Sequence[int]
) -> list[MessageState]:
    """Lock messages by number, waiting for them in their order; return those that exist.

    For a FIFO queue, lock the groups first.
    """
    rows: list[MessageState] = _LOCK_MESSAGES.rows(
        connection, {"queue": queue_id, "numbers": numbers}
    )
    return rows


def lock_messages_without_waiting(
    connection: sa.Connection, queue_id: int, numbers: Sequence[int]
) -> list[MessageState]:
    """Lock messages by number, without waiting; return those that were not locked by others."""
    if not numbers:
        return []
    rows: list[MessageState] = _LOCK_MESSAGES_WITHOUT_WAITING.rows(
        connection, {"queue": queue_id, "numbers": numbers}
    )
    return rows
