"""The check of all contents in a SQLite database, in clear or encrypted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from storage.encryption import data_keys
from storage.encryption.data_keys import DataKey
from storage.encryption.keyring import Keyring
from storage.errors import DatabaseDamaged, MasterKeyMissing
from storage.messages.rows import message_id_text

_CONTENTS = (
    "SELECT messages.queue_id, messages.id, bodies.id, bodies.message_id, data_key, body, envelope "
    "FROM messages LEFT JOIN bodies ON bodies.id = messages.body_id"
)
_NAMES = (
    "SELECT queues.name, coalesce(messages.message_id, bodies.message_id) FROM messages "
    "LEFT JOIN bodies ON bodies.id = messages.body_id "
    "LEFT JOIN queues ON queues.id = messages.queue_id "
    "WHERE messages.queue_id = ? AND messages.id = ?"
)
_DATA_KEY = "SELECT id, master_key, fingerprint, wrapped FROM data_keys WHERE id = ?"

_CACHED_KEYS = 1_000
"""Data keys in memory, of about 1 KB each. Those of one queue are needed one after another."""


class _Row(NamedTuple):
    """A row of `data_keys`."""

    id: int
    master_key: str
    fingerprint: str
    wrapped: bytes


class ContentCheck:
    """Reads all contents through a connection that returns text as bytes.

    `is_envelope` returns whether the bytes stored beside a body can be decoded.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        is_envelope: Callable[[bytes], bool],
        keyring: Keyring | None,
    ) -> None:
        self._connection = connection
        self._is_envelope = is_envelope
        self._keyring = keyring
        self._data_key = lru_cache(_CACHED_KEYS)(self._find)

    def findings(self) -> Iterator[str]:
        """Yield a line for each message that cannot be delivered.

        There is none for a message whose data key cannot be unwrapped: the check of the keys
        reports that once for all its messages.
        """
        for queue_id, number, *content in self._connection.execute(_CONTENTS):
            problem = self._problem(*content)
            if problem is not None:
                place = f"message {number} of queue {queue_id}"
                yield f"{problem.format(place)}{self._names(queue_id, number)}"

    def _names(self, queue_id: int, number: int) -> str:
        """Return the end of a finding: queue and message as the server's log names them."""
        found = self._connection.execute(_NAMES, [queue_id, number]).fetchone()
        if found is None or None in found:
            return ""
        name, message_id = found
        return f": queue={_text(name)} message_id={message_id_text(message_id)}"

    def _problem(
        self,
        body_id: int | None,
        message_id: bytes,
        data_key_id: int | None,
        body: bytes,
        envelope: bytes,
    ) -> str | None:
        """Return the problem of a content, with `{}` in the place of its message, or None."""
        if body_id is None:
            return "{} has no content"
        if data_key_id is not None:
            try:
                data_key = self._data_key(data_key_id)
            except DatabaseDamaged:
                return f"the data key {data_key_id} of {{}} does not exist"
            if data_key is None:
                return None
            try:
                text, envelope = data_key.decrypt(body_id, message_id, envelope)
            except DatabaseDamaged:
                return "the content of {} cannot be decrypted"
            body = text.encode()
        if not _is_text(body):
            return "the body of {} is no text"
        if not self._is_envelope(envelope):
            return "the envelope of {} cannot be read"
        return None

    def _find(self, data_key_id: int) -> DataKey | None:
        """Return a data key, or None if it cannot be unwrapped.

        Raises:
            DatabaseDamaged: the database does not have it.
        """
        found = self._connection.execute(_DATA_KEY, [data_key_id]).fetchone()
        if found is None:
            raise DatabaseDamaged
        number, name, fingerprint, wrapped = found
        row = _Row(number, _text(name), _text(fingerprint), wrapped)
        try:
            return data_keys.unwrap(self._keyring, row)
        except (DatabaseDamaged, MasterKeyMissing):
            return None


def _text(stored: bytes) -> str:
    return stored.decode(errors="replace")


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
