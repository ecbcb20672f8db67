"""Transitions: all changes of a message's state, each with everything that follows from it.

The functions here send messages, make them in flight, change their visibility, mark them ready,
release, move, delay and delete them. PostgreSQL has one more statement that changes messages,
`claim_and_make_in_flight` (storage/postgresql/statements.py): it claims messages of a standard
queue and makes them in flight.

Each function also updates, in the same transaction, what is derived from messages: the queue's
count, the dirty groups of a FIFO queue, and the notifications for waiting receivers.

A transition that adds messages to a queue requires that the queue's row is locked: the queue must
be neither purged nor deleted before COMMIT. Every transition of FIFO messages requires that their
groups are locked. `storage.locking` has the order of locks.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage import locking
from storage.encryption.data_keys import DataKey
from storage.messages.commands import NewMessage
from storage.messages.fifo_groups import LockedGroups
from storage.messages.rows import STEP_ROWS, MessageKey, MessageState, NewInGroup
from storage.queue_settings import LockedQueue, QueueName
from storage.schema import bodies, messages
from storage.sql.arrays import among
from storage.sql.statement import InsertPair, Statement, StatementByNumber
from storage.transaction import Transaction

_is_the_message = sa.and_(
    messages.c.queue_id == bindparam("queue"), messages.c.id == bindparam("number")
)

_are_the_messages = sa.and_(
    messages.c.queue_id == bindparam("queue"), among(messages.c.id, "numbers")
)

_INSERT = InsertPair(
    # `send` has the values, in the order of these columns, which is that of the tables.
    Statement(
        messages.insert(),
        [
            "queue_id",
            "id",
            "visible_at_ms",
            "sent_at_ms",
            "receive_count",
            "group_id",
            "tenant_id",
            "queued_at_ms",
            "body_id",
            "size",
            "earlier_receives",
        ],
    ),
    Statement(bodies.insert(), ["queue_id", "id", "message_id", "data_key", "body", "envelope"]),
)


_LONG_BYTES = 16 * 1024
"""Messages with more bytes than this are inserted one by one."""

READY_MS = 0
"""`visible_at_ms` of a ready message: one of a standard queue that is visible for certain."""


def _visible_at_ms(now_ms: int, delay_ms: int, *, is_ordered: bool) -> int:
    """Return `visible_at_ms` for a message that is new in a queue."""
    return now_ms + delay_ms if delay_ms or is_ordered else READY_MS


NumberedMessage: TypeAlias = tuple[int, NewMessage, int, DataKey | None]
"""A message that is sent: the queue id, the message, its number, and the key that encrypts it."""


def send(transaction: Transaction, sent: Sequence[NumberedMessage], groups: LockedGroups) -> None:
    """Insert new messages.

    `groups` are the locked groups of FIFO messages, whose numbers must be taken after the lock.
    """
    now_ms = transaction.now_ms
    states = []
    contents: list[tuple[int, int, bytes, int | None, str, bytes]] = []
    added: list[NewInGroup] = []
    visible: dict[tuple[int, int], int] = {}
    are_long = False
    for queue_id, message, number, data_key in sent:
        message_id, body, envelope, size, group_id, delay_ms, deduplication_id = message
        if size > _LONG_BYTES:
            are_long = True
        tenant_id = None
        if deduplication_id is None:  # a message of a standard queue
            group_id, tenant_id = None, group_id
        visible_ms = _visible_at_ms(now_ms, delay_ms, is_ordered=group_id is not None)
        states.append(
            (queue_id, number, visible_ms, now_ms, 0, group_id, tenant_id, now_ms, number, size, 0)
        )
        if data_key is None:
            contents.append((queue_id, number, message_id, None, body, envelope))
        else:
            encrypted = data_key.encrypt(number, message_id, body, envelope)
            contents.append((queue_id, number, message_id, data_key.id, "", encrypted))
        key = queue_id, visible_ms
        visible[key] = visible.get(key, 0) + 1
        if group_id is not None:
            added.append(NewInGroup(queue_id, group_id, number, visible_ms))
    _INSERT.insert_each(transaction.connection, states, contents, are_long=are_long)
    for (queue_id, visible_ms), count in visible.items():
        transaction.add_to_count(queue_id, count)
        transaction.notify_receivers(queue_id, visible_ms, count)
    if added:
        groups.append(added)


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

_MAKE_IN_FLIGHT = StatementByNumber(in_flight_update.where, messages.c.id)


def make_in_flight(
    transaction: Transaction, queue: LockedQueue, rows: Sequence[MessageState], until_ms: int
) -> None:
    """Count a receive of messages, and make them in flight until `until_ms`.

    With a visibility timeout of 0, they stay visible. Requires that the messages' rows are locked.
    An engine's statement `claim_and_make_in_flight` does the same for a standard queue.
    """
    numbers = [row.id for row in rows]
    parameters = {"queue": queue.id, "numbers": numbers, "now": transaction.now_ms}
    _MAKE_IN_FLIGHT.change(transaction.connection, {**parameters, "until": until_ms})
    if rows[0].group_id is not None:
        transaction.fifo_groups.mark_in_flight(queue, rows, until_ms)


_before_the_receive = {
    "receive_count": messages.c.receive_count - 1,
    "first_received_at_ms": sa.case(
        (messages.c.receive_count == 1, sa.null()), else_=messages.c.first_received_at_ms
    ),
}
_uncounted = {**_before_the_receive, "queued_at_ms": messages.c.visible_at_ms + 1}
_UNCOUNT = Statement(messages.update().where(_are_the_messages).values(_uncounted))


def uncount(transaction: Transaction, queue_id: int, rows: Sequence[MessageState]) -> None:
    """Subtract the receive that this transaction has counted; the messages stay in flight.

    For messages that cannot be returned: they come no closer to the dead-letter queue. In a
    standard queue they go to the back, because receives must not find them before all others.
    """
    parameters = {"queue": queue_id, "numbers": [row.id for row in rows]}
    _UNCOUNT.change(transaction.connection, parameters)


_BACK_AFTER_RECEIVES = 3
"""AWS: a message that was received three times or more goes to the back of the queue."""

_is_due = (
    messages.c.queue_id == bindparam("queue"),
    messages.c.visible_at_ms > READY_MS,
    messages.c.visible_at_ms <= bindparam("now"),
)

HAS_DUE = sa.exists().select_from(messages).where(*_is_due)
"""Whether the time of messages of `queue` has come at `now` that are not marked ready yet."""

_DUE = Statement(
    locking.with_locks_if_free(
        sa.select(messages.c.id)
        .where(*_is_due)
        .order_by(messages.c.visible_at_ms, messages.c.queued_at_ms, messages.c.id)
        .limit(STEP_ROWS)
    )
)

_receives_here = messages.c.receive_count - messages.c.earlier_receives
_MARK_READY = Statement(
    messages.update()
    .where(_are_the_messages)
    .values(
        visible_at_ms=READY_MS,
        # One later, to be behind the messages that were sent in the same millisecond.
        queued_at_ms=sa.case(
            (_receives_here >= _BACK_AFTER_RECEIVES, messages.c.visible_at_ms + 1),
            else_=messages.c.queued_at_ms,
        ),
    )
)


def mark_ready(transaction: Transaction, queue_id: int) -> bool:
    """Mark messages of a standard queue ready whose delay or visibility timeout has ended.

    Returns whether there may be more of them.

    A message then has its place in the order of sending, or at the back of the queue, as from when
    it became visible. One transaction marks up to `STEP_ROWS` messages, those first whose time came
    first.
    """
    parameters = {"queue": queue_id, "now": transaction.now_ms}
    numbers = [number for (number,) in _DUE.rows(transaction.connection, parameters)]
    if numbers:
        _MARK_READY.change(transaction.connection, {"queue": queue_id, "numbers": numbers})
    return len(numbers) == STEP_ROWS


class VisibilityChange(NamedTuple):
    """A message of a queue, and the new time from which it is visible."""

    queue_id: int
    number: int
    group_id: str | None
    visible_at_ms: int


_SET_VISIBLE_AT = Statement(
    messages.update().where(_is_the_message).values(visible_at_ms=bindparam("until")),
    ["until", "queue", "number"],
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
        [(change.visible_at_ms, change.queue_id, change.number) for change in latest.values()],
    )


_RELEASE = Statement(
    messages.update()
    .where(_is_the_message, messages.c.receive_count == bindparam("count"))
    .values(visible_at_ms=bindparam("now"), **_before_the_receive),
    ["now", "queue", "number", "count"],
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
        rows.append((transaction.now_ms, one.queue_id, one.number, one.receive_count))
        transaction.notify_receivers(one.queue_id, transaction.now_ms)
        transaction.fifo_groups.mark_dirty(one.queue_id, one.group_id)
    _RELEASE.change_each(transaction.connection, rows)


_MOVE = (
    messages.update()
    .where(_is_the_message)
    .values(
        queue_id=bindparam("to_queue"),
        id=bindparam("to_number"),
        visible_at_ms=bindparam("visible"),
        queued_at_ms=bindparam("now"),
        sent_at_ms=bindparam("sent"),
        receive_count=bindparam("receives"),
        earlier_receives=bindparam("receives"),
        first_received_at_ms=bindparam("first"),
        dead_letter_source=bindparam("source"),
    )
)

_MOVE_COLUMNS = (
    *("sent", "receives", "first", "source", "message"),
    *("queue", "number", "to_queue", "to_number", "visible", "now"),
)

_DEAD_LETTER = Statement(_MOVE, _MOVE_COLUMNS)
_REDRIVE = Statement(_MOVE.values(message_id=bindparam("message")), _MOVE_COLUMNS)


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
    values = [
        (
            row.sent_at_ms if row.group_id is None else transaction.now_ms,
            row.receive_count,
            row.first_received_at_ms,
            str(source),
            None,
        )
        for row in rows
    ]
    _move(transaction, _DEAD_LETTER, queue_id, target_id, rows, values, delay_ms=0)


def redrive(
    transaction: Transaction,
    queue_id: int,
    target_id: int,
    rows: Sequence[MessageState],
    delay_ms: int,
) -> None:
    """Move messages to a queue as new ones: sent now, never received, new ids, with a delay.

    AWS: a move task sends messages as new ones. So the delay of the target queue applies.

    Requires that the messages' rows and the target queue's row are locked. Locks the groups of the
    target queue.
    """
    values = [(transaction.now_ms, 0, None, None, uuid.uuid4().bytes) for _ in rows]
    _move(transaction, _REDRIVE, queue_id, target_id, rows, values, delay_ms=delay_ms)


def _move(
    transaction: Transaction,
    statement: Statement,
    queue_id: int,
    target_id: int,
    rows: Sequence[MessageState],
    values: Sequence[tuple[Any, ...]],
    *,
    delay_ms: int,
) -> None:
    """Move messages; `values` has the first five of `_MOVE_COLUMNS` for each.

    Writes no body: `body_id` stays as it is.
    """
    groups = transaction.fifo_groups.lock_all(
        {(target_id, row.group_id) for row in rows if row.group_id is not None}
    )
    numbers = transaction.take_numbers(len(rows))
    is_ordered = rows[0].group_id is not None
    now_ms = transaction.now_ms
    visible_ms = _visible_at_ms(now_ms, delay_ms, is_ordered=is_ordered)
    moves = [
        (*value, queue_id, row.id, target_id, number, visible_ms, now_ms)
        for row, number, value in zip(rows, numbers, values, strict=True)
    ]
    statement.change_all(transaction.connection, moves)
    transaction.add_to_count(queue_id, -len(rows))
    transaction.add_to_count(target_id, len(rows))
    transaction.notify_receivers(target_id, visible_ms, len(rows))
    for row in rows:
        transaction.fifo_groups.mark_dirty(queue_id, row.group_id)
    groups.append(
        NewInGroup(target_id, row.group_id, number, visible_ms)
        for row, number in zip(rows, numbers, strict=True)
        if row.group_id is not None
    )


_DELAY = Statement(
    messages.update()
    .where(_are_the_messages, messages.c.receive_count == 0)
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


DELETE_STATES = messages.delete().where(_are_the_messages)
"""Delete the states of the messages `numbers` of `queue`."""

_is_of_queue = messages.c.queue_id == bindparam("queue")
_DELETE_STATES = StatementByNumber(messages.delete().where(_is_of_queue).where, messages.c.id)
_DELETE_BODIES = StatementByNumber(bodies.delete().where, bodies.c.id)
_DELETE_BODIES_OF = StatementByNumber(
    lambda condition: bodies.delete().where(
        bodies.c.id.in_(sa.select(messages.c.body_id).where(_is_of_queue, condition))
    ),
    messages.c.id,
)


def delete(transaction: Transaction, queue_id: int, numbers: Sequence[int]) -> None:
    """Delete messages of a standard queue by number; ignore numbers that do not exist."""
    _count_deleted(transaction, queue_id, free_rows(transaction, queue_id, numbers))


def delete_locked(transaction: Transaction, queue_id: int, rows: Sequence[MessageState]) -> None:
    """Delete messages whose rows are locked: no other server deletes and counts them too."""
    if not rows:
        return
    numbers = [row.id for row in rows]
    body_ids = [row.body_id for row in rows]
    _count_deleted(transaction, queue_id, free_rows(transaction, queue_id, numbers, body_ids))
    for row in rows:
        transaction.fifo_groups.mark_dirty(queue_id, row.group_id)


def _count_deleted(transaction: Transaction, queue_id: int, deleted: int) -> None:
    """Subtract deleted messages from the queue's count.

    If the queue is at its in-flight limit, receivers are notified: they may claim as many messages
    as were deleted.
    """
    transaction.add_to_count(queue_id, -deleted)
    if transaction.hints.of(queue_id).is_full:
        transaction.notify_receivers(queue_id, transaction.now_ms, deleted)


def free_rows(
    transaction: Transaction,
    queue_id: int,
    numbers: Sequence[int],
    body_ids: Sequence[int] | None = None,
) -> int:
    """Delete the rows of messages, state and body; return how many messages existed.

    `body_ids` are the numbers of their bodies, if the caller has read them. Does not change the
    queue's count: call it directly only for a dropped queue, which has none.
    """
    if not numbers:
        return 0
    parameters = {"queue": queue_id, "numbers": numbers}
    at_once = transaction.capabilities.delete_messages
    if at_once is not None:
        deleted: int = at_once.value(transaction.connection, parameters)
        return deleted
    if body_ids is None:
        _DELETE_BODIES_OF.change(transaction.connection, parameters)
    else:
        _DELETE_BODIES.change(transaction.connection, {"numbers": body_ids})
    return _DELETE_STATES.change(transaction.connection, parameters)
