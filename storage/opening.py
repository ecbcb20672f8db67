"""Opening a database: the changes for encryption that a starting server makes in it.

They are made in the transaction that creates or migrates the tables.

The first start with keys wraps the secret, and replaces the deduplication ids of the last five
minutes by keyed digests: an id may be the SHA-256 digest of a body. Servers that start later use
keyed digests, too. A start that turns encryption off stores the secret in clear again.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

import sqlalchemy as sa

from storage.encryption import master_key_usage, secret
from storage.encryption.keyring import Keyring
from storage.messages import deduplication
from storage.schema import properties

_is_deduplication = properties.c.name == "deduplication"
_KEYED = "keyed"


class Secrets(NamedTuple):
    """The secrets of a database.

    Attributes:
        secret: signs receipt handles and page tokens.
        deduplication_key: makes keyed digests of deduplication ids; None while they are in clear.
    """

    secret: bytes
    deduplication_key: bytes | None


def prepare(connection: sa.Connection, keyring: Keyring | None, *, encrypts: bool) -> Secrets:
    """Check the keyring, bring the database into the state that `encrypts` asks for.

    Writes nothing if the database is in that state: a server must be able to start on a full disk.

    Raises:
        UnsuitableKeyring: the keyring does not have the master keys that the database needs.
        DatabaseDamaged: the secret cannot be read.
    """
    master_key_usage.check(connection, keyring)
    stored = secret.read(connection)
    value = stored.reveal(keyring)
    is_keyed = connection.scalar(sa.select(properties.c.value).where(_is_deduplication)) == _KEYED
    deduplication_key = hmac.digest(value, b"queueserver/deduplication/1", "sha256")
    if keyring is not None and encrypts:
        if stored.master_key is None:
            secret.wrap(connection, value, keyring)
        if not is_keyed:
            deduplication.replace_ids_by_digests(connection, deduplication_key)
            row = {"name": "deduplication", "value": _KEYED}
            connection.execute(properties.insert(), row)
            is_keyed = True
    elif stored.master_key is not None:
        secret.store_clear(connection, value)
    return Secrets(value, deduplication_key if is_keyed else None)
