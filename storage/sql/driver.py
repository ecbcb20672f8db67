"""What SQL is said to: a driver's own connection, without SQLAlchemy's cursor in between.

Refuses to know statements: it is given text, and parameters in their order.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa

_DRIVER = "driver"


class Driver(Protocol):
    """One connection, and the ways in which it is spoken to. Errors are SQLAlchemy's."""

    def rows(self, text: str, parameters: Sequence[Any], /) -> Sequence[Sequence[Any]]:
        """Give all rows."""
        ...

    def change(self, text: str, parameters: Sequence[Any], /) -> int:
        """Change rows, and tell how many."""
        ...

    def change_each(self, text: str, parameters: Sequence[Sequence[Any]], /) -> None:
        """Do it for each set of parameters, in their order."""
        ...

    def change_at_last(self, text: str, parameters: Sequence[Sequence[Any]], /) -> None:
        """Do it for each set of parameters before the COMMIT; nobody asks what comes of it."""
        ...


def driver_of(connection: sa.Connection) -> Driver:
    """Give the driver of a connection; it lasts as long as that is connected."""
    driver: Driver | None = connection.info.get(_DRIVER)
    if driver is None:
        own = connection.connection.dbapi_connection
        driver = connection.info[_DRIVER] = _Cursors(connection.dialect, own)
    return driver


def use_driver(driver: Driver, info: MutableMapping[Any, Any]) -> None:
    """Let a connection, by its `info`, be spoken to in another way than by the DBAPI's cursors."""
    info[_DRIVER] = driver


def report_rollback(connection: sa.Connection) -> None:
    """Tell those who listen to SQLAlchemy that a transaction is undone that a driver has begun."""
    if connection.in_transaction():  # because somebody has said something by SQLAlchemy
        connection.rollback()
    else:
        connection.dispatch.rollback(connection)


class _Cursors:
    """A connection as the DBAPI has it."""

    def __init__(self, dialect: sa.Dialect, own: Any) -> None:  # noqa: ANN401 (drivers' differ)
        self._dialect = dialect
        self._own = own

    def rows(self, text: str, parameters: Sequence[Any]) -> Sequence[Sequence[Any]]:
        found: Sequence[Sequence[Any]] = self._execute(text, parameters).fetchall()
        return found

    def change(self, text: str, parameters: Sequence[Any]) -> int:
        changed: int = self._execute(text, parameters).rowcount
        return changed

    def _execute(self, text: str, parameters: Sequence[Any]) -> Any:  # noqa: ANN401
        cursor = self._own.cursor()
        try:
            cursor.execute(text, parameters)
        except Exception as error:
            raise as_sqlalchemy(self._dialect, self._own, text, error) from error
        return cursor

    def change_each(self, text: str, parameters: Sequence[Sequence[Any]]) -> None:
        try:
            self._own.cursor().executemany(text, parameters)
        except Exception as error:
            raise as_sqlalchemy(self._dialect, self._own, text, error) from error

    change_at_last = change_each


def as_sqlalchemy(dialect: sa.Dialect, own: Any, text: str, error: Exception) -> Exception:  # noqa: ANN401
    """Give an error of the driver the form that SQLAlchemy gives it; leave others as they are."""
    driver = dialect.dbapi
    if driver is None or not isinstance(error, driver.Error):
        return error
    is_lost = dialect.is_disconnect(error, own, None)
    return sa.exc.DBAPIError.instance(
        text, None, error, driver.Error, hide_parameters=True, connection_invalidated=is_lost
    )
