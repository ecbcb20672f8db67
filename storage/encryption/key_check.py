"""The check of the keys in a database: which master keys it needs, and whether those unwrap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from storage.encryption import data_keys, master_key_usage, secret
from storage.encryption.keyring import KeyId, Keyring
from storage.encryption.master_key_usage import MasterKeyUsage
from storage.errors import DatabaseDamaged, MasterKeyMissing
from storage.schema import bodies
from storage.schema import data_keys as table


class Report(NamedTuple):
    """The result of the check of a database.

    Attributes:
        usage: the master keys that the database needs, or None if damaged rows hide them.
        damage: a line for each problem.
        clear_contents: how many messages are stored in clear.
        advice: what the check has not examined, and how to do that, or None.
    """

    usage: MasterKeyUsage | None
    damage: Sequence[str]
    clear_contents: int = 0
    advice: str | None = None

    def missing(self, keyring: Keyring) -> Sequence[KeyId]:
        """Return the master keys that the database needs and a keyring lacks."""
        needed = self.usage.data_keys if self.usage else ()
        return [key_id for key_id in needed if keyring.find(key_id) is None]


def check(connection: sa.Connection, keyring: Keyring | None) -> Report:
    """Check all keys in a database: unwrap those whose master key the keyring has.

    Also counts the messages that no key encrypts.

    Raises:
        DatabaseDamaged: the secret cannot be read.
    """
    damage = _damage(connection, keyring) if keyring else ()
    in_clear = sa.select(sa.func.count()).where(bodies.c.data_key.is_(None))
    clear_contents = connection.scalar(in_clear) or 0
    return Report(master_key_usage.read(connection), list(damage), clear_contents)


def _damage(connection: sa.Connection, keyring: Keyring) -> Iterator[str]:
    try:
        secret.read(connection).reveal(keyring)
    except DatabaseDamaged as error:
        yield str(error)
    except MasterKeyMissing:
        pass  # `missing` returns it
    for row in connection.execute(sa.select(table).order_by(table.c.id)):
        try:
            data_keys.unwrap(keyring, row)
        except DatabaseDamaged as error:
            yield str(error)
        except MasterKeyMissing:
            pass
