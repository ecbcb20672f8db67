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
    """Signs tokens for one purpose, and verifies them.

    Args:
        secret: the key of the digest, up to 64 bytes; it is stored in the database.
        purpose: what the tokens may be used for.
    """

    def __init__(self, secret: bytes, purpose: str) -> None:
        named = purpose.encode(errors="surrogatepass")
        digest = hashlib.blake2b(key=secret, digest_size=_DIGEST_BYTES)
        # The length of the purpose separates it from the content.
        digest.update(len(named).to_bytes(8) + named)
        # Copying this state is faster than processing key and purpose for each token.
        self._copy_digest = digest.copy

    def sign(self, content: bytes) -> str:
        """Return the token for this content."""
        digest = self._copy_digest()
        digest.update(content)
        return b2a_base64(content + digest.digest(), newline=False).decode()

    def verify(self, token: str) -> bytes | None:
        """Return the content of a token, or None if it was not signed for this purpose."""
        if len(token) > _MAXIMUM_CHARACTERS:
            return None
        try:
            content = a2b_base64(token)[:-_DIGEST_BYTES]
        except ValueError:
            return None
        # Several texts decode to the same bytes; only one of them was issued.
        return content if hmac.compare_digest(token, self.sign(content)) else None
