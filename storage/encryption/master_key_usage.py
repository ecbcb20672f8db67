"""The master keys that a database needs, and the check that a keyring has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import sqlalchemy as sa

from storage.encryption import secret
from storage.encryption.keyring import KeyId, Keyring
from storage.errors import UnsuitableKeyring
from storage.schema import data_keys


class MasterKeyUsage(NamedTuple):
    """The master keys that a database needs.

    Attributes:
        data_keys: by master key, how many data keys it wraps; 0 if it wraps only the secret.
        secret: the master key that wraps the secret, or None if the secret is in clear.
    """

    data_keys: Mapping[KeyId, int]
    secret: KeyId | None


def read(connection: sa.Connection) -> MasterKeyUsage:
    """Return the master keys that the database needs, and for what.

    Raises:
        DatabaseDamaged: the secret cannot be read.
    """
    columns = (data_keys.c.master_key, data_keys.c.fingerprint)
    counted = sa.select(*columns, sa.func.count()).group_by(*columns).order_by(*columns)
    needed = {KeyId(name, mark): count for name, mark, count in connection.execute(counted)}
    of_secret = secret.read(connection).master_key
    if of_secret is not None:
        needed.setdefault(of_secret, 0)
    return MasterKeyUsage(needed, of_secret)


def check(connection: sa.Connection, keyring: Keyring | None) -> None:
    """Check that a keyring has all master keys that the database needs.

    Raises:
        UnsuitableKeyring: it lacks one, or has another key under its name.
    """
    for key_id in read(connection).data_keys:
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
