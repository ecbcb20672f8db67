"""Statements that only PostgreSQL can run, built from those that both databases can.

A statement here takes a list for each parameter (`unnest`), or does the work of two (a CTE that
changes rows). `storage.sql.statement` compiles each once, so building them costs nothing later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import sqlalchemy as sa
from sqlalchemy.sql import visitors
from sqlalchemy.sql.visitors import ExternallyTraversible

from storage.sql.arrays import ValueList
from storage.sql.driver import Change


def for_lists(change: Change, columns: Sequence[str], dialect: sa.Dialect) -> Change:
    """Return a statement so that it takes a list for each parameter, and runs once for all.

    `columns` are those that an INSERT sets. If an UPDATE or DELETE meets a row twice, PostgreSQL
    uses any one of the sets of parameters.

    A FIFO cycle takes FORALL.
    """
    if isinstance(change, sa.Insert):
        rows = _unnest({name: change.table.columns[name].type for name in columns})
        return change.from_select(list(columns), sa.select(*rows.columns))
    types = {
        name: parameter.type
        for name, parameter in change.compile(dialect=dialect).binds.items()
        if parameter.required
    }
    rows = _unnest(types)

    def replace(element: ExternallyTraversible, **_: object) -> ExternallyTraversible | None:
        if isinstance(element, sa.BindParameter) and element.key in types:
            return rows.columns[element.key]
        return None

    return cast("Change", visitors.replacement_traverse(change, {}, replace))


def as_one(first: Change, second: Change) -> Change:
    """Return a statement that runs both; its row count is the first one's.

    PostgreSQL runs a CTE whose rows nobody reads after the main statement: so the first is first.
    """
    return first.add_cte(second.cte("second"))


def _unnest(types: Mapping[str, sa.types.TypeEngine[object]]) -> sa.TableValuedAlias:
    """Return rows that are given as one list for each column."""
    lists = (sa.bindparam(name, type_=ValueList(kind)) for name, kind in types.items())
    columns = (sa.column(name, kind) for name, kind in types.items())
    return sa.func.unnest(*lists).table_valued(*columns).render_derived(name="given")
