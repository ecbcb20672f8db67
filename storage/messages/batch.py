"""Batches: run the commands of many requests in one transaction.

All commands of one type share their statements. No client has an answer yet, so any order is
correct. Releases run first, then deletes, changes of visibility timeouts and sends. Receives run
last: so a receive can get what the same batch has sent or released.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from storage import locking, queues
from storage.locking import GroupKey
from storage.messages import receive_attempts
from storage.messages.commands import (
    ChangeVisibility,
    Command,
    Delete,
    QueueCommand,
    Receive,
    Release,
    Send,
)
from storage.messages.delete import change_visibility, delete, groups_changed, lock_states, release
from storage.messages.receive import receive
from storage.messages.send import groups_sent_to, send
from storage.queues import QueueChanged
from storage.transaction import Transaction

R = TypeVar("R")

_QUEUES_LIMIT = 10_000
"""Most queues in `Transaction.known_queues`. On SQLite, the cache is emptied above this size."""


class _ByType:
    """The commands of a batch, separated by type; each type has its commands by their index."""

    __slots__ = ("_all", "changes", "deletes", "receives", "releases", "sends")

    def __init__(self) -> None:
        self.sends: dict[int, Send] = {}
        self.receives: dict[int, Receive] = {}
        self.deletes: dict[int, Delete] = {}
        self.changes: dict[int, ChangeVisibility] = {}
        self.releases: dict[int, Release] = {}
        self._all: dict[type, dict[int, Any]] = {
            Send: self.sends,
            Receive: self.receives,
            Delete: self.deletes,
            ChangeVisibility: self.changes,
            Release: self.releases,
        }

    def add(self, index: int, command: Command[Any]) -> None:
        """Add a command.

        Raises:
            TypeError: `run` cannot run commands of this type.
        """
        of_type = self._all.get(type(command))
        if of_type is None:
            raise TypeError(f"not a command: {command!r}")
        of_type[index] = command


def run(transaction: Transaction, commands: Sequence[Command[Any]]) -> Sequence[object]:
    """Run commands; return the result of each, in their order.

    If one command fails, its result is the exception. If `run` raises, all commands have failed.
    """
    numbers = _lock_queues_and_take_numbers(transaction, commands)
    results: list[object] = [None] * len(commands)
    known = transaction.known_queues
    by_type = _ByType()
    for index, command in enumerate(commands):
        if isinstance(command, QueueCommand):
            queue = known.get(command.queue_id)
            if queue is None or queue.revision != command.revision:
                results[index] = QueueChanged()
                continue
        by_type.add(index, command)
    sends, receives = by_type.sends.values(), by_type.receives.values()
    deletes, changes = by_type.deletes.values(), by_type.changes.values()
    releases = by_type.releases.values()
    attempts = receive_attempts.lock(transaction, receives) if receives else {}
    changed: set[GroupKey] = set()
    if transaction.capabilities.has_concurrent_writers:
        changed |= groups_changed(transaction, deletes, changes, releases)
        changed |= receive_attempts.groups_of(transaction, attempts)
    groups = transaction.fifo_groups.lock_all(groups_sent_to(sends), changed)
    if releases:
        release(transaction, releases)
    if deletes or changes:
        states = lock_states(transaction, deletes, changes)
        _put(results, by_type.deletes, delete(transaction, deletes, states))
        _put(results, by_type.changes, change_visibility(transaction, changes, states))
    if sends:
        _put(results, by_type.sends, send(transaction, sends, groups, numbers))
    transaction.fifo_groups.write_back()
    if receives:
        _put(results, by_type.receives, receive(transaction, receives, attempts))
    return results


def _put(
    results: list[object], commands: Mapping[int, Command[R]], of_commands: Sequence[R | Exception]
) -> None:
    """Store the results of commands at their indexes."""
    for index, result in zip(commands, of_commands, strict=True):
        results[index] = result


def _lock_queues_and_take_numbers(
    transaction: Transaction, commands: Sequence[Command[Any]]
) -> Sequence[int]:
    """Lock the queues of all commands, so that none is purged or deleted before COMMIT.

    Returns:
        Numbers for the messages that are sent to standard queues, if one statement could lock and
        take them. Otherwise none; the caller takes numbers later.
    """
    ids = {command.queue_id for command in commands if isinstance(command, QueueCommand)}
    known = transaction.known_queues
    if ids <= known.keys():
        return ()
    count = sum(
        len(command.messages)
        for command in commands
        if isinstance(command, Send) and command.queue_kind == queues.STANDARD
    )
    statement = transaction.capabilities.lock_queues_and_take_numbers
    if statement is None or not count:
        if len(known) > _QUEUES_LIMIT:
            known.clear()
        known.update(locking.lock_queues(transaction.connection, ids))
        return ()
    *rows, last = statement.rows(transaction.connection, {"ids": sorted(ids), "count": count})
    known.update((row[0], locking.locked_queue(row[:-1])) for row in rows)
    numbers: Sequence[int] = last[-1]
    return numbers
