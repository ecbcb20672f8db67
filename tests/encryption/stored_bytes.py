"""The places where a server stores or writes bytes, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import asyncpg

from storage.schema import metadata
from tests.cluster.postgres import Postgres
from tests.databases import execute

DATABASE_FILE, WAL, WAL_INDEX = "database file", "write-ahead log", "index of the log (-shm)"
TABLES, OTHER_FILES = "tables, TOAST and indexes", "other files of PostgreSQL"
VALUES = "values of all rows"
FILES_OF_PROCESS, LOG, OUTPUT = "temporary files", "log, level debug", "standard output"
BACKUP = "backup"


class Stored(NamedTuple):
    """The bytes of one place: a file, or the values of a database."""

    place: str
    content: bytes


Rows = Mapping[str, list[Mapping[str, Any]]]
"""The rows of all tables, by the name of the table."""


class SearchedDatabase(Protocol):
    """A database whose files a test can read."""

    url: str
    places: tuple[str, ...]

    def stored(self) -> Iterable[Stored]:
        """Return the bytes of all its files."""

    def checkpoint(self) -> None:
        """Write all changed pages into the files of the tables."""

    def execute(self, *statements: str) -> None:
        """Run statements."""

    def rows(self) -> Rows:
        """Return the rows of all tables."""


class SqliteFiles:
    """A SQLite database in a directory of its own."""

    places: tuple[str, ...] = (DATABASE_FILE, WAL, WAL_INDEX)

    def __init__(self, directory: Path) -> None:
        self._file = directory / "queueserver.db"
        self.url = f"sqlite:///{self._file}"

    def stored(self) -> Iterator[Stored]:
        for suffix, place in (("", DATABASE_FILE), ("-wal", WAL), ("-shm", WAL_INDEX)):
            path = self._file.with_name(self._file.name + suffix)
            if path.exists():
                yield Stored(place, path.read_bytes())

    def checkpoint(self) -> None:
        with contextlib.closing(sqlite3.connect(self._file)) as connection:
            (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert not is_busy

    def execute(self, *statements: str) -> None:
        with contextlib.closing(sqlite3.connect(self._file)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self) -> Rows:
        with contextlib.closing(sqlite3.connect(self._file)) as connection:
            connection.row_factory = sqlite3.Row
            return {
                table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
                for table in metadata.tables
            }


class PostgresqlFolder:
    """A PostgreSQL server, of which the whole data folder is read.

    Files that have not changed since the server was created are left out.
    """

    places: tuple[str, ...] = (TABLES, WAL, OTHER_FILES)

    def __init__(self, directory: Path) -> None:
        self._server = Postgres.create(directory / "data")
        self.url = self._server.url
        self._unchanged = {path: sha256(content).digest() for path, content in self._files()}

    def end(self) -> None:
        """Stop the server."""
        self._server.end()

    def stored(self) -> Iterator[Stored]:
        for path, content in self._files():
            if self._unchanged.get(path) != sha256(content).digest():
                yield Stored(self._place(path), content)

    def checkpoint(self) -> None:
        execute(self.url, "CHECKPOINT")

    def execute(self, *statements: str) -> None:
        execute(self.url, *statements)

    def rows(self) -> Rows:
        async def fetch() -> Rows:
            connection = await asyncpg.connect(self.url)
            try:
                return {
                    table: [dict(row) for row in await connection.fetch(f"SELECT * FROM {table}")]
                    for table in metadata.tables
                }
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def _files(self) -> Iterator[tuple[Path, bytes]]:
        for path in sorted(self._server.directory.rglob("*")):
            # PostgreSQL removes some files while they are listed.
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    yield path, path.read_bytes()

    def _place(self, path: Path) -> str:
        folder = path.relative_to(self._server.directory).parts[0]
        return {"base": TABLES, "pg_wal": WAL}.get(folder, OTHER_FILES)


@contextlib.contextmanager
def new_database(kind: str, directory: Path) -> Iterator[SearchedDatabase]:
    """Create a database of a kind, `sqlite` or `postgresql`, and stop its server at the end."""
    if kind == "sqlite":
        yield SqliteFiles(directory)
        return
    server = PostgresqlFolder(directory)
    try:
        yield server
    finally:
        server.end()


def values(rows: Rows) -> Stored:
    """Return the values of rows as bytes: those that a database compresses are not in its files."""
    return Stored(VALUES, b"\n".join(_value(value) for value in _each_value(rows)))


def _each_value(rows: Rows) -> Iterator[Any]:
    for found in rows.values():
        for row in found:
            yield from row.values()


def _value(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def open_files(pid: int, directory: Path) -> Iterator[Stored]:
    """Return the files in a process's folder for temporary files, also those already unlinked."""
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield Stored(FILES_OF_PROCESS, path.read_bytes())
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()).startswith(str(directory)):
                yield Stored(FILES_OF_PROCESS, descriptor.read_bytes())
