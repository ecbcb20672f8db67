"""Send: number the messages of a batch's sends, skip duplicates, and insert the others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from storage import queues
from storage.locking import GroupKey
from storage.messages import deduplication, transitions
from storage.messages.commands import NewMessage, Send, SentMessage
from storage.messages.deduplication import Candidate
from storage.messages.fifo_groups import LockedGroups
from storage.transaction import Transaction


def groups_sent_to(commands: Collection[Send]) -> set[GroupKey]:
    """Return the groups of FIFO queues that messages are sent to."""
    return {
        (command.queue_id, message.group_id)
        for command in commands
        if command.queue_kind != queues.STANDARD
        for message in command.messages
        if message.group_id is not None
    }


def send(
    transaction: Transaction,
    commands: Collection[Send],
    groups: LockedGroups,
    numbers: Sequence[int],
) -> list[list[SentMessage]]:
    """Send messages; return for each command the number and id of each of its messages.

    A duplicate has those of the message that was sent first. `groups` are the locked groups that
    `groups_sent_to` has returned. `numbers` are for the messages of standard queues; if there are
    none, they are taken here.
    """
    states: list[dict[str, Any]] = []
    contents: list[dict[str, Any]] = []
    results: list[list[SentMessage]] = []
    numbered = iter(_number(transaction, commands, numbers))
    for command in commands:
        sent: list[SentMessage] = []
        for message in command.messages:
            identity, is_new = next(numbered)
            sent.append(identity)
            if is_new:
                states.append(_state(transaction, command, message, identity.number))
                contents.append(_content(command, message, identity.number))
        results.append(sent)
    if states:
        transitions.send(transaction, states, contents, groups)
    return results


def _number(
    transaction: Transaction, commands: Collection[Send], numbers: Sequence[int]
) -> list[tuple[SentMessage, bool]]:
    """Return the number and id of each message, and whether the message is new.

    The numbers of a FIFO queue are taken after its groups were locked. So messages of a group are
    numbered in the order of the COMMITs.
    """
    messages = [(command, message) for command in commands for message in command.messages]
    candidates = [
        Candidate(command.queue_id, _deduplication_key(command, message), message.message_id)
        for command, message in messages
        if message.deduplication_id is not None
    ]
    deduplicated = iter(deduplication.deduplicate(transaction, candidates) if candidates else ())
    others = len(messages) - len(candidates)
    own = iter(numbers or (transaction.take_numbers(others) if others else ()))
    return [
        (SentMessage(next(own), message.message_id), True)
        if message.deduplication_id is None
        else next(deduplicated)
        for _, message in messages
    ]


def _deduplication_key(command: Send, message: NewMessage) -> str:
    """Return the key that duplicates share; neither groups nor ids contain spaces."""
    if command.queue_kind == queues.FIFO_BY_GROUP:
        return f"{message.group_id} {message.deduplication_id}"
    return message.deduplication_id or ""


def _state(
    transaction: Transaction, command: Send, message: NewMessage, number: int
) -> dict[str, Any]:
    now_ms = transaction.now_ms
    is_ordered = command.queue_kind != queues.STANDARD
    return {
        "queue_id": command.queue_id,
        "id": number,
        "visible_at_ms": transitions.visible_at_ms(
            transaction, message.delay_ms, is_ordered=is_ordered
        ),
        "queued_at_ms": now_ms,
        "sent_at_ms": now_ms,
        "body_id": number,
        "size": message.size,
        "receive_count": 0,
        "earlier_receives": 0,
        "group_id": message.group_id if is_ordered else None,
        "tenant_id": None if is_ordered else message.group_id,
    }


def _content(command: Send, message: NewMessage, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "queue_id": command.queue_id,
        "message_id": message.message_id,
        "body": message.body,
        "envelope": message.envelope,
    }
