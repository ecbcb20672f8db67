"""Rekeying: data keys and the secret are wrapped by the master keys that the keyring uses now.

Contents stay as they are, because the data keys themselves do not change. Servers may use the
database meanwhile. Each step is one short transaction, so that a crash at any time leaves every key
wrapped either by the old or by the new master key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import sqlalchemy as sa

from storage.encryption import master_key_usage, secret
from storage.encryption.aead import CannotDecrypt
from storage.encryption.data_keys import purpose
from storage.encryption.keyring import KeyId, Keyring, MasterKey
from storage.encryption.master_key_usage import MasterKeyUsage
from storage.errors import DatabaseDamaged, MasterKeyMissing
from storage.schema import data_keys

T = TypeVar("T")

_STEP = 500
"""Most data keys of one transaction."""


class Transact(Protocol):
    """Runs a function in a transaction, and commits."""

    def __call__(self, function: Callable[[sa.Connection], T], /) -> T:
        """Run a function in a transaction, perhaps several times, and return its result."""
        ...


@dataclass(slots=True)
class Rekeyed:
    """The result of one or more transactions of a rekey.

    Attributes:
        wrapped: how many data keys each master key of the keyring has wrapped.
        missing: how many data keys are wrapped by a master key that the keyring lacks.
        damaged: the ids of data keys that their master key cannot unwrap, each with that key.
        secret: the master key that has wrapped the secret, if one has.
        missing_for_secret: the master key of the secret, if the keyring lacks it.
        secret_is_damaged: whether the master key of the secret cannot unwrap it.
    """

    wrapped: Counter[KeyId] = field(default_factory=Counter)
    missing: Counter[KeyId] = field(default_factory=Counter)
    damaged: list[tuple[int, KeyId]] = field(default_factory=list)
    secret: KeyId | None = None
    missing_for_secret: KeyId | None = None
    secret_is_damaged: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether the keyring's current keys wrap everything now."""
        return not (
            self.missing or self.damaged or self.missing_for_secret or self.secret_is_damaged
        )

    def add(self, step: Rekeyed) -> None:
        """Add what a step has done with data keys."""
        self.wrapped += step.wrapped
        self.missing += step.missing
        self.damaged += step.damaged


def rekey(transact: Transact, keyring: Keyring) -> tuple[Rekeyed, MasterKeyUsage]:
    """Wrap the secret and all data keys, in many transactions.

    Returns what was done, and which master keys the database needs afterwards. Data keys that
    cannot be wrapped do not stop the others.
    """
    done = transact(partial(wrap_secret, keyring=keyring))
    last_id: int | None = -1
    while last_id is not None:
        step, last_id = transact(partial(wrap_data_keys, keyring=keyring, after_id=last_id))
        done.add(step)
    return done, transact(master_key_usage.read)


def wrap_secret(connection: sa.Connection, keyring: Keyring) -> Rekeyed:
    """Wrap the secret by the first key of the keyring, if it is wrapped by another one.

    A secret in clear stays in clear: the server wraps it when it starts to encrypt.
    """
    done = Rekeyed()
    stored = secret.read(connection)
    if stored.master_key is None or stored.master_key == keyring.first.id:
        return done
    try:
        value = stored.reveal(keyring)
    except MasterKeyMissing:
        done.missing_for_secret = stored.master_key
    except DatabaseDamaged:
        done.secret_is_damaged = True
    else:
        if secret.wrap_again(connection, value, keyring):
            done.secret = keyring.first.id
    return done


def wrap_data_keys(
    connection: sa.Connection, keyring: Keyring, after_id: int, limit: int = _STEP
) -> tuple[Rekeyed, int | None]:
    """Read the next data keys, and wrap those whose master key is not the current one.

    Returns what was done, and the id of the last data key, or None if there are no more.
    """
    page = (
        sa.select(data_keys).where(data_keys.c.id > after_id).order_by(data_keys.c.id).limit(limit)
    )
    rows = connection.execute(page).all()
    done = Rekeyed()
    changes = []
    for row in rows:
        old_id = KeyId(row.master_key, row.fingerprint)
        old = keyring.find(old_id)
        # A key that the queue names may be in the keyring no longer. It cannot be replaced.
        new = keyring.named(row.named_key) or old
        if new is not None and new.id == old_id:
            continue
        if old is None or new is None:
            done.missing[old_id] += 1
            continue
        try:
            changes.append(_change(row.id, old_id, new, old.unwrap(row.wrapped, purpose(row.id))))
        except CannotDecrypt:
            done.damaged.append((row.id, old_id))
        else:
            done.wrapped[new.id] += 1
    if changes:
        connection.execute(_REPLACE, changes)
    return done, rows[-1].id if len(rows) == limit else None


_REPLACE = (
    data_keys.update()
    .where(
        data_keys.c.id == sa.bindparam("data_key"),
        # A rekey by another process may have been faster.
        data_keys.c.master_key == sa.bindparam("old_name"),
        data_keys.c.fingerprint == sa.bindparam("old_fingerprint"),
    )
    .values(
        {
            column: sa.bindparam(f"new_{column}")
            for column in ("master_key", "fingerprint", "wrapped")
        }
    )
)


def _change(
    data_key_id: int, old_id: KeyId, new: MasterKey, data_key: bytes
) -> dict[str, int | str | bytes]:
    """Return the parameters of `_REPLACE` for a data key that a new master key wraps."""
    return {
        "data_key": data_key_id,
        "old_name": old_id.name,
        "old_fingerprint": old_id.fingerprint,
        "new_master_key": new.id.name,
        "new_fingerprint": new.id.fingerprint,
        "new_wrapped": new.wrap(data_key, purpose(data_key_id)),
    }


def unneeded(keyring: Keyring, usage: MasterKeyUsage) -> Sequence[KeyId]:
    """Return the keys of the keyring that wrap nothing, except the first, which wraps new keys."""
    return [
        key_id
        for key_id in keyring.ids
        if key_id != keyring.first.id and key_id not in usage.data_keys
    ]
