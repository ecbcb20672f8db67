"""Lists as parameters: one statement for a list of any length, where IN needs one per length.

PostgreSQL takes an array and SQLite takes JSON; only this module knows both forms.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler


class ValueList(sa.types.TypeDecorator[Sequence[Any]]):
    """A list of values of one type: an array for PostgreSQL, JSON for SQLite."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, item: sa.types.TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item
        self._has_integers = isinstance(item, sa.Integer)

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return the type that the driver takes."""
        return dialect.type_descriptor(
            sa.Text() if dialect.name == "sqlite" else ARRAY(self.item.as_generic())
        )

    def process_bind_param(
        self, value: Sequence[Any] | None, dialect: sa.Dialect
    ) -> Sequence[Any] | str | None:
        """Convert a list to the value that the driver takes."""
        if dialect.name != "sqlite":
            return value
        # Python writes a list of integers as JSON does, in two thirds of the time.
        return str(list(value or ())) if self._has_integers else json.dumps(value)


def by_queue(pairs: Collection[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """Group pairs of queue id and key by queue, in the same order on all servers.

    Each queue then gets a statement of its own: with pairs, SQLite would read the whole table.
    """
    for queue_id, found in groupby(sorted(pairs), itemgetter(0)):
        yield queue_id, [key for _, key in found]


class _Among(sa.ColumnElement[bool]):
    inherit_cache = False
    type = sa.Boolean()
    # Otherwise SQLAlchemy adds `= 1` for a database without booleans, and no index is used.
    _is_implicitly_boolean = True

    def __init__(self, column: sa.ColumnElement[Any], name: str) -> None:
        self.column = column
        self.values: sa.BindParameter[Any] = sa.bindparam(name, type_=ValueList(column.type))


def among(column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """Return the condition that a column has one of the values of the list parameter `name`."""
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
    """Return the ORDER BY expression for rows that `among` finds by this column.

    PostgreSQL before 17 cannot get both from one index: rather than sort the few rows of the list,
    it reads all rows in order. This expression makes it sort.
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
