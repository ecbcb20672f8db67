"""The first start with master keys: the secret in clear does not stay in the files."""

from __future__ import annotations

from pathlib import Path

from tests.encryption.encrypted_client import MAIN, EncryptedClient
from tests.engine.earlier_versions import path_of


def files_of(url: str) -> bytes:
    """Return what the database file and its log contain."""
    path = path_of(url)
    return b"".join(Path(f"{path}{end}").read_bytes() for end in ("", "-wal"))


async def test_secret_is_overwritten_while_the_server_still_runs(sqlite: str) -> None:
    client = await EncryptedClient.with_keys(sqlite, encrypts=False)
    secret = client.database.secret.hex().encode()
    assert secret in files_of(sqlite)
    await client.database.close()
    client = await EncryptedClient.with_keys(sqlite, MAIN)
    assert client.database.secret.hex().encode() == secret
    assert secret not in files_of(sqlite)
    await client.database.close()


async def test_secret_of_a_new_database_is_never_in_its_files(sqlite: str) -> None:
    client = await EncryptedClient.with_keys(sqlite, MAIN)
    assert client.database.secret.hex().encode() not in files_of(sqlite)
    await client.database.close()
