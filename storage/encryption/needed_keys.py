"""The master keys that a database needs: those that wrap its data keys and its secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from storage.encryption import secret
from storage.encryption.keyring import KeyId
from storage.schema import data_keys


class NeededKeys(NamedTuple):
    """The master keys that a database needs.

    Attributes:
        data_keys: how many data keys each master key wraps.
        secret: the master key that wraps the secret, or None if the secret is stored in clear.
    """

    data_keys: Mapping[KeyId, int]
    secret: KeyId | None

    @property
    def ids(self) -> Sequence[KeyId]:
        """The keys, in the order of their names."""
        return sorted({*self.data_keys, *([self.secret] if self.secret else [])})


def read(connection: sa.Connection) -> NeededKeys:
    """Return the master keys that the database needs."""
    key = (data_keys.c.master_key, data_keys.c.fingerprint)
    counts = sa.select(*key, sa.func.count()).group_by(*key).order_by(*key)
    wrapped = secret.read_wrapped(connection)
    return NeededKeys(
        {KeyId(name, digits): count for name, digits, count in connection.execute(counts)},
        wrapped.key_id if wrapped else None,
    )
