"""Transactions of a command on a SQLite file, whether or not a server uses it.

The server's lock on the file keeps out other servers only. SQLite's own locks keep a command's
transactions apart from the server's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from storage.errors import ClassifiedError, DatabaseUnusable
from storage.settings import EngineSettings
from storage.sql.driver import driver_of
from storage.sqlite import errors
from storage.sqlite.connection import prepare_connections
from storage.sqlite.location import file_of, resolve

T = TypeVar("T")


class SqliteCommandTransactions:
    """Transactions on the file of a SQLite database, each on a connection of its own.

    Raises:
        DatabaseUnusable: the database is in memory, or there is no such file.
    """

    def __init__(self, address: sa.URL) -> None:
        file = file_of(address)
        if file is None:
            raise DatabaseUnusable("a database in memory belongs to its server alone")
        path = resolve(file)
        if not path.is_file():
            raise DatabaseUnusable(f"there is no file {file}")
        self._name = str(file)

        def connect() -> sqlite3.Connection:
            # In this mode SQLite does not create the file.
            return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None)

        self._engine = sa.create_engine(
            "sqlite+pysqlite://", creator=connect, poolclass=NullPool, hide_parameters=True
        )
        # Only the server decides when the log is copied to the file.
        prepare_connections(
            self._engine, EngineSettings().wrap_driver, "wal_autocheckpoint=0", "cache_size=-1024"
        )
        sa.event.listen(self._engine, "begin", _begin)

    def transact(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function in a write transaction, and commit."""
        with self._engine.begin() as connection:
            return function(connection)

    def classify(self, error: BaseException) -> ClassifiedError | None:
        """Return what an error means for the process, or None if the work itself is at fault."""
        return errors.classify(error)

    def display_url(self) -> str:
        """Return the database's name for an error message."""
        return self._name


def _begin(connection: sa.Connection) -> None:
    # Take the write lock first: a transaction that starts as a read may fail to get it.
    driver_of(connection).begin("BEGIN IMMEDIATE")
