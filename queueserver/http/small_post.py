"""Parse a small POST that arrived whole: nearly every call of SQS is one.

llhttp parses the head, as it does for aiohttp, but without an object for each header, a stream for
the body and a task for the request. Everything that is rare is left to aiohttp, which gets the same
bytes: this module rejects no request, and it accepts none that aiohttp would reject.
"""

from __future__ import annotations

import re

import httptools
import msgspec

from queueserver.http.clients.endpoint import NotBegun

_MAXIMUM_BYTES = 32 * 1024
"""The longest request, head and body. It is kept until it is answered, beside what it means."""

_MAXIMUM_HEAD_BYTES = 16 * 1024
_MAXIMUM_HEADERS = 128
"""aiohttp rejects a request with more headers."""

_MOST_LENGTH_DIGITS = 10
"""Digits of a Content-Length, zeros in front included; Python converts at most 4,300."""

_METHOD = b"POST "
_VERSION = b" HTTP/1.1\r\n"
_EMPTY_LINE = b"\r\n\r\n"

_PATH = re.compile(rb"/(?:[0-9]{12}/[A-Za-z0-9_.-]{1,80})?")
"""The root, or the path of a queue."""

_RARE_HEADERS = frozenset(
    {
        b"content-encoding",
        b"expect",
        b"origin",
        b"sec-fetch-site",
        b"sec-websocket-key1",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers that change how a request is read, or whether it is answered."""


# `gc=False`: it is part of no reference cycle.
class SmallPost(msgspec.Struct, frozen=True, gc=False):
    """A POST. The names of the headers are in lower case, and each has one value."""

    path: str
    headers: dict[bytes, bytes]
    body: bytes


class SmallPostParser:
    """Parses whole requests, each on its own, of any connection."""

    def __init__(self) -> None:
        self._urls: list[bytes] = []
        self._headers: dict[bytes, bytes] = {}
        self._bodies: list[bytes] = []
        # llhttp calls these methods of built-in types directly: no frame of Python for each header.
        self.on_url = self._urls.append
        self.on_header = self._headers.setdefault
        self.on_body = self._bodies.append
        self._parser = httptools.HttpRequestParser(self)

    def parse(self, data: bytes) -> SmallPost | NotBegun:
        """Return the request that the data is, if it is exactly one small POST."""
        if len(data) > _MAXIMUM_BYTES or not data.startswith(_METHOD):
            return NotBegun.NEEDS_TASK
        headers = self._parse(data)
        if headers is None or not self._urls:
            return self._reject(NotBegun.NEEDS_TASK)
        url = self._urls[0]
        body = self._bodies[0] if self._bodies else b""
        head_bytes = len(data) - len(body)
        length_text = headers.get(b"content-length", b"0")
        if (
            not data.startswith(_EMPTY_LINE, head_bytes - len(_EMPTY_LINE))
            # One line for each header: two of one name are left to aiohttp.
            or data.count(b"\n", 0, head_bytes) != len(headers) + 2
            or head_bytes > _MAXIMUM_HEAD_BYTES
            or len(headers) > _MAXIMUM_HEADERS
            or not _RARE_HEADERS.isdisjoint(headers)
            or b"host" not in headers
            or headers.get(b"connection", b"keep-alive").lower() != b"keep-alive"
            or len(length_text) > _MOST_LENGTH_DIGITS
            or not data.startswith(_VERSION, len(_METHOD) + len(url))
            or (url != b"/" and _PATH.fullmatch(url) is None)
        ):
            return self._reject(NotBegun.NEEDS_TASK)
        length = int(length_text)
        if len(body) == length:
            return SmallPost(url.decode("ascii"), headers, body)
        fits = head_bytes + length <= _MAXIMUM_BYTES
        return self._reject(NotBegun.IS_INCOMPLETE if fits else NotBegun.NEEDS_TASK)

    def _reject(self, reason: NotBegun) -> NotBegun:
        # The parser may have failed, or expect more of this request.
        self._parser = httptools.HttpRequestParser(self)
        return reason

    def _parse(self, data: bytes) -> dict[bytes, bytes] | None:
        """Return the headers of the request, by their names in lower case; None on an error."""
        self._urls.clear()
        self._headers.clear()
        self._bodies.clear()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        return {name.lower(): value for name, value in self._headers.items()}
