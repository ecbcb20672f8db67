"""Receive: share the visible messages of each queue among the receives of a batch.

All receives of a queue make one claim. A receive from a FIFO queue that repeats an earlier attempt
gets the messages of that attempt again. Waiting receivers on this server are woken for messages
that are left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage import locking, queues
from storage.messages import in_flight, receive_attempts, transitions
from storage.messages.claim import Claimed, Found, claim_fifo, claim_standard, with_content
from storage.messages.commands import (
    InFlightLimit,
    Receipt,
    Receive,
    ReceiveAttemptExpired,
    Received,
)
from storage.messages.receive_attempts import AttemptedMessage, RecordedAttempt
from storage.messages.rows import MessageContent, MessageState
from storage.messages.transitions import VisibilityChange
from storage.queue_settings import LockedQueue, QueueName
from storage.schema import messages
from storage.sql.statement import Statement
from storage.transaction import Transaction

Result: TypeAlias = list[Received] | Exception
"""The messages of one receive, or `InFlightLimit` or `ReceiveAttemptExpired`."""

_LOCKED_RETRY_MS = 20
"""Delay before a receiver checks again for messages that another server has locked."""


class _Served(NamedTuple):
    """The results of a queue's receives, and whether the queue may have more visible messages."""

    results: list[Result]
    has_more: bool


def receive(transaction: Transaction, commands: Collection[Receive]) -> list[Result]:
    """Receive messages; return the result of each command."""
    results: list[Result] = [[] for _ in commands]
    by_queue: dict[int, list[tuple[int, Receive]]] = defaultdict(list)
    attempts: set[tuple[int, str]] = set()
    repeated: list[tuple[int, Receive]] = []
    for place, command in enumerate(commands):
        if command.attempt is not None and command.maximum:
            key = (command.queue_id, command.attempt.attempt_id)
            if key in attempts:
                repeated.append((place, command))
                continue
            attempts.add(key)
            result = _repeat(transaction, command)
            if result is not None:
                results[place] = result
                continue
        by_queue[command.queue_id].append((place, command))
    served: dict[int, _Served] = {}
    for queue_id, placed in by_queue.items():
        served[queue_id] = _serve(transaction, [command for _, command in placed])
        for (place, _), result in zip(placed, served[queue_id].results, strict=True):
            results[place] = result
    for place, command in repeated:
        # The same attempt twice in one batch: the second gets what the first got.
        results[place] = _repeat(transaction, command) or []
    transaction.fifo_groups.write_back(by_receive=True)
    for queue_id, placed in by_queue.items():
        _wake_others(transaction, [command for _, command in placed], served[queue_id])
    return results


def _serve(transaction: Transaction, commands: Sequence[Receive]) -> _Served:
    """Claim messages for all receives of one queue, and make them in flight."""
    queue = transaction.locked_queues[commands[0].queue_id]
    maxima, remaining = _limit(transaction, commands)
    claimed = Claimed([[] for _ in commands], is_complete=True)
    if any(maxima):
        claimed = _claim(transaction, queue, commands, maxima)
    results: list[Result] = []
    added = still_visible = 0
    for command, found in zip(commands, claimed.shares, strict=True):
        received = _received(transaction, command, found)
        results.append(received)
        if command.visibility_timeout_ms:
            added += len(received)
        else:
            still_visible += len(received)
        if received and command.attempt is not None:
            _record(transaction, command, received, transaction.now_ms)
    if not claimed.is_in_flight:
        _make_in_flight(transaction, queue, commands, claimed)
    _note_claim(transaction, queue, claimed, added, is_full=added >= remaining)
    if added >= remaining:
        for place, (command, maximum) in enumerate(zip(commands, maxima, strict=True)):
            if command.maximum and not maximum:
                results[place] = InFlightLimit()
    is_all_wanted = added + still_visible == sum(maxima)
    return _Served(results, not claimed.is_complete or still_visible > 0 or is_all_wanted)


def _limit(transaction: Transaction, commands: Sequence[Receive]) -> tuple[list[int], int]:
    """Return how many messages each receive may get, and how many more may be in flight."""
    wanted = sum(command.maximum for command in commands)
    queue_id, limit = commands[0].queue_id, commands[0].in_flight_limit
    remaining = left = max(in_flight.remaining(transaction, queue_id, wanted, limit), 0)
    maxima = []
    for command in commands:
        maxima.append(min(command.maximum, left))
        left -= maxima[-1]
    return maxima, remaining


def _claim(
    transaction: Transaction,
    queue: LockedQueue,
    commands: Sequence[Receive],
    maxima: Sequence[int],
) -> Claimed:
    if queue.kind != queues.STANDARD:
        return claim_fifo(transaction, queue, maxima)
    timeout_ms, *others = {command.visibility_timeout_ms for command in commands}
    until_ms = None if others else transaction.now_ms + timeout_ms
    return claim_standard(transaction, queue, maxima, until_ms)


def _make_in_flight(
    transaction: Transaction,
    queue: LockedQueue,
    commands: Sequence[Receive],
    claimed: Claimed,
) -> None:
    """Make claimed messages in flight, with one statement for each visibility timeout."""
    by_timeout: dict[int, list[MessageState]] = defaultdict(list)
    for command, found in zip(commands, claimed.shares, strict=True):
        by_timeout[command.visibility_timeout_ms] += [state for state, _ in found]
    for timeout_ms, rows in by_timeout.items():
        if rows:
            until_ms = transaction.now_ms + timeout_ms
            transitions.make_in_flight(transaction, queue.id, rows, until_ms)


def _note_claim(
    transaction: Transaction, queue: LockedQueue, claimed: Claimed, added: int, *, is_full: bool
) -> None:
    """Note in the queue's hints that `added` more messages are in flight, and how long they are."""
    hint = transaction.hints.of(queue.id)
    hint.in_flight += added
    hint.is_full = is_full
    if added:
        bodies = (content.body for found in claimed.shares for _, content in found)
        hint.note_bodies(max(map(len, bodies)))


def _received(transaction: Transaction, command: Receive, found: Sequence[Found]) -> list[Received]:
    """Return messages as a receive gets them that is counted now."""
    now_ms = transaction.now_ms
    return [
        _one_received(command, state, content, state.receive_count + 1, now_ms)
        for state, content in found
    ]


def _one_received(
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


_FIRST_VISIBLE_AT = Statement(
    sa.select(messages.c.visible_at_ms)
    .where(messages.c.queue_id == bindparam("queue"))
    .order_by(messages.c.visible_at_ms, messages.c.id)
    .limit(1)
)


def _wake_others(transaction: Transaction, commands: Sequence[Receive], served: _Served) -> None:
    """Wake a receiver on this server for messages that the receives have left, now or later.

    If visible messages could not be claimed, another server has locked them. It notifies receivers
    if messages stay visible, but not in every case; so a receiver checks again after a short delay,
    and not at once, which it would do until the lock is released.
    """
    queue_id = commands[0].queue_id
    waiting = zip(commands, served.results, strict=True)
    got_messages = sum(
        1
        for command, result in waiting
        if command.is_waiting and result and not isinstance(result, Exception)
    )
    if transaction.count_waiting(queue_id) <= got_messages:
        return
    connection = transaction.connection
    at_ms: int | None
    if transaction.hints.of(queue_id).is_full:
        at_ms = in_flight.next_check_ms(transaction, queue_id)
    elif commands[0].kind == queues.STANDARD:
        at_ms = _FIRST_VISIBLE_AT.value(connection, {"queue": queue_id})
    else:
        at_ms = transaction.fifo_groups.next_available_at_ms(queue_id)
    if at_ms is None:
        return
    is_locked = transaction.capabilities.has_concurrent_writers and not served.has_more
    if is_locked and at_ms <= transaction.now_ms:
        at_ms = transaction.now_ms + _LOCKED_RETRY_MS
    transaction.wake_local(queue_id, at_ms)


def _repeat(transaction: Transaction, command: Receive) -> Result | None:
    """Return the messages of an earlier attempt that a receive repeats, or None for a new one."""
    if command.attempt is None:
        return None
    try:
        recorded = receive_attempts.find(transaction, command.queue_id, command.attempt)
        return None if recorded is None else _receive_again(transaction, command, recorded)
    except ReceiveAttemptExpired as error:
        return error


def _receive_again(
    transaction: Transaction, command: Receive, recorded: RecordedAttempt
) -> list[Received]:
    """Restart the visibility timeouts of an attempt's messages, and return them.

    The receipts are those of the first time, and carry its time.

    Raises:
        ReceiveAttemptExpired: a message was deleted, has expired, became visible or was changed.
    """
    queue = transaction.locked_queues[command.queue_id]
    states = _lock_attempted(transaction, queue.id, recorded)
    expired_ms = transaction.now_ms - queue.retention_ms
    for attempted in recorded.messages:
        state = states.get(attempted.number)
        expected = (attempted.receive_count, attempted.visible_at_ms)
        if state is None or (state.receive_count, state.visible_at_ms) != expected:
            raise ReceiveAttemptExpired
        if state.visible_at_ms <= transaction.now_ms or state.sent_at_ms <= expired_ms:
            raise ReceiveAttemptExpired
    rows = [states[attempted.number] for attempted in recorded.messages]
    received = [
        _one_received(command, state, content, state.receive_count, recorded.made_at_ms)
        for state, content in with_content(transaction, queue.id, rows)
    ]
    until_ms = transaction.now_ms + command.visibility_timeout_ms
    transitions.receive_again(
        transaction, [VisibilityChange(queue.id, row.id, row.group_id, until_ms) for row in rows]
    )
    _record(transaction, command, received, recorded.made_at_ms)
    return received


def _lock_attempted(
    transaction: Transaction, queue_id: int, recorded: RecordedAttempt
) -> dict[int, MessageState]:
    """Lock the messages of an attempt after their groups; return their states by number."""
    numbers = [attempted.number for attempted in recorded.messages]
    if transaction.capabilities.has_concurrent_writers:
        groups = locking.groups_of_messages(transaction.connection, {queue_id: numbers})
        transaction.fifo_groups.lock(groups)
    rows = locking.lock_messages(transaction.connection, queue_id, numbers)
    return {row.id: row for row in rows}


def _record(
    transaction: Transaction, command: Receive, received: Sequence[Received], made_at_ms: int
) -> None:
    """Record an attempt's messages, so that it can be repeated."""
    if command.attempt is not None:
        until_ms = transaction.now_ms + command.visibility_timeout_ms
        attempted = [
            AttemptedMessage(one.receipt.number, one.receipt.receive_count, until_ms)
            for one in received
        ]
        receive_attempts.record(
            transaction, command.queue_id, command.attempt, made_at_ms, attempted
        )
