"""Opaque texts that the server hands out and takes back: receipt handles and page tokens.

A sealed text is base64 of what it says and a keyed digest over that and its purpose, so that one
that was made up, altered, or taken elsewhere is refused. The alphabet has no `-`: S3's extended
clients split receipt handles at markers made with it.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from binascii import a2b_base64, b2a_base64

from protocol.errors import ReceiptHandleIsInvalid
from storage.messages.commands import Receipt, Received

_DIGEST_BYTES = 16
_MAXIMUM_CHARACTERS = 1_024
_PURPOSES = 10_000
"""How many purposes are remembered, of half a kilobyte each; then all are forgotten."""
_RECEIPT = struct.Struct(">QQIQ")


class Seal:
    """Seals texts with the database's secret, for one purpose each."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._begun: dict[str, hashlib.blake2b] = {}

    def close(self, purpose: str, content: bytes) -> str:
        """Make the opaque text for `content`."""
        return b2a_base64(content + self._digest(purpose, content), newline=False).decode()

    def open(self, purpose: str, text: str) -> bytes | None:
        """Give the content back, or None if the text was not sealed here for this purpose."""
        if len(text) > _MAXIMUM_CHARACTERS:
            return None
        try:
            sealed = a2b_base64(text, strict_mode=True)
        except ValueError:
            return None
        if b2a_base64(sealed, newline=False) != text.encode():
            return None  # the same bytes, but not as they were written
        content, digest = sealed[:-_DIGEST_BYTES], sealed[-_DIGEST_BYTES:]
        return content if hmac.compare_digest(digest, self._digest(purpose, content)) else None

    def _digest(self, purpose: str, content: bytes) -> bytes:
        """Digest the purpose and the content, with a boundary; what a purpose begins is kept."""
        begun = self._begun.get(purpose)
        if begun is None:
            if len(self._begun) >= _PURPOSES:
                self._begun.clear()
            begun = hashlib.blake2b(key=self._secret, digest_size=_DIGEST_BYTES)
            named = purpose.encode(errors="surrogatepass")
            begun.update(len(named).to_bytes(8) + named)
            self._begun[purpose] = begun
        keyed = begun.copy()
        keyed.update(content)
        return keyed.digest()

    def receipt_handle(self, queue_arn: str, received: Received) -> str:
        """Make the handle that one receive of a message is known by."""
        queue_id, number, receive_count = received.receipt
        content = _RECEIPT.pack(queue_id, number, receive_count, received.received_at_ms)
        return self.close(queue_arn, content)

    def receipt(self, queue_arn: str, handle: str) -> tuple[Receipt, int]:
        """Read a handle: the receipt, and when the message was received in epoch milliseconds.

        Raises:
            ReceiptHandleIsInvalid: it is not one of this queue's.
        """
        content = self.open(queue_arn, handle)
        if content is None or len(content) != _RECEIPT.size:
            raise ReceiptHandleIsInvalid(
                f'The input receipt handle "{handle}" is not a valid receipt handle.'
            )
        *receipt, received_at_ms = _RECEIPT.unpack(content)
        return Receipt(*receipt), received_at_ms
