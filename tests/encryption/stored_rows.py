"""Rows of a database that a server uses, read and changed by a test beside it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

import asyncpg

from tests.engine.earlier_versions import path_of


class Content(NamedTuple):
    """A row of `bodies`."""

    id: int
    message_id: bytes
    data_key: int | None
    body: str
    envelope: bytes


class StoredRows:
    """A connection to a database of either kind. In statements, `$1` is the first value."""

    def __init__(self, url: str) -> None:
        self._file: sqlite3.Connection | None = None
        self._runner = asyncio.Runner()
        if url.startswith("sqlite:"):
            self._file = sqlite3.connect(path_of(url))
        else:
            self._connection = self._runner.run(asyncpg.connect(url))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        else:
            self._runner.run(self._connection.close())
        self._runner.close()

    def run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement in a transaction of its own; return its rows."""
        if self._file is None:
            return self._runner.run(self._fetch(statement, values))
        with self._file:
            named = {str(number): value for number, value in enumerate(values, 1)}
            return self._file.execute(statement, named).fetchall()

    async def _fetch(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self._connection.fetch(statement, *values)]

    def contents(self) -> list[Content]:
        """Return the contents of all messages, in the order of sending."""
        columns = ", ".join(Content._fields)
        return [Content(*row) for row in self.run(f"SELECT {columns} FROM bodies ORDER BY id")]

    def restore(self, content: Content) -> None:
        """Write a row of `bodies` as it was."""
        self.run(
            "UPDATE bodies SET message_id = $1, data_key = $2, body = $3, envelope = $4"
            " WHERE id = $5",
            *content[1:],
            content.id,
        )


@contextlib.contextmanager
def stored_rows(url: str) -> Iterator[StoredRows]:
    """Open a connection to a database, and close it at the end."""
    with contextlib.closing(StoredRows(url)) as rows:
        yield rows
