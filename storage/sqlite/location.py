"""The file that the URL of a SQLite database names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa

from storage.errors import DatabaseUnusable

NEW_FILE_MODE = 0o600
"""The mode of a file that the server creates: messages are for its owner alone."""

_MEMORY = ":memory:"

_DEFAULTS = {"uri": {"true", "1"}, "mode": {"rw", "rwc"}, "cache": {"private"}}
"""Parameters that ask for what the server does anyway."""


def file_of(address: sa.URL) -> Path | None:
    """Return the path of a database's file, or None if the database is in memory.

    The name may be one of SQLite's URIs (`file:queueserver.db`, `file:///data/queueserver.db`).

    Raises:
        DatabaseUnusable: a parameter would change how the file is opened, or the URI has no path.
    """
    for name, value in address.query.items():
        if value not in _DEFAULTS.get(name, ()):
            raise DatabaseUnusable(
                f"a SQLite database cannot be opened with {name}={value}: use sqlite:///PATH, or "
                "sqlite:// for a database in memory"
            )
    name = address.database or _MEMORY
    if name.startswith("file:"):
        name = _path_of_uri(name)
    return None if name == _MEMORY else Path(name)


def _path_of_uri(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.netloc not in {"", "localhost"} or not parts.path or parts.query:
        raise DatabaseUnusable(f"{uri} is not a file URI with a path, such as file:///PATH")
    return unquote(parts.path)


def resolve(path: Path) -> Path:
    """Return the absolute path of a file, without symbolic links.

    SQLite keeps its log beside the path that it opens: every path to a file must lead to one log.

    Raises:
        DatabaseUnusable: the path has a cycle of symbolic links, or a character that no path has.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise DatabaseUnusable(f"cannot open {path}: {error}") from error
