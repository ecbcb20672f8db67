"""The bytes of a response: status line, headers and body."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus

import msgspec
from aiohttp import web
from aiohttp.http import HttpVersion11

from protocol.wire import WireResponse
from queueserver.http.clients.connections import connection_of

# `nosniff`: a browser must not render a response as a page, whatever message is in it.
_HEADERS = {"Server": "queueserver", "X-Content-Type-Options": "nosniff"}
_HEADER_LINES = "".join(f"{name}: {value}\r\n" for name, value in _HEADERS.items())

_RETRY_SECONDS = 1
"""Seconds after which a client may repeat a request that is answered 503."""

_REASONS = {status.value: status.phrase for status in HTTPStatus}


def _status_and_headers(response: WireResponse, request_id: str, date: str) -> str:
    """Return the part of a head that does not depend on the connection."""
    more = f"x-amzn-query-error: {response.query_error}\r\n" if response.query_error else ""
    if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
        more += f"Retry-After: {_RETRY_SECONDS}\r\n"
    return (
        f"{response.status} {_REASONS[response.status]}\r\n"
        f"{_HEADER_LINES}x-amzn-RequestId: {request_id}\r\n{more}"
        f"Content-Type: {response.content_type}\r\nContent-Length: {response.length}\r\n"
        f"Date: {date}\r\n"
    )


def head_of(
    response: WireResponse, request_id: str, date: str, added: str, *, is_last: bool
) -> bytes:
    """Return the head of a response to a request of HTTP/1.1; `added` are more header lines.

    If it is the last one, the server closes the connection.
    """
    connection = "Connection: close\r\n" if is_last else ""
    fixed = _status_and_headers(response, request_id, date)
    return f"HTTP/1.1 {fixed}{added}{connection}\r\n".encode()


class SqsResponse(web.StreamResponse):
    """A complete response of SQS, sent in one piece, or in the pieces of a long body.

    aiohttp's own response builds each header from a mapping. This one has its headers as text from
    the start, which takes a fraction of the time; those in `headers` are added to them.
    """

    def __init__(self, response: WireResponse, request_id: str, date: str) -> None:
        super().__init__(status=response.status)
        self._content = response.body
        self._rest = response.rest
        self._keeps_alive: bool | None = None
        self._is_sent = False
        self._head = _status_and_headers(response, request_id, date)

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays open after this response; None until it is known."""
        return self._keeps_alive

    def force_close(self) -> None:
        """Close the connection after this response."""
        self._keeps_alive = False

    async def prepare(self, request: web.BaseRequest) -> None:
        """Complete the status line and headers, which depend on the request; send nothing yet."""
        self._connection = connection_of(request)
        version = request.version
        if self._keeps_alive is None:
            self._keeps_alive = request.keep_alive
        connection = ""
        if not self._keeps_alive:
            connection = "Connection: close\r\n"
        elif version < HttpVersion11:
            connection = "Connection: keep-alive\r\n"
        added = ""
        if self.headers:
            added = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        self._head = f"HTTP/{version[0]}.{version[1]} {self._head}{added}{connection}\r\n"
        self._is_bodiless = request.method == "HEAD"

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the response; wait while the client is slow to read it.

        Raises:
            ConnectionError: the client has disconnected, or does not read.
        """
        if not self._is_sent:
            self._is_sent = True
            sent = self._head.encode()
            content, rest = self._content, self._rest
            # aiohttp keeps the response until the connection's next request.
            self._content, self._rest = b"", ()
            if self._is_bodiless:
                await self._connection.send(sent)
            else:
                await self._connection.send(sent + content, rest)


class DateHeader:
    """The value of the header Date, formatted once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def at(self, now_ms: int) -> str:
        """Return the value for a time in milliseconds since the epoch."""
        second = now_ms // 1000
        if second != self._second:
            self._second = second
            self._text = formatdate(second, usegmt=True)
        return self._text


def text_response(status: int, text: str) -> web.Response:
    """Return a response with a plain text, or without a body if the text is empty."""
    return web.Response(status=status, text=text or None, headers=_HEADERS)


def status_response(status: int, text: str) -> web.Response:
    """Return a response of the server's own endpoints: `{"status": text}`."""
    body = msgspec.json.encode({"status": text})
    return web.Response(status=status, body=body, content_type="application/json", headers=_HEADERS)
