"""Signing keys: derived from the secret of an access key for one date, region and service."""

from __future__ import annotations

import hmac
from typing import Generic, Protocol, TypeVar

from queueserver.signatures.scope import TERMINATOR, CredentialScope

_CACHED_KEYS = 1_000
"""The cache's limit in entries; at the limit, it is emptied. An entry takes at most 500 bytes."""


class SecretKey(Protocol):
    """An access key."""

    @property
    def access_key_id(self) -> str:
        """The public ID of the key."""

    @property
    def secret(self) -> bytes:
        """The secret, which only the owner of the key and the server know."""

    def is_expired(self, now: float) -> bool:
        """Return whether the key is invalid at a time in seconds since the epoch."""


Key = TypeVar("Key", bound=SecretKey)
FoundKey = TypeVar("FoundKey", bound=SecretKey, covariant=True)


class Keys(Protocol[FoundKey]):
    """The access keys that the server knows."""

    def find(self, access_key_id: str) -> FoundKey | None:
        """Return the key of this ID, or None."""


class KeyRing(Generic[Key]):
    """Access keys, and the signing keys that were derived from them.

    A reload of the configuration replaces the whole ring. A thread that still verifies by the old
    ring can then add no signing key of an old secret to the new one.
    """

    def __init__(self, keys: Keys[Key], service: bytes) -> None:
        self.keys = keys
        self._service = service
        self._cache: dict[tuple[str, bytes, bytes], bytes] = {}

    def signing_key(self, key: SecretKey, scope: CredentialScope) -> bytes:
        """Return the signing key of an access key for a scope."""
        return self._cache.get(_entry(key, scope)) or self.derive(key.secret, scope)

    def store(self, key: SecretKey, scope: CredentialScope, signing_key: bytes) -> None:
        """Store a signing key in the cache.

        Call it only after a valid signature: other clients could fill the cache.
        """
        entry = _entry(key, scope)
        if entry not in self._cache:
            if len(self._cache) >= _CACHED_KEYS:
                self._cache.clear()
            self._cache[entry] = signing_key

    def derive(self, secret: bytes, scope: CredentialScope) -> bytes:
        """Compute the signing key of a secret for a scope."""
        key = b"AWS4" + secret
        for part in (scope.date, scope.region, self._service, TERMINATOR):
            key = hmac.digest(key, part, "sha256")
        return key


def _entry(key: SecretKey, scope: CredentialScope) -> tuple[str, bytes, bytes]:
    return key.access_key_id, scope.date, scope.region
