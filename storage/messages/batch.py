"""Batches: run the commands of many requests in one transaction.

All commands of a kind share their statements. Commands of one batch are concurrent, because none
has been answered: any order among them is allowed. Deletes run first and receives last, so that a
receive can get what the same batch has sent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from storage import locking, queues
from storage.locking import GroupKey
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
"""Most queues that `Transaction.locked_queues` keeps where they need no lock."""


class _Results:
    """The result of each command of a batch, in the order of the commands."""

    __slots__ = ("values",)

    def __init__(self, commands: Sequence[Command[Any]]) -> None:
        self.values: list[object] = [None] * len(commands)

    def put(self, commands: Mapping[int, Command[R]], results: Sequence[R | Exception]) -> None:
        """Put the results of commands, given by their places in the batch, into these places."""
        for place, result in zip(commands, results, strict=True):
            self.values[place] = result


class _Kinds:
    """The commands of a batch by kind, and each kind by the commands' places in the batch."""

    __slots__ = ("changes", "deletes", "receives", "releases", "sends")

    def __init__(self) -> None:
        self.sends: dict[int, Send] = {}
        self.receives: dict[int, Receive] = {}
        self.deletes: dict[int, Delete] = {}
        self.changes: dict[int, ChangeVisibility] = {}
        self.releases: dict[int, Release] = {}

    def add(self, place: int, command: Command[Any]) -> None:
        """Add a command.

        Raises:
            TypeError: there is no such kind of command.
        """
        if isinstance(command, Send):
            self.sends[place] = command
        elif isinstance(command, Receive):
            self.receives[place] = command
        elif isinstance(command, Delete):
            self.deletes[place] = command
        elif isinstance(command, ChangeVisibility):
            self.changes[place] = command
        elif isinstance(command, Release):
            self.releases[place] = command
        else:
            raise TypeError(f"not a command: {command!r}")


def run(transaction: Transaction, commands: Sequence[Command[Any]]) -> Sequence[object]:
    """Run commands; return the result of each, in their order.

    A result that is an exception is the failure of that command alone; what `run` itself raises is
    the failure of all.
    """
    numbers = _lock_queues(transaction, commands)
    results = _Results(commands)
    kinds = _Kinds()
    for place, command in enumerate(commands):
        if isinstance(command, QueueCommand) and not _is_current(transaction, command):
            results.values[place] = QueueChanged()
        else:
            kinds.add(place, command)
    sends, receives = kinds.sends.values(), kinds.receives.values()
    deletes, changes = kinds.deletes.values(), kinds.changes.values()
    releases = kinds.releases.values()
    changed: Collection[GroupKey] = ()
    if transaction.capabilities.has_concurrent_writers:
        changed = groups_changed(transaction, deletes, changes, releases)
    groups = transaction.fifo_groups.lock_for_send(groups_sent_to(sends), changed)
    if releases:
        release(transaction, releases)
    if deletes or changes:
        states = lock_states(transaction, deletes, changes)
        results.put(kinds.deletes, delete(transaction, deletes, states))
        results.put(kinds.changes, change_visibility(transaction, changes, states))
    if sends:
        results.put(kinds.sends, send(transaction, sends, groups, numbers))
    transaction.fifo_groups.write_back()
    if receives:
        results.put(kinds.receives, receive(transaction, receives))
    return results.values


def _is_current(transaction: Transaction, command: QueueCommand[Any]) -> bool:
    queue = transaction.locked_queues.get(command.queue_id)
    return queue is not None and queue.revision == command.revision


def _lock_queues(transaction: Transaction, commands: Sequence[Command[Any]]) -> Sequence[int]:
    """Lock the queues of all commands, so that none is purged or deleted before COMMIT.

    Returns:
        Numbers for the messages of standard queues, if they could be taken at the same time, else
        none.
    """
    ids = {command.queue_id for command in commands if isinstance(command, QueueCommand)}
    locked = transaction.locked_queues
    if ids <= locked.keys():
        return ()
    count = sum(
        len(command.messages)
        for command in commands
        if isinstance(command, Send) and command.kind == queues.STANDARD
    )
    statement = transaction.capabilities.lock_queues_and_take_numbers
    if statement is None or not count:
        if len(locked) > _QUEUES_LIMIT:
            locked.clear()
        locked.update(locking.lock_queues(transaction.connection, ids))
        return ()
    *rows, last = statement.rows(transaction.connection, {"ids": sorted(ids), "count": count})
    locked.update((row[0], locking.locked_queue(row[:-1])) for row in rows)
    numbers: Sequence[int] = last[-1]
    return numbers
