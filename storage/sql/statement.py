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
from typing import Any, NamedTuple, TypeAlias, TypeVar

import sqlalchemy as sa

from storage.sql import arrays
from storage.sql.driver import driver_of

T = TypeVar("T")

Parameters: TypeAlias = Mapping[str, Any]
Core: TypeAlias = (
    sa.Select[*tuple[Any, ...]]
    | sa.CompoundSelect[*tuple[Any, ...]]
    | sa.Insert
    | sa.Update
    | sa.Delete
)


class _Compiled(NamedTuple):
    """A statement for one kind of database: its text, and how its parameters are put in order.

    `is_for_all` tells that it is said once for all sets of parameters, given as a list for each.
    """

    text: str
    places: int
    in_order: Callable[[Parameters], Sequence[Any]]
    is_for_all: bool = False

    def in_lists(self, parameters: Iterable[Parameters]) -> tuple[Sequence[Any], ...]:
        """Put many sets of parameters in order: a list for each place."""
        return tuple(zip(*map(self.in_order, parameters), strict=True))


class Statement:
    """A statement, with the parameters that it names.

    `columns` are those that an INSERT or UPDATE is given values of, where those are not all.
    """

    def __init__(self, core: Core, columns: Sequence[str] | None = None) -> None:
        self._core = core
        self._columns = columns
        self._compiled: dict[str, _Compiled] = {}
        self._texts_for_all: dict[str, str | None] = {}
        self._row: Callable[[Iterable[Any]], Any] = tuple
        if isinstance(core, sa.Select):
            self._row = _rows_of(core.selected_columns.keys())

    def rows(self, connection: sa.Connection, parameters: Parameters) -> list[Any]:
        """Give all rows, whose columns are attributes by their names."""
        compiled, driver = self.compiled(connection.dialect), driver_of(connection)
        rows = _say(connection, driver.rows, compiled.text, compiled.in_order(parameters))
        return list(map(self._row, rows))

    def value(self, connection: sa.Connection, parameters: Parameters) -> Any:  # noqa: ANN401
        """Give the first column of the first row, or None if there is no row."""
        compiled, driver = self.compiled(connection.dialect), driver_of(connection)
        found = _say(connection, driver.rows, compiled.text, compiled.in_order(parameters))
        return found[0][0] if found else None

    def change(self, connection: sa.Connection, parameters: Parameters) -> int:
        """Change what is to be changed, and tell how many rows that were."""
        compiled, driver = self.compiled(connection.dialect), driver_of(connection)
        return _say(connection, driver.change, compiled.text, compiled.in_order(parameters))

    def change_each(self, connection: sa.Connection, parameters: Iterable[Parameters]) -> None:
        """Do it for each set of parameters, in their order."""
        compiled, driver = self.compiled(connection.dialect), driver_of(connection)
        if compiled.is_for_all:
            _say(connection, driver.change, compiled.text, compiled.in_lists(parameters))
        else:
            each = list(map(compiled.in_order, parameters))
            _say(connection, driver.change_each, compiled.text, each, many=True)

    def change_all(self, connection: sa.Connection, parameters: Iterable[Parameters]) -> None:
        """Do it for all sets of parameters, no two of which are about the same row."""
        compiled, driver = self.compiled(connection.dialect), driver_of(connection)
        text = self._text_for_all(connection.dialect)
        if text is None:
            self.change_each(connection, parameters)
        else:
            _say(connection, driver.change, text, compiled.in_lists(parameters))

    def change_at_last(self, connection: sa.Connection, parameters: Iterable[Parameters]) -> None:
        """Do it for each set of parameters before the COMMIT; whole numbers and texts only."""
        compiled, driver = self.compiled(connection.dialect), driver_of(connection)
        each = list(map(compiled.in_order, parameters))
        _say(connection, driver.change_at_last, compiled.text, each, many=True)

    def _text_for_all(self, dialect: sa.Dialect) -> str | None:
        if dialect.name not in self._texts_for_all:
            text = arrays.for_all(self.compiled(dialect).text, dialect)
            self._texts_for_all[dialect.name] = text
        return self._texts_for_all[dialect.name]

    def compiled(self, dialect: sa.Dialect) -> _Compiled:
        """Give what is said to this kind of database."""
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _compile(self._core, self._columns, dialect)
        return compiled


class Both:
    """Two statements that change rows of two tables, the first first, each as `Statement` has it.

    Both are INSERTs, or neither is.
    """

    def __init__(self, first: Statement, second: Statement) -> None:
        self._first = first
        self._second = second
        self._texts: dict[str, str | None] = {}

    def change(self, connection: sa.Connection, parameters: Parameters) -> int:
        """Do both with the same parameters; tell how many rows the first has changed."""
        text, first, second = self._for(connection.dialect)
        if text is None:
            changed = self._first.change(connection, parameters)
            self._second.change(connection, parameters)
            return changed
        every = (*first.in_order(parameters), *second.in_order(parameters))
        return _say(connection, driver_of(connection).change, text, every)

    def change_each(
        self,
        connection: sa.Connection,
        firsts: Sequence[Parameters],
        seconds: Sequence[Parameters],
    ) -> None:
        """Do the first for each of its sets of parameters, then the second for its own."""
        text, first, second = self._for(connection.dialect)
        if text is None:
            self._first.change_each(connection, firsts)
            self._second.change_each(connection, seconds)
            return
        every = (*first.in_lists(firsts), *second.in_lists(seconds))
        _say(connection, driver_of(connection).change, text, every)

    def _for(self, dialect: sa.Dialect) -> tuple[str | None, _Compiled, _Compiled]:
        first, second = self._first.compiled(dialect), self._second.compiled(dialect)
        if dialect.name not in self._texts:
            self._texts[dialect.name] = arrays.together(
                first.text, first.places, second.text, dialect
            )
        return self._texts[dialect.name], first, second


def _rows_of(names: Sequence[str]) -> Callable[[Iterable[Any]], Any]:
    row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc] # known when it runs
    make: Callable[[Iterable[Any]], Any] = row._make
    return make


def _compile(core: Core, columns: Sequence[str] | None, dialect: sa.Dialect) -> _Compiled:
    if isinstance(core, sa.Insert) and core.select is None:
        names = columns or core.table.columns.keys()
        text = arrays.insertion(core.table, names, dialect)
        if text is not None:
            return _Compiled(text, len(names), itemgetter(*names), is_for_all=True)
    compiled = core.compile(dialect=dialect, column_keys=columns)
    places: Sequence[str] = compiled.positiontup or ()
    constants = {
        name: bound.effective_value
        for name, bound in compiled.binds.items()
        if not bound.required and bound.effective_value is not None
    }
    converters = {
        name: bound.type.dialect_impl(dialect).bind_processor(dialect)
        for name, bound in compiled.binds.items()
        if isinstance(bound.type, arrays.ValueList)
    }
    pick: Callable[[Parameters], Sequence[Any]] = itemgetter(*places)
    if len(places) == 1:
        (only,) = places

        def pick(parameters: Parameters) -> Sequence[Any]:
            return (parameters[only],)

    def convert(parameters: Parameters) -> Sequence[Any]:
        every = {**constants, **parameters}
        for name, converter in converters.items():
            if converter is not None:
                every[name] = converter(every[name])
        return pick(every)

    in_order = convert if constants or converters else pick
    return _Compiled(str(compiled), len(places), in_order)


def _say(
    connection: sa.Connection,
    way: Callable[[str, Sequence[Any]], T],
    text: str,
    parameters: Sequence[Any],
    *,
    many: bool = False,
) -> T:
    """Say it to the driver, and to those who listen to what SQLAlchemy says to databases."""
    for listener in connection.dispatch.before_cursor_execute:
        listener(connection, None, text, parameters, None, many)
    return way(text, parameters)
