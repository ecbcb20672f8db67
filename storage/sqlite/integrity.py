"""The integrity check of a SQLite database, whether or not a server uses it.

It reads everything and changes nothing. It repairs nothing: restore a backup instead. For
PostgreSQL, use pg_amcheck.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import sqlalchemy as sa

from storage import schema
from storage.errors import DatabaseUnusable, ForeignDatabase, explain
from storage.sqlite.errors import classify, is_damage
from storage.sqlite.location import file_of, resolve

_MOST_FINDINGS = 100

_CONTENTS = (
    "SELECT messages.queue_id, messages.id, body, envelope FROM messages LEFT JOIN bodies "
    "ON bodies.id = messages.body_id"
)
_ORPHANED_BODIES = "SELECT queue_id, id FROM bodies WHERE id NOT IN (SELECT body_id FROM messages)"


def check(url: str, is_envelope: Callable[[bytes], bool]) -> list[str]:
    """Check the database at a URL, and return a line for each problem, at most 100.

    `is_envelope` returns whether the bytes stored beside a body can be decoded.

    Raises:
        DatabaseUnusable: the database cannot be read at all, or is not queueserver's.
    """
    address = sa.make_url(url)
    file = file_of(address) if address.get_backend_name() == "sqlite" else None
    if file is None:
        raise DatabaseUnusable("only a SQLite file can be checked; for PostgreSQL use pg_amcheck")
    path = resolve(file)
    if not path.is_file():
        raise DatabaseUnusable(f"there is no file {file}")
    try:
        is_at_rest = not _has_log(path)
        findings = _examine(path, is_envelope, is_at_rest=is_at_rest)
        if findings and is_at_rest and _has_log(path):
            # A server started during the check, and changed pages while they were read.
            findings = _examine(path, is_envelope, is_at_rest=False)
    except (sqlite3.Error, ForeignDatabase) as error:
        raise DatabaseUnusable(explain(error, str(path), classify(error))) from error
    return findings


def _has_log(path: Path) -> bool:
    """Return whether a server uses the file, or crashed while it used it."""
    return Path(f"{path}-wal").exists()


def _examine(path: Path, is_envelope: Callable[[bytes], bool], *, is_at_rest: bool) -> list[str]:
    with contextlib.closing(_open(path, is_at_rest=is_at_rest)) as connection:
        _reject_foreign(connection)
        return list(islice(_findings(connection, is_envelope), _MOST_FINDINGS))


def _open(path: Path, *, is_at_rest: bool) -> sqlite3.Connection:
    # Without `immutable`, SQLite would leave a log and its index beside a file at rest.
    mode = "mode=ro&immutable=1" if is_at_rest else "mode=ro"
    connection = sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True)
    # Text that is not UTF-8 must be reported; as str, it would end the check.
    connection.text_factory = bytes
    return connection


def _reject_foreign(connection: sqlite3.Connection) -> None:
    names = {name.decode() for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not {schema.properties.name, schema.queues.name} <= names:
        raise ForeignDatabase


def _findings(
    connection: sqlite3.Connection, is_envelope: Callable[[bytes], bool]
) -> Iterator[str]:
    try:
        yield from _search(connection, is_envelope)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        yield str(error)  # the damage ends the check here


def _search(connection: sqlite3.Connection, is_envelope: Callable[[bytes], bool]) -> Iterator[str]:
    is_sound = True
    for (line,) in connection.execute(f"PRAGMA integrity_check({_MOST_FINDINGS})"):
        if line != b"ok":
            is_sound = False
            yield from line.decode(errors="replace").splitlines()
    if not is_sound:
        return
    for queue_id, number, body, envelope in connection.execute(_CONTENTS):
        if body is None:
            yield f"message {number} of queue {queue_id} has no content"
        elif not _is_text(body):
            yield f"the body of message {number} of queue {queue_id} is no text"
        elif not is_envelope(envelope):
            yield f"the envelope of message {number} of queue {queue_id} cannot be read"
    for queue_id, number in connection.execute(_ORPHANED_BODIES):
        yield f"content {number} of queue {queue_id} belongs to no message"


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
