"""The driver on a PostgreSQL connection.

Statements go to asyncpg directly: SQLAlchemy's cursor on asyncpg costs several times as much as
asyncpg itself. The engine begins and ends transactions here, and SQLAlchemy has the connection in
autocommit. Everything here runs inside the greenlet in which SQLAlchemy runs functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState
from sqlalchemy.util import await_only

from storage.postgresql import bulk
from storage.postgresql.connection import AsyncpgConnection
from storage.sql.driver import Change, Driver, RunWithCommit, as_sqlalchemy, use_driver

T = TypeVar("T")

_SAFE_PAYLOAD = re.compile(r"[0-9a-z: ]+")


def install_sessions(engine: sa.Engine, wrap_driver: Callable[[Driver], Driver]) -> None:
    """Set the driver of every connection of an engine in autocommit."""

    def connect(adapted: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401 (it has no type)
        use_driver(wrap_driver(Session(engine.dialect, adapted)), record.info)

    sa.event.listen(engine, "connect", connect)
    sa.event.listen(engine, "checkout", _reject_closed)
    sa.event.listen(engine, "reset", _end_transaction)


def _reject_closed(adapted: Any, *_: object) -> None:  # noqa: ANN401
    """Make the pool reconnect if a pooled connection was lost."""
    if adapted.driver_connection.is_closed():
        raise sa.exc.DisconnectionError


def _end_transaction(adapted: Any, _: object, state: PoolResetState) -> None:  # noqa: ANN401
    """Roll back a read's transaction when its connection returns to the pool."""
    connection: AsyncpgConnection = adapted.driver_connection
    if state.asyncio_safe and not connection.is_closed() and connection.is_in_transaction():
        await_only(connection.execute("ROLLBACK"))


class Session:
    """A driver on a connection of asyncpg, given as SQLAlchemy adapts it.

    Without statistics, PostgreSQL might choose another index for a range of numbers.
    """

    prefers_ranges = False

    def __init__(self, dialect: sa.Dialect, adapted: Any) -> None:  # noqa: ANN401 (it has no type)
        self._dialect = dialect
        self._adapted = adapted
        self._connection: AsyncpgConnection = adapted.driver_connection
        self._with_commit: list[str] = []
        self._written: dict[Change, Callable[[Mapping[str, int]], str]] = {}

    def rows(self, text: str, parameters: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Run a statement and return all its rows."""
        rows: Sequence[Any] = self._await(text, self._connection.fetch(text, *parameters))
        return rows

    def first_rows(
        self, text: str, parameters: Sequence[Any], column: int, limit: int
    ) -> Sequence[Sequence[Any]]:
        """Run a statement; return rows until the values of a column add up to `limit`.

        PostgreSQL sends all rows: use a statement that is limited itself.
        """
        rows = self.rows(text, parameters)
        totals = accumulate(row[column] for row in rows)
        return rows[: 1 + sum(1 for total in totals if total < limit)]

    def change(self, text: str, parameters: Sequence[Any]) -> int:
        """Run a statement and return how many rows it changed."""
        status = self._await(text, self._connection.execute(text, *parameters))
        return int(status.rpartition(" ")[2])  # "DELETE 5"

    def change_each(self, text: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run a statement once for each set of parameters, in order."""
        self._await(text, self._connection.executemany(text, parameters))

    def insert_each(self, text: str, rows: Sequence[Sequence[Any]]) -> int:
        """Insert rows, in order, with an INSERT of one row that ignores none."""
        self.change_each(text, rows)
        return len(rows)

    def for_lists(self, change: Change, columns: Sequence[str]) -> Change:
        """Return a statement so that it takes a list for each parameter and runs once for all."""
        return bulk.for_lists(change, columns, self._dialect)

    def as_one(self, first: Change, second: Change) -> Change:
        """Return a statement that runs both, and counts the first one's rows."""
        return bulk.as_one(first, second)

    def with_commit(self, change: Change) -> RunWithCommit:
        """Return a function that runs a statement in the same message as COMMIT.

        So PostgreSQL does not keep the changed rows locked while the server's event loop does
        something else before it sends COMMIT. Gain: two servers that share a queue do 5 to 10 %
        more sends, receives and deletes per second (medians of 30 pairs of turns of 1 s, two runs,
        32 concurrent commands on each server).
        """
        write = self._written.get(change)
        if write is None:
            write = self._written[change] = bulk.with_integers(change, self._dialect)
        return lambda parameters: self._with_commit.extend(map(write, parameters))

    def notify_with_commit(self, channel: str, payload: str) -> None:
        """Send a notification in the same message as COMMIT.

        Gain: one round trip less for each transaction; a lone send takes 11 % longer without it.

        Raises:
            ValueError: the payload has other characters than digits, lower-case letters, colons and
                spaces, which need no quoting.
        """
        if not _SAFE_PAYLOAD.fullmatch(payload):
            raise ValueError(f"not a payload: {payload!r}")
        self._with_commit.append(f"NOTIFY {channel}, '{payload}'")

    def begin(self, text: str) -> None:
        """Begin a transaction with this statement."""
        self._with_commit.clear()
        self._await(text, self._connection.execute(text))

    def commit(self) -> None:
        """Commit the transaction."""
        text = "; ".join([*self._with_commit, "COMMIT"])
        self._await(text, self._connection.execute(text))

    def roll_back(self) -> None:
        """Roll back the transaction, if there is one; a lost connection has none."""
        if not self._connection.is_closed() and self._connection.is_in_transaction():
            self._await("ROLLBACK", self._connection.execute("ROLLBACK"))

    def _await(self, text: str, running: Coroutine[Any, Any, T]) -> T:
        try:
            return await_only(running)
        except Exception as error:
            raise as_sqlalchemy(
                self._dialect, self._adapted, text, self._as_dbapi(error)
            ) from error

    def _as_dbapi(self, error: Exception) -> Exception:
        """Return an error of asyncpg as the DBAPI error that SQLAlchemy's adapter makes of it."""
        try:
            self._adapted._handle_exception(error)
        except Exception as translated:
            return translated
        return error
