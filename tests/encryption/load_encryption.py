"""The encryption of the servers of a load: none, or with the keys of a file."""

from __future__ import annotations

import base64
import contextlib
import secrets
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import asyncpg

from tests.engine.earlier_versions import path_of

FIRST_KEY, OTHER_KEY = "first", "other"
"""The names of the keys in a new file."""


_COUNT = "SELECT count(*), count(data_key) FROM bodies"


class StoredContents(NamedTuple):
    """The numbers of contents in a database, in clear and encrypted."""

    clear: int
    encrypted: int


async def count_contents(database: str) -> StoredContents:
    """Count the contents in a database, which servers may use meanwhile."""
    if database.startswith("sqlite:"):
        with contextlib.closing(sqlite3.connect(path_of(database))) as file:
            total, encrypted = file.execute(_COUNT).fetchone()
    else:
        connection = await asyncpg.connect(database)
        try:
            ((total, encrypted),) = await connection.fetch(_COUNT)
        finally:
            await connection.close()
    return StoredContents(total - encrypted, encrypted)


class LoadEncryption(NamedTuple):
    """The arguments of the servers, and the key that every second queue names, if any."""

    arguments: tuple[str, ...] = ()
    named_key: str | None = None

    def attributes(self, number: int) -> dict[str, str]:
        """Return the attributes of a load's queue with this number."""
        if self.named_key is None or not number % 2:
            return {}
        return {"KmsMasterKeyId": self.named_key}


OFF = LoadEncryption()
"""The servers have no keys."""


def encryption_on(directory: Path) -> LoadEncryption:
    """Write a file with keys into a directory, once; return how the servers of a load use it."""
    path = directory / "keys"
    if not path.exists():
        write_keys(path, new_keys(FIRST_KEY, OTHER_KEY))
    return LoadEncryption(("--encryption-key-file", str(path)), OTHER_KEY)


def new_keys(*names: str) -> dict[str, bytes]:
    """Return new master keys by their names."""
    return {name: secrets.token_bytes(32) for name in names}


def write_keys(path: Path, keys: Mapping[str, bytes]) -> Path:
    """Write a file with master keys, which only its owner can read; return its path."""
    path.touch(mode=0o600)
    path.write_text("".join(f"{line}\n" for line in key_lines(keys)))
    return path


def key_lines(keys: Mapping[str, bytes]) -> list[str]:
    """Return master keys as a server reads them."""
    return [f"{name}:{base64.b64encode(key).decode()}" for name, key in keys.items()]
