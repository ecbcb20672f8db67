"""Limits of a request's head: its request line and its headers."""

from __future__ import annotations

from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong

from protocol.errors import RequestHeaderSectionTooLarge, RequestUriTooLong, SQSError

MAXIMUM_LINE_BYTES = 256 * 1024
"""The longest URI in a request line. A Query request may have its message there."""

MAXIMUM_FIELD_BYTES = 64 * 1024
"""The largest header, and the most bytes of all headers."""

_METHOD_AND_VERSION_BYTES = 64
"""The longest method, version and spaces in a request line."""

SMALL_HEAD_BYTES = 16 * 1024
"""The memory of a request with a shorter head is not counted while it is answered."""

_TOO_MANY_HEADERS = "Too many headers received"
"""The text of the error that aiohttp's parser raises for more than 128 headers."""


def memory_of(head_bytes: int, *, is_ascii: bool) -> int:
    """Return how many bytes of memory a request takes for its head of `head_bytes`.

    The parser makes two copies. A string of which one character is not ASCII takes up to four
    bytes for each character.
    """
    return head_bytes * (2 if is_ascii else 8)


def has_long_headers(message: RawRequestMessage, head_bytes: int) -> bool:
    """Return whether the headers of a request, whose head has `head_bytes`, are too long."""
    return head_bytes > MAXIMUM_FIELD_BYTES and (
        sum(len(name) + len(value) + len(": \r\n") for name, value in message.raw_headers)
        > MAXIMUM_FIELD_BYTES
    )


def too_long_head(head_bytes: int, line_end: int) -> SQSError | None:
    """Return the error for an incomplete head that is too long, or None.

    `line_end` is where its request line ends, or negative.
    """
    longest_line = MAXIMUM_LINE_BYTES + _METHOD_AND_VERSION_BYTES
    if line_end > longest_line or (line_end < 0 and head_bytes > longest_line):
        return RequestUriTooLong()
    if line_end >= 0 and head_bytes - line_end > MAXIMUM_FIELD_BYTES + len(b"\r\n\r\n"):
        return RequestHeaderSectionTooLarge()
    return None


def too_long(error: BaseException | None) -> SQSError | None:
    """Return the error for a head that is too long; None if `error` is another one."""
    if isinstance(error, LineTooLong):
        is_line = error.args[1] == MAXIMUM_LINE_BYTES
        return RequestUriTooLong() if is_line else RequestHeaderSectionTooLarge()
    if getattr(error, "message", "") == _TOO_MANY_HEADERS:
        return RequestHeaderSectionTooLarge()
    return None
