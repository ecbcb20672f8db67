"""Random identifiers of requests, messages and move tasks: UUIDs of version 4.

The system's random bytes are read in blocks. One system call for each identifier would cost more
than everything else that is done for a small message.
"""

from __future__ import annotations

import os
import struct
from binascii import hexlify
from collections.abc import Callable, Iterator

_BLOCK = 256
"""Identifiers made from one read of random bytes."""

_DIGITS = struct.Struct("8s4s4s4s12s")
"""The groups of digits in the text of an identifier."""

# The bits of version and variant are fixed. These masks are for a whole block.
_RANDOM_BITS = int.from_bytes((2**128 - 1 - (0xF << 76 | 0x3 << 62)).to_bytes(16) * _BLOCK)
_FIXED_BITS = int.from_bytes((0x4 << 76 | 0x2 << 62).to_bytes(16) * _BLOCK)


def _identifiers() -> Iterator[bytes]:
    length = 16 * _BLOCK
    while True:
        random = int.from_bytes(os.urandom(length))
        block = (random & _RANDOM_BITS | _FIXED_BITS).to_bytes(length)
        for first in range(0, length, 16):
            yield block[first : first + 16]


new_identifier: Callable[[], bytes] = _identifiers().__next__
"""Return the 16 bytes of a new identifier."""


def as_text(identifier: bytes) -> str:
    """Return 16 bytes in the usual form of a UUID, such as 0b8e2d7c-9d53-4c1f-a2b1-5e6f7a8b9c0d."""
    return b"-".join(_DIGITS.unpack(hexlify(identifier))).decode()
