"""Random identifiers: of requests, messages and tasks, as UUIDs of version 4.

Randomness is fetched from the system in blocks: one system call for each identifier would cost
more than all else that is done for a small message.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

_BLOCK = 256


def _identifiers() -> Iterator[bytes]:
    while True:
        block = os.urandom(16 * _BLOCK)
        for first in range(0, len(block), 16):
            number = int.from_bytes(block[first : first + 16])
            # Version 4 and the variant have fixed bits.
            number = number & ~(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62
            yield number.to_bytes(16)


_stream = _identifiers()


def new_identifier() -> bytes:
    """Draw the 16 bytes of an identifier that nobody else has."""
    return next(_stream)


def as_text(identifier: bytes) -> str:
    """Write 16 bytes as a UUID is written."""
    digits = identifier.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
