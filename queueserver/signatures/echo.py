"""Quotation of a request in error messages and in the operator's log.

A quotation is short and printable, and contains no signature: messages end up in many logs.
"""

from __future__ import annotations

import re

LONGEST_ECHO = 200
"""Characters of a quotation."""

_LONGEST_INPUT = 2_000
"""Bytes that are searched for a signature."""

_SIGNATURE = re.compile(rb"(?<=Signature=)[^,&]*|[0-9A-Fa-f]{32,}")
_PRINTABLE = bytes(byte if 0x20 <= byte < 0x7F else ord("?") for byte in range(256))
_PRINTABLE_LINES = bytes(
    byte if byte == ord("\n") else printable for byte, printable in enumerate(_PRINTABLE)
)


def echo(value: bytes) -> str:
    """Return a quotation of a value that a client sent."""
    text = _SIGNATURE.sub(b"...", value[:_LONGEST_INPUT]).translate(_PRINTABLE).decode("ascii")
    return text if len(text) <= LONGEST_ECHO else f"{text[:LONGEST_ECHO]}..."


def printable_lines(text: bytes) -> str:
    """Return a text with a question mark for each byte that is neither printable nor a newline."""
    return text.translate(_PRINTABLE_LINES).decode("ascii")
