"""Message move tasks: what is known of them, and one step of their work.

A step moves some messages and notes how many in the same transaction, so a task that is
interrupted goes on where it was. Refuses to decide how quickly: that is the runner's part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage import locking, queues
from storage.messages import transitions
from storage.messages.rows import STATE, MessageState
from storage.queue_settings import QueueName
from storage.queues import Queue
from storage.schema import bodies, groups, messages
from storage.schema import move_tasks as tasks
from storage.transaction import Transaction

RUNNING = "RUNNING"
CANCELLING = "CANCELLING"
CANCELLED = "CANCELLED"
COMPLETED = "COMPLETED"
FAILED = "FAILED"

_ACTIVE = (RUNNING, CANCELLING)
_KEPT = 10
"""Of how many tasks of a queue, the latest, anything is known."""


class TaskIsRunning(Exception):
    """The queue has a task that has not ended yet."""


class TaskHasEnded(Exception):
    """The task is not running, so it cannot be cancelled."""


class NoSource(Exception):
    """A message does not say which queue it came from."""


class NoDestination(Exception):
    """The queue that messages should move to is not there."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it was when it was read.

    `source` is a queue's name, `destination` a full name, or None for each message's own source.
    `number` is the last message's that the task may meet.
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
    """Begin a task on a queue, and forget all but its latest.

    Raises:
        TaskIsRunning: the queue has one that has not ended.
    """
    of_source = _of_source(queue.account, queue.region, queue.name)
    # Whoever else wants to begin one waits here, and then sees this one.
    queues.lock(transaction, queue.account, queue.region, queue.name, exclusive=True)
    latest = transaction.connection.execute(
        sa.select(tasks.c.id, tasks.c.status).where(of_source).order_by(tasks.c.number.desc())
    ).all()
    if any(row.status in _ACTIVE for row in latest):
        raise TaskIsRunning
    forgotten = [row.id for row in latest[_KEPT - 1 :]]
    if forgotten:
        transaction.connection.execute(tasks.delete().where(tasks.c.id.in_(forgotten)))
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
    """Give up to `limit` tasks of a queue, the latest first."""
    statement = (
        sa.select(tasks)
        .where(_of_source(account, region, source))
        .order_by(tasks.c.number.desc())
        .limit(limit)
    )
    return [_task(row) for row in connection.execute(statement)]


def active(connection: sa.Connection) -> Sequence[Task]:
    """Give all tasks that have not ended."""
    statement = sa.select(tasks).where(tasks.c.status.in_(_ACTIVE)).order_by(tasks.c.number)
    return [_task(row) for row in connection.execute(statement)]


def find(connection: sa.Connection, task_id: str, *, lock: bool = False) -> Task | None:
    """Give a task, or None; if it is held, no other server works on it before the COMMIT."""
    statement = sa.select(tasks).where(tasks.c.id == task_id)
    row = connection.execute(locking.lock_row(statement) if lock else statement).first()
    return _task(row) if row else None


def cancel(transaction: Transaction, task_id: str) -> int:
    """Ask a task to end; tell how many messages it has moved.

    Raises:
        TaskHasEnded: it has ended, or was asked already.
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
    """Note how a task ended."""
    transaction.connection.execute(
        tasks.update()
        .where(tasks.c.id == task_id, tasks.c.status.in_(_ACTIVE))
        .values(status=status, failure=failure)
    )


def step(transaction: Transaction, task_id: str, limit: int) -> int | None:
    """Move up to `limit` visible messages; None when the task has ended, and why is noted.

    What is given otherwise is how many messages are done with. It is none while other servers are
    just about all that is left.

    A message that has expired is deleted where it is met.

    Raises:
        NoSource: a message has no source and the task no destination.
        NoDestination: the queue to move to is gone.
    """
    task = find(transaction.connection, task_id, lock=True)
    if task is None or task.status not in _ACTIVE:
        return None
    if task.status == CANCELLING:
        end(transaction, task_id, CANCELLED)
        return None
    source = queues.lock(transaction, task.account, task.region, task.source)
    met = _movable(transaction, source, task, limit) if source else []
    if source is None or not met:
        if source is not None and _is_any_left(transaction, source, task):
            return 0
        end(transaction, task_id, COMPLETED)
        return None
    expired_ms = transaction.now_ms - source.retention_ms
    expired = [row for row in met if row.sent_at_ms <= expired_ms]
    transitions.expire(transaction, source.id, expired)
    rows = [row for row in met if row.sent_at_ms > expired_ms]
    moved = 0
    for destination, found in _by_destination(transaction, source.id, task, rows).items():
        target = queues.lock(transaction, *destination)
        if target is None:
            raise NoDestination
        free = _without_busy(transaction, target, found)
        if free:
            transitions.redrive(transaction, source.id, target.id, free)
            moved += len(free)
    if moved:
        transaction.connection.execute(
            tasks.update().where(tasks.c.id == task_id).values(moved=tasks.c.moved + moved)
        )
    return len(met) - len(rows) + moved


def _movable(
    transaction: Transaction, source: Queue, task: Task, limit: int
) -> Sequence[MessageState]:
    """Find visible messages that were there when the task began, in their order."""
    if source.kind != queues.STANDARD:
        selection = transaction.fifo_groups.select(
            source.id, [limit], lambda row: row.id <= task.number, newest=task.number
        )
        return selection.chosen[0]
    rows: Sequence[Any] = transaction.connection.execute(
        locking.lock_if_free(
            sa.select(*STATE)
            .where(*_is_to_be_moved(transaction, source, task))
            .order_by(messages.c.id)
            .limit(limit)
        )
    ).all()
    return rows


def _is_to_be_moved(
    transaction: Transaction, source: Queue, task: Task
) -> Sequence[sa.ColumnElement[bool]]:
    """Say which messages of a standard queue a task moves."""
    return (
        messages.c.queue_id == source.id,
        messages.c.id <= task.number,
        messages.c.visible_at_ms <= transaction.now_ms,
    )


def _is_any_left(transaction: Transaction, source: Queue, task: Task) -> bool:
    """Tell whether something visible is left, which another server is just about.

    It is looked for in the order in which it is moved.
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
                # Else it has expired in flight: then it makes way for the next, but is not moved.
                messages.c.visible_at_ms <= transaction.now_ms,
            )
            .order_by(groups.c.available_at_ms, groups.c.head_id)
        )
    else:
        left = (
            sa.select(messages.c.id)
            .where(*_is_to_be_moved(transaction, source, task))
            .order_by(messages.c.id)
        )
    return transaction.connection.execute(left.limit(1)).first() is not None


def _without_busy(
    transaction: Transaction, target: Queue, rows: Sequence[MessageState]
) -> Sequence[MessageState]:
    """Leave out what goes to groups that other servers hold: it is moved by a later step.

    A receive there that buries messages may hold its group of the target, and wait for the one of
    the source that is held here.
    """
    wanted = {row.group_id for row in rows if row.group_id is not None}
    if not wanted or not transaction.capabilities.has_concurrent_writers:
        return rows
    busy = locking.find_busy_groups(transaction.connection, target.id, wanted)
    return [row for row in rows if row.group_id not in busy]


def _by_destination(
    transaction: Transaction, queue_id: int, task: Task, rows: Sequence[MessageState]
) -> Mapping[QueueName, list[MessageState]]:
    if task.destination is not None:
        return {task.destination: list(rows)} if rows else {}
    sources: dict[int, Any] = {
        row.id: row.dead_letter_source
        for row in transaction.connection.execute(
            sa.select(bodies.c.id, bodies.c.dead_letter_source).where(
                bodies.c.queue_id == queue_id, bodies.c.id.in_([row.id for row in rows])
            )
        )
    }
    found: dict[str, list[MessageState]] = defaultdict(list)
    for row in rows:
        if sources[row.id] is None:
            raise NoSource
        found[sources[row.id]].append(row)
    return {QueueName.parse(source): its_rows for source, its_rows in found.items()}
