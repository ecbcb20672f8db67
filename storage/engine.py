"""The interface between the database's front and one kind of database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import sqlalchemy as sa

from storage.clock import Clock
from storage.errors import ClassifiedError
from storage.sql.statement import Statement
from storage.waiting.notifications import NotificationHandler, Notifications

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Abilities that one kind of database has and another lacks.

    A statement that only one kind can execute comes from its engine. Where it is None, several
    statements do the same.

    Attributes:
        has_concurrent_writers: other servers may lock or change rows between two statements of a
            transaction: rows must be locked before they are changed.
        may_commit_at_once: whether `Engine.transact_at_once` may commit.
        lock_queues_and_take_numbers: locks the queues `ids`, as `storage.locking.queues_by_id`, and
            takes `count` numbers: the last row has them as an array in one more column.
        lock_attempts: locks receive attempts that may have no row yet, by the list `keys` of 64-bit
            integers, in its order, until the transaction ends.
        insert_or_lock_groups: inserts rows of `groups` by the lists `queue_id` and `group_id`, or
            locks them if they exist, in key order; returns the keys of the inserted rows.
        insert_new_groups: inserts rows of `groups` unless they exist, for a database with one
            writer, which need not lock those that do.
        insert_new_keys: inserts rows of `deduplications` unless they exist, likewise.
        claim_within: `storage.messages.claim.ready_within`, for a database that cannot stop
            reading between two rows.
        claim_and_make_in_flight: claims messages as `storage.messages.claim.ready_within`, and
            makes them in flight if all may be delivered, none has a tenant, and `has_due`, the
            first column, is false. Without a message, one row has nulls in the other columns.
        delete_messages: deletes the messages `numbers` of `queue` with their bodies; returns how
            many messages existed.
    """

    has_concurrent_writers: bool
    may_commit_at_once: bool
    lock_queues_and_take_numbers: Statement | None = None
    lock_attempts: Statement | None = None
    insert_or_lock_groups: Statement | None = None
    insert_new_groups: Statement | None = None
    insert_new_keys: Statement | None = None
    claim_within: Statement | None = None
    claim_and_make_in_flight: Statement | None = None
    delete_messages: Statement | None = None


class Engine(Protocol):
    """One kind of database: its connections, transactions and notifications.

    Methods raise the errors of SQLAlchemy and of the operating system; `classify` says what each
    means.

    Attributes:
        capabilities: what this kind of database can do.
    """

    capabilities: Capabilities

    async def open(self, clock: Clock, prepare: Callable[[sa.Connection], T], /) -> T:
        """Create or migrate the tables, and set the clock.

        Returns the result of `prepare`, which runs in the same transaction, after the migration.
        """
        ...

    def listen(self, handler: NotificationHandler, /) -> None:
        """Pass the notifications of other servers, and changes of leadership, to a handler."""
        ...

    def notify(self, connection: sa.Connection, sent: Notifications, now_ms: int, /) -> None:
        """Notify the other servers when this transaction commits."""
        ...

    def transact_at_once(
        self, function: Callable[[sa.Connection], T], is_small: bool, /
    ) -> T | None:
        """Run a function in a transaction on the event loop, and commit.

        Returns None, and has done nothing, if the transaction may take more than a few
        milliseconds: `transact` must run it. The function must not return None.
        """
        ...

    async def transact(self, function: Callable[[sa.Connection], T], /) -> T:
        """Run a function in a transaction of the only writer, and commit."""
        ...

    async def read(self, function: Callable[[sa.Connection], T], /) -> T:
        """Run a function that only reads, concurrently with the writer where that is possible."""
        ...

    def take_numbers(self, connection: sa.Connection, count: int, /) -> Sequence[int]:
        """Take the next `count` numbers within a transaction: increasing, never taken twice."""
        ...

    def classify(self, error: BaseException, /) -> ClassifiedError | None:
        """Return what an error means for the process, or None if the work itself is at fault."""
        ...

    async def close(self) -> None:
        """Close all connections; a second call does nothing."""
        ...

    def display_url(self) -> str:
        """Return the name of the database for error messages, without its password."""
        ...
