"""Databases of earlier schema versions, restored from the dumps in `schema_versions/`."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import asyncpg

_DUMPS = Path(__file__).parent / "schema_versions"


def path_of(url: str) -> Path:
    """Return the path of a SQLite database."""
    return Path(url.removeprefix("sqlite:///"))


async def restore(url: str, version: int) -> dict[str, str]:
    """Load the dump of a version into an empty database; return the receipt handles."""
    kind = url.partition(":")[0]
    dump = (_DUMPS / f"version_{version}.{kind}.sql").read_text()
    handles: dict[str, str] = json.loads(dump.partition("\n")[0].removeprefix("-- "))
    if kind == "sqlite":
        connection = sqlite3.connect(path_of(url))
        connection.executescript(dump)
        connection.close()
    else:
        session = await asyncpg.connect(url)
        await session.execute(dump)
        await session.close()
    return handles


async def all_rows(url: str) -> dict[str, list[Mapping[str, object]]]:
    """Return the rows of every table, in an order that does not depend on the schema version."""
    found: dict[str, list[Mapping[str, object]]] = {}
    if url.startswith("sqlite"):
        tables = "SELECT name FROM sqlite_schema WHERE type = 'table'"
        with contextlib.closing(sqlite3.connect(path_of(url))) as connection:
            connection.row_factory = sqlite3.Row
            for (table,) in connection.execute(tables).fetchall():
                found[table] = [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
    else:
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        session = await asyncpg.connect(url)
        for record in await session.fetch(tables):
            rows = await session.fetch(f"SELECT * FROM {record['tablename']}")
            found[record["tablename"]] = [dict(row) for row in rows]
        await session.close()
    return {table: sorted(rows, key=_in_order) for table, rows in found.items()}


def _in_order(row: Mapping[str, object]) -> str:
    return repr([row[column] for column in sorted(row) if row[column] is not None])
