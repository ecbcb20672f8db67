"""Client connections: their number, and timeouts for clients that send or read too slowly.

A client that stalls, sends slowly or never reads is disconnected after a limited time, and an idle
one after `--idle-timeout`. A client that waits for a message is not disconnected.

The classes here extend aiohttp's, because its public interface has no timeout for a client that
sends headers slowly or never reads. They use these private attributes of aiohttp 3.14. Only
this module, `direct_reader` and `request_reader` use private attributes of aiohttp:

- `RequestHandler._keepalive_timeout`: a connection beyond the limit may be idle for a shorter time.
- `RequestHandler._resume_transport_reading`: begin to read from the socket again.
- `Server._connections`: the count of connections in constant time, and the transports of those
  that are closing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import cast

from aiohttp import web

from protocol.errors import RequestThrottled, ServiceUnavailable
from queueserver.config import Config
from queueserver.http.clients.direct_reader import DirectReader
from queueserver.http.clients.endpoint import Endpoint, NotBegun, PendingAnswer
from queueserver.http.clients.half_closed import Probe
from queueserver.http.clients.lingering import Lingering
from queueserver.http.clients.open_files import possible_connections
from queueserver.http.clients.tls_connection import TlsConnection
from queueserver.http.clients.transfers import Transfer, Transfers
from queueserver.identity.proxies import Peer, Proxies

_UNREAD_BODY_SECONDS = 1.0
"""On stop: timeout for the rest of a body, and for a client to close after its last response."""

_UNREAD_RESPONSES_SECONDS = 5.0
"""Timeout on stop for clients to read their responses."""

_LAST_REQUESTS_SECONDS = 0.1
"""Time on stop in which requests that clients have sent on open connections are accepted."""

_EXCESS_IDLE_SECONDS = 5.0
"""Time in which a connection beyond the limit must send a request."""

_FIRST_PROBE_SECONDS = 0.05
"""Delay before the server checks whether a half-closed client still reads."""

_LONGEST_SWEEP_SECONDS = 5.0
"""The longest interval between two checks for overdue connections."""


class _TransferEnded(Exception):
    """The server has ended the sending of a response."""


class ClientConnections(web.Server):
    """All client connections, and the limits that they share."""

    def __init__(self, config: Config, endpoint: Endpoint, proxies: Proxies) -> None:
        # Cancel the handler if its client disconnects: it must not receive a message for it.
        super().__init__(endpoint.handle, handler_cancellation=True)
        self.endpoint = endpoint
        self.proxies = proxies
        self.loop = asyncio.get_running_loop()
        self.limit, self.most_excess = possible_connections(config.connection_limit)
        self.timeout_seconds = float(config.request_timeout)
        self._idle_seconds = config.idle_timeout
        limit_bytes = config.buffer_mib * 1024 * 1024
        self.bodies = Transfers(self.timeout_seconds, limit_bytes, RequestThrottled)
        self.responses = Transfers(self.timeout_seconds, limit_bytes, _TransferEnded)
        self.is_stopping = False
        self._sweeper: asyncio.TimerHandle
        self._sweep()

    def __call__(self) -> ClientConnection:
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
        for connection in self._connections:
            if isinstance(connection, ClientConnection):
                connection.hasten_close(_UNREAD_BODY_SECONDS)
        if self._connections:
            await asyncio.sleep(_LAST_REQUESTS_SECONDS)

    def pre_shutdown(self) -> None:
        """Close idle connections; aiohttp calls it once the server no longer listens."""
        self._sweeper.cancel()
        super().pre_shutdown()


class ClientConnection(DirectReader):
    """The connection of one client."""

    __slots__ = (
        "_answer_task",
        "_closing_since",
        "_has_read",
        "_is_closing",
        "_lingering",
        "_may_probe",
        "_probe",
        "client_address",
        "connections",
        "is_excess",
        "peer",
    )

    def __init__(self, connections: ClientConnections, idle_seconds: float) -> None:
        super().__init__(connections, connections.bodies, idle_seconds)
        self.connections = connections
        self.client_address = ""
        """The peer's IP address, once it has connected: that of the client, or of a proxy."""
        self.peer: Peer
        self.is_excess = False
        """Whether it is beyond the limit: its requests are answered with 503."""
        self._may_probe = False
        self._probe: Probe | None = None
        self._lingering: Lingering | None = None
        self._closing_since: float | None = None
        self._is_closing = False
        # Done when the client has read most of the sent data, or has gone.
        self._has_read: asyncio.Future[None] | None = None
        # A task for the end of an answer that was begun without one.
        self._answer_task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept a client; answer 503 beyond the limit, and disconnect far beyond it."""
        connections = self.connections
        excess = connections.count() + 1 - connections.limit
        if excess > 0:
            self.is_excess = True
            self._keepalive_timeout = min(_EXCESS_IDLE_SECONDS, connections.timeout_seconds)
        super().connection_made(transport)
        if isinstance(self.peername, tuple):
            self.client_address = ipv4_if_mapped(self.peername[0])
        self.peer = connections.proxies.peer(
            self.client_address, is_secure=isinstance(transport, TlsConnection)
        )
        if excess > connections.most_excess and self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Cancel the request of a client that has gone."""
        self._stop_probe()
        if self._answer_task is not None:
            self._answer_task.cancel()
        super().connection_lost(exc)
        self._end_wait()

    def resume_writing(self) -> None:
        """End the wait for a client that has been slow to read."""
        super().resume_writing()
        self._end_wait()

    def _end_wait(self) -> None:
        if self._has_read is not None and not self._has_read.done():
            self._has_read.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Read the data, or discard it after the last response."""
        if self._lingering is not None:
            self._lingering.discard(len(data))
        else:
            super().data_received(data)

    def _begin_answer(self, data: bytes) -> PendingAnswer | NotBegun:
        return self.connections.endpoint.begin(self, data)

    def send_answer(self, content: bytes, rest: Sequence[bytes], *, is_last: bool) -> None:
        """Send the answer to the request that was begun without a task.

        Then continue with the next request, or close the connection.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self._may_probe:
            content = self._end_probe(content)
        transport.write(content)
        for piece in rest:
            transport.write(piece)
        if is_last or self.writing_paused:
            self.run_for_answer(self._end_slowly(len(content) + sum(map(len, rest)), is_last))
        else:
            self._finish_pending()

    async def _end_slowly(self, count: int, is_last: bool) -> None:
        """Wait until the client has read an answer of `count` bytes; close if it is the last."""
        try:
            if self.writing_paused:
                await self.wait_until_read(count)
            if is_last:
                await self._linger()
                self.force_close()
        except ConnectionError:
            self._end_pending()
        else:
            self._finish_pending()

    def run_for_answer(self, work: Coroutine[None, None, None]) -> None:
        """Run the end of an answer in a task, which ends if the client disconnects."""
        self._answer_task = asyncio.ensure_future(work)

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp's never keeps it open
        """Answer what has been received of a client that has closed its sending side.

        Return False to close the connection at once.
        """
        if self._lingering is not None:
            self._lingering.end()
            return True
        is_kept = super().eof_received()
        if is_kept and self._may_probe and self.transport is not None:
            self._probe = Probe(self.transport, 0)
        return is_kept

    def allow_probe(self) -> None:
        """Allow a probe: it sends the beginning of the response early, and the rest follows.

        If the client closes its sending side, the server then finds out whether it still reads.
        """
        self._may_probe = True
        if self._has_ended and self._probe is None and self.transport is not None:
            self._probe = Probe(self.transport, _FIRST_PROBE_SECONDS)

    def _end_probe(self, content: bytes) -> bytes:
        """Stop the probe; return the part of the response that it has not sent.

        A client may close its sending side while it reads: no probe may follow the response.
        """
        if self._probe is not None:
            content = content[self._probe.sent :]
        self._stop_probe()
        return content

    def _stop_probe(self) -> None:
        self._may_probe = False
        if self._probe is not None:
            self._probe.stop()
            self._probe = None

    def close(self) -> None:
        """Close the connection after the current request."""
        super().close()
        self._is_closing = True

    async def send(self, content: bytes, rest: Sequence[bytes] = ()) -> None:
        """Send a whole response, of one or more pieces; wait while the client is slow to read it.

        Raises:
            ConnectionError: the client has disconnected, or the server has disconnected it because
                it does not read.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(self._end_probe(content))
        for piece in rest:
            transport.write(piece)
        if self.writing_paused:
            await self.wait_until_read(len(content) + sum(map(len, rest)))

    async def wait_until_read(self, count: int = 0) -> None:
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
                    # aiohttp's own wait cannot be repeated after a timeout.
                    self._has_read = self._loop.create_future()
                    await asyncio.wait([self._has_read], timeout=connections.timeout_seconds / 4)
                    if self.transport is None:
                        raise ConnectionResetError("the client has gone")
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
        if self._is_incomplete_for(timeout, now):
            return True
        if isinstance(transport, TlsConnection) and transport.is_late(now, timeout):
            return True
        if not transport.is_closing():
            return False
        if self._closing_since is None:
            self._closing_since = now
        return now - self._closing_since > timeout

    @property
    def is_last_request(self) -> bool:
        """Whether the server closes the connection after the current request."""
        return self._is_closing or self.is_excess or self.connections.is_stopping or self._is_last

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response, and continue with the next request or close the connection."""
        if self.is_last_request:
            resp.force_close()
        resp, is_lost = await super().finish_response(request, resp, start_time)
        if self._may_probe:
            self._stop_probe()
        self._free_head()
        if not is_lost and resp.keep_alive:
            self._finish_request()
        elif not is_lost:
            await self._linger()
        return resp, is_lost

    async def _linger(self) -> None:
        """Close the sending side, and wait until the client has closed its side."""
        transport = self.transport
        if transport is None or transport.is_closing() or self._has_ended:
            return
        connections = self.connections
        seconds = _UNREAD_BODY_SECONDS if connections.is_stopping else connections.timeout_seconds
        self._drop_received()
        self._lingering = Lingering(seconds)
        transport.write_eof()
        self._resume_transport_reading()
        await self._lingering.wait()

    def hasten_close(self, seconds: float) -> None:
        """Wait at most `seconds` for a client that has its last response."""
        if self._lingering is not None:
            self._lingering.end_within(seconds)

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


def ipv4_if_mapped(address: str) -> str:
    """Return the IPv4 address that an IPv6 listener shows as `::ffff:192.0.2.1`; else `address`."""
    mapped = address.removeprefix("::ffff:")
    return mapped if "." in mapped else address


def connection_of(request: web.BaseRequest) -> ClientConnection:
    """Return the connection that a request arrived on."""
    return cast("ClientConnection", request.protocol)
