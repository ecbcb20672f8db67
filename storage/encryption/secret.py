"""The database's secret, in clear or wrapped by a master key.

All servers of the database share it: it signs receipt handles and page tokens, which a thief of the
secret can forge.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

import sqlalchemy as sa

from storage.encryption import aead
from storage.encryption.keyring import KeyId, Keyring
from storage.errors import DatabaseDamaged, MasterKeyMissing
from storage.schema import properties

_CLEAR = "secret"
_WRAPPED = "wrapped_secret"
_PURPOSE = b"secret"


class StoredSecret(NamedTuple):
    """The secret as the database has it; `master_key` is None, and `value` clear, or neither."""

    master_key: KeyId | None
    value: bytes

    def reveal(self, keyring: Keyring | None) -> bytes:
        """Return the secret.

        Raises:
            MasterKeyMissing: the keyring does not have the master key.
            DatabaseDamaged: the stored value was changed.
        """
        if self.master_key is None:
            return self.value
        master = keyring.find(self.master_key) if keyring is not None else None
        if master is None:
            raise MasterKeyMissing(self.master_key.name, str(self.master_key))
        try:
            return master.unwrap(self.value, _PURPOSE)
        except aead.CannotDecrypt as error:
            raise DatabaseDamaged("the wrapped secret was changed") from error


def create(connection: sa.Connection) -> None:
    """Create the secret of a new database: 32 random bytes, in clear."""
    _store(connection, _CLEAR, secrets.token_hex(32))


def read(connection: sa.Connection) -> StoredSecret:
    """Return the secret of the database.

    Raises:
        DatabaseDamaged: there is none, or it cannot be read.
    """
    stored = sa.select(properties.c.name, properties.c.value).where(
        properties.c.name.in_([_CLEAR, _WRAPPED])
    )
    values = {row.name: row.value for row in connection.execute(stored)}
    try:
        if _WRAPPED not in values:
            return StoredSecret(None, bytes.fromhex(values[_CLEAR]))
        name, fingerprint, wrapped = values[_WRAPPED].split(" ")
        return StoredSecret(KeyId(name, fingerprint), bytes.fromhex(wrapped))
    except (KeyError, ValueError) as error:
        raise DatabaseDamaged("the secret of the database cannot be read") from error


def wrap(connection: sa.Connection, secret: bytes, keyring: Keyring) -> None:
    """Store the secret wrapped by the first master key, and nowhere else."""
    _delete(connection)
    _store(connection, _WRAPPED, _wrapped(secret, keyring))


def wrap_again(connection: sa.Connection, secret: bytes, keyring: Keyring) -> bool:
    """Replace the wrapped secret by one that the first master key wraps.

    Returns False if the secret is not wrapped any more.
    """
    is_wrapped = properties.c.name == _WRAPPED
    replace = properties.update().where(is_wrapped).values(value=_wrapped(secret, keyring))
    return bool(connection.execute(replace).rowcount)


def store_clear(connection: sa.Connection, secret: bytes) -> None:
    """Store the secret in clear."""
    _delete(connection)
    _store(connection, _CLEAR, secret.hex())


def _wrapped(secret: bytes, keyring: Keyring) -> str:
    name, fingerprint = keyring.first.id
    return f"{name} {fingerprint} {keyring.first.wrap(secret, _PURPOSE).hex()}"


def _delete(connection: sa.Connection) -> None:
    connection.execute(properties.delete().where(properties.c.name.in_([_CLEAR, _WRAPPED])))


def _store(connection: sa.Connection, name: str, value: str) -> None:
    connection.execute(properties.insert(), {"name": name, "value": value})
