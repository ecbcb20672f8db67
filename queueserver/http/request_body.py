"""Read the body of a request whole, with a limit on its bytes and on the time."""

from __future__ import annotations

from aiohttp import web
from aiohttp.http import HttpVersion11

from protocol.errors import (
    RequestEntityTooLarge,
    RequestTimeout,
    ServiceUnavailable,
    SQSError,
)
from queueserver.http.clients.connections import ClientConnection
from queueserver.http.clients.transfers import Transfer

MAXIMUM_REQUEST_BYTES = 8 * 1024 * 1024
"""The longest body. A message of 1 MiB (AWS: 1,048,576 bytes) is longer if escaped."""


async def read_body(request: web.BaseRequest, connection: ClientConnection) -> bytes:
    """Read the whole body of a connection's request, with any Content-Encoding undone.

    Raises:
        RequestEntityTooLarge: the body is longer than `MAXIMUM_REQUEST_BYTES`.
        RequestTimeout: the client was too slow; the connection cannot be used again.
        RequestThrottled: the server needed the memory for the bodies of other clients.
        ServiceUnavailable: the server stops, or has too many connections.
        web.RequestPayloadError: the body does not match its headers.
    """
    if connection.is_excess:
        raise ServiceUnavailable("The server has as many connections as it may.")
    content = request.content
    if content.is_eof() and "Content-Encoding" not in request.headers:
        # The body arrived together with the headers: the usual case for small requests.
        whole = content.read_nowait()
        if len(whole) > MAXIMUM_REQUEST_BYTES:
            raise _too_large()
        return whole
    if (request.content_length or 0) > MAXIMUM_REQUEST_BYTES:
        raise _too_large()
    body = bytearray()
    async with Transfer(connection.connections.bodies, RequestTimeout) as transfer:
        expects = request.headers.get("Expect", "").lower() == "100-continue"
        if expects and request.version >= HttpVersion11:
            # Several SDKs wait for this before they send a large body. HTTP/1.0 does not have it.
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while chunk := await content.readany():
            body += chunk
            if len(body) > MAXIMUM_REQUEST_BYTES:
                raise _too_large()
            transfer.grow(len(chunk))
    return bytes(body)


def _too_large() -> SQSError:
    return RequestEntityTooLarge(f"Request must be shorter than {MAXIMUM_REQUEST_BYTES} bytes.")
