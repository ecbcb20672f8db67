"""Send: number the messages of a batch's sends, skip duplicates, and insert the others."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from storage import queues
from storage.locking import GroupKey
from storage.messages import deduplication, transitions
from storage.messages.commands import NewMessage, Send, SentMessage
from storage.messages.deduplication import Candidate, Numbered
from storage.messages.fifo_groups import LockedGroups
from storage.messages.transitions import NumberedMessage
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

    Raises:
        MasterKeyMissing: a command names a master key that the keyring does not have.
    """
    new: list[NumberedMessage] = []
    results: list[list[SentMessage]] = []
    of_fifo = iter(_deduplicate(transaction, commands))
    of_standard = iter(numbers or _take_numbers(transaction, commands))
    for command in commands:
        queue_id = command.queue_id
        is_standard = command.queue_kind == queues.STANDARD
        data_key = None
        if command.encryption is not None:
            data_key = transaction.data_keys.for_encryption(
                transaction.connection,
                transaction.take_numbers,
                transaction.now_ms,
                queue_id,
                command.encryption,
                len(command.messages),
            )
        sent: list[SentMessage] = []
        for message in command.messages:
            if is_standard:
                identity, is_new = SentMessage(next(of_standard), message.message_id), True
            else:
                identity, is_new = next(of_fifo)
            sent.append(identity)
            if is_new:
                new.append((queue_id, message, identity.number, data_key))
        results.append(sent)
    if new:
        transitions.send(transaction, new, groups)
    return results


def _take_numbers(transaction: Transaction, commands: Collection[Send]) -> Sequence[int]:
    """Take a number for each message of the standard queues."""
    count = sum(
        len(command.messages) for command in commands if command.queue_kind == queues.STANDARD
    )
    return transaction.take_numbers(count) if count else ()


def _deduplicate(transaction: Transaction, commands: Collection[Send]) -> Sequence[Numbered]:
    """Return the number and id of each message of the FIFO queues, and whether it is new.

    The numbers are taken after the groups were locked. So messages of a group are numbered in the
    order of the COMMITs.
    """
    candidates: list[Candidate] = [
        (command.queue_id, _deduplication_key(transaction, command, message), message.message_id)
        for command in commands
        if command.queue_kind != queues.STANDARD
        for message in command.messages
    ]
    return deduplication.deduplicate(transaction, candidates) if candidates else ()


def _deduplication_key(transaction: Transaction, command: Send, message: NewMessage) -> str:
    """Return the key that duplicates share; neither groups nor ids contain spaces."""
    key = message.deduplication_id or ""
    if command.queue_kind == queues.FIFO_BY_GROUP:
        key = f"{message.group_id} {key}"
    if transaction.deduplication_key is not None:
        deduplication_key = transaction.deduplication_key
        return deduplication.keyed_digest(command.queue_id, key, deduplication_key)
    return key
