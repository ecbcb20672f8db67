"""The master keys that a database needs, and the check that a keyring has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import sqlalchemy as sa

from storage.encryption import secret
from storage.encryption.keyring import KeyId, Keyring
from storage.errors import UnsuitableKeyring
from storage.schema import data_keys


def count_data_keys(connection: sa.Connection) -> dict[KeyId, int]:
    """Return how many data keys each master key wraps."""
    columns = (data_keys.c.master_key, data_keys.c.fingerprint)
    counted = sa.select(*columns, sa.func.count()).group_by(*columns).order_by(*columns)
    return {KeyId(name, mark): count for name, mark, count in connection.execute(counted)}


class MasterKeyUsage(NamedTuple):
    """The master keys that a database needs.

    Attributes:
        data_keys: by master key, how many data keys it wraps.
        secret: the master key that wraps the secret, or None if the secret is in clear.
    """

    data_keys: Mapping[KeyId, int]
    secret: KeyId | None


def read(connection: sa.Connection) -> MasterKeyUsage:
    """Return the master keys that the database needs, and for what."""
    return MasterKeyUsage(required(connection), secret.read(connection).master_key)


def required(connection: sa.Connection) -> Mapping[KeyId, int]:
    """Return the master keys that the database needs, and how many data keys each wraps.

    The number is 0 for a master key that wraps only the secret.
    """
    needed = count_data_keys(connection)
    stored = secret.read(connection)
    if stored.master_key is not None:
        needed.setdefault(stored.master_key, 0)
    return needed


def check(connection: sa.Connection, keyring: Keyring | None) -> None:
    """Check that a keyring has all master keys that the database needs.

    Raises:
        UnsuitableKeyring: it lacks one, or has another key under its name.
    """
    for key_id in required(connection):
        if keyring is None:
            raise UnsuitableKeyring(
                f"it is encrypted with the key {key_id}, and no key is configured"
            )
        if keyring.find(key_id) is not None:
            continue
        other = keyring.named(key_id.name)
        if other is not None:
            raise UnsuitableKeyring(
                f"it is encrypted with the key {key_id}, and the key of this name that is "
                f"configured has the fingerprint {other.id.fingerprint}"
            )
        raise UnsuitableKeyring(
            f"it is encrypted with the key {key_id}, which is not among the configured keys"
        )
