"""The four hot operations, as commands that one transaction runs together.

A command is a value: what one request wants. `apply` runs all commands of a drain, grouped by
kind, with one set of statements for all of a kind. Deletes and changes go first and receives last,
so that a receive can be given what the same drain sent. Commands that share a drain are concurrent:
none has been answered, so any order among them is a true one.
"""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage import queues
from storage.messages import deduplication, fifo_groups, receive, rows
from storage.messages.deduplication import Candidate, SentMessage
from storage.messages.deletion import delete_by_number, delete_messages
from storage.messages.receive import Receipt, Receive, Received
from storage.queues import QueueChanged
from storage.schema import bodies, messages
from storage.schema import queues as queue_table
from storage.sql.arrays import among, in_order
from storage.sql.statement import Statement, StatementPair
from storage.transaction import Transaction


class NewMessage(NamedTuple):
    """A message to be sent: `message_id` is 16 bytes, `envelope` whatever the rules put there.

    Only a FIFO queue's messages have a deduplication id, and they all have one, and a group.
    """

    message_id: bytes
    body: str
    envelope: bytes
    group_id: str | None
    delay_ms: int
    deduplication_id: str | None = None


class Outcome(enum.Enum):
    """What became of one receipt of a Delete or ChangeVisibility."""

    DONE = enum.auto()
    MISSING = enum.auto()
    """There is no such message (any more); a delete has nothing left to do."""
    EXPIRED = enum.auto()
    """On a FIFO queue, the receipt's time is over, or the message was received again since."""


@dataclass(slots=True, eq=False)
class Send:
    """Messages for one queue, in order; the result is a `Sent` for each."""

    queue_id: int
    revision: int
    kind: str
    messages: Sequence[NewMessage]


@dataclass(slots=True, eq=False)
class Delete:
    """The end of messages, by receipt; the result is an Outcome for each.

    On a standard queue any receipt of a message ends it, whatever happened since; a message that
    is gone already is DONE, too.
    """

    queue_id: int
    revision: int
    kind: str
    receipts: Sequence[Receipt]


@dataclass(slots=True, eq=False)
class ChangeVisibility:
    """New visibility timeouts, from now on, by receipt; the result is an Outcome for each.

    On a standard queue any receipt of a message will do, and whether it is in flight does not
    matter: so does AWS.
    """

    queue_id: int
    revision: int
    kind: str
    retention_ms: int
    changes: Sequence[tuple[Receipt, int]]


@dataclass(slots=True, eq=False)
class Release:
    """Claims whose receiver has gone: as if they had never been made, unless made anew since."""

    claims: Sequence[Received]


Command: TypeAlias = Send | Receive | Delete | ChangeVisibility | Release

_KNOW_RETENTION = (Receive, ChangeVisibility)


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
            if isinstance(command, _KNOW_RETENTION):
                hint = transaction.hints.of(command.queue_id)
                hint.retention_ms = command.retention_ms
        else:
            results[id(command)] = QueueChanged()
    held = _hold_groups(transaction, kinds)
    _release(transaction, kinds[Release])
    _delete_and_change(transaction, kinds[Delete], kinds[ChangeVisibility], results)
    _send(transaction, kinds[Send], results, held)
    fifo_groups.settle(transaction)
    receive.receive(transaction, kinds[Receive], results)
    return [results.get(id(command)) for command in commands]


_REVISIONS = Statement(
    sa.select(queue_table.c.id, queue_table.c.revision)
    .where(among(queue_table.c.id, "ids"))
    .order_by(in_order(queue_table.c.id))
    .with_for_update(read=True, key_share=True)
)


def _revisions(transaction: Transaction, commands: Iterable[Command]) -> Mapping[int, int]:
    """Verify the copies that commands were made from, once for the whole drain.

    The shared lock holds off, on PostgreSQL, a purge or deletion until this COMMIT: no message
    can be added to a queue id that is gone.
    """
    ids = {command.queue_id for command in commands if not isinstance(command, Release)}
    revisions = transaction.revisions
    if ids <= revisions.keys():
        return revisions
    revisions.update(_REVISIONS.rows(transaction.connection, {"ids": sorted(ids)}))
    return revisions


_INSERT = StatementPair(
    Statement(
        messages.insert(),
        ["queue_id", "id", "visible_at_ms", "sent_at_ms", "receive_count", "group_id", "tenant_id"],
    ),
    Statement(bodies.insert(), ["queue_id", "id", "message_id", "body", "envelope"]),
)


def _send(
    transaction: Transaction,
    commands: Sequence[Send],
    results: dict[int, Any],
    held: Collection[tuple[int, str]],
) -> None:
    if not commands:
        return
    states: list[dict[str, Any]] = []
    contents: list[dict[str, Any]] = []
    verdicts = iter(_admit(transaction, commands))
    for command in commands:
        results[id(command)] = sent = []
        for message in command.messages:
            identity, is_new = next(verdicts)
            sent.append(identity)
            if is_new:
                states.append(_state(transaction, command, message, identity.number))
                contents.append(_content(command, message, identity.number))
    if not states:
        return
    _INSERT.change_each(transaction.connection, states, contents)
    places = Counter((state["queue_id"], state["visible_at_ms"]) for state in states)
    for (queue_id, visible_at_ms), count in places.items():
        transaction.add_to_count(queue_id, count)
        transaction.notify_visible(queue_id, visible_at_ms, count)
    arrived = [
        (state["queue_id"], state["group_id"], state["id"], state["visible_at_ms"])
        for state in states
        if state["group_id"] is not None
    ]
    if arrived:
        fifo_groups.join(transaction, arrived, held)


_GROUPS_OF = Statement(
    sa.select(messages.c.group_id).where(
        messages.c.queue_id == bindparam("queue"),
        among(messages.c.id, "numbers"),
        messages.c.group_id.is_not(None),
    )
)


def _hold_groups(
    transaction: Transaction, kinds: Mapping[type, Sequence[Any]]
) -> set[tuple[int, str]]:
    """Hold the groups of FIFO queues that commands are about; tell which of them have messages.

    All at once and before any of their messages, as a receive does, so that servers that meet in
    several groups wait for each other in one order.
    """
    keys = {
        (command.queue_id, message.group_id)
        for command in kinds[Send]
        if command.kind != queues.STANDARD
        for message in command.messages
        if message.group_id is not None
    }
    hold = fifo_groups.hold_to_send if keys else fifo_groups.hold
    if transaction.is_shared:
        keys |= {
            (claim.receipt.queue_id, claim.group_id)
            for command in kinds[Release]
            for claim in command.claims
            if claim.is_ordered
        }
        keys |= _groups_of_receipts(transaction, kinds)
    return hold(transaction, keys) if keys else set()


def _groups_of_receipts(
    transaction: Transaction, kinds: Mapping[type, Sequence[Any]]
) -> set[tuple[int, str]]:
    numbers: dict[int, list[int]] = defaultdict(list)
    for command in kinds[Delete]:
        if command.kind != queues.STANDARD:
            for receipt in command.receipts:
                numbers[receipt.queue_id].append(receipt.number)
    for command in kinds[ChangeVisibility]:
        if command.kind != queues.STANDARD:
            for receipt, _ in command.changes:
                numbers[receipt.queue_id].append(receipt.number)
    return {
        (queue_id, row.group_id)
        for queue_id, wanted in numbers.items()
        for row in _GROUPS_OF.rows(transaction.connection, {"queue": queue_id, "numbers": wanted})
    }


def _admit(transaction: Transaction, commands: Sequence[Send]) -> list[tuple[SentMessage, bool]]:
    """Give every message its number, or the one that it had when it was sent before."""
    every = [(command, message) for command in commands for message in command.messages]
    candidates = [
        Candidate(command.queue_id, _known_as(command, message), message.message_id)
        for command, message in every
        if message.deduplication_id is not None
    ]
    verdicts = iter(deduplication.deduplicate(transaction, candidates) if candidates else ())
    others = len(every) - len(candidates)
    # A FIFO queue's are taken when its groups are held, so that they are in the order of COMMITs.
    numbers = iter(transaction.take_numbers(others) if others else ())
    return [
        (SentMessage(next(numbers), message.message_id), True)
        if message.deduplication_id is None
        else next(verdicts)
        for _, message in every
    ]


def _known_as(command: Send, message: NewMessage) -> str:
    """Name what a duplicate has in common; neither groups nor ids have spaces in them."""
    if command.kind == queues.FIFO_BY_GROUP:
        return f"{message.group_id} {message.deduplication_id}"
    return message.deduplication_id or ""


def _state(
    transaction: Transaction, command: Send, message: NewMessage, number: int
) -> dict[str, Any]:
    is_standard = command.kind == queues.STANDARD
    return {
        "queue_id": command.queue_id,
        "id": number,
        "visible_at_ms": transaction.now_ms + message.delay_ms,
        "sent_at_ms": transaction.now_ms,
        "receive_count": 0,
        "group_id": None if is_standard else message.group_id,
        "tenant_id": message.group_id if is_standard else None,
    }


def _content(command: Send, message: NewMessage, number: int) -> dict[str, Any]:
    return {
        "queue_id": command.queue_id,
        "id": number,
        "message_id": message.message_id,
        "body": message.body,
        "envelope": message.envelope,
    }


_FIND = Statement(
    sa.select(
        messages.c.id,
        messages.c.group_id,
        messages.c.sent_at_ms,
        messages.c.visible_at_ms,
        messages.c.receive_count,
    )
    .where(messages.c.queue_id == bindparam("queue"))
    .where(among(messages.c.id, "numbers"))
    # One order for all servers, so that two of them never wait for each other.
    .order_by(in_order(messages.c.id))
    .with_for_update()
)

_HIDE = Statement(
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
    """Run what goes by receipt.

    A delete and a change of the same message are concurrent; the delete wins.
    """
    ordered = [command for command in deletes if command.kind != queues.STANDARD]
    _delete_any(transaction, [c for c in deletes if c.kind == queues.STANDARD], results)
    keys = {receipt[:2] for command in ordered for receipt in command.receipts}
    keys |= {receipt[:2] for command in changes for receipt, _ in command.changes}
    if not keys:
        return
    found = _find(transaction, keys)
    gone = {}
    for delete in ordered:
        outcomes = [_outcome(transaction, delete, receipt, found) for receipt in delete.receipts]
        results[id(delete)] = outcomes
        for receipt, outcome in zip(delete.receipts, outcomes, strict=True):
            if outcome is Outcome.DONE:
                gone[receipt[:2]] = found[receipt[:2]]
    delete_messages(transaction, [(queue_id, row) for (queue_id, _), row in sorted(gone.items())])
    for key in gone:
        del found[key]
    hidden = []
    for command in changes:
        results[id(command)] = outcomes = []
        for receipt, timeout_ms in command.changes:
            outcome = _outcome(transaction, command, receipt, found)
            outcomes.append(outcome)
            if outcome is Outcome.DONE:
                until_ms = transaction.now_ms + timeout_ms
                hidden.append({"queue": receipt[0], "number": receipt[1], "until": until_ms})
                transaction.notify_visible(receipt[0], until_ms)
                _touch(transaction, receipt[0], found[receipt[:2]].group_id)
    if hidden:
        _HIDE.change_each(transaction.connection, hidden)


def _delete_any(
    transaction: Transaction, deletes: Sequence[Delete], results: dict[int, Any]
) -> None:
    """End messages of standard queues: any receipt does, and whether there was one is not told."""
    by_queue: dict[int, set[int]] = defaultdict(set)
    for command in deletes:
        results[id(command)] = [Outcome.DONE] * len(command.receipts)
        for queue_id, number, _ in command.receipts:
            # A purge gives the queue a new id: rows that still wait to be freed are gone already.
            if queue_id == command.queue_id:
                by_queue[queue_id].add(number)
    for queue_id, numbers in sorted(by_queue.items()):
        delete_by_number(transaction, queue_id, sorted(numbers))


def _find(
    transaction: Transaction, keys: Collection[tuple[int, int]]
) -> dict[tuple[int, int], rows.Row]:
    """Read the states of those of the messages named that exist.

    One statement for each queue: given pairs of queue and number, SQLite and PostgreSQL would read
    the whole table.
    """
    return {
        (queue_id, row.id): row
        for queue_id, pairs in groupby(sorted(keys), itemgetter(0))
        for row in _FIND.rows(
            transaction.connection,
            {"queue": queue_id, "numbers": [number for _, number in pairs]},
        )
    }


def _outcome(
    transaction: Transaction,
    command: Delete | ChangeVisibility,
    receipt: Receipt,
    found: dict[tuple[int, int], rows.Row],
) -> Outcome:
    """Hold a receipt against what is known of its message now."""
    row = found.get(receipt[:2])
    # A purge gives the queue a new id: rows that still wait to be freed are gone already.
    if row is None or receipt.queue_id != command.queue_id:
        return Outcome.MISSING
    if isinstance(command, ChangeVisibility):
        expired_ms = transaction.now_ms - command.retention_ms
        if row.sent_at_ms <= expired_ms:
            return Outcome.MISSING
    is_current = row.receive_count == receipt.receive_count
    if command.kind == queues.STANDARD or (is_current and row.visible_at_ms > transaction.now_ms):
        return Outcome.DONE
    return Outcome.EXPIRED


def _touch(transaction: Transaction, queue_id: int, group_id: str | None) -> None:
    if group_id is not None:
        transaction.dirty_groups.add((queue_id, group_id))


_RELEASE = Statement(
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
    claims = sorted((claim for command in commands for claim in command.claims), key=_by_receipt)
    if not claims:
        return
    rows = []
    for claim in claims:
        queue_id, number, receive_count = claim.receipt
        row = {"queue": queue_id, "number": number, "claim": receive_count}
        rows.append({**row, "now": transaction.now_ms})
        transaction.notify_visible(queue_id, transaction.now_ms)
        if claim.is_ordered:
            _touch(transaction, queue_id, claim.group_id)
    _RELEASE.change_each(transaction.connection, rows)


def _by_receipt(claim: Received) -> Receipt:
    return claim.receipt
