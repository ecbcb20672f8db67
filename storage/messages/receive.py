"""Receive: share the visible messages of each queue among the receives of a batch.

All receives of a queue make one claim, within the in-flight limit. A receive from a FIFO queue that
repeats an earlier attempt gets the messages of that attempt again. If visible messages are left,
waiting receivers on this server are woken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage import locking, queues
from storage.errors import DatabaseDamaged, MasterKeyMissing
from storage.messages import in_flight, receive_attempts, transitions
from storage.messages.claim import Claimed, claim_fifo, claim_standard, with_content
from storage.messages.commands import (
    InFlightLimit,
    Receipt,
    Receive,
    ReceiveAttemptExpired,
    Received,
    ReceiveIncomplete,
)
from storage.messages.contents import Found, Unreadable, decrypt
from storage.messages.receive_attempts import AttemptedMessage, AttemptKey, RecordedAttempt
from storage.messages.rows import MessageContent, MessageState
from storage.messages.transitions import VisibilityChange
from storage.queue_settings import LockedQueue, QueueName
from storage.schema import messages
from storage.sql.statement import Statement
from storage.transaction import Transaction

Attempts: TypeAlias = dict[AttemptKey, RecordedAttempt]
"""The recorded attempts that receives of the batch may repeat, locked, by key."""

Result: TypeAlias = list[Received] | Exception
"""The messages of one receive, or the exception with which it fails."""

_LOCKED_RETRY_MS = 20
"""Delay before a receiver checks again for messages that another server has locked."""

_FULL_DISK_RETRY_MS = 1_000
"""Delay before a receiver checks again for messages behind undeliverable ones on a full disk."""


class _Served(NamedTuple):
    """The results of a queue's receives.

    Attributes:
        results: the result of each receive.
        has_more: whether the queue may have more messages to claim. True if the claim stopped
            early, if messages stay visible, or if all messages that were wanted were found.
    """

    results: list[Result]
    has_more: bool


def receive(
    transaction: Transaction, commands: Collection[Receive], attempts: Attempts
) -> list[Result]:
    """Receive messages; return the result of each command.

    Adds the attempts that are made or repeated now to `attempts`. Requires that the groups of the
    messages of `attempts` are locked.
    """
    results: list[Result] = [[] for _ in commands]
    by_queue: dict[int, list[tuple[int, Receive]]] = defaultdict(list)
    attempt_keys: set[AttemptKey] = set()
    same_attempts: list[tuple[int, Receive]] = []
    for index, command in enumerate(commands):
        if (key := receive_attempts.key_of(command)) is not None:
            if key in attempt_keys:
                same_attempts.append((index, command))
                continue
            attempt_keys.add(key)
            result = _repeat_attempt(transaction, command, attempts)
            if result is not None:
                results[index] = result
                continue
        by_queue[command.queue_id].append((index, command))
    served: dict[int, _Served] = {}
    for queue_id, indexed in by_queue.items():
        served[queue_id] = _serve(transaction, [command for _, command in indexed], attempts)
        for (index, _), result in zip(indexed, served[queue_id].results, strict=True):
            results[index] = result
    for index, command in same_attempts:
        # The same attempt twice in one batch: the second gets what the first got.
        results[index] = _repeat_attempt(transaction, command, attempts) or []
    transaction.fifo_groups.write_back(wake_only_here=True)
    for queue_id, indexed in by_queue.items():
        _wake_others(transaction, [command for _, command in indexed], served[queue_id])
    return results


def _serve(transaction: Transaction, commands: Sequence[Receive], attempts: Attempts) -> _Served:
    """Claim messages for all receives of one queue, and make them in flight."""
    queue = transaction.known_queues[commands[0].queue_id]
    allowed, remaining = _allowed(transaction, commands)
    claimed = Claimed([[] for _ in commands], is_complete=True)
    if any(allowed):
        claimed = _claim(transaction, queue, commands, allowed)
    # On a full disk nothing is removed, so that to repeat the receive at once would not help.
    is_stuck = transaction.step.was_empty and not transaction.content.is_over
    is_complete = claimed.is_complete or is_stuck
    results: list[Result] = []
    unreadable: list[Unreadable] = []
    added = still_visible = 0
    for command, found in zip(commands, claimed.shares, strict=True):
        known = len(unreadable)
        readable = decrypt(transaction, queue, found, unreadable)
        received = _new_results(transaction, command, readable)
        is_done = is_complete or found or not command.maximum
        result: Result = received if is_done else ReceiveIncomplete()
        if not received and len(unreadable) > known:
            result = unreadable[known].error or result
        results.append(result)
        if command.visibility_timeout_ms:
            added += len(found)
        else:
            still_visible += len(found)
        if received and command.attempt is not None:
            _record(transaction, command, received, transaction.now_ms, attempts)
    if not claimed.is_in_flight:
        _make_in_flight(transaction, queue, commands, claimed)
    if unreadable:
        transitions.uncount(transaction, queue.id, [one.state for one in unreadable])
    is_full = added >= remaining
    _note_claim(transaction, queue, claimed, added, is_full=is_full)
    if is_full:
        for index, (command, count) in enumerate(zip(commands, allowed, strict=True)):
            if command.maximum and not count:
                results[index] = InFlightLimit()
    found_all_wanted = added + still_visible == sum(allowed)
    return _Served(results, not is_complete or still_visible > 0 or found_all_wanted)


def _allowed(transaction: Transaction, commands: Sequence[Receive]) -> tuple[list[int], int]:
    """Apply the in-flight limit of the queue.

    Returns:
        How many messages each receive may get, and how many more may be in flight in the whole
        queue.
    """
    wanted = sum(command.maximum for command in commands)
    queue_id, limit = commands[0].queue_id, commands[0].in_flight_limit
    remaining = left = max(in_flight.remaining(transaction, queue_id, wanted, limit), 0)
    allowed = []
    for command in commands:
        allowed.append(min(command.maximum, left))
        left -= allowed[-1]
    return allowed, remaining


def _claim(
    transaction: Transaction,
    queue: LockedQueue,
    commands: Sequence[Receive],
    allowed: Sequence[int],
) -> Claimed:
    if queue.kind != queues.STANDARD:
        return claim_fifo(transaction, queue, allowed)
    timeout_ms, *others = {command.visibility_timeout_ms for command in commands}
    until_ms = None if others else transaction.now_ms + timeout_ms
    return claim_standard(transaction, queue, allowed, until_ms)


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
            transitions.make_in_flight(transaction, queue, rows, until_ms)


def _note_claim(
    transaction: Transaction, queue: LockedQueue, claimed: Claimed, added: int, *, is_full: bool
) -> None:
    """Record in the queue's hints what a claim has found.

    `added` more messages are in flight.
    """
    hint = transaction.hints.of(queue.id)
    hint.in_flight += added
    hint.is_full = is_full
    if added:
        hint.note_bodies(max(state.size for found in claimed.shares for state, _ in found))


def _new_results(
    transaction: Transaction, command: Receive, found: Sequence[Found]
) -> list[Received]:
    """Build the results of a new receive: each message's receive count is one higher."""
    now_ms = transaction.now_ms
    return [
        _result(command, state, content, state.receive_count + 1, now_ms)
        for state, content in found
    ]


def _result(
    command: Receive,
    state: MessageState,
    content: MessageContent,
    receive_count: int,
    received_at_ms: int,
) -> Received:
    first_ms, source = state.first_received_at_ms, state.dead_letter_source
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
    .order_by(messages.c.visible_at_ms, messages.c.queued_at_ms, messages.c.id)
    .limit(1)
)


def _wake_others(transaction: Transaction, commands: Sequence[Receive], served: _Served) -> None:
    """Wake a receiver on this server for messages that the receives have left, now or later.

    If visible messages could not be claimed, another server may have locked them. The other server
    usually notifies us, but not always. So a receiver checks again after 20 ms. Checking at once
    would loop until the lock is free. On a full disk, undeliverable messages may stay in front: a
    receiver checks again after a second.
    """
    queue_id = commands[0].queue_id
    waiting = transaction.count_waiting(queue_id)
    if not waiting:
        return
    got_messages = sum(
        1
        for command, result in zip(commands, served.results, strict=True)
        if command.is_waiting and result and not isinstance(result, Exception)
    )
    if waiting <= got_messages:
        return
    connection = transaction.connection
    at_ms: int | None
    if transaction.hints.of(queue_id).is_full:
        at_ms = in_flight.next_check_ms(transaction, queue_id)
    elif commands[0].queue_kind == queues.STANDARD:
        at_ms = _FIRST_VISIBLE_AT.value(connection, {"queue": queue_id})
    else:
        at_ms = transaction.fifo_groups.next_available_at_ms(queue_id)
    if at_ms is None:
        return
    if at_ms <= transaction.now_ms and not served.has_more:
        if transaction.step.was_empty:
            at_ms = transaction.now_ms + _FULL_DISK_RETRY_MS
        elif transaction.capabilities.has_concurrent_writers:
            at_ms = transaction.now_ms + _LOCKED_RETRY_MS
    transaction.wake_local(queue_id, at_ms)


def _repeat_attempt(
    transaction: Transaction, command: Receive, attempts: Attempts
) -> Result | None:
    """Return the messages of an earlier attempt that a receive repeats, or None for a new one."""
    if command.attempt is None:
        return None
    recorded = attempts.get((command.queue_id, command.attempt.attempt_id))
    if recorded is None:
        return None
    try:
        recorded.check_parameters(command.attempt)
        return _return_again(transaction, command, recorded, attempts)
    except (
        ReceiveAttemptExpired,
        ReceiveIncomplete,
        DatabaseDamaged,
        MasterKeyMissing,
    ) as error:
        return error


def _return_again(
    transaction: Transaction, command: Receive, recorded: RecordedAttempt, attempts: Attempts
) -> list[Received]:
    """Restart the visibility timeouts of an attempt's messages, and return them.

    Receipts and receive time are those of the first receive.

    Raises:
        ReceiveAttemptExpired: a message was deleted or changed, became visible, or is older than
            the retention.
        ReceiveIncomplete: the transaction may not read the content of all of them.
        DatabaseDamaged, MasterKeyMissing: a message cannot be decrypted any more.
    """
    queue = transaction.known_queues[command.queue_id]
    numbers = [attempted.number for attempted in recorded.messages]
    locked = locking.lock_messages(transaction.connection, queue.id, numbers)
    states = {state.id: state for state in locked}
    expired_ms = transaction.now_ms - queue.retention_ms
    for attempted in recorded.messages:
        state = states.get(attempted.number)
        expected = (attempted.receive_count, attempted.visible_at_ms)
        if state is None or (state.receive_count, state.visible_at_ms) != expected:
            raise ReceiveAttemptExpired
        if state.visible_at_ms <= transaction.now_ms or state.sent_at_ms <= expired_ms:
            raise ReceiveAttemptExpired
    rows = [states[number] for number in numbers]
    found = with_content(transaction, queue.id, rows)
    if len(found) < len(rows):
        raise ReceiveIncomplete
    unreadable: list[Unreadable] = []
    readable = decrypt(transaction, queue, found, unreadable)
    for one in unreadable:
        if one.error is not None:
            raise one.error
    received = [
        _result(command, state, content, state.receive_count, recorded.made_at_ms)
        for state, content in readable
    ]
    until_ms = transaction.now_ms + command.visibility_timeout_ms
    transitions.restart_timeouts(
        transaction, [VisibilityChange(queue.id, row.id, row.group_id, until_ms) for row in rows]
    )
    _record(transaction, command, received, recorded.made_at_ms, attempts)
    return received


def _record(
    transaction: Transaction,
    command: Receive,
    received: Sequence[Received],
    made_at_ms: int,
    attempts: Attempts,
) -> None:
    """Record an attempt's messages, so that it can be repeated."""
    if command.attempt is not None:
        until_ms = transaction.now_ms + command.visibility_timeout_ms
        attempted = [
            AttemptedMessage(one.receipt.number, one.receipt.receive_count, until_ms)
            for one in received
        ]
        key = (command.queue_id, command.attempt.attempt_id)
        attempts[key] = receive_attempts.record(
            transaction, command.queue_id, command.attempt, made_at_ms, attempted
        )
