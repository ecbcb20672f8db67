"""Client connections: their number, and timeouts for clients that send or read too slowly.

A client that stalls, sends slowly or never reads is disconnected after a limited time, and an idle
one after `--idle-timeout`. A client that waits for a message is not disconnected.

The classes here extend aiohttp's, because its public interface has no timeout for a client that
sends headers slowly or never reads. They use these private attributes of aiohttp 3.14. No other
module uses private attributes of aiohttp:

- `RequestHandler._request_count`, `_request_in_progress` and `_messages`: whether the bytes that
  arrived are the beginning of a request.
- `RequestHandler._keepalive_timeout`: a connection beyond the limit may be idle for a shorter time.
- `RequestHandler._buffer_paused`: whether aiohttp itself has paused reading.
- `RequestHandler._drain_helper`: waits until the client has read what was sent.
- `Server._connections`: the count of connections in constant time, and the transports of those
  that are closing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Protocol, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from protocol.errors import RequestThrottled, ServiceUnavailable
from queueserver.config import Config
from queueserver.http.open_files import SPARE_CONNECTIONS, possible_connections
from queueserver.http.transfers import Transfer, Transfers

_UNREAD_BODY_SECONDS = 1.0
"""Timeout for the rest of a body, on stop or after an early response."""

_UNREAD_RESPONSES_SECONDS = 5.0
"""Timeout on stop for clients to read their responses."""

_LAST_REQUESTS_SECONDS = 0.1
"""Time on stop in which requests that clients have sent on open connections are accepted."""

_LONGEST_SWEEP_SECONDS = 5.0
"""The longest interval between two checks for overdue connections."""


class Endpoint(Protocol):
    """Answers requests."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""

    def handle_failure(
        self, request: web.BaseRequest, status: int, error: BaseException | None
    ) -> web.StreamResponse:
        """Answer bytes that are not valid HTTP (`status` below 500), or a request that failed."""


class _TransferEnded(Exception):
    """The server has ended the sending of a response."""


class ClientConnections(web.Server):
    """All client connections, and the limits that they share."""

    def __init__(self, config: Config, endpoint: Endpoint) -> None:
        # Cancel the handler if its client disconnects: it must not receive a message for it.
        super().__init__(endpoint.handle, handler_cancellation=True)
        self.endpoint = endpoint
        self.loop = asyncio.get_running_loop()
        self.limit = possible_connections(config.connection_limit)
        self.timeout_seconds = float(config.request_timeout)
        self._idle_seconds = config.idle_timeout
        limit_bytes = config.buffer_mib * 1024 * 1024
        self.bodies = Transfers(self.timeout_seconds, limit_bytes, RequestThrottled)
        self.responses = Transfers(self.timeout_seconds, limit_bytes, _TransferEnded)
        self.is_stopping = False
        self._sweeper: asyncio.TimerHandle
        self._sweep()

    def __call__(self) -> RequestHandler:
        """Return a new protocol object for one client; the event loop calls this."""
        return ClientConnection(self, self._idle_seconds)

    def count(self) -> int:
        """Return how many connections are open."""
        return len(self._connections)

    def _sweep(self) -> None:
        """Disconnect clients that have taken too long to send a request or to close."""
        now = self.loop.time()
        for connection, transport in list(self._connections.items()):
            if isinstance(connection, ClientConnection) and connection.is_overdue(now, transport):
                transport.abort()
        seconds = min(self.timeout_seconds / 4, _LONGEST_SWEEP_SECONDS)
        self._sweeper = self.loop.call_later(seconds, self._sweep)

    async def begin_stop(self) -> None:
        """Answer the requests that still arrive, and close each connection after its response."""
        self.is_stopping = True
        self.bodies.stop(_UNREAD_BODY_SECONDS, ServiceUnavailable)
        self.responses.stop(_UNREAD_RESPONSES_SECONDS, _TransferEnded)
        if self._connections:
            await asyncio.sleep(_LAST_REQUESTS_SECONDS)

    def pre_shutdown(self) -> None:
        """Close idle connections; aiohttp calls it once the server no longer listens."""
        self._sweeper.cancel()
        super().pre_shutdown()


class ClientConnection(RequestHandler):
    """The connection of one client."""

    __slots__ = (
        "_closing_since",
        "_half_request_since",
        "_is_closing",
        "_was_paused",
        "client_address",
        "connections",
        "is_excess",
    )

    def __init__(self, connections: ClientConnections, idle_seconds: float) -> None:
        super().__init__(
            connections,
            loop=connections.loop,
            keepalive_timeout=idle_seconds,
            lingering_time=_UNREAD_BODY_SECONDS,
            access_log=None,  # type: ignore[arg-type] # aiohttp's documented way to have none
        )
        self.connections = connections
        self.client_address = ""
        """The client's IP address, once it has connected."""
        self.is_excess = False
        """Whether it is beyond the limit: its requests are answered with 503."""
        self._half_request_since: float | None = None
        self._closing_since: float | None = None
        self._is_closing = False
        self._was_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept a client; answer 503 beyond the limit, and disconnect far beyond it."""
        limit = self.connections.limit
        count = self.connections.count() + 1
        if count > limit:
            self.is_excess = True
            self._keepalive_timeout = self.connections.timeout_seconds
        super().connection_made(transport)
        if isinstance(self.peername, tuple):
            self.client_address = self.peername[0]
        if count > limit + limit // SPARE_CONNECTIONS + 1 and self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse the data, and note when an incomplete request began."""
        count = self._request_count
        super().data_received(data)
        if self._request_in_progress or self._request_count != count:
            self._half_request_since = None
        elif self._half_request_since is None and not self._messages:
            self._half_request_since = self.connections.loop.time()

    def pause_reading(self) -> None:
        """Stop reading from the socket until the received data is consumed."""
        self._was_paused = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read from the socket again, if reading was ever paused.

        aiohttp calls this after every body. If reading was never paused, this does nothing, which
        saves a run of the parser. If it was paused once, the parser may still be paused, even if
        the connection is not.
        """
        if self._was_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def close(self) -> None:
        """Close the connection after the current request."""
        self._is_closing = True
        super().close()

    async def begin_request(self) -> None:
        """Begin to handle a request, once the client has read most of its earlier responses.

        Raises:
            ConnectionError: the client has disconnected, or the server has disconnected it because
                it does not read.
        """
        self._half_request_since = None
        if self.writing_paused:
            await self._wait_until_read()

    async def send(self, content: bytes, rest: Sequence[bytes] = ()) -> None:
        """Send a whole response, of one or more pieces; wait while the client is slow to read it.

        Raises:
            ConnectionError: the client has disconnected, or the server has disconnected it because
                it does not read.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(content)
        for piece in rest:
            transport.write(piece)
        if self.writing_paused:
            await self._wait_until_read(len(content) + sum(map(len, rest)))

    async def _wait_until_read(self, count: int = 0) -> None:
        """Wait until the client has read most of the sent data; `count` bytes were sent just now.

        Raises:
            ConnectionError: the client has disconnected, or the server has disconnected it because
                it does not read.
        """
        transport = self.transport
        connections = self.connections
        try:
            async with Transfer(connections.responses, _TransferEnded) as transfer:
                transfer.grow(count)
                while self.writing_paused and transport is not None:
                    unread = transport.get_write_buffer_size()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(connections.timeout_seconds / 4):
                            await self._drain_helper()
                    if transport.get_write_buffer_size() < unread:
                        transfer.grow(0)
        except _TransferEnded:
            if transport is not None:
                transport.abort()
            raise ConnectionResetError("the client does not read its response") from None

    def is_overdue(self, now: float, transport: asyncio.Transport) -> bool:
        """Return whether sending a request, or closing, has taken longer than the timeout.

        `now` is the loop's time in seconds.
        """
        timeout = self.connections.timeout_seconds
        if self._half_request_since is not None and now - self._half_request_since > timeout:
            return not self._request_in_progress
        if not transport.is_closing():
            return False
        if self._closing_since is None:
            self._closing_since = now
        return now - self._closing_since > timeout

    @property
    def is_last_request(self) -> bool:
        """Whether the server closes the connection after the current request."""
        return self._is_closing or self.is_excess or self.connections.is_stopping

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer bytes that are not HTTP, or a request that failed; then close the connection.

        Raises:
            ConnectionError: part of a response was sent already.
        """
        response = self.connections.endpoint.handle_failure(request, status, exc)
        if request.writer.output_size > 0:
            raise ConnectionError("part of a response was sent already")
        response.force_close()
        return response

    def log_exception(self, *args: object, **details: object) -> None:
        """Log an exception, except for a body that cannot be read: the client gets that error."""
        if not isinstance(details.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **details)


def connection_of(request: web.BaseRequest) -> ClientConnection:
    """Return the connection that a request arrived on."""
    return cast("ClientConnection", request.protocol)
