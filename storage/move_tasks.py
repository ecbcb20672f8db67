"""Message move tasks: start, list, cancel, and take one step of the work.

A step moves some messages and records how many in the same transaction, so that a task continues
after a restart where it stopped. The runner of the tasks decides how often to take steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage import locking, queues
from storage.messages import transitions
from storage.messages.rows import STATE, MessageState, Step
from storage.queue_settings import QueueName
from storage.queues import Queue
from storage.schema import groups, messages
from storage.schema import move_tasks as tasks
from storage.transaction import Transaction

RUNNING = "RUNNING"
CANCELLING = "CANCELLING"
CANCELLED = "CANCELLED"
COMPLETED = "COMPLETED"
FAILED = "FAILED"

_ACTIVE = (RUNNING, CANCELLING)
_KEPT = 10
"""The number of a queue's latest tasks that are kept (AWS lists up to 10)."""


class TaskIsRunning(Exception):
    """The queue has an active task already (AWS: at most one per source queue)."""


class TaskHasEnded(Exception):
    """The task cannot be cancelled, because it is not running."""


class NoSource(Exception):
    """A message was sent to the queue itself, so that it has no source to move back to."""


class NoDestination(Exception):
    """The queue to which messages should move does not exist."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task, as it was when it was read.

    Attributes:
        source: name of the dead-letter queue, in `account` and `region`.
        destination: the queue to move to, or None to move each message to its own source.
        per_second: the most messages to move in a second, or None for no limit.
        status: `RUNNING`, `CANCELLING`, `CANCELLED`, `COMPLETED` or `FAILED`.
        moved: messages moved so far.
        to_move: visible messages when the task started.
        failure: why the task failed, or None.
        number: the last id when the task started; later messages are not moved.
        started_at_ms: epoch milliseconds.
    """

    id: str
    account: str
    region: str
    source: str
    destination: QueueName | None
    per_second: int | None
    status: str
    moved: int
    to_move: int
    failure: str | None
    number: int
    started_at_ms: int


def _task(row: sa.Row[*tuple[Any, ...]]) -> Task:
    values = dict(row._mapping)
    if values["destination"] is not None:
        values["destination"] = QueueName.parse(values["destination"])
    return Task(**values)


def _of_source(account: str, region: str, source: str) -> sa.ColumnElement[bool]:
    return sa.and_(tasks.c.account == account, tasks.c.region == region, tasks.c.source == source)


def start(
    transaction: Transaction,
    task_id: str,
    queue: Queue,
    destination: QueueName | None,
    per_second: int | None,
    to_move: int,
) -> None:
    """Start a task that moves a queue's messages, and delete its oldest tasks.

    Raises:
        TaskIsRunning: the queue has an active task.
    """
    of_source = _of_source(queue.account, queue.region, queue.name)
    # A concurrent start waits here, and then finds this task.
    queues.lock(transaction, queue.account, queue.region, queue.name, exclusive=True)
    latest = transaction.connection.execute(
        sa.select(tasks.c.id, tasks.c.status).where(of_source).order_by(tasks.c.number.desc())
    ).all()
    if any(row.status in _ACTIVE for row in latest):
        raise TaskIsRunning
    oldest = [row.id for row in latest[_KEPT - 1 :]]
    if oldest:
        transaction.connection.execute(tasks.delete().where(tasks.c.id.in_(oldest)))
    (number,) = transaction.take_numbers(1)
    transaction.connection.execute(
        tasks.insert(),
        {
            "id": task_id,
            "account": queue.account,
            "region": queue.region,
            "source": queue.name,
            "destination": None if destination is None else str(destination),
            "per_second": per_second,
            "status": RUNNING,
            "moved": 0,
            "to_move": to_move,
            "failure": None,
            "number": number,
            "started_at_ms": transaction.now_ms,
        },
    )
    transaction.notify_background_work()


def latest(
    connection: sa.Connection, account: str, region: str, source: str, limit: int
) -> Sequence[Task]:
    """Return up to `limit` tasks of a queue, the latest first."""
    statement = (
        sa.select(tasks)
        .where(_of_source(account, region, source))
        .order_by(tasks.c.number.desc())
        .limit(limit)
    )
    return [_task(row) for row in connection.execute(statement)]


def active(connection: sa.Connection) -> Sequence[Task]:
    """Return all tasks that have not ended, the oldest first."""
    statement = sa.select(tasks).where(tasks.c.status.in_(_ACTIVE)).order_by(tasks.c.number)
    return [_task(row) for row in connection.execute(statement)]


def origins(connection: sa.Connection, queue: Queue) -> Sequence[QueueName]:
    """Return the queues from which the messages of a dead-letter queue came."""
    source = messages.c.dead_letter_source
    statement = sa.select(source).where(messages.c.queue_id == queue.id).distinct()
    return [QueueName.parse(name) for name in connection.scalars(statement) if name is not None]


def find(connection: sa.Connection, task_id: str, *, lock: bool = False) -> Task | None:
    """Return a task, or None. With `lock`, no other server works on it before COMMIT."""
    statement = sa.select(tasks).where(tasks.c.id == task_id)
    row = connection.execute(locking.with_row_lock(statement) if lock else statement).first()
    return _task(row) if row else None


def cancel(transaction: Transaction, task_id: str) -> int:
    """Mark a task to be cancelled by its next step; return how many messages it has moved.

    Raises:
        TaskHasEnded: the task has ended, is marked already, or does not exist.
    """
    changed = transaction.connection.execute(
        tasks.update()
        .where(tasks.c.id == task_id, tasks.c.status == RUNNING)
        .values(status=CANCELLING)
    )
    task = find(transaction.connection, task_id)
    if changed.rowcount != 1 or task is None:
        raise TaskHasEnded
    return task.moved


def end(transaction: Transaction, task_id: str, status: str, failure: str | None = None) -> None:
    """Record how an active task ended."""
    transaction.connection.execute(
        tasks.update()
        .where(tasks.c.id == task_id, tasks.c.status.in_(_ACTIVE))
        .values(status=status, failure=failure)
    )


def step(transaction: Transaction, task_id: str, limit: int) -> int | None:
    """Move up to `limit` visible messages; return how many were moved or had expired.

    Expired messages are deleted. Return 0 if other servers have locked all messages that are left.
    Return None if the task has ended: it was cancelled, or there is nothing left to move.

    Raises:
        NoSource: a message has no source, and the task has no destination.
        NoDestination: the queue to move to does not exist.
    """
    task = find(transaction.connection, task_id, lock=True)
    if task is None or task.status not in _ACTIVE:
        return None
    if task.status == CANCELLING:
        end(transaction, task_id, CANCELLED)
        return None
    source = queues.lock(transaction, task.account, task.region, task.source)
    found = _movable(transaction, source, task, limit) if source else []
    if source is None or not found:
        if source is not None and _is_any_left(transaction, source, task):
            return 0
        end(transaction, task_id, COMPLETED)
        return None
    expired_ms = transaction.now_ms - source.retention_ms
    expired = Step(limit).deleted([row for row in found if row.sent_at_ms <= expired_ms])
    transitions.delete_locked(transaction, source.id, expired)
    alive = [row for row in found if row.sent_at_ms > expired_ms]
    moved = 0
    for destination, rows in _by_destination(task, alive).items():
        target = queues.lock(transaction, *destination)
        if target is None:
            raise NoDestination
        free = _without_locked_groups(transaction, target, rows)
        if free:
            transitions.redrive(transaction, source.id, target.id, free, target.delay_ms)
            moved += len(free)
    if moved:
        transaction.connection.execute(
            tasks.update().where(tasks.c.id == task_id).values(moved=tasks.c.moved + moved)
        )
    return len(expired) + moved


def _movable(
    transaction: Transaction, source: Queue, task: Task, limit: int
) -> Sequence[MessageState]:
    """Lock up to `limit` visible messages from before the task's start, in their order."""
    if source.kind != queues.STANDARD:
        selection = transaction.fifo_groups.select(
            source.id, [limit], lambda row: row.id <= task.number, newest=task.number
        )
        return selection.chosen[0]
    rows: Sequence[Any] = transaction.connection.execute(
        locking.with_locks_if_free(
            sa.select(*STATE)
            .where(*_is_movable(transaction, source, task))
            .order_by(messages.c.id)
            .limit(limit)
        )
    ).all()
    return rows


def _is_movable(
    transaction: Transaction, source: Queue, task: Task
) -> Sequence[sa.ColumnElement[bool]]:
    """Return the conditions for the messages of a standard queue that a task moves."""
    return (
        messages.c.queue_id == source.id,
        messages.c.id <= task.number,
        messages.c.visible_at_ms <= transaction.now_ms,
    )


def _is_any_left(transaction: Transaction, source: Queue, task: Task) -> bool:
    """Return whether a visible message is left, which another server has locked.

    The order is that of the move, so that the statement reads the same part of the index.
    """
    if not transaction.capabilities.has_concurrent_writers:
        return False
    if source.kind != queues.STANDARD:
        left = (
            sa.select(groups.c.head_id)
            .join_from(
                groups,
                messages,
                sa.and_(messages.c.queue_id == source.id, messages.c.id == groups.c.head_id),
            )
            .where(
                groups.c.queue_id == source.id,
                groups.c.available_at_ms <= transaction.now_ms,
                groups.c.head_id <= task.number,
                # A head that is in flight made its group available by expiring. It is not moved.
                messages.c.visible_at_ms <= transaction.now_ms,
            )
            .order_by(groups.c.available_at_ms, groups.c.head_id)
        )
    else:
        left = (
            sa.select(messages.c.id)
            .where(*_is_movable(transaction, source, task))
            .order_by(messages.c.id)
        )
    return transaction.connection.execute(left.limit(1)).first() is not None


def _without_locked_groups(
    transaction: Transaction, target: Queue, rows: Sequence[MessageState]
) -> Sequence[MessageState]:
    """Return the messages whose groups no other server has locked; a later step moves the others.

    Waiting for such a group could deadlock: a receive that moves messages to the dead-letter queue
    may have locked the group in the target, and wait for the group in the source, locked here.
    """
    wanted = {row.group_id for row in rows if row.group_id is not None}
    if not wanted or not transaction.capabilities.has_concurrent_writers:
        return rows
    locked = locking.find_busy_groups(transaction.connection, target.id, wanted)
    return [row for row in rows if row.group_id not in locked]


def _by_destination(
    task: Task, rows: Sequence[MessageState]
) -> Mapping[QueueName, list[MessageState]]:
    """Group messages by the queue to move to.

    Raises:
        NoSource: a message has no source, and the task has no destination.
    """
    found: dict[QueueName, list[MessageState]] = defaultdict(list)
    for row in rows:
        found[task.destination or _source_of(row)].append(row)
    return found


def _source_of(row: MessageState) -> QueueName:
    if row.dead_letter_source is None:
        raise NoSource
    return QueueName.parse(row.dead_letter_source)
