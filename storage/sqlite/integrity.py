"""Whether a SQLite database is what was written to it, while a server uses it or none does.

Reads everything, and changes nothing. PostgreSQL has tools of its own for this. Refuses to mend:
what is damaged is lost, and a backup has it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import sqlalchemy as sa

from storage import migrations, schema
from storage.errors import DatabaseUnusable, explain, is_damage

_MOST_FINDINGS = 100

_CONTENTS = (
    "SELECT messages.queue_id, messages.id, body, envelope FROM messages LEFT JOIN bodies "
    "ON bodies.queue_id = messages.queue_id AND bodies.id = messages.id"
)
_STRAYS = (
    "SELECT queue_id, id FROM bodies WHERE NOT EXISTS (SELECT 1 FROM messages "
    "WHERE messages.queue_id = bodies.queue_id AND messages.id = bodies.id)"
)


def check(url: str, is_envelope: Callable[[bytes], bool]) -> list[str]:
    """Examine the database at a URL; give what is wrong with it, in words, or nothing.

    `is_envelope` tells whether what is kept beside a body can be read.

    Raises:
        DatabaseUnusable: it cannot be read at all, or is not queueserver's.
    """
    address = sa.make_url(url)
    if address.get_backend_name() != "sqlite" or address.database in (None, ":memory:"):
        raise DatabaseUnusable("only a SQLite file is checked so; PostgreSQL has pg_amcheck")
    # A log lies beside the file itself, and not beside a link to it.
    path = Path(str(address.database)).resolve()
    if not path.is_file():
        raise DatabaseUnusable(f"there is no file {address.database}")
    try:
        is_at_rest = not _has_log(path)
        findings = _examine(path, is_envelope, is_at_rest=is_at_rest)
        if findings and is_at_rest and _has_log(path):
            # A server has started meanwhile, and changed what was being read.
            findings = _examine(path, is_envelope, is_at_rest=False)
    except (sqlite3.Error, migrations.ForeignDatabase) as error:
        raise DatabaseUnusable(explain(error, str(path))) from error
    return findings


def _has_log(path: Path) -> bool:
    """Tell whether a server uses the file, or was killed while it did."""
    return Path(f"{path}-wal").exists()


def _examine(path: Path, is_envelope: Callable[[bytes], bool], *, is_at_rest: bool) -> list[str]:
    with contextlib.closing(_open(path, is_at_rest=is_at_rest)) as connection:
        _refuse_foreign(connection)
        return list(islice(_findings(connection, is_envelope), _MOST_FINDINGS))


def _open(path: Path, *, is_at_rest: bool) -> sqlite3.Connection:
    # Of a file at rest, SQLite need not look after others; it would leave files beside it.
    mode = "mode=ro&immutable=1" if is_at_rest else "mode=ro"
    connection = sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True)
    # What cannot be read as text is to be found, and not to end the search.
    connection.text_factory = bytes
    return connection


def _refuse_foreign(connection: sqlite3.Connection) -> None:
    names = {name.decode() for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not {schema.properties.name, schema.queues.name} <= names:
        raise migrations.ForeignDatabase


def _findings(
    connection: sqlite3.Connection, is_envelope: Callable[[bytes], bool]
) -> Iterator[str]:
    try:
        yield from _search(connection, is_envelope)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        yield str(error)  # so damaged that the search ends there


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
    for queue_id, number in connection.execute(_STRAYS):
        yield f"content {number} of queue {queue_id} belongs to no message"


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
