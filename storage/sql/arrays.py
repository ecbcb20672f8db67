"""Lists in SQL: one statement for a list of any length, where IN makes one for each.

Each database has its own way to be given a list, and this is the only place that knows them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler


class ValueList(sa.types.TypeDecorator[Sequence[Any]]):
    """A list of values of one type: PostgreSQL takes it as it is, SQLite as JSON."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, item: sa.types.TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Say what the driver is given."""
        return dialect.type_descriptor(
            sa.Text() if dialect.name == "sqlite" else ARRAY(self.item.as_generic())
        )

    def process_bind_param(
        self, value: Sequence[Any] | None, dialect: sa.Dialect
    ) -> Sequence[Any] | str | None:
        """Turn a list into what the driver is given."""
        return json.dumps(value) if dialect.name == "sqlite" else value


def insertion(table: sa.FromClause, columns: Sequence[str], dialect: sa.Dialect) -> str | None:
    """Write an INSERT of any number of rows that is given one list for each column.

    PostgreSQL takes rows one by one at more than twice the cost. None for SQLite, which does not
    gain by it.
    """
    if dialect.name == "sqlite":
        return None
    values = ", ".join(
        f"${place}::{table.columns[column].type.compile(dialect)}[]"
        for place, column in enumerate(columns, 1)
    )
    names = ", ".join(columns)
    return f"INSERT INTO {table} ({names}) SELECT * FROM unnest({values})"  # noqa: S608


def for_all(text: str, dialect: sa.Dialect) -> str | None:
    """Write an UPDATE or DELETE so that it is given a list for each of its parameters.

    Where two sets of parameters are about one row, PostgreSQL would take either. None for SQLite,
    which does not gain by it.
    """
    if dialect.name == "sqlite":
        return None
    kinds = dict(re.findall(r"\$([0-9]+)::(\w+)", text))
    lists = ", ".join(f"${place}::{kind}[]" for place, kind in kinds.items())
    names = ", ".join(f"p{place}" for place in kinds)
    word = "FROM" if text.startswith("UPDATE") else "USING"
    change, condition = re.sub(r"\$([0-9]+)(::\w+)?", r"given.p\1", text).split(" WHERE ")
    return f"{change} {word} unnest({lists}) AS given({names}) WHERE {condition}"


def together(first: str, places: int, second: str, dialect: sa.Dialect) -> str | None:
    """Write two statements that change rows as one, of which the first has so many parameters.

    PostgreSQL does what is not asked for its rows when all else is done: so the first is first, and
    it is the first whose rows are counted. None for SQLite, which cannot do so.
    """
    if dialect.name == "sqlite":
        return None
    moved = re.sub(r"\$([0-9]+)", lambda found: f"${int(found[1]) + places}", second)
    return f"WITH second AS ({moved}) {first}"


def by_queue(pairs: Collection[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """Part pairs of queue id and key by queue, in one order for all servers.

    So that each queue is asked for by a statement of its own: given pairs, SQLite would read the
    whole table.
    """
    for queue_id, found in groupby(sorted(pairs), itemgetter(0)):
        yield queue_id, [key for _, key in found]


class _Among(sa.ColumnElement[bool]):
    inherit_cache = False
    type = sa.Boolean()
    # Else it would be held against 1 where a database has no booleans, and no index be used.
    _is_implicitly_boolean = True

    def __init__(self, column: sa.ColumnElement[Any], name: str) -> None:
        self.column = column
        self.values: sa.BindParameter[Any] = sa.bindparam(name, type_=ValueList(column.type))


def among(column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """Ask whether a column has one of the values of a list, given as the parameter `name`."""
    return _Among(column, name)


@compiles(_Among, "sqlite")
def _among_sqlite(element: _Among, compiler: SQLCompiler, **kw: object) -> str:
    column, values = compiler.process(element.column, **kw), compiler.process(element.values, **kw)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 (both are SQL)


@compiles(_Among, "postgresql")
def _among_postgresql(element: _Among, compiler: SQLCompiler, **kw: object) -> str:
    column, values = compiler.process(element.column, **kw), compiler.process(element.values, **kw)
    return f"{column} = ANY ({values})"


class _InOrder(sa.ColumnElement[Any]):
    inherit_cache = False

    def __init__(self, column: sa.ColumnElement[Any]) -> None:
        self.column = column
        self.type = column.type


def in_order(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Order what was found by a list of a column's values by that column.

    PostgreSQL before 17 cannot take both from an index, and rather reads all that it has in order,
    however much, than to sort the few rows that are in the list; here, it has to sort them.
    """
    return _InOrder(column)


@compiles(_InOrder, "sqlite")
def _in_order_sqlite(element: _InOrder, compiler: SQLCompiler, **kw: object) -> str:
    return compiler.process(element.column, **kw)


@compiles(_InOrder, "postgresql")
def _in_order_postgresql(element: _InOrder, compiler: SQLCompiler, **kw: object) -> str:
    # Texts by byte, as Python and SQLite order them, whatever the language of the database.
    nothing = "+ 0" if isinstance(element.type, sa.BigInteger) else "|| '' COLLATE \"C\""
    return f"({compiler.process(element.column, **kw)} {nothing})"
