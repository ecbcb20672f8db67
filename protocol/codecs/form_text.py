"""Decode the percent-escapes and plus signs of a form's names and values.

Trap: `urllib.parse.unquote_to_bytes` takes seconds for a megabyte of escapes. Quoted-printable
decoding, which is written in C, does the same after `%` is replaced by `=`. A `%` that begins no
escape must first be escaped itself.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from protocol.codecs import unicode_text
from protocol.errors import MalformedInput

_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")

_LONGEST_REPAIRED_BYTES = 64 * 1024
"""Bytes of a text in which a `%` that begins no escape stands for itself: it is slow to repair."""

_SLICE_BYTES = 256 * 1024
"""Bytes that one pass decodes: a few milliseconds."""

_SPACES = bytes.maketrans(b"+", b" ")


def decode(text: bytes) -> str:
    """Decode a name or a value; the rules decide whether a lone surrogate is allowed.

    Raises:
        MalformedInput: a long text has a `%` that begins no escape.
        UnicodeDecodeError: the text is not UTF-8.
    """
    if b"+" in text:
        text = text.translate(_SPACES)
    if b"%" in text:
        if len(text) <= _SLICE_BYTES:
            text = _unescaped(text, is_repaired=len(text) <= _LONGEST_REPAIRED_BYTES)
        else:
            text = b"".join([_unescaped(one, is_repaired=False) for one in _slices(text)])
    return unicode_text.decode(text)


def _unescaped(text: bytes, *, is_repaired: bool) -> bytes:
    """Decode percent-escapes; a `%` that begins none stands for itself, or is rejected."""
    if _NO_ESCAPE.search(text):
        if not is_repaired:
            raise MalformedInput("The request has an escape that is none.")  # [guess]
        text = _NO_ESCAPE.sub(b"%25", text)
    return binascii.a2b_qp(text.replace(b"=", b"=3D").replace(b"%", b"="))


def _slices(text: bytes) -> Iterator[bytes]:
    """Yield a text in slices that do not cut an escape."""
    start = 0
    while start < len(text):
        end = start + _SLICE_BYTES
        cut = text.rfind(b"%", end - 2, end)
        end = end if cut < 0 else cut
        yield text[start:end]
        start = end
