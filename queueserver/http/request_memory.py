"""The memory of requests that are being answered: counted, with a limit.

A request is in memory from its arrival to its answer: while it waits for the database, or for a
message. The bytes on the wire do not say how much memory that is. One emoji makes every character
of a text take four bytes, and a value of two bytes, such as `1,`, becomes an object of fifty.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from protocol.errors import RequestThrottled
from protocol.wire import WireRequest

_SMALL_BYTES = 2 * 1024
"""Requests with a body of up to this length are not counted: a connection has one at most, and the
number of connections is limited."""

_SHORT_BYTES = 64 * 1024
"""Contents of up to this length are searched for separators before anything is measured."""

_MOST_TIMES_AS_LARGE = 6
"""A request whose memory cannot exceed this multiple of its content is not measured."""

_MEASURED_VALUES = 1_000
"""Most values of a request whose memory is measured: that takes 0.3 ms."""

_VALUE_BYTES = 384
"""The most memory of a value besides its text: a structure as a member of a map.

Each value but the first of a list or map comes after a separator: `,` in JSON, `&` in a form."""


class RequestMemory:
    """The memory of all requests, and its limit in bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._counted_bytes = 0

    def reserve(self, request: WireRequest) -> Reservation | None:
        """Reserve the memory that decoding a request takes; return None for a small request.

        Raises:
            RequestThrottled: other requests hold the memory.
        """
        if len(request.body) <= _SMALL_BYTES and len(request.query) <= _SMALL_BYTES:
            return None
        return Reservation(self, request)

    def resize(self, before: int, after: int) -> None:
        """Count `after` bytes for a request instead of `before`.

        If there is no other request, one may exceed the limit.

        Raises:
            RequestThrottled: other requests hold the memory.
        """
        others = self._counted_bytes - before
        if after > before and others and others + after > self._limit_bytes:
            raise RequestThrottled
        self._counted_bytes = others + after


class Reservation:
    """The memory that is counted for one request, from before it is decoded until it is answered.

    Raises:
        RequestThrottled: other requests hold the memory.
    """

    __slots__ = ("_bytes", "_content", "_memory", "_separator", "_text_bytes")

    def __init__(self, memory: RequestMemory, request: WireRequest) -> None:
        self._memory = memory
        self._content = request.body
        if request.query:
            self._content = request.query.encode(errors="surrogateescape") + request.body
        is_form = not request.target or "form" in request.content_type.lower()
        self._separator = b"&" if is_form else b","
        self._text_bytes = _text_bytes(self._content)
        self._bytes = 0
        self._resize(len(self._content) + self._text_bytes)

    def end_decoding(self, parameters: msgspec.Struct, *, kept_bytes: int = 0) -> None:
        """Count the memory of the decoded request, and of its content what the caller keeps.

        Counting separators costs less than measuring for short contents, and more for long ones.

        Raises:
            RequestThrottled: other requests hold the memory.
        """
        content, self._content = self._content, b""
        if len(content) <= _SHORT_BYTES:
            most = self._most_bytes(content)
            if most <= _MOST_TIMES_AS_LARGE * len(content):
                self._resize(most + kept_bytes)
                return
        measured = _measured_bytes(parameters)
        taken = self._most_bytes(content) if measured is None else measured
        self._resize(taken + kept_bytes)

    def _most_bytes(self, content: bytes) -> int:
        return self._text_bytes + _VALUE_BYTES * content.count(self._separator)

    def _resize(self, count: int) -> None:
        self._memory.resize(self._bytes, count)
        self._bytes = count

    def end(self) -> None:
        """Count nothing any more: the request has been answered."""
        self._resize(0)


def _measured_bytes(parameters: msgspec.Struct) -> int | None:
    """Return the memory of a decoded request; None if it has too many values to measure."""
    total = 0
    values: list[Any] = [parameters]
    for _ in range(_MEASURED_VALUES):
        if not values:
            return total
        value = values.pop()
        total += sys.getsizeof(value)
        if isinstance(value, msgspec.Struct):
            values += [one for one in msgspec.structs.astuple(value) if one is not None]
        elif isinstance(value, dict):
            values += value
            values += value.values()
        elif isinstance(value, list):
            values += value
    return None


def _text_bytes(content: bytes) -> int:
    """Return the most bytes that the texts in a request's content take when they are decoded."""
    # Escapes of any character begin with `\u` in JSON, and with `%` in a form. Searching for one
    # byte is a hundred times as fast as searching for two.
    is_ascii = content.isascii() and b"%" not in content
    is_ascii = is_ascii and not (b"\\" in content and b"\\u" in content)
    return len(content) if is_ascii else 4 * len(content)
