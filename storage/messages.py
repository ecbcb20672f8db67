"""The four hot operations, as commands that one transaction runs together.

A command is a value: what one request wants. `apply` runs all commands of a drain, grouped by
kind, with one set of statements for all of a kind. Deletes and changes go first and receives last,
so that a receive can be given what the same drain sent. Commands that share a drain are concurrent:
none has been answered, so any order among them is a true one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage.queues import QueueChanged, erase
from storage.schema import bodies, messages, queues
from storage.transaction import Transaction

_CLEARING_ROUNDS = 10
_CLEARED_PER_ROUND = 500
"""How much one claim makes way through expired messages before it leaves the rest to the next."""


class NewMessage(NamedTuple):
    """A message to be sent: `message_id` is 16 bytes, `envelope` whatever the rules put there."""

    message_id: bytes
    body: str
    envelope: bytes
    group_id: str | None
    delay_ms: int


class Receipt(NamedTuple):
    """What a receipt handle says: which message, by which receive."""

    queue_id: int
    number: int
    receive_count: int


class Received(NamedTuple):
    """A message as one receive is given it. Times are epoch milliseconds."""

    receipt: Receipt
    message_id: bytes
    body: str
    envelope: bytes
    group_id: str | None
    sent_at_ms: int
    first_received_at_ms: int
    received_at_ms: int


@dataclass(slots=True, eq=False)
class Send:
    """Messages for one queue, in order; the result is their numbers."""

    queue_id: int
    revision: int
    messages: Sequence[NewMessage]


@dataclass(slots=True, eq=False)
class Receive:
    """A claim on up to `maximum` messages; the result is what was claimed, perhaps nothing.

    `in_line` tells that the receiver has a place in the queue's line, so that others in line must
    hear of what this look leaves behind.
    """

    queue_id: int
    revision: int
    maximum: int
    visibility_timeout_ms: int
    retention_ms: int
    in_line: bool

    def withdraw(self) -> None:
        """Want nothing any more; has no effect on a claim that was made already."""
        self.maximum = 0


@dataclass(slots=True, eq=False)
class Delete:
    """The end of messages, by receipt. Whether one existed changes nothing; no result."""

    queue_id: int
    revision: int
    receipts: Sequence[Receipt]


@dataclass(slots=True, eq=False)
class ChangeVisibility:
    """New visibility timeouts, from now on; the result tells for each whether the message exists.

    Any receipt of the message will do, and whether it is in flight does not matter: so does AWS
    on standard queues.
    """

    queue_id: int
    revision: int
    retention_ms: int
    changes: Sequence[tuple[Receipt, int]]


@dataclass(slots=True, eq=False)
class Release:
    """Claims whose receiver has gone: as if they had never been made, unless made anew since."""

    claims: Sequence[Received]


ClaimedRow: TypeAlias = sa.Row[*tuple[Any, ...]]

Command: TypeAlias = Send | Receive | Delete | ChangeVisibility | Release


def apply(transaction: Transaction, commands: Sequence[Command]) -> Sequence[Any]:
    """Run a drain; give each command's result, in order.

    A result that is an exception is for that command's caller alone: QueueChanged, when the
    queue's id or revision is not what the command was made for.
    """
    revisions = _revisions(transaction, commands)
    results: dict[int, Any] = {}
    kinds: dict[type, list[Any]] = defaultdict(list)
    for command in commands:
        if isinstance(command, Release) or revisions.get(command.queue_id) == command.revision:
            kinds[type(command)].append(command)
        else:
            results[id(command)] = QueueChanged()
    _release(transaction, kinds[Release])
    _delete_and_change(transaction, kinds[Delete], kinds[ChangeVisibility], results)
    _send(transaction, kinds[Send], results)
    _receive(transaction, kinds[Receive], results)
    return [results.get(id(command)) for command in commands]


_REVISIONS = (
    sa.select(queues.c.id, queues.c.revision)
    .where(queues.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(queues.c.id)
    .with_for_update(read=True, key_share=True)
)


def _revisions(transaction: Transaction, commands: Iterable[Command]) -> dict[int, int]:
    """Verify the copies that commands were made from, once for the whole drain.

    The shared lock holds off, on PostgreSQL, a purge or deletion until this COMMIT: no message
    can be added to a queue id that is gone.
    """
    ids = {command.queue_id for command in commands if not isinstance(command, Release)}
    rows = transaction.connection.execute(_REVISIONS, {"ids": sorted(ids)})
    return {row.id: row.revision for row in rows}


def _send(transaction: Transaction, commands: Sequence[Send], results: dict[int, Any]) -> None:
    if not commands:
        return
    numbers = iter(transaction.take_numbers(sum(len(c.messages) for c in commands)))
    states: list[dict[str, Any]] = []
    contents: list[dict[str, Any]] = []
    now_ms = transaction.now_ms
    for command in commands:
        queue_id = command.queue_id
        given = results[id(command)] = []
        for message in command.messages:
            number = next(numbers)
            given.append(number)
            states.append(
                {
                    "queue_id": queue_id,
                    "id": number,
                    "visible_at_ms": now_ms + message.delay_ms,
                    "sent_at_ms": now_ms,
                    "receive_count": 0,
                    "first_received_at_ms": None,
                }
            )
            contents.append(
                {
                    "queue_id": queue_id,
                    "id": number,
                    "message_id": message.message_id,
                    "body": message.body,
                    "group_id": message.group_id,
                    "envelope": message.envelope,
                }
            )
            transaction.announce(queue_id, now_ms + message.delay_ms)
        transaction.count(queue_id, len(command.messages))
    transaction.connection.execute(_INSERT_STATE, states)
    transaction.connection.execute(_INSERT_BODY, contents)


_INSERT_STATE = messages.insert()
_INSERT_BODY = bodies.insert()

_FIND = (
    sa.select(messages.c.id, messages.c.sent_at_ms)
    .where(messages.c.queue_id == bindparam("queue"))
    .where(messages.c.id.in_(bindparam("numbers", expanding=True)))
    # One order for all servers, so that two of them never wait for each other.
    .order_by(messages.c.id)
    .with_for_update()
)

_HIDE = (
    messages.update()
    .where(messages.c.queue_id == bindparam("queue"), messages.c.id == bindparam("number"))
    .values(visible_at_ms=bindparam("until"))
)


def _delete_and_change(
    transaction: Transaction,
    deletes: Sequence[Delete],
    changes: Sequence[ChangeVisibility],
    results: dict[int, Any],
) -> None:
    """Run what goes by receipt: look at all messages named, then one statement for each kind.

    A delete and a change of the same message are concurrent; the delete wins.
    """
    deleted = {receipt[:2] for command in deletes for receipt in command.receipts}
    changed = {receipt[:2] for command in changes for receipt, _ in command.changes}
    keys = sorted(deleted | changed)
    if not keys:
        return
    sent_at_ms = _find(transaction, keys)
    erase(transaction, [key for key in keys if key in deleted and key in sent_at_ms])
    rows = []
    for command in changes:
        expired_ms = transaction.now_ms - command.retention_ms
        found = results[id(command)] = []
        for receipt, timeout_ms in command.changes:
            key = receipt[:2]
            # A purge gives the queue a new id: rows that still wait to be freed are gone already.
            alive = (
                receipt.queue_id == command.queue_id
                and key not in deleted
                and sent_at_ms.get(key, expired_ms) > expired_ms
            )
            found.append(alive)
            if alive:
                until_ms = transaction.now_ms + timeout_ms
                rows.append({"queue": key[0], "number": key[1], "until": until_ms})
                transaction.announce(key[0], until_ms)
    if rows:
        transaction.connection.execute(_HIDE, rows)


def _find(transaction: Transaction, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Tell when those of the messages named that exist were sent; `keys` are sorted.

    One statement for each queue: given pairs of queue and number, SQLite and PostgreSQL would read
    the whole table.
    """
    return {
        (queue_id, row.id): row.sent_at_ms
        for queue_id, pairs in groupby(keys, itemgetter(0))
        for row in transaction.connection.execute(
            _FIND, {"queue": queue_id, "numbers": [number for _, number in pairs]}
        )
    }


_CLAIM = (
    sa.select(
        messages.c.id,
        messages.c.sent_at_ms,
        messages.c.receive_count,
        messages.c.first_received_at_ms,
        bodies.c.message_id,
        bodies.c.body,
        bodies.c.envelope,
        bodies.c.group_id,
    )
    .join(bodies, sa.and_(bodies.c.queue_id == messages.c.queue_id, bodies.c.id == messages.c.id))
    .where(messages.c.queue_id == bindparam("queue"), messages.c.visible_at_ms <= bindparam("now"))
    .order_by(messages.c.visible_at_ms, messages.c.id)
    .limit(bindparam("wanted", type_=sa.Integer))
    .with_for_update(of=messages, skip_locked=True)
)

_VISIBLE_HEAD = (
    sa.select(messages.c.id, messages.c.sent_at_ms)
    .where(messages.c.queue_id == bindparam("queue"), messages.c.visible_at_ms <= bindparam("now"))
    .order_by(messages.c.visible_at_ms, messages.c.id)
    .limit(_CLEARED_PER_ROUND)
    .with_for_update(skip_locked=True)
)

_TAKE = (
    messages.update()
    .where(messages.c.queue_id == bindparam("queue"), messages.c.id == bindparam("number"))
    .values(
        visible_at_ms=bindparam("until"),
        receive_count=messages.c.receive_count + 1,
        first_received_at_ms=bindparam("first"),
    )
)

_HEAD = (
    sa.select(messages.c.visible_at_ms)
    .where(messages.c.queue_id == bindparam("queue"))
    .order_by(messages.c.visible_at_ms, messages.c.id)
    .limit(1)
)


def _receive(
    transaction: Transaction, commands: Sequence[Receive], results: dict[int, Any]
) -> None:
    """Claim once for all receives of a queue, and deal out what was claimed."""
    by_queue: dict[int, list[Receive]] = defaultdict(list)
    for command in commands:
        by_queue[command.queue_id].append(command)
    taken: list[dict[str, Any]] = []
    for queue_id, claimants in by_queue.items():
        rows = _claim(transaction, queue_id, claimants)
        supply = iter(rows)
        for command in claimants:
            results[id(command)] = [
                _hand_over(transaction, command, row, taken)
                for row in islice(supply, command.maximum)
            ]
    if taken:
        transaction.connection.execute(_TAKE, taken)
    for queue_id, claimants in by_queue.items():
        _hand_on(transaction, queue_id, claimants, results)


def _claim(
    transaction: Transaction, queue_id: int, claimants: Sequence[Receive]
) -> list[ClaimedRow]:
    """Take visible messages from the head of the index, clearing expired ones out of the way."""
    expired_ms = transaction.now_ms - claimants[0].retention_ms
    parameters = {
        "queue": queue_id,
        "now": transaction.now_ms,
        "wanted": sum(command.maximum for command in claimants),
    }
    for _ in range(_CLEARING_ROUNDS):
        rows = transaction.connection.execute(_CLAIM, parameters).all()
        if all(row.sent_at_ms > expired_ms for row in rows):
            return list(rows)
        _clear_expired(transaction, queue_id, expired_ms)
    return [
        row
        for row in transaction.connection.execute(_CLAIM, parameters)
        if row.sent_at_ms > expired_ms
    ]


def _clear_expired(transaction: Transaction, queue_id: int, expired_ms: int) -> None:
    """Erase what has expired among the first messages that a claim would meet."""
    head = transaction.connection.execute(
        _VISIBLE_HEAD, {"queue": queue_id, "now": transaction.now_ms}
    )
    erase(transaction, [(queue_id, row.id) for row in head if row.sent_at_ms <= expired_ms])


def _hand_over(
    transaction: Transaction, command: Receive, row: ClaimedRow, taken: list[dict[str, Any]]
) -> Received:
    now_ms = transaction.now_ms
    first_ms = row.first_received_at_ms if row.first_received_at_ms is not None else now_ms
    taken.append(
        {
            "queue": command.queue_id,
            "number": row.id,
            "until": now_ms + command.visibility_timeout_ms,
            "first": first_ms,
        }
    )
    return Received(
        Receipt(command.queue_id, row.id, row.receive_count + 1),
        row.message_id,
        row.body,
        row.envelope,
        row.group_id,
        row.sent_at_ms,
        first_ms,
        now_ms,
    )


def _hand_on(
    transaction: Transaction,
    queue_id: int,
    claimants: Sequence[Receive],
    results: dict[int, Any],
) -> None:
    """Tell who is still in line what this look saw: there is more, or when there will be."""
    served = sum(1 for command in claimants if command.in_line and results[id(command)])
    if transaction.somebody_waits(queue_id) <= served:
        return
    head_ms = transaction.connection.scalar(_HEAD, {"queue": queue_id})
    if head_ms is not None:
        transaction.announce(queue_id, head_ms)


_RELEASE = (
    messages.update()
    .where(
        messages.c.queue_id == bindparam("queue"),
        messages.c.id == bindparam("number"),
        messages.c.receive_count == bindparam("claim"),
    )
    .values(
        visible_at_ms=bindparam("now"),
        receive_count=messages.c.receive_count - 1,
        first_received_at_ms=sa.case(
            (messages.c.receive_count == 1, sa.null()),
            else_=messages.c.first_received_at_ms,
        ),
    )
)


def _release(transaction: Transaction, commands: Sequence[Release]) -> None:
    rows = [
        {
            "queue": receipt.queue_id,
            "number": receipt.number,
            "claim": receipt.receive_count,
            "now": transaction.now_ms,
        }
        for receipt in sorted(claim.receipt for command in commands for claim in command.claims)
    ]
    if not rows:
        return
    transaction.connection.execute(_RELEASE, rows)
    for row in rows:
        transaction.announce(row["queue"], transaction.now_ms)
