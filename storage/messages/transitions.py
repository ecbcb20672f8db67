"""Transitions: all changes of a message's state, each with everything that follows from it.

The functions here send messages, make them in flight, change their visibility, release, move, delay
and delete them. One other statement changes messages: on PostgreSQL, `claim_and_make_in_flight`
(storage/postgresql/statements.py) claims messages of a standard queue and makes them in flight.

Each function also updates, in the same transaction, what is derived from messages: the queue's
count, the dirty groups of a FIFO queue, and the notifications for waiting receivers.

A transition that adds messages to a queue requires that the queue's row is locked: the queue must
be neither purged nor deleted before COMMIT. Every transition of FIFO messages requires that their
groups are locked. `storage.locking` has the order of locks.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage.messages.fifo_groups import LockedGroups, NewInGroup
from storage.messages.rows import MessageKey, MessageState
from storage.queue_settings import QueueName
from storage.schema import bodies, messages
from storage.sql.arrays import among
from storage.sql.statement import Statement, StatementPair
from storage.transaction import Transaction

_is_the_message = sa.and_(
    messages.c.queue_id == bindparam("queue"), messages.c.id == bindparam("number")
)

_INSERT = StatementPair(
    Statement(
        messages.insert(),
        ["queue_id", "id", "visible_at_ms", "sent_at_ms", "receive_count", "group_id", "tenant_id"],
    ),
    Statement(bodies.insert(), ["queue_id", "id", "message_id", "body", "envelope"]),
)


def send(
    transaction: Transaction,
    states: Sequence[Mapping[str, Any]],
    contents: Sequence[Mapping[str, Any]],
    groups: LockedGroups,
) -> None:
    """Insert new messages, given as rows of `messages` and of `bodies` in the same order.

    `groups` are the locked groups of FIFO messages, whose numbers must be taken after the lock.
    """
    _INSERT.change_each(transaction.connection, states, contents)
    visible: dict[tuple[int, int], int] = defaultdict(int)
    for state in states:
        visible[state["queue_id"], state["visible_at_ms"]] += 1
    for (queue_id, visible_at_ms), count in visible.items():
        transaction.add_to_count(queue_id, count)
        transaction.notify_receivers(queue_id, visible_at_ms, count)
    groups.append(
        NewInGroup(state["queue_id"], state["group_id"], state["id"], state["visible_at_ms"])
        for state in states
        if state["group_id"] is not None
    )


in_flight_update = (
    messages.update()
    .where(messages.c.queue_id == bindparam("queue"))
    .values(
        visible_at_ms=bindparam("until"),
        receive_count=messages.c.receive_count + 1,
        first_received_at_ms=sa.func.coalesce(messages.c.first_received_at_ms, bindparam("now")),
    )
)
"""Make messages of `queue` in flight until `until`; the statement that uses it selects them."""

_MAKE_IN_FLIGHT = Statement(in_flight_update.where(among(messages.c.id, "numbers")))


def make_in_flight(
    transaction: Transaction, queue_id: int, rows: Sequence[MessageKey], until_ms: int
) -> None:
    """Count a receive of messages, and make them in flight until `until_ms`.

    With a visibility timeout of 0, they stay visible. Requires that the messages' rows are locked.
    An engine's statement `claim_and_make_in_flight` does the same for a standard queue.
    """
    numbers = [row.id for row in rows]
    parameters = {"queue": queue_id, "numbers": numbers, "now": transaction.now_ms}
    _MAKE_IN_FLIGHT.change(transaction.connection, {**parameters, "until": until_ms})
    if rows[0].group_id is not None:
        for row in rows:
            transaction.fifo_groups.mark_dirty(queue_id, row.group_id)


class VisibilityChange(NamedTuple):
    """A message of a queue, and the new time from which it is visible."""

    queue_id: int
    number: int
    group_id: str | None
    visible_at_ms: int


_SET_VISIBLE_AT = Statement(
    messages.update().where(_is_the_message).values(visible_at_ms=bindparam("until"))
)


def change_visibility(transaction: Transaction, changes: Sequence[VisibilityChange]) -> None:
    """Set the times from which messages are visible; the last change of a message counts.

    Requires that the messages' rows are locked.
    """
    for change in changes:
        transaction.notify_receivers(change.queue_id, change.visible_at_ms)
    _set_visible_at(transaction, changes)


def restart_timeouts(transaction: Transaction, changes: Sequence[VisibilityChange]) -> None:
    """Restart the visibility timeouts of a receive that is repeated; no receive is counted.

    Requires that the messages' rows are locked and unchanged since that receive.
    """
    _set_visible_at(transaction, changes)


def _set_visible_at(transaction: Transaction, changes: Sequence[VisibilityChange]) -> None:
    latest = {(change.queue_id, change.number): change for change in changes}
    for change in latest.values():
        transaction.fifo_groups.mark_dirty(change.queue_id, change.group_id)
    _SET_VISIBLE_AT.change_all(
        transaction.connection,
        [
            {"queue": change.queue_id, "number": change.number, "until": change.visible_at_ms}
            for change in latest.values()
        ],
    )


_RELEASE = Statement(
    messages.update()
    .where(_is_the_message, messages.c.receive_count == bindparam("count"))
    .values(
        visible_at_ms=bindparam("now"),
        receive_count=messages.c.receive_count - 1,
        first_received_at_ms=sa.case(
            (messages.c.receive_count == 1, sa.null()),
            else_=messages.c.first_received_at_ms,
        ),
    )
)


class ReceivedMessage(NamedTuple):
    """A message of a queue, identified with one receive of it.

    Attributes:
        queue_id: the queue's id.
        number: the message's number.
        receive_count: the message's receive count after that receive.
        group_id: the message group, for a message of a FIFO queue.
    """

    queue_id: int
    number: int
    receive_count: int
    group_id: str | None


def release(transaction: Transaction, received: Sequence[ReceivedMessage]) -> None:
    """Undo receives: make messages visible, and subtract the receive from their receive counts.

    A message that was received again or deleted since stays as it is. `received` must be in the
    order of queues and numbers, because the statement locks the rows in the order given.
    """
    rows = []
    for one in received:
        row = {"queue": one.queue_id, "number": one.number, "count": one.receive_count}
        rows.append({**row, "now": transaction.now_ms})
        transaction.notify_receivers(one.queue_id, transaction.now_ms)
        transaction.fifo_groups.mark_dirty(one.queue_id, one.group_id)
    _RELEASE.change_each(transaction.connection, rows)


_MOVE_STATE = (
    messages.update()
    .where(_is_the_message)
    .values(
        queue_id=bindparam("to_queue"),
        id=bindparam("to_number"),
        visible_at_ms=bindparam("now"),
        sent_at_ms=bindparam("sent"),
        receive_count=bindparam("receives"),
        first_received_at_ms=bindparam("first"),
        redriven_at_ms=bindparam("redriven"),
    )
)

_MOVE_BODY = (
    bodies.update()
    .where(bodies.c.queue_id == bindparam("queue"), bodies.c.id == bindparam("number"))
    .values(
        queue_id=bindparam("to_queue"),
        id=bindparam("to_number"),
        dead_letter_source=bindparam("source"),
    )
)

# A separate statement, because most moves keep the message's id and need not write it.
_MOVE_AND_RENAME_BODY = _MOVE_BODY.values(message_id=bindparam("message"))


def dead_letter(
    transaction: Transaction,
    queue_id: int,
    target_id: int,
    rows: Sequence[MessageState],
    source: QueueName,
) -> None:
    """Move messages to the dead-letter queue `target_id`, visible at once.

    A message keeps its id and its receive count. On a standard queue it keeps the time it was sent,
    so its retention continues. In a FIFO queue it counts as sent now, and becomes the last of its
    group (AWS: retention starts again). `source` is the queue it comes from.

    Requires that the messages' rows and the target queue's row are locked. Locks the groups of the
    target queue.
    """
    states = [
        {
            "sent": row.sent_at_ms if row.group_id is None else transaction.now_ms,
            "receives": row.receive_count,
            "first": row.first_received_at_ms,
            "redriven": transaction.now_ms if row.group_id is None else None,
        }
        for row in rows
    ]
    contents = [{"source": str(source)} for _ in rows]
    _move(transaction, queue_id, target_id, rows, states, contents)


def redrive(
    transaction: Transaction, queue_id: int, target_id: int, rows: Sequence[MessageState]
) -> None:
    """Move messages to a queue as new ones, visible at once: sent now, never received, new ids.

    AWS: a move task sends messages as new ones.

    Requires that the messages' rows and the target queue's row are locked. Locks the groups of the
    target queue.
    """
    states = [
        {"sent": transaction.now_ms, "receives": 0, "first": None, "redriven": None} for _ in rows
    ]
    contents = [{"source": None, "message": uuid.uuid4().bytes} for _ in rows]
    _move(transaction, queue_id, target_id, rows, states, contents)


def _move(
    transaction: Transaction,
    queue_id: int,
    target_id: int,
    rows: Sequence[MessageState],
    states: Sequence[dict[str, Any]],
    contents: Sequence[dict[str, Any]],
) -> None:
    """Move messages; add to `states` and `contents` the queue and number that each moves to."""
    now_ms = transaction.now_ms
    groups = transaction.fifo_groups.lock_all(
        {(target_id, row.group_id) for row in rows if row.group_id is not None}
    )
    numbers = transaction.take_numbers(len(rows))
    for row, number, state, content in zip(rows, numbers, states, contents, strict=True):
        key = {"queue": queue_id, "number": row.id, "to_queue": target_id, "to_number": number}
        state.update(key, now=now_ms)
        content.update(key)
    move_body = _MOVE_AND_RENAME_BODY if "message" in contents[0] else _MOVE_BODY
    transaction.connection.execute(_MOVE_STATE, states)
    transaction.connection.execute(move_body, contents)
    transaction.add_to_count(queue_id, -len(rows))
    transaction.add_to_count(target_id, len(rows))
    transaction.notify_receivers(target_id, now_ms, len(rows))
    for row in rows:
        transaction.fifo_groups.mark_dirty(queue_id, row.group_id)
    groups.append(
        NewInGroup(target_id, row.group_id, number, now_ms)
        for row, number in zip(rows, numbers, strict=True)
        if row.group_id is not None
    )


_DELAY = Statement(
    messages.update()
    .where(
        messages.c.queue_id == bindparam("queue"),
        among(messages.c.id, "numbers"),
        messages.c.receive_count == 0,
    )
    .values(visible_at_ms=messages.c.sent_at_ms + bindparam("delay"))
)


def delay(
    transaction: Transaction, queue_id: int, rows: Sequence[MessageKey], delay_ms: int
) -> None:
    """Delay messages of a FIFO queue until `delay_ms` after they were sent, if never received.

    AWS: a FIFO queue's new delay also applies to the messages that the queue has already. Requires
    that the messages' rows are locked.
    """
    if rows:
        numbers = [row.id for row in rows]
        parameters = {"queue": queue_id, "numbers": numbers, "delay": delay_ms}
        _DELAY.change(transaction.connection, parameters)
        for row in rows:
            transaction.fifo_groups.mark_dirty(queue_id, row.group_id)


def _deletion(table: sa.Table) -> Statement:
    return Statement(
        table.delete().where(table.c.queue_id == bindparam("queue"), among(table.c.id, "numbers"))
    )


# The state first, as a claim does: so a delete and a claim cannot deadlock.
_DELETE = StatementPair(_deletion(messages), _deletion(bodies))


def delete(
    transaction: Transaction,
    queue_id: int,
    numbers: Sequence[int],
    group_ids: Iterable[str | None] = (),
) -> None:
    """Delete messages by number; ignore numbers that do not exist.

    `group_ids` are the groups of the messages, for a FIFO queue. If the queue is at its in-flight
    limit, receivers are notified: they may claim as many messages as were deleted.
    """
    deleted = free_rows(transaction, queue_id, numbers)
    transaction.add_to_count(queue_id, -deleted)
    for group_id in group_ids:
        transaction.fifo_groups.mark_dirty(queue_id, group_id)
    if transaction.hints.of(queue_id).is_full:
        transaction.notify_receivers(queue_id, transaction.now_ms, deleted)


def expire(transaction: Transaction, queue_id: int, rows: Sequence[MessageKey]) -> None:
    """Delete messages that are older than the queue's retention.

    Requires that the messages' rows are locked, so that no other server also deletes and counts
    them.
    """
    if rows:
        numbers = [row.id for row in rows]
        delete(transaction, queue_id, numbers, (row.group_id for row in rows))


def free_rows(transaction: Transaction, queue_id: int, numbers: Sequence[int]) -> int:
    """Delete the rows of messages, state and body; return how many messages existed.

    Does not change the queue's count: call it directly only for a dropped queue, which has none.
    """
    if not numbers:
        return 0
    return _DELETE.change(transaction.connection, {"queue": queue_id, "numbers": numbers})
