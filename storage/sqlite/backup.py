"""Online backup of a SQLite database into one file that a server can start with.

The backup holds what was committed at one moment, and only its owner can read it. The command never
overwrites a file, and rejects a file that is not queueserver's. For PostgreSQL, use pg_dump or
pg_basebackup.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import sqlalchemy as sa

from storage import migrations, schema
from storage.errors import DatabaseUnusable, ForeignDatabase, explain
from storage.sqlite.errors import classify
from storage.sqlite.location import NEW_FILE_MODE, file_of, resolve

_SKIPPED_NUMBERS = 10**12
"""Message numbers that a restored database skips.

The original database continues numbering after the backup. A receipt handle that it gave for one of
those messages must not match a message of the restored database."""


def back_up(url: str, file: Path) -> int:
    """Copy the database at a URL into a new file, and return the file's size in bytes.

    Raises:
        DatabaseUnusable: the database cannot be read, or the file exists or cannot be written.
    """
    address = sa.make_url(url)
    source = file_of(address) if address.get_backend_name() == "sqlite" else None
    if source is None:
        raise DatabaseUnusable("only a SQLite file can be backed up; for PostgreSQL use pg_dump")
    if not source.is_file():
        raise DatabaseUnusable(f"there is no file {source}")
    if file.exists():
        raise DatabaseUnusable(f"{file} is there already")
    if not file.parent.is_dir():
        raise DatabaseUnusable(f"cannot write {file}: {file.parent} is no directory")
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        _copy(resolve(source), unfinished)
        _prepare(unfinished)
        _sync(unfinished)
        # The file appears only when it is complete.
        os.link(unfinished, file)
        _sync(file.parent)
    except (OSError, sqlite3.Error, sa.exc.SQLAlchemyError, ForeignDatabase) as error:
        if isinstance(error, OSError):
            raise DatabaseUnusable(f"cannot write {file}: {error.strerror}") from error
        raise DatabaseUnusable(explain(error, str(source), classify(error))) from error
    finally:
        # On a read-only file system, there is none, and the error is that it cannot be written.
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return file.stat().st_size


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, NEW_FILE_MODE))
    with (
        contextlib.closing(sqlite3.connect(source)) as reader,
        contextlib.closing(sqlite3.connect(target)) as writer,
    ):
        # All pages in one step: a copy in several steps restarts after each COMMIT of the server.
        reader.backup(writer, pages=-1)


def _prepare(copy: Path) -> None:
    """Convert the copy into a single file without a log, and skip the original's later numbers."""
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(copy)))
    try:
        with engine.begin() as connection:
            if not migrations.version(connection):
                raise ForeignDatabase
            connection.exec_driver_sql("PRAGMA journal_mode=DELETE")
            value = schema.properties.c.value
            skipped = sa.cast(sa.cast(value, sa.Integer) + _SKIPPED_NUMBERS, sa.Text)
            connection.execute(
                schema.properties.update()
                .where(schema.properties.c.name == "reserved_numbers")
                .values(value=skipped)
            )
    finally:
        engine.dispose()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
