"""A copy of a SQLite database while a server uses it, as one file that a server can start with.

The copy is what was committed at one moment. Refuses a file that is not queueserver's, and to write
over anything. PostgreSQL has tools of its own for this.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import sqlalchemy as sa

from storage import migrations, schema
from storage.errors import DatabaseUnusable, explain

_SKIPPED_NUMBERS = 10**12
"""Numbers that a restored database leaves out: those that its original has given since the copy.

A receipt of then must not name a message of now.
"""


def back_up(url: str, file: Path) -> int:
    """Copy the database at a URL into a new file; give its size in bytes.

    Raises:
        DatabaseUnusable: it cannot be read, or the file cannot be written or is there already.
    """
    address = sa.make_url(url)
    if address.get_backend_name() != "sqlite" or address.database in (None, ":memory:"):
        raise DatabaseUnusable("only a SQLite file is backed up so; PostgreSQL has pg_dump")
    source = Path(str(address.database))
    if not source.is_file():
        raise DatabaseUnusable(f"there is no file {source}")
    if file.exists():
        raise DatabaseUnusable(f"{file} is there already")
    if not file.parent.is_dir():
        raise DatabaseUnusable(f"cannot write {file}: {file.parent} is no directory")
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        _copy(source, unfinished)
        _prepare(unfinished)
        _sync(unfinished)
        # Whoever sees the file sees all of it.
        os.link(unfinished, file)
        _sync(file.parent)
    except (OSError, sqlite3.Error, sa.exc.SQLAlchemyError, migrations.ForeignDatabase) as error:
        if isinstance(error, OSError):
            raise DatabaseUnusable(f"cannot write {file}: {error.strerror}") from error
        raise DatabaseUnusable(explain(error, str(source))) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return file.stat().st_size


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with (
        contextlib.closing(sqlite3.connect(source)) as reader,
        contextlib.closing(sqlite3.connect(target)) as writer,
    ):
        # In one step: a copy in several begins anew whenever the server commits in between.
        reader.backup(writer, pages=-1)


def _prepare(copy: Path) -> None:
    """Make one file of it, without a log beside it, that goes on with numbers never given."""
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(copy)))
    try:
        with engine.begin() as connection:
            if not migrations.version(connection):
                raise migrations.ForeignDatabase
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
