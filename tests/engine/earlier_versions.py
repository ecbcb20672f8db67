"""Databases of earlier schema versions, restored from the dumps in `schema_versions/`."""

from __future__ import annotations

import json
import sqlite3
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
