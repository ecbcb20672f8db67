"""SQL that is said all the time: compiled once for each kind of database, then the driver's.

SQLAlchemy looks at every statement and every row of parameters anew, which costs more than SQLite
needs to do the work. What is said seldom goes SQLAlchemy's way; errors are its own in either case,
and whoever listens to its events hears of both. Refuses types that a driver does not take as they
are: there is no conversion of parameters or results, but for lists of numbers.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPICursor

from storage.lists import ValueList

Parameters: TypeAlias = Mapping[str, Any]
Core: TypeAlias = sa.Select[*tuple[Any, ...]] | sa.Insert | sa.Update | sa.Delete


class _Compiled(NamedTuple):
    """A statement for one kind of database: its text, and how its parameters are put in order."""

    text: str
    in_order: Callable[[Parameters], Sequence[Any]]


class Statement:
    """A statement, with the parameters that it names.

    `columns` are those that an INSERT or UPDATE is given values of, where those are not all.
    """

    def __init__(self, core: Core, columns: Sequence[str] | None = None) -> None:
        self._core = core
        self._columns = columns
        self._compiled: dict[str, _Compiled] = {}
        self._row: Callable[[Iterable[Any]], Any] = tuple
        if isinstance(core, sa.Select):
            self._row = _rows_of(core.selected_columns.keys())

    def rows(self, connection: sa.Connection, parameters: Parameters) -> list[Any]:
        """Give all rows, whose columns are attributes by their names."""
        return list(map(self._row, self._execute(connection, parameters).fetchall()))

    def value(self, connection: sa.Connection, parameters: Parameters) -> Any:  # noqa: ANN401
        """Give the first column of the first row, or None if there is no row."""
        found = self._execute(connection, parameters).fetchone()
        return None if found is None else found[0]

    def change(self, connection: sa.Connection, parameters: Parameters) -> int:
        """Change what is to be changed, and tell how many rows that were."""
        return self._execute(connection, parameters).rowcount

    def change_each(self, connection: sa.Connection, parameters: Iterable[Parameters]) -> None:
        """Do it for each set of parameters, in their order."""
        text, in_order = self._for(connection.dialect)
        say(connection, text, list(map(in_order, parameters)), many=True)

    def _execute(self, connection: sa.Connection, parameters: Parameters) -> DBAPICursor:
        text, in_order = self._for(connection.dialect)
        return say(connection, text, in_order(parameters))

    def _for(self, dialect: sa.Dialect) -> _Compiled:
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _compile(self._core, self._columns, dialect)
        return compiled


def _rows_of(names: Sequence[str]) -> Callable[[Iterable[Any]], Any]:
    row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc] # known when it runs
    make: Callable[[Iterable[Any]], Any] = row._make
    return make


def _compile(core: Core, columns: Sequence[str] | None, dialect: sa.Dialect) -> _Compiled:
    compiled = core.compile(dialect=dialect, column_keys=columns)
    names: Sequence[str] = compiled.positiontup or ()
    constants = {
        name: bound.effective_value
        for name, bound in compiled.binds.items()
        if not bound.required and bound.effective_value is not None
    }
    converters = {
        name: bound.type.dialect_impl(dialect).bind_processor(dialect)
        for name, bound in compiled.binds.items()
        if isinstance(bound.type, ValueList)
    }
    pick: Callable[[Parameters], Sequence[Any]] = itemgetter(*names)
    if len(names) == 1:
        (only,) = names

        def pick(parameters: Parameters) -> Sequence[Any]:
            return (parameters[only],)

    def convert(parameters: Parameters) -> Sequence[Any]:
        every = {**constants, **parameters}
        for name, converter in converters.items():
            if converter is not None:
                every[name] = converter(every[name])
        return pick(every)

    return _Compiled(str(compiled), convert if constants or converters else pick)


def say(
    connection: sa.Connection, text: str, parameters: Sequence[Any] = (), *, many: bool = False
) -> DBAPICursor:
    """Say it to the driver, and to those who listen to what SQLAlchemy says to databases.

    Raises:
        DBAPIError: the driver's error, as SQLAlchemy puts it.
    """
    cursor = connection.connection.cursor()
    for listener in connection.dispatch.before_cursor_execute:
        listener(connection, cursor, text, parameters, None, many)
    try:
        (cursor.executemany if many else cursor.execute)(text, parameters)
    except Exception as error:
        raise _as_sqlalchemy(connection, text, error) from error
    return cursor


def _as_sqlalchemy(connection: sa.Connection, text: str, error: Exception) -> Exception:
    """Give an error of the driver the form that SQLAlchemy gives it; leave others as they are."""
    driver = connection.dialect.dbapi
    if driver is None or not isinstance(error, driver.Error):
        return error
    is_lost = connection.dialect.is_disconnect(error, connection.connection, None)
    return sa.exc.DBAPIError.instance(
        text, None, error, driver.Error, hide_parameters=True, connection_invalidated=is_lost
    )
