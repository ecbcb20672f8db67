"""Maintenance by commands: short transactions on a database that servers may be using.

A command does not become a server: it takes no lock on a SQLite file, creates and migrates no
tables, and listens to no notifications.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

import sqlalchemy as sa

from storage import migrations
from storage.encryption import key_check
from storage.encryption.key_check import Report
from storage.encryption.keyring import Keyring
from storage.errors import ClassifiedError, DatabaseUnusable, WriteConflict, explain
from storage.postgresql.command_transactions import PostgresqlCommandTransactions
from storage.sqlite import integrity
from storage.sqlite.command_transactions import SqliteCommandTransactions

T = TypeVar("T")

_ATTEMPTS = 5
"""Most attempts to run a transaction that conflicts with those of servers."""


class _Transactions(Protocol):
    """Transactions of a command on one kind of database."""

    def transact(self, function: Callable[[sa.Connection], T], /) -> T: ...

    def classify(self, error: BaseException, /) -> ClassifiedError | None: ...

    def display_url(self) -> str: ...


class Maintenance:
    """A database of the current schema version, as a command uses it.

    `url` is that of a server's database: `sqlite:///path` or `postgresql://...`.

    Raises:
        DatabaseUnusable: the URL cannot be read, or there is no such file.
    """

    def __init__(self, url: str) -> None:
        self._transactions = _transactions_of(url)

    def transact(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function in a short transaction, and commit; retry after a write conflict.

        Raises:
            DatabaseUnusable: the database cannot be reached, is not queueserver's, or has tables of
                another version; or the transaction failed.
        """

        def run(connection: sa.Connection) -> T:
            migrations.require_version(connection)
            return function(connection)

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._transactions.transact(run)
            except DatabaseUnusable:
                raise
            except Exception as error:
                classified = self._transactions.classify(error)
                if isinstance(classified, WriteConflict) and attempt < _ATTEMPTS:
                    continue
                text = explain(error, self._transactions.display_url(), classified)
                raise DatabaseUnusable(text) from error
        raise AssertionError("the last attempt returns or raises")


def check(url: str, is_envelope: Callable[[bytes], bool], keyring: Keyring | None) -> Report:
    """Check the database at a URL; see `storage.sqlite.integrity.check`.

    PostgreSQL has its own program for tables and indexes: only the keys are checked there.

    Raises:
        DatabaseUnusable: the database cannot be read, is not queueserver's, or has tables of
            another version.
    """
    if not _is_postgresql(url):
        return integrity.check(url, is_envelope, keyring)
    report = Maintenance(url).transact(partial(key_check.check, keyring=keyring))
    return report._replace(
        advice="only the keys were examined: for tables and indexes use pg_amcheck"
    )


def _transactions_of(url: str) -> _Transactions:
    if _is_postgresql(url):
        return PostgresqlCommandTransactions(url)
    try:
        return SqliteCommandTransactions(sa.make_url(url))
    except (sa.exc.ArgumentError, TypeError, ValueError) as error:
        raise DatabaseUnusable(f"the database's URL cannot be read: {error}") from error


def _is_postgresql(url: str) -> bool:
    return url.startswith("postgresql:")
