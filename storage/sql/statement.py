"""SQL statements that are compiled once per database and run on the driver directly.

SQLAlchemy's own execution inspects the statement and each set of parameters every time, which costs
more CPU than SQLite needs for the work. Hot statements use this module; rare ones use SQLAlchemy's
`connection.execute`. Errors are SQLAlchemy's either way. Parameters and results are not converted,
except lists (`storage.sql.arrays.ValueList`), so use only types that the driver takes as they are.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa

from storage.sql.arrays import ValueList, among
from storage.sql.driver import Change, Driver, driver_of

Parameters: TypeAlias = Mapping[str, Any]
Row: TypeAlias = Sequence[Any]
Core: TypeAlias = sa.Select[*tuple[Any, ...]] | sa.CompoundSelect[*tuple[Any, ...]] | Change


class _Compiled(NamedTuple):
    """A statement for one database.

    Attributes:
        text: its SQL.
        places: the names of its parameters, in the order in which the driver takes them.
        constants: values of the parameters that the statement itself contains.
        in_order: puts a set of parameters in that order.
    """

    text: str
    places: Sequence[str]
    constants: Parameters
    in_order: Callable[[Parameters], Row]

    def rows_in_order(self, columns: Sequence[str], rows: Sequence[Row]) -> Sequence[Row]:
        """Put the values of rows, which have these columns, in the order of the places."""
        if list(self.places) == list(columns):
            return rows
        names = [*columns, *self.constants]
        pick = itemgetter(*map(names.index, self.places))
        constants = tuple(self.constants.values())
        return [pick((*row, *constants)) for row in rows]

    def in_lists(self, columns: Sequence[str], rows: Iterable[Row]) -> Row:
        """Return the columns of rows in the order of the places, each as a list."""
        lists = {**_lists(columns, rows), **self.constants}
        return [lists[place] for place in self.places]


class Statement:
    """A statement; a set of parameters is a mapping of the names that its `bindparam`s have.

    A statement that changes many rows takes them as sequences, which cost less than mappings.
    `columns` names the parameters in the order of these sequences; those of an INSERT are the
    columns that it sets, by default all of the table. SQLite takes the sequences as they are if
    that is also the order in the text.
    """

    def __init__(self, core: Core, columns: Sequence[str] | None = None) -> None:
        self._core = core
        self.columns: Sequence[str] = columns or ()
        if columns is None and isinstance(core, sa.Insert) and core.select is None:
            self.columns = core.table.columns.keys()
        self._compiled: dict[str, _Compiled] = {}
        self._compiled_for_lists: dict[str, _Compiled | None] = {}
        self._row: Callable[[Iterable[Any]], Any] = tuple
        self._selected: Sequence[str] = ()
        if isinstance(core, sa.Select):
            self._selected = core.selected_columns.keys()
            self._row = _row_type(self._selected)

    def rows(self, connection: sa.Connection, parameters: Parameters) -> list[Any]:
        """Return all rows of a SELECT, as named tuples."""
        compiled = self._for(connection)
        rows = driver_of(connection).rows(compiled.text, compiled.in_order(parameters))
        return list(map(self._row, rows))

    def first_rows(
        self, connection: sa.Connection, parameters: Parameters, column: str, limit: int
    ) -> list[Any]:
        """Return rows of a SELECT until the values of a column add up to `limit`."""
        compiled = self._for(connection)
        place = self._selected.index(column)
        rows = driver_of(connection).first_rows(
            compiled.text, compiled.in_order(parameters), place, limit
        )
        return list(map(self._row, rows))

    def value(self, connection: sa.Connection, parameters: Parameters) -> Any:  # noqa: ANN401
        """Return the first column of the first row, or None if there is no row."""
        compiled = self._for(connection)
        rows = driver_of(connection).rows(compiled.text, compiled.in_order(parameters))
        return rows[0][0] if rows else None

    def change(self, connection: sa.Connection, parameters: Parameters) -> int:
        """Run an UPDATE or DELETE once, and return how many rows it changed."""
        compiled = self._for(connection)
        return driver_of(connection).change(compiled.text, compiled.in_order(parameters))

    def change_each(self, connection: sa.Connection, rows: Sequence[Row]) -> None:
        """Insert, update or delete for each set of parameters, in order."""
        if isinstance(self._core, sa.Insert):
            self.change_all(connection, rows)  # which keeps the order of an INSERT
        else:
            self._change_one_by_one(connection, rows)

    def insert(self, connection: sa.Connection, rows: Sequence[Row]) -> int:
        """Insert rows, in order; return how many the statement has not ignored."""
        compiled = self._for(connection)
        in_order = compiled.rows_in_order(self.columns, rows)
        return driver_of(connection).insert_each(compiled.text, in_order)

    def insert_one_by_one(self, connection: sa.Connection, rows: Sequence[Row]) -> None:
        """Insert rows, in order, each with a statement of its own on SQLite.

        For rows of many bytes: a prepared statement of SQLite copies all values of its rows, and
        keeps the copies until it runs again.
        """
        self._change_one_by_one(connection, rows)

    def change_all(self, connection: sa.Connection, rows: Sequence[Row]) -> None:
        """Insert, update or delete for all sets of parameters; no two may concern the same row.

        PostgreSQL runs one statement for all of them, and no database one for none.
        """
        if not rows:
            return
        driver = driver_of(connection)
        compiled = self._for_lists(connection, driver)
        if compiled is not None:
            driver.change(compiled.text, compiled.in_lists(self.columns, rows))
        elif isinstance(self._core, sa.Insert):
            self.insert(connection, rows)
        else:
            self._change_one_by_one(connection, rows)

    def change_with_commit(
        self, connection: sa.Connection, parameters: Sequence[Mapping[str, int]]
    ) -> None:
        """Update or delete for each set of integers, together with COMMIT where that is faster.

        For rows that many transactions change: they stay locked for a shorter time.
        """
        run = driver_of(connection).with_commit(self.change_core())
        if run is not None:
            run(parameters)
            return
        for each in parameters:
            self.change(connection, each)

    def _change_one_by_one(self, connection: sa.Connection, rows: Sequence[Row]) -> None:
        compiled = self._for(connection)
        in_order = compiled.rows_in_order(self.columns, rows)
        driver_of(connection).change_each(compiled.text, in_order)

    def _for(self, connection: sa.Connection) -> _Compiled:
        name = connection.dialect.name
        compiled = self._compiled.get(name)
        if compiled is None:
            compiled = self._compiled[name] = _compile(
                self._core, connection.dialect, self.columns or None
            )
        return compiled

    def _for_lists(self, connection: sa.Connection, driver: Driver) -> _Compiled | None:
        name = connection.dialect.name
        if name not in self._compiled_for_lists:
            core = self.for_lists(driver)
            self._compiled_for_lists[name] = (
                None if core is None else _compile(core, connection.dialect)
            )
        return self._compiled_for_lists[name]

    def for_lists(self, driver: Driver) -> Change | None:
        """Return the statement so that it takes a list for each parameter, if the driver can."""
        return driver.for_lists(self.change_core(), self.columns)

    def change_core(self) -> Change:
        """Return the INSERT, UPDATE or DELETE as SQLAlchemy has it.

        Raises:
            TypeError: the statement is a SELECT.
        """
        if isinstance(self._core, Change):
            return self._core
        raise TypeError("a SELECT changes no rows")


class StatementByNumber:
    """A statement on rows whose numbers are in the list `numbers`, in which each is once.

    `make` makes the statement with the condition for `number`. A list without gaps may be a range.
    """

    def __init__(
        self, make: Callable[[sa.ColumnElement[bool]], Change], number: sa.ColumnElement[int]
    ) -> None:
        self._listed = Statement(make(among(number, "numbers")))
        self._ranged = Statement(make(number.between(sa.bindparam("first"), sa.bindparam("last"))))

    def change(self, connection: sa.Connection, parameters: Parameters) -> int:
        """Run the statement, and return how many rows it changed."""
        numbers = parameters["numbers"]
        if driver_of(connection).prefers_ranges:
            first, last = min(numbers), max(numbers)
            if last - first + 1 == len(numbers) == len({*numbers}):
                return self._ranged.change(connection, {**parameters, "first": first, "last": last})
        return self._listed.change(connection, parameters)


class InsertPair:
    """Two INSERTs in two tables, which PostgreSQL runs as one.

    Columns of the same name have the same values.
    """

    def __init__(self, first: Statement, second: Statement) -> None:
        self._first = first
        self._second = second
        self._compiled: dict[str, _Compiled | None] = {}

    def insert_each(
        self,
        connection: sa.Connection,
        firsts: Sequence[Row],
        seconds: Sequence[Row],
        *,
        are_long: bool,
    ) -> None:
        """Run the first INSERT for all its rows, and the second for all of its own.

        Where both have a column of one name, the rows must agree in it, one by one. `are_long`
        says whether the second ones may have many bytes: see `Statement.insert_one_by_one`.
        """
        driver = driver_of(connection)
        name = connection.dialect.name
        if name not in self._compiled:
            self._compiled[name] = self._compile_for_lists(connection.dialect, driver)
        compiled = self._compiled[name]
        if compiled is None:
            self._first.insert(connection, firsts)
            if are_long:
                self._second.insert_one_by_one(connection, seconds)
            else:
                self._second.insert(connection, seconds)
        else:
            lists = _lists(self._second.columns, seconds) | _lists(self._first.columns, firsts)
            driver.change(compiled.text, [lists[place] for place in compiled.places])

    def _compile_for_lists(self, dialect: sa.Dialect, driver: Driver) -> _Compiled | None:
        first, second = self._first.for_lists(driver), self._second.for_lists(driver)
        if first is None or second is None:
            return None
        pair = driver.as_one(first, second)
        return None if pair is None else _compile(pair, dialect)


def _lists(columns: Sequence[str], rows: Iterable[Row]) -> dict[str, Row]:
    """Return the columns of rows by name, each as a list."""
    return dict(zip(columns, zip(*rows, strict=True), strict=True))


def _getter(names: Sequence[str]) -> Callable[[Parameters], Row]:
    """Return a function that picks the values of these names, always as a tuple."""
    if len(names) == 1:
        (only,) = names
        return lambda parameters: (parameters[only],)
    return itemgetter(*names) if names else lambda _: ()


def _row_type(names: Sequence[str]) -> Callable[[Iterable[Any]], Any]:
    row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc] # names known at run time
    # `_make` does the same in Python, and takes three times as long.
    return partial(tuple.__new__, row)


def _compile(core: Core, dialect: sa.Dialect, columns: Sequence[str] | None = None) -> _Compiled:
    compiled = core.compile(dialect=dialect, column_keys=columns)
    places: Sequence[str] = compiled.positiontup or ()
    constants = {
        name: bound.effective_value
        for name, bound in compiled.binds.items()
        if not bound.required and bound.effective_value is not None
    }
    converters = {
        name: converter
        for name, bound in compiled.binds.items()
        if isinstance(bound.type, ValueList)
        and (converter := bound.type.dialect_impl(dialect).bind_processor(dialect)) is not None
    }
    pick = _getter(places)

    def convert(parameters: Parameters) -> Row:
        values = {**constants, **parameters}
        for name, converter in converters.items():
            values[name] = converter(values[name])
        return pick(values)

    return _Compiled(str(compiled), places, constants, convert if constants or converters else pick)
