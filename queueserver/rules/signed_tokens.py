"""Signed tokens: opaque texts that the server issues and recognises again.

A token is base64 of its content followed by a keyed digest (BLAKE2b, 16 bytes) of the purpose and
the content. The signer rejects a token that a client made up, altered, or uses for another
purpose. Servers that share a database share the secret, so each accepts the tokens of the others.

Standard base64 has no `-`: the S3 extended clients split receipt handles at markers that have it.
"""

from __future__ import annotations

import hashlib
import hmac
from binascii import a2b_base64, b2a_base64

_DIGEST_BYTES = 16

_MAXIMUM_CHARACTERS = 1_024
"""AWS: a receipt handle has at most 1,024 characters."""


class TokenSigner:
    """Signs tokens and verifies them.

    Args:
        secret: the key of the digest, up to 64 bytes; it is stored in the database.
    """

    def __init__(self, secret: bytes) -> None:
        # Copying the keyed state is faster than processing the key for each token.
        self._keyed = hashlib.blake2b(key=secret, digest_size=_DIGEST_BYTES)

    def sign(self, purpose: str, content: bytes) -> str:
        """Return the token for this content; `purpose` says what the token may be used for."""
        return b2a_base64(content + self._digest(purpose, content), newline=False).decode()

    def verify(self, purpose: str, token: str) -> bytes | None:
        """Return the content of a token, or None if it was not signed for this purpose."""
        if len(token) > _MAXIMUM_CHARACTERS:
            return None
        try:
            signed = a2b_base64(token, strict_mode=True)
        except ValueError:
            return None
        # Several texts decode to the same bytes; only one of them was issued.
        if b2a_base64(signed, newline=False) != token.encode():
            return None
        content, digest = signed[:-_DIGEST_BYTES], signed[-_DIGEST_BYTES:]
        return content if hmac.compare_digest(digest, self._digest(purpose, content)) else None

    def _digest(self, purpose: str, content: bytes) -> bytes:
        """Return the digest; the length of the purpose separates it from the content."""
        named = purpose.encode(errors="surrogatepass")
        digest = self._keyed.copy()
        digest.update(len(named).to_bytes(8) + named + content)
        return digest.digest()
