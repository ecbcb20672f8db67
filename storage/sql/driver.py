"""The driver interface: one database connection, used without SQLAlchemy's cursor.

A driver takes SQL text and positional parameters. Each engine installs its own on the connections
that its pool makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol, TypeAlias

import sqlalchemy as sa

_KEY = "driver"

Change: TypeAlias = sa.Insert | sa.Update | sa.Delete

RunWithCommit: TypeAlias = Callable[[Sequence[Mapping[str, int]]], None]


class Driver(Protocol):
    """One connection to a database.

    Every method raises the driver's errors as SQLAlchemy's (`sqlalchemy.exc.DBAPIError`).

    Attributes:
        prefers_ranges: whether a condition with a range of numbers is better than one with a list.
    """

    prefers_ranges: bool

    def rows(self, text: str, parameters: Sequence[Any], /) -> Sequence[Sequence[Any]]:
        """Run a statement and return all its rows."""
        ...

    def first_rows(
        self, text: str, parameters: Sequence[Any], column: int, limit: int, /
    ) -> Sequence[Sequence[Any]]:
        """Run a statement; return rows until the values of a column add up to `limit`.

        A database may read no row after those.
        """
        ...

    def change(self, text: str, parameters: Sequence[Any], /) -> int:
        """Run a statement and return how many rows it changed."""
        ...

    def change_each(self, text: str, parameters: Sequence[Sequence[Any]], /) -> None:
        """Run a statement once for each set of parameters, in order."""
        ...

    def insert_each(self, text: str, rows: Sequence[Sequence[Any]], /) -> int:
        """Insert rows, in order, with an INSERT of one row that ends in its parameters.

        Returns how many rows it has inserted; a statement may ignore some.
        """
        ...

    def for_lists(self, change: Change, columns: Sequence[str], /) -> Change | None:
        """Return a statement so that it takes a list for each parameter and runs once for all.

        `columns` are those that an INSERT sets. None if the database gains nothing by it.
        """
        ...

    def as_one(self, first: Change, second: Change, /) -> Change | None:
        """Return a statement that runs both, and counts the first one's rows; None if none can."""
        ...

    def with_commit(self, change: Change, /) -> RunWithCommit | None:
        """Return a function that runs a statement together with COMMIT; None if nothing is gained.

        The function runs it once for each set of parameters, which are integers.
        """
        ...

    def notify_with_commit(self, channel: str, payload: str, /) -> None:
        """Notify other servers when the transaction commits; do nothing if there can be none.

        Raises:
            ValueError: the payload has other characters than digits, lower-case letters, colons and
                spaces.
        """
        ...

    def begin(self, text: str, /) -> None:
        """Begin a transaction with this statement."""
        ...

    def commit(self) -> None:
        """Commit the transaction."""
        ...

    def roll_back(self) -> None:
        """Roll back the transaction, if there is one."""
        ...


def driver_of(connection: sa.Connection) -> Driver:
    """Return the driver of a connection."""
    driver: Driver = connection.info[_KEY]
    return driver


def use_driver(driver: Driver, info: MutableMapping[Any, Any]) -> None:
    """Set the driver of a connection, given the connection's `info`."""
    info[_KEY] = driver


def as_sqlalchemy(
    dialect: sa.Dialect,
    connection: Any,  # noqa: ANN401 (each driver has its own type)
    text: str,
    error: Exception,
) -> Exception:
    """Return a driver's error as SQLAlchemy raises it; return any other error unchanged."""
    driver = dialect.dbapi
    if driver is None or not isinstance(error, driver.Error):
        return error
    is_lost = dialect.is_disconnect(error, connection, None)
    return sa.exc.DBAPIError.instance(
        text, None, error, driver.Error, hide_parameters=True, connection_invalidated=is_lost
    )
