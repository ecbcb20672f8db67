"""The cipher: AES-256-GCM of the package `cryptography`.

An encrypted record is a byte with the version of this format, a nonce of 12 bytes, the ciphertext,
and a tag of 16 bytes. The associated data is not stored, a reader must know it: a record that was
copied to another place cannot be decrypted there.
"""

from __future__ import annotations

import os
from typing import Protocol

KEY_BYTES = 32
"""Length of every key."""

_VERSION = 1
_FIRST_BYTE = bytes([_VERSION])
_NONCE_BYTES = 12
_TAG_BYTES = 16
_NONCES = 256
"""Nonces that are read from the operating system at a time: each read is a system call."""

_nonces: list[bytes] = []


class Cipher(Protocol):
    """AES-256-GCM with one key."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """Return the ciphertext and its tag."""
        ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """Return the plaintext of a ciphertext with its tag."""
        ...


class EncryptionUnavailable(Exception):
    """The package `cryptography` is not installed."""


class CannotDecrypt(Exception):
    """A record is damaged, or was encrypted with another key or other associated data."""


def create_cipher(key: bytes) -> Cipher:
    """Return the cipher of a key of 32 bytes. Creating it takes longer than using it.

    Raises:
        EncryptionUnavailable: the package `cryptography` is not installed.
    """
    try:
        # Only servers with keys need the package, and its import takes 30 ms.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise EncryptionUnavailable from error
    cipher: Cipher = AESGCM(key)
    return cipher


def encrypt(cipher: Cipher, content: bytes, associated_data: bytes) -> bytes:
    """Return the encrypted record of a content.

    Nonces are random, because a counter would repeat after a backup is restored. At most 2^32
    records may be encrypted with one key (NIST SP 800-38D).
    """
    if not _nonces:
        _fetch_nonces()
    nonce = _nonces.pop()
    return _FIRST_BYTE + nonce + cipher.encrypt(nonce, content, associated_data)


def decrypt(cipher: Cipher, record: bytes, associated_data: bytes) -> bytes:
    """Return the content of an encrypted record.

    Raises:
        CannotDecrypt: the record is damaged, or the key or the associated data is another one.
    """
    try:
        if record[0] == _VERSION:
            return cipher.decrypt(record[1:13], record[13:], associated_data)
    except Exception as error:  # InvalidTag, or the error of a record that is too short
        raise CannotDecrypt from error
    raise CannotDecrypt


def _fetch_nonces() -> None:
    random = os.urandom(_NONCES * _NONCE_BYTES)
    starts = range(0, len(random), _NONCE_BYTES)
    _nonces.extend(random[start : start + _NONCE_BYTES] for start in starts)
