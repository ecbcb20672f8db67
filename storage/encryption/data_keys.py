"""Data keys: random keys that encrypt the contents of messages, each wrapped by a master key.

A server encrypts with data keys of its own: one for each queue, until its time or its number of
messages is over. Any server decrypts with any data key of the database, if it has the master key. A
new data key is stored by the transaction that first uses it, so no message refers to a key that the
database does not have.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa

from storage.encryption import aead
from storage.encryption.keyring import KeyId, Keyring
from storage.errors import DatabaseDamaged, MasterKeyMissing
from storage.schema import data_keys
from storage.sql.arrays import among
from storage.sql.statement import Statement

_MESSAGES_OF_A_KEY = 2**30
"""Messages that one data key encrypts at most. NIST SP 800-38D allows 2^32 random nonces."""

_CACHED_KEYS = 10_000
"""Data keys in each cache of a server, of about 3 KB each."""

_LABEL = b"queueserver/content/1"
_pack_id = struct.Struct(">Q").pack
_pack_length = struct.Struct(">I").pack
_unpack_length = struct.Struct(">I").unpack_from
_LENGTH_BYTES = 4


class DataKeyRule(NamedTuple):
    """The rule for the data keys that encrypt new messages of a queue.

    Attributes:
        named_key: the name of the master key that wraps the queue's data keys (AWS:
            KmsMasterKeyId), or None for the first key of the keyring.
        reuse_ms: how long one data key encrypts (AWS: KmsDataKeyReusePeriodSeconds).
    """

    named_key: str | None
    reuse_ms: int


def purpose(data_key_id: int) -> bytes:
    """Return the purpose for which a data key is wrapped: it is valid in its own row only."""
    return b"data-key " + data_key_id.to_bytes(8, "big")


class DataKey:
    """One data key. It shows itself without its value.

    A content can be decrypted in its own row of `bodies` only: its associated data has the ids of
    the data key, of the body, and of the message as its sender got it. A move to another queue
    changes none of them.
    """

    __slots__ = ("_cipher", "_place", "_rule", "id", "messages_left", "until_ms")

    def __init__(
        self, data_key_id: int, key: bytes, rule: DataKeyRule | None = None, until_ms: int = 0
    ) -> None:
        self.id = data_key_id
        self._place = _LABEL + _pack_id(data_key_id)
        self._cipher = aead.create_cipher(key)
        self._rule = rule
        self.until_ms = until_ms
        self.messages_left = _MESSAGES_OF_A_KEY

    def may_encrypt(self, rule: DataKeyRule, now_ms: int) -> bool:
        """Return whether the key may encrypt more messages, and was made by the same rule."""
        return now_ms < self.until_ms and self.messages_left > 0 and self._rule == rule

    def encrypt(self, body_id: int, message_id: bytes, body: str, envelope: bytes) -> bytes:
        """Return body and envelope as one encrypted record."""
        content = _pack_length(len(envelope)) + envelope + body.encode()
        return aead.encrypt(self._cipher, content, self._place + _pack_id(body_id) + message_id)

    def decrypt(self, body_id: int, message_id: bytes, record: bytes) -> tuple[str, bytes]:
        """Return the body and the envelope in an encrypted record.

        Raises:
            DatabaseDamaged: the record was changed, or belongs to another message.
        """
        try:
            place = self._place + _pack_id(body_id) + message_id
            content = aead.decrypt(self._cipher, record, place)
        except (aead.CannotDecrypt, struct.error, TypeError) as error:
            raise DatabaseDamaged(
                "an encrypted content was changed, or belongs to another message"
            ) from error
        end = _LENGTH_BYTES + _unpack_length(content)[0]
        return content[end:].decode(), content[_LENGTH_BYTES:end]


_INSERT = Statement(
    data_keys.insert(),
    [
        "id",
        "master_key",
        "fingerprint",
        "wrapped",
        "named_key",
        "created_at_ms",
        "encrypts_until_ms",
    ],
)
_FIND = Statement(
    sa.select(
        data_keys.c.id, data_keys.c.master_key, data_keys.c.fingerprint, data_keys.c.wrapped
    ).where(among(data_keys.c.id, "ids"))
)


_Slot: TypeAlias = int | DataKeyRule
"""The place of a data key in the cache: the queue's id, or the rule of queues that share one.

Queues share one while the cache is full: else each send to them would store a new data key."""


class DataKeys:
    """The data keys that this server uses, in memory.

    The writer encrypts in one transaction at a time: it calls `begin` before, and `note_commit`
    after the COMMIT. A transaction that fails leaves no data key behind.

    After a reconnect, no key in memory is used: PostgreSQL may have failed over to a standby
    that lacks the last transactions, or a backup may have been restored. Messages that the server
    encrypted with a data key that was lost could never be decrypted.

    `keyring` has the master keys. Without them, nothing can be encrypted or decrypted.

    Attributes:
        known: data keys by id, for decryption; others are in the database.
    """

    def __init__(self, keyring: Keyring | None) -> None:
        self._keyring = keyring
        self._connection: sa.Connection | None = None
        self._new: dict[_Slot, DataKey] = {}
        self._current: dict[_Slot, DataKey] = {}
        self.known: dict[int, DataKey] = {}

    def use_keyring(self, keyring: Keyring | None) -> None:
        """Use other master keys from now on, and new data keys.

        Only within the writer's transactions: none of them then uses two keyrings.
        """
        self._keyring = keyring
        self._discard()

    def begin(self, connection: sa.Connection) -> None:
        """Begin a transaction: discard the new data keys of one that has failed."""
        self._new.clear()
        if connection is not self._connection:
            self._connection = connection
            self._discard()

    def _discard(self) -> None:
        self._current.clear()
        self.known.clear()

    def note_commit(self) -> None:
        """Use the new data keys in later transactions, too: the database has them now."""
        if not self._new:
            return
        if len(self.known) > _CACHED_KEYS:
            self.known.clear()
        self._current.update(self._new)
        self.known.update((key.id, key) for key in self._new.values())
        self._new.clear()

    def for_encryption(
        self,
        connection: sa.Connection,
        take_numbers: Callable[[int], Sequence[int]],
        now_ms: int,
        queue_id: int,
        rule: DataKeyRule,
        count: int,
    ) -> DataKey:
        """Return the data key that encrypts the next `count` messages of a queue.

        If a new one is needed, it is stored in the transaction.

        Raises:
            MasterKeyMissing: the keyring has no key with the name that the rule has.
        """
        slot: _Slot = queue_id
        key = self._current.get(slot)
        if key is None and len(self._current) >= _CACHED_KEYS:
            slot = rule
            key = self._current.get(slot)
        if key is None or not key.may_encrypt(rule, now_ms):
            key = self._new.get(slot)
        if key is None or not key.may_encrypt(rule, now_ms):
            if slot == rule:
                self._discard_expired(now_ms)
            (number,) = take_numbers(1)
            key = self._new[slot] = self._create(connection, number, now_ms, rule)
        key.messages_left -= count
        return key

    def _discard_expired(self, now_ms: int) -> None:
        """Make room in the cache for the data keys of other queues."""
        self._current = {slot: key for slot, key in self._current.items() if now_ms < key.until_ms}

    def _create(
        self, connection: sa.Connection, number: int, now_ms: int, rule: DataKeyRule
    ) -> DataKey:
        master = self._keyring.named(rule.named_key) if self._keyring else None
        if master is None:
            raise MasterKeyMissing(rule.named_key or "")
        value = os.urandom(aead.KEY_BYTES)
        until_ms = now_ms + rule.reuse_ms
        wrapped = master.wrap(value, purpose(number))
        row = (number, *master.id, wrapped, rule.named_key, now_ms, until_ms)
        _INSERT.insert(connection, [row])
        return DataKey(number, value, rule, until_ms)

    def for_decryption(
        self, connection: sa.Connection, ids: Collection[int]
    ) -> Mapping[int, DataKey | Exception]:
        """Return the data keys with these ids; those that are not known come from the database.

        In place of a data key that cannot be used, there is the reason: `MasterKeyMissing`, or
        `DatabaseDamaged`.
        """
        found: dict[int, DataKey | Exception] = {
            data_key_id: self.known[data_key_id] for data_key_id in ids if data_key_id in self.known
        }
        missing = sorted(set(ids) - found.keys())
        for row in _FIND.rows(connection, {"ids": missing}):
            try:
                key = unwrap(self._keyring, row)
            except (MasterKeyMissing, DatabaseDamaged) as error:
                found[row.id] = error
                continue
            if len(self.known) > _CACHED_KEYS:
                self.known.clear()
            found[key.id] = self.known[key.id] = key
        for data_key_id in missing:
            if data_key_id not in found:
                found[data_key_id] = DatabaseDamaged(f"data key {data_key_id} does not exist")
        return found


# `Any`: a row of `data_keys` with at least id, master_key, fingerprint and wrapped.
def unwrap(keyring: Keyring | None, row: Any) -> DataKey:  # noqa: ANN401
    """Return the data key of a row, for decryption only.

    Raises:
        MasterKeyMissing: the keyring does not have the master key that wraps it.
        DatabaseDamaged: the row was changed.
    """
    key_id = KeyId(row.master_key, row.fingerprint)
    master = keyring.find(key_id) if keyring is not None else None
    if master is None:
        raise MasterKeyMissing(key_id.name, str(key_id))
    try:
        return DataKey(row.id, master.unwrap(row.wrapped, purpose(row.id)))
    except (aead.CannotDecrypt, ValueError, TypeError) as error:
        raise DatabaseDamaged(f"data key {row.id} was changed") from error
