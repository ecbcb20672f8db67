"""Bounds of a JSON request, checked before it is decoded: its levels and its number of marks.

A decoder cannot be interrupted: 8 MiB of empty objects would take it 0.3 s, and how deep it may
nest depends on the version of Python. Text inside strings does not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from protocol.codecs.lengths import has_more
from protocol.errors import MalformedInput

MAXIMUM_NESTING = 500
"""Levels of arrays and objects in a request: our own limit, the same on every Python version."""

MAXIMUM_MARKS = 10_000
"""Commas and opening brackets outside strings, of which each value but the first follows one: our
own limit. The largest batch of SQS has some hundreds."""

_MAXIMUM_QUOTES = 4 * MAXIMUM_MARKS
"""Two for each value, and for its key, if all of them are strings."""

_SLICE_BYTES = 256 * 1024
"""Bytes that one pass examines: about a millisecond."""

_MARKS = b"[]{},"
_OTHER_BYTES = bytes(byte for byte in range(256) if byte not in _MARKS)
_STEPS = bytes.maketrans(b"[]{}", b"\x01\xff\x01\xff")  # +1 and -1 as signed bytes


def check(body: bytes) -> None:
    """Reject a body that nests too deeply or has too many marks.

    A body with few marks costs three short passes.

    Raises:
        MalformedInput: the body exceeds a bound, or closes more arrays and objects than it opens.
    """
    if _is_plain(body):
        return
    level = count = quotes = 0
    for outside, quotes_of_slice in _slices_outside_strings(body):
        quotes += quotes_of_slice
        marks = outside.translate(None, _OTHER_BYTES)
        count += marks.count(b",") + marks.count(b"[") + marks.count(b"{")
        if count > MAXIMUM_MARKS or quotes > _MAXIMUM_QUOTES:
            raise MalformedInput(  # [guess]
                f"A request has at most {MAXIMUM_MARKS} commas and opening brackets."
            )
        steps = memoryview(marks.translate(_STEPS, b",")).cast("b")
        levels = list(accumulate(steps, initial=level))
        level = levels[-1]
        if max(levels) > MAXIMUM_NESTING or level < 0:
            raise MalformedInput


def _is_plain(body: bytes) -> bool:
    """Return whether a body is within the bounds even if all its marks are outside strings."""
    if has_more(body, b"[", MAXIMUM_NESTING // 2) or has_more(body, b"{", MAXIMUM_NESTING // 2):
        return False
    return not has_more(body, b",", MAXIMUM_MARKS - MAXIMUM_NESTING)


def _slices_outside_strings(body: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield, for each slice of a body, its bytes outside strings and its number of quotes."""
    is_inside = False
    start = 0
    while start < len(body):
        piece = body[start : start + _SLICE_BYTES]
        # An escape must not be cut: backslashes at the end are pairs, or one begins an escape.
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece += body[start + len(piece) : start + len(piece) + 1]
        start += len(piece)
        without_escapes = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = without_escapes.split(b'"', _MAXIMUM_QUOTES + 1)
        yield b"".join(parts[is_inside::2]), len(parts) - 1
        is_inside ^= len(parts) % 2 == 0
