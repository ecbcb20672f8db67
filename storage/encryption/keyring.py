"""The keyring: the master keys that an operator configures, which wrap all other keys.

Master keys are never stored in the database. It has the name and the fingerprint of the master key
beside everything that the key wraps. So a missing or a wrong key is found without trying it.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import NamedTuple

from storage.encryption import aead


class KeyId(NamedTuple):
    """A master key as the database records it.

    Two keys may have one name, the newer and the older: the fingerprint, 16 hexadecimal digits of a
    digest of the key, distinguishes them.
    """

    name: str
    fingerprint: str

    def __str__(self) -> str:
        """Return the form in which log lines and commands show the key."""
        return f"{self.name!r} (fingerprint {self.fingerprint})"


class MasterKey:
    """A key of 32 bytes with a name. It shows itself without its value.

    Raises:
        ValueError: the key does not have 32 bytes.
        EncryptionUnavailable: the package `cryptography` is not installed.
    """

    __slots__ = ("_cipher", "id")

    def __init__(self, name: str, key: bytes) -> None:
        if len(key) != aead.KEY_BYTES:
            raise ValueError(f"the key has {len(key)} bytes, {aead.KEY_BYTES} are needed")
        digest = hmac.digest(key, b"queueserver/fingerprint/1", "sha256")
        self.id = KeyId(name, digest[:8].hex())
        self._cipher = aead.create_cipher(key)

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """Return a key, encrypted. `purpose` says for what; unwrapping needs the same."""
        return aead.encrypt(self._cipher, key, b"queueserver/wrapped-key/1 " + purpose)

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """Return the key that `wrap` has encrypted.

        Raises:
            CannotDecrypt: the bytes are damaged, or were wrapped for another purpose.
        """
        return aead.decrypt(self._cipher, wrapped, b"queueserver/wrapped-key/1 " + purpose)

    def __repr__(self) -> str:
        return f"MasterKey({self.id.name!r}, ***)"

    def __reduce__(self) -> str:
        raise TypeError("a master key cannot be serialized")


class Keyring:
    """The configured master keys, in their order.

    The first key wraps new data keys, all keys unwrap. A queue may name a key (AWS: KmsMasterKeyId)
    to wrap its data keys instead. Of keys with the same name, the first wraps.
    """

    def __init__(self, keys: Sequence[MasterKey]) -> None:
        self._keys = {key.id: key for key in keys}
        self.first = keys[0]
        self._named: dict[str, MasterKey] = {}
        for key in keys:
            self._named.setdefault(key.id.name, key)

    @property
    def ids(self) -> Sequence[KeyId]:
        """The keys, in their order."""
        return list(self._keys)

    def named(self, name: str | None) -> MasterKey | None:
        """Return the key that wraps for a queue which names it, or the first key for None."""
        return self.first if name is None else self._named.get(name)

    def find(self, key_id: KeyId) -> MasterKey | None:
        """Return the key with this name and fingerprint, or None."""
        return self._keys.get(key_id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keyring) and self.ids == other.ids

    __hash__ = None  # type: ignore[assignment]
