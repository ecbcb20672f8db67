"""Receiving: who gets the messages that are visible, and who is told of the rest.

All receives of a queue in a drain make one claim, and what it finds is dealt out. One that names
itself, on a FIFO queue, is given what it was given before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage import queues
from storage.messages import claim, fifo_groups, in_flight, receive_attempts, transitions
from storage.messages.claim import Claimed, Clearing
from storage.messages.receive_attempts import (
    AttemptedMessage,
    ReceiveAttempt,
    ReceiveAttemptExpired,
    RecordedAttempt,
)
from storage.messages.rows import STATE, MessageContent, MessageState
from storage.messages.transitions import VisibilityChange
from storage.queue_settings import QueueName
from storage.schema import messages
from storage.sql.arrays import among, in_order
from storage.sql.statement import Statement
from storage.transaction import Transaction

_HELD_MS = 20
"""How soon a receiver looks again for what another server was just about."""


class Receipt(NamedTuple):
    """What a receipt handle says: which message, by which receive."""

    queue_id: int
    number: int
    receive_count: int


class InFlightLimit(Exception):
    """So many messages of the queue are in flight that no more are given."""


class Received(NamedTuple):
    """A message as one receive is given it. Times are epoch milliseconds.

    `is_ordered` tells that the group is one of a FIFO queue.
    """

    receipt: Receipt
    message_id: bytes
    body: str
    envelope: bytes
    group_id: str | None
    is_ordered: bool
    sent_at_ms: int
    first_received_at_ms: int
    received_at_ms: int
    dead_letter_source: QueueName | None


@dataclass(slots=True, eq=False)
class Receive:
    """A claim on up to `maximum` messages; the result is what was claimed, perhaps nothing.

    `in_line` tells that the receiver has a place in the queue's line, so that others in line must
    hear of what this look leaves behind.
    """

    queue_id: int
    revision: int
    kind: str
    maximum: int
    visibility_timeout_ms: int
    in_line: bool
    in_flight_limit: int
    attempt: ReceiveAttempt | None = None

    def withdraw(self) -> None:
        """Want nothing any more; has no effect on a claim that was made already."""
        self.maximum = 0


def receive(transaction: Transaction, commands: Sequence[Receive], results: dict[int, Any]) -> None:
    """Claim once for all receives of a queue, deal out, and tell who waits what is left."""
    by_queue: dict[int, list[Receive]] = defaultdict(list)
    named: set[tuple[int, str]] = set()
    again: list[Receive] = []
    for command in commands:
        if command.attempt is not None and command.maximum:
            key = (command.queue_id, command.attempt.attempt_id)
            if key in named:
                again.append(command)
                continue
            named.add(key)
            if _repeat(transaction, command, results):
                continue
        by_queue[command.queue_id].append(command)
    held = {
        queue_id
        for queue_id, claimants in by_queue.items()
        if not _serve(transaction, queue_id, claimants, results) and transaction.is_shared
    }
    for command in again:
        # The same attempt twice in one drain: what the first was given, this one is given.
        if not _repeat(transaction, command, results):
            results[id(command)] = []
    fifo_groups.settle(transaction, by_receive=True)
    for queue_id, claimants in by_queue.items():
        _hand_on(transaction, queue_id, claimants, results, is_held=queue_id in held)


def _serve(
    transaction: Transaction,
    queue_id: int,
    claimants: Sequence[Receive],
    results: dict[int, Any],
) -> bool:
    """Claim for all receives of one queue, and hide what is claimed.

    Tell whether there may be more: there was as much as was wanted, what was given is visible
    again, or too much was in the way.
    """
    wanted = sum(command.maximum for command in claimants)
    room = left = max(
        in_flight.remaining(transaction, queue_id, wanted, claimants[0].in_flight_limit), 0
    )
    maxima = []
    for command in claimants:
        maxima.append(min(command.maximum, left))
        left -= maxima[-1]
    claimed = Claimed([[] for _ in claimants], is_all=True)
    if any(maxima):
        claimed = _claim(transaction, claimants, maxima)
    taken: dict[int, list[int]] = defaultdict(list)
    hidden = 0
    for command, rows in zip(claimants, claimed.shares, strict=True):
        received = [_hand_over(transaction, command, *row) for row in rows]
        results[id(command)] = received
        taken[command.visibility_timeout_ms] += [state.id for state, _ in rows]
        hidden += len(received) if command.visibility_timeout_ms else 0
        if received:
            _record(transaction, command, received, transaction.now_ms)
    if not claimed.is_hidden:
        for timeout_ms, numbers in taken.items():
            if numbers:
                until_ms = transaction.now_ms + timeout_ms
                transitions.make_in_flight(transaction, queue_id, numbers, until_ms)
    hint = transaction.hints.of(queue_id)
    if hidden:
        bodies = (content.body for rows in claimed.shares for _, content in rows)
        hint.note_bodies(max(map(len, bodies)))
    hint.in_flight += hidden
    hint.is_full = hidden >= room
    for command, maximum in zip(claimants, maxima, strict=True):
        if hint.is_full and not maximum and command.maximum:
            results[id(command)] = InFlightLimit()
    found = sum(map(len, claimed.shares))
    return not claimed.is_all or bool(taken.get(0)) or found == sum(maxima)


def _claim(
    transaction: Transaction, claimants: Sequence[Receive], maxima: Sequence[int]
) -> Claimed:
    """Claim for receives of one queue, which were all made from the same revision of it."""
    first = claimants[0]
    clearing = Clearing(transaction, transaction.locked_queues[first.queue_id])
    if first.kind != queues.STANDARD:
        return claim.claim_fifo(transaction, clearing, maxima)
    timeout_ms, *others = {command.visibility_timeout_ms for command in claimants}
    until_ms = None if others else transaction.now_ms + timeout_ms
    return claim.claim_standard(transaction, clearing, maxima, until_ms)


def _hand_over(
    transaction: Transaction, command: Receive, state: MessageState, content: MessageContent
) -> Received:
    if state.group_id is not None:
        transaction.dirty_groups.add((command.queue_id, state.group_id))
    return _received(command, state, content, state.receive_count + 1, transaction.now_ms)


def _received(
    command: Receive,
    state: MessageState,
    content: MessageContent,
    receive_count: int,
    received_at_ms: int,
) -> Received:
    first_ms, source = state.first_received_at_ms, content.dead_letter_source
    return Received(
        Receipt(command.queue_id, state.id, receive_count),
        content.message_id,
        content.body,
        content.envelope,
        state.group_id or state.tenant_id,
        state.group_id is not None,
        state.sent_at_ms,
        received_at_ms if first_ms is None else first_ms,
        received_at_ms,
        None if source is None else QueueName.parse(source),
    )


_HEAD = Statement(
    sa.select(messages.c.visible_at_ms)
    .where(messages.c.queue_id == bindparam("queue"))
    .order_by(messages.c.visible_at_ms, messages.c.id)
    .limit(1)
)


def _hand_on(
    transaction: Transaction,
    queue_id: int,
    claimants: Sequence[Receive],
    results: dict[int, Any],
    *,
    is_held: bool,
) -> None:
    """Tell who is still in line what this look saw: there is more, or when there will be.

    What is visible and was not to be had is held by another server. It is told of when that is
    done, but not if nothing comes of it; so somebody looks again in a while, and not at once, which
    would be over and over again.
    """
    answers = [results[id(command)] for command in claimants if command.in_line]
    served = sum(1 for answer in answers if answer and not isinstance(answer, InFlightLimit))
    if transaction.count_waiting(queue_id) <= served:
        return
    connection = transaction.connection
    if transaction.hints.of(queue_id).is_full:
        head_ms = in_flight.next_check_ms(transaction, queue_id)
    elif claimants[0].kind == queues.STANDARD:
        head_ms = _HEAD.value(connection, {"queue": queue_id})
    else:
        head_ms = fifo_groups.next_at_ms(transaction, queue_id)
    if head_ms is not None:
        if is_held and head_ms <= transaction.now_ms:
            head_ms = transaction.now_ms + _HELD_MS
        transaction.wake_local(queue_id, head_ms)


_STATE_OF = Statement(
    sa.select(*STATE)
    .where(
        messages.c.queue_id == bindparam("queue"),
        among(messages.c.id, "numbers"),
    )
    .order_by(in_order(messages.c.id))
    .with_for_update()
)


def _repeat(transaction: Transaction, command: Receive, results: dict[int, Any]) -> bool:
    """Give a repeated attempt what it was given before; False if it is a new one."""
    if command.attempt is None:
        return False
    try:
        made = receive_attempts.find(transaction, command.queue_id, command.attempt)
        if made is None:
            return False
        results[id(command)] = _claim_again(transaction, command, made)
    except ReceiveAttemptExpired as error:
        results[id(command)] = error
    return True


def _claim_again(
    transaction: Transaction, command: Receive, made: RecordedAttempt
) -> list[Received]:
    """Hide an attempt's messages anew, if each is still as the attempt left it.

    The receipts are those of the first time: they carry when that was.
    """
    queue_id = command.queue_id
    parameters = {"queue": queue_id, "numbers": [one.number for one in made.claims]}
    states = {row.id: row for row in _STATE_OF.rows(transaction.connection, parameters)}
    expired_ms = transaction.now_ms - transaction.locked_queues[queue_id].retention_ms
    for one in made.claims:
        row = states.get(one.number)
        expected = (one.receive_count, one.hidden_until_ms)
        if row is None or (row.receive_count, row.visible_at_ms) != expected:
            raise ReceiveAttemptExpired
        if row.visible_at_ms <= transaction.now_ms:
            raise ReceiveAttemptExpired
        if row.sent_at_ms <= expired_ms:
            raise ReceiveAttemptExpired
    rows = [states[one.number] for one in made.claims]
    received = [
        _received(command, state, content, state.receive_count, made.made_at_ms)
        for state, content in claim.with_content(transaction, queue_id, rows)
    ]
    until_ms = transaction.now_ms + command.visibility_timeout_ms
    transitions.receive_again(
        transaction, [VisibilityChange(queue_id, row.id, row.group_id, until_ms) for row in rows]
    )
    _record(transaction, command, received, made.made_at_ms)
    return received


def _record(
    transaction: Transaction, command: Receive, received: Sequence[Received], made_at_ms: int
) -> None:
    if command.attempt is not None:
        until_ms = transaction.now_ms + command.visibility_timeout_ms
        claimed = [
            AttemptedMessage(message.receipt.number, message.receipt.receive_count, until_ms)
            for message in received
        ]
        receive_attempts.record(transaction, command.queue_id, command.attempt, made_at_ms, claimed)
