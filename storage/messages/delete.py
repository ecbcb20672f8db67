"""Commands on messages that were received: delete, change the visibility timeout, release."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from storage import locking, queues
from storage.locking import GroupKey
from storage.messages import transitions
from storage.messages.commands import (
    ChangeVisibility,
    Delete,
    Outcome,
    Receipt,
    Received,
    Release,
)
from storage.messages.rows import MessageState
from storage.messages.transitions import ReceivedMessage, VisibilityChange
from storage.transaction import Transaction

States: TypeAlias = dict[tuple[int, int], MessageState]
"""States of messages that are locked, by queue id and number."""


def groups_changed(
    transaction: Transaction,
    deletes: Collection[Delete],
    changes: Collection[ChangeVisibility],
    releases: Collection[Release],
) -> set[GroupKey]:
    """Return the groups of FIFO queues whose messages the commands delete, change or release."""
    numbers: dict[int, set[int]] = defaultdict(set)
    for receipt in (*_fifo_receipts(deletes), *_fifo_receipts(changes)):
        numbers[receipt.queue_id].add(receipt.number)
    groups = locking.groups_of_messages(transaction.connection, numbers)
    for command in releases:
        for received in command.received:
            if received.is_ordered and received.group_id is not None:
                groups.add((received.receipt.queue_id, received.group_id))
    return groups


def _fifo_receipts(commands: Iterable[Delete | ChangeVisibility]) -> Iterator[Receipt]:
    for command in commands:
        if command.queue_kind != queues.STANDARD:
            yield from _receipts(command)


def _receipts(command: Delete | ChangeVisibility) -> Iterable[Receipt]:
    if isinstance(command, Delete):
        return command.receipts
    return (receipt for receipt, _ in command.changes)


def lock_states(
    transaction: Transaction, deletes: Collection[Delete], changes: Collection[ChangeVisibility]
) -> States:
    """Lock the messages of deletes and changes, by queue and number, and return their states.

    A delete from a standard queue needs no state. There is one statement for each queue: SQLite and
    PostgreSQL would read the whole table for a list of pairs.
    """
    keys = {receipt[:2] for receipt in _fifo_receipts(deletes)}
    keys |= {receipt[:2] for command in changes for receipt in _receipts(command)}
    return {
        (queue_id, row.id): row
        for queue_id, pairs in groupby(sorted(keys), itemgetter(0))
        for row in locking.lock_messages(
            transaction.connection, queue_id, [number for _, number in pairs]
        )
    }


def delete(
    transaction: Transaction, commands: Collection[Delete], states: States
) -> list[list[Outcome]]:
    """Delete messages; return for each command the outcome of each receipt.

    `states` has the messages of FIFO queues, and those of other queues whose visibility timeouts
    change; this removes the messages that it deletes.
    """
    numbers: dict[int, set[int]] = defaultdict(set)
    rows: dict[int, dict[int, MessageState]] = defaultdict(dict)
    results = []
    for command in commands:
        if command.queue_kind == queues.STANDARD:
            results.append([Outcome.DONE] * len(command.receipts))
            for queue_id, number, _ in command.receipts:
                # A purge gives the queue a new id: messages of the old one are gone.
                if queue_id == command.queue_id:
                    numbers[queue_id].add(number)
            continue
        outcomes = []
        for receipt in command.receipts:
            state = states.get(receipt[:2])
            outcome = _outcome(command, receipt, state, transaction.now_ms)
            outcomes.append(outcome)
            # Several receipts may be for the same message.
            if outcome is Outcome.DONE and state is not None:
                rows[receipt.queue_id][state.id] = state
        results.append(outcomes)
    for queue_id in sorted({*numbers, *rows}):
        if queue_id in rows:
            deleted = sorted(rows[queue_id])
            locked = [rows[queue_id][number] for number in deleted]
            transitions.delete_locked(transaction, queue_id, locked)
        else:
            deleted = sorted(numbers[queue_id])
            transitions.delete(transaction, queue_id, deleted)
        if states:
            for number in deleted:
                states.pop((queue_id, number), None)
    return results


def change_visibility(
    transaction: Transaction, commands: Collection[ChangeVisibility], states: States
) -> list[list[Outcome]]:
    """Set visibility timeouts; return for each command the outcome of each receipt.

    `states` has the messages that exist. It has none that a delete of the same batch has removed:
    the delete wins.
    """
    changed = []
    results = []
    for command in commands:
        retention_ms = transaction.known_queues[command.queue_id].retention_ms
        expired_ms = transaction.now_ms - retention_ms
        outcomes = []
        for receipt, timeout_ms in command.changes:
            state = states.get(receipt[:2])
            if state is not None and state.sent_at_ms <= expired_ms:
                state = None
            outcome = _outcome(command, receipt, state, transaction.now_ms)
            outcomes.append(outcome)
            if outcome is Outcome.DONE and state is not None:
                until_ms = transaction.now_ms + timeout_ms
                changed.append(VisibilityChange(*receipt[:2], state.group_id, until_ms))
        results.append(outcomes)
    if changed:
        transitions.change_visibility(transaction, changed)
    return results


def _outcome(
    command: Delete | ChangeVisibility, receipt: Receipt, state: MessageState | None, now_ms: int
) -> Outcome:
    """Decide what a command does to the message of a receipt, whose state is None if it is gone."""
    # A purge gives the queue a new id: messages of the old one are gone.
    if state is None or receipt.queue_id != command.queue_id:
        return Outcome.MISSING
    if command.queue_kind == queues.STANDARD:
        return Outcome.DONE
    is_current = state.receive_count == receipt.receive_count and state.visible_at_ms > now_ms
    return Outcome.DONE if is_current else Outcome.EXPIRED


def release(transaction: Transaction, commands: Iterable[Release]) -> None:
    """Release messages, in the order of queues and numbers."""
    received = sorted((one for command in commands for one in command.received), key=_receipt_of)
    if received:
        transitions.release(
            transaction,
            [
                ReceivedMessage(*one.receipt, one.group_id if one.is_ordered else None)
                for one in received
            ],
        )


def _receipt_of(received: Received) -> Receipt:
    return received.receipt
