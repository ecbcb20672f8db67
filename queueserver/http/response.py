"""The bytes of a response: status line, headers and body."""

from __future__ import annotations

from collections.abc import Callable
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


class ResponseHeads:
    """The heads of responses: the part that all responses of a second share is made once.

    `now` returns the time of the header Date, in seconds since the epoch: the one by which
    signatures are checked. Clients whose clock is wrong correct it by this header, and sign again.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second = 0
        self._shared: dict[tuple[int, str], str] = {}

    def of(self, response: WireResponse, request_id: str) -> str:
        """Return the part of a head between the version and what depends on the connection."""
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._shared.clear()
        kind = (response.status, response.content_type)
        shared = self._shared.get(kind) or self._add_shared(*kind)
        more = f"x-amzn-query-error: {response.query_error}\r\n" if response.query_error else ""
        return (
            f"{shared}x-amzn-RequestId: {request_id}\r\n{more}Content-Length: {response.length}\r\n"
        )

    def _add_shared(self, status: int, content_type: str) -> str:
        retry = ""
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            retry = f"Retry-After: {_RETRY_SECONDS}\r\n"
        shared = self._shared[status, content_type] = (
            f"{status} {HTTPStatus(status).phrase}\r\n{_HEADER_LINES}"
            f"Date: {formatdate(self._second, usegmt=True)}\r\n{retry}"
            f"Content-Type: {content_type}\r\n"
        )
        return shared


class SqsResponse(web.StreamResponse):
    """A complete response of SQS, sent in one piece, or in the pieces of a long body.

    aiohttp's own response builds each header from a mapping. This one has its headers as text from
    the start (`ResponseHeads.of`), which takes a fraction of the time; those in `headers` are added
    to them.
    """

    def __init__(self, response: WireResponse, head: str) -> None:
        super().__init__(status=response.status)
        self._content = response.body
        self._rest = response.rest
        self._keeps_alive: bool | None = None
        self._is_sent = False
        self._head = head

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


def text_response(status: int, text: str) -> web.Response:
    """Return a response with a plain text, or without a body if the text is empty."""
    return web.Response(status=status, text=text or None, headers=_HEADERS)


def status_response(status: int, text: str) -> web.Response:
    """Return a response of the server's own endpoints: `{"status": text}`."""
    body = msgspec.json.encode({"status": text})
    return web.Response(status=status, body=body, content_type="application/json", headers=_HEADERS)
