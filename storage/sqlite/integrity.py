"""The integrity check of a SQLite database, whether or not a server uses it.

It reads everything and changes nothing. It repairs nothing: restore a backup instead. For
PostgreSQL, use pg_amcheck.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from storage import migrations
from storage.encryption import key_check
from storage.encryption.key_check import Report
from storage.encryption.keyring import Keyring
from storage.errors import (
    DatabaseDamaged,
    DatabaseUnusable,
    ForeignDatabase,
    NewerSchema,
    NoTables,
    OlderSchema,
    explain,
)
from storage.sqlite.content_check import ContentCheck
from storage.sqlite.errors import classify, is_damage
from storage.sqlite.location import file_of, resolve

_MOST_FINDINGS = 100

_ORPHANED_BODIES = "SELECT queue_id, id FROM bodies WHERE id NOT IN (SELECT body_id FROM messages)"


def check(url: str, is_envelope: Callable[[bytes], bool], keyring: Keyring | None) -> Report:
    """Check the database at a URL, and decrypt all contents whose master key the keyring has.

    `is_envelope` returns whether the bytes stored beside a body can be decoded. Contents whose
    master key is missing are not examined.

    Raises:
        DatabaseUnusable: the database cannot be read at all, is not queueserver's, or has tables of
            another version.
    """
    address = sa.make_url(url)
    file = file_of(address) if address.get_backend_name() == "sqlite" else None
    if file is None:
        raise DatabaseUnusable("a database in memory cannot be checked")
    path = resolve(file)
    if not path.is_file():
        raise DatabaseUnusable(f"there is no file {file}")
    examine = partial(_examine, path, is_envelope, keyring)
    try:
        is_at_rest = not _has_log(path)
        report = examine(is_at_rest=is_at_rest)
        if report.damage and is_at_rest and _has_log(path):
            # A server started during the check, and changed pages while they were read.
            report = examine(is_at_rest=False)
    except (
        sqlite3.Error,
        sa.exc.SQLAlchemyError,
        ForeignDatabase,
        NewerSchema,
        NoTables,
        OlderSchema,
    ) as error:
        raise DatabaseUnusable(explain(error, str(path), classify(error))) from error
    return report


def _has_log(path: Path) -> bool:
    """Return whether a server uses the file, or crashed while it used it."""
    return Path(f"{path}-wal").exists()


def _examine(
    path: Path,
    is_envelope: Callable[[bytes], bool],
    keyring: Keyring | None,
    *,
    is_at_rest: bool,
) -> Report:
    connect = partial(_open, path, is_at_rest=is_at_rest)
    of_keys = _examine_keys(connect, keyring)
    with contextlib.closing(connect()) as connection:
        # Text that is not UTF-8 must be reported; as str, it would end the check.
        connection.text_factory = bytes
        contents = ContentCheck(connection, is_envelope, keyring)
        findings = islice(_findings(connection, contents), _MOST_FINDINGS)
        damage = [*of_keys.damage, *findings][:_MOST_FINDINGS]
        return of_keys._replace(damage=damage)


def _open(path: Path, *, is_at_rest: bool) -> sqlite3.Connection:
    # Without `immutable`, SQLite would leave a log and its index beside a file at rest.
    mode = "mode=ro&immutable=1" if is_at_rest else "mode=ro"
    return sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True)


def _examine_keys(connect: Callable[[], sqlite3.Connection], keyring: Keyring | None) -> Report:
    engine = sa.create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            migrations.require_version(connection)
            return key_check.check(connection, keyring)
    except DatabaseDamaged as error:
        return Report(None, [str(error)])
    except sa.exc.DBAPIError as error:
        if not is_damage(error):
            raise
        return Report(None, [str(error.orig)])


def _findings(connection: sqlite3.Connection, contents: ContentCheck) -> Iterator[str]:
    try:
        yield from _search(connection, contents)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        yield str(error)  # the damage ends the check here


def _search(connection: sqlite3.Connection, contents: ContentCheck) -> Iterator[str]:
    is_sound = True
    for (line,) in connection.execute(f"PRAGMA integrity_check({_MOST_FINDINGS})"):
        if line != b"ok":
            is_sound = False
            yield from line.decode(errors="replace").splitlines()
    if not is_sound:
        return
    yield from contents.findings()
    for queue_id, number in connection.execute(_ORPHANED_BODIES):
        yield f"content {number} of queue {queue_id} belongs to no message"
