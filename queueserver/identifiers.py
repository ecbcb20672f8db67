"""Random identifiers: of requests, messages and tasks, as UUIDs of version 4.

Randomness is fetched from the system in blocks: one system call for each identifier would cost
more than all else that is done for a small message.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

_BLOCK = 256

# Version 4 and the variant have fixed bits; these are those of a whole block.
_OTHERS = int.from_bytes((2**128 - 1 - (0xF << 76 | 0x3 << 62)).to_bytes(16) * _BLOCK)
_FIXED = int.from_bytes((0x4 << 76 | 0x2 << 62).to_bytes(16) * _BLOCK)


def _identifiers() -> Iterator[bytes]:
    length = 16 * _BLOCK
    while True:
        block = (int.from_bytes(os.urandom(length)) & _OTHERS | _FIXED).to_bytes(length)
        for first in range(0, length, 16):
            yield block[first : first + 16]


_stream = _identifiers()


def new_identifier() -> bytes:
    """Draw the 16 bytes of an identifier that nobody else has."""
    return next(_stream)


def as_text(identifier: bytes) -> str:
    """Write 16 bytes as a UUID is written."""
    digits = identifier.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
