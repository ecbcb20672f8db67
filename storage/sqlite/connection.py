"""SQLite connections: their pragmas, and the driver that runs statements on them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry

from storage.sql.driver import Change, Driver, as_sqlalchemy, use_driver

BUSY_TIMEOUT = "PRAGMA busy_timeout=5000"
NO_BUSY_TIMEOUT = "PRAGMA busy_timeout=0"
"""How long a thread waits for another program's lock on the file, in ms; the event loop does not
wait."""


_ROWS_AT_ONCE = (64, 16, 4)
"""How many rows one INSERT inserts, the most first.

SQLite finds the place of a row faster next to the one before it in the same statement. Gain: a
quarter of the CPU time of an INSERT for each of 64 rows or more, and 8 % of that of a batched send.
"""


class SqliteConnection:
    """A driver on a connection of sqlite3, which is in autocommit mode.

    SQLite searches once for a range of numbers, and once for each number of a list. Gain: a third
    of the CPU time of an UPDATE or DELETE.
    """

    prefers_ranges = True

    def __init__(self, dialect: sa.Dialect, connection: sqlite3.Connection) -> None:
        self._dialect = dialect
        self._connection = connection
        self._inserts_of_many: dict[tuple[str, int], str] = {}

    def rows(self, text: str, parameters: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Run a statement and return all its rows."""
        return self._execute(text, parameters).fetchall()

    def first_rows(
        self, text: str, parameters: Sequence[Any], column: int, limit: int
    ) -> Sequence[Sequence[Any]]:
        """Run a statement; read rows until the values of a column add up to `limit`.

        Raises:
            sqlalchemy.exc.DBAPIError: SQLite has rejected it, or has failed.
        """
        rows: list[Sequence[Any]] = []
        left = limit
        try:
            with contextlib.closing(self._connection.execute(text, parameters)) as cursor:
                for row in cursor:
                    rows.append(row)
                    left -= row[column]
                    if left <= 0:
                        break
        except Exception as error:
            raise as_sqlalchemy(self._dialect, self._connection, text, error) from error
        return rows

    def change(self, text: str, parameters: Sequence[Any]) -> int:
        """Run a statement and return how many rows it changed."""
        return self._execute(text, parameters).rowcount

    def _execute(self, text: str, parameters: Sequence[Any]) -> sqlite3.Cursor:
        try:
            return self._connection.execute(text, parameters)
        except Exception as error:
            raise as_sqlalchemy(self._dialect, self._connection, text, error) from error

    def change_each(self, text: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run a statement once for each set of parameters, in order."""
        self._execute_many(text, parameters)

    def _execute_many(self, text: str, parameters: Sequence[Sequence[Any]]) -> sqlite3.Cursor:
        try:
            return self._connection.executemany(text, parameters)
        except Exception as error:
            raise as_sqlalchemy(self._dialect, self._connection, text, error) from error

    def insert_each(self, text: str, rows: Sequence[Sequence[Any]]) -> int:
        """Insert rows, in order, with an INSERT of one row; return how many it has inserted."""
        done = inserted = 0
        for count in _ROWS_AT_ONCE:
            while len(rows) - done >= count:
                values = tuple(chain.from_iterable(rows[done : done + count]))
                many = self._insert_of_many(text, count, len(rows[0]))
                inserted += self._execute(many, values).rowcount
                done += count
        if done < len(rows):
            inserted += self._execute_many(text, rows[done:]).rowcount
        return inserted

    def _insert_of_many(self, text: str, count: int, columns: int) -> str:
        many = self._inserts_of_many.get((text, count))
        if many is None:
            more = f", ({', '.join('?' * columns)})" * (count - 1)
            many = self._inserts_of_many[text, count] = text + more
        return many

    def for_lists(self, _change: Change, _columns: Sequence[str]) -> None:
        """Return None: SQLite has no lists; `insert_each` inserts many rows at once."""

    def as_one(self, _first: Change, _second: Change) -> None:
        """Return None: SQLite has no CTE that changes rows."""

    def with_commit(self, _change: Change) -> None:
        """Return None: SQLite's writer waits for no answers before COMMIT."""

    def notify_with_commit(self, _channel: str, _payload: str) -> None:
        """Do nothing: a SQLite database has one server."""

    def begin(self, text: str) -> None:
        """Begin a transaction with this statement."""
        self._execute(text, ())

    def commit(self) -> None:
        """Commit the transaction."""
        self._execute("COMMIT", ())

    def roll_back(self) -> None:
        """Roll back the transaction, if there is one."""
        if self._connection.in_transaction:
            self._execute("ROLLBACK", ())


def prepare_connections(
    engine: sa.Engine, wrap_driver: Callable[[Driver], Driver], *pragmas: str
) -> None:
    """Set the driver and the pragmas of every connection that an engine makes.

    Each connection has a small cache (a negative `cache_size` counts KiB), because the file is in
    the operating system's page cache anyway.
    """

    def prepare(connection: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401 (the DBAPI's)
        for pragma in (
            BUSY_TIMEOUT,
            *(f"PRAGMA {each}" for each in ("synchronous=FULL", "cache_size=-8192", *pragmas)),
        ):
            connection.execute(pragma)
        use_driver(wrap_driver(SqliteConnection(engine.dialect, connection)), record.info)

    sa.event.listen(engine, "connect", prepare)
