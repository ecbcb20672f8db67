"""Clients as they come: who is let in, how long they may take, and how much is held for them.

A client that stalls, trickles or never reads is ended after a bounded time, whatever it does, and
the memory that such clients hold is bounded. Those who only wait, for a message or for their next
request, are left in peace. Refuses to know what a request means.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, cast

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.web_protocol import RequestHandler

from protocol.errors import (
    RequestEntityTooLarge,
    RequestThrottled,
    RequestTimeout,
    ServiceUnavailable,
    SQSError,
)
from queueserver.config import Config

log = logging.getLogger(__name__)

MAXIMUM_REQUEST_BYTES = 8 * 1024 * 1024
"""The longest body: a message of 1 MiB may be written several times as long, escaped."""

_SLOWEST_BYTES_PER_SECOND = 32 * 1024
"""What a client must manage, beyond the time that everybody has."""

_LAST_WORDS_SECONDS = 1.0
"""How long a stop, or an answer that needs no body, waits for the rest of a body."""

_LAST_ANSWERS_SECONDS = 5.0
"""How long a stop waits for a client to read its answer."""

_FAREWELL_SECONDS = 0.1
"""How long a stop still reads what clients sent before they could know of it."""

_OWN_FILES = 100
"""Descriptors that are no client's: the database's, and what libraries open for a moment."""

_SPARE_CONNECTIONS = 10
"""One in so many connections beyond the limit is still told so, before they are just cut."""


class _Ended(Exception):
    """A transfer was ended by the server."""


class Transfer:
    """One body that is being received, or one answer that is being sent, in an `async with`.

    Raises inside it, as soon as its time is over or its room is needed, what `why` makes.
    """

    __slots__ = ("_began_at", "_bytes", "_is_ending", "_loop", "_timeout", "_transfers", "why")

    def __init__(self, transfers: Transfers, why: Callable[[], Exception]) -> None:
        self._transfers = transfers
        self._bytes = 0
        self._is_ending = False
        self.why = why
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._timeout = asyncio.timeout_at(self._began_at + transfers.seconds)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._transfers.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._transfers.remove(self)
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise self.why() from None

    def grow(self, count: int) -> None:
        """Note that it goes on, and holds so many bytes more, for which there is more time.

        But not more than what everybody has until it must go on again.
        """
        self._bytes += count
        if not self._is_ending:
            seconds = self._transfers.seconds
            whole = self._began_at + seconds + self._bytes / _SLOWEST_BYTES_PER_SECOND
            self._timeout.reschedule(min(whole, self._loop.time() + seconds))
        self._transfers.make_room(count)

    def end_within(self, seconds: float, why: Callable[[], Exception]) -> None:
        """Bring the end forward, unless it is nearer already; nothing puts it off any more."""
        when = self._loop.time() + seconds
        if not self._timeout.expired() and when < (self._timeout.when() or 0):
            self._timeout.reschedule(when)
            self.why = why
        self._is_ending = True

    def release(self) -> int:
        """Hold nothing any more; tell how many bytes it was."""
        held, self._bytes = self._bytes, 0
        return held


class Transfers:
    """All transfers of one direction: those that did not go through in one piece."""

    def __init__(
        self, seconds: float, room_bytes: int, why_no_room: Callable[[], Exception]
    ) -> None:
        self.seconds = seconds
        self._is_stopping = False
        self._room_bytes = room_bytes
        self._why_no_room = why_no_room
        self._held_bytes = 0
        self._under_way: dict[Transfer, None] = {}

    def add(self, transfer: Transfer) -> None:
        """Note that a transfer begins."""
        self._under_way[transfer] = None
        if self._is_stopping:
            transfer.end_within(self.seconds, transfer.why)

    def remove(self, transfer: Transfer) -> None:
        """Note that a transfer is over."""
        self._under_way.pop(transfer, None)
        self._held_bytes -= transfer.release()

    def make_room(self, count: int) -> None:
        """Hold so many bytes more, at the cost of whoever has taken the longest."""
        self._held_bytes += count
        while self._held_bytes > self._room_bytes and self._under_way:
            slowest = next(iter(self._under_way))
            self.remove(slowest)
            slowest.end_within(0, self._why_no_room)

    def stop(self, seconds: float, why: Callable[[], Exception]) -> None:
        """End all transfers that are under way, and those that come, within so many seconds."""
        self._is_stopping = True
        self.seconds = min(self.seconds, seconds)
        for transfer in self._under_way:
            transfer.end_within(seconds, why)


class ClientConnections(web.Server):
    """aiohttp's server of connections, with connections of ours, and what bounds them."""

    def __init__(self, config: Config, handler: Any, **more: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(
            handler,
            keepalive_timeout=config.idle_timeout,
            lingering_time=_LAST_WORDS_SECONDS,
            **more,
        )
        self.limit = _possible_connections(config.connection_limit)
        self.patience_seconds = float(config.request_timeout)
        room_bytes = config.buffer_mib * 1024 * 1024
        self._bodies = Transfers(self.patience_seconds, room_bytes, RequestThrottled)
        self._answers = Transfers(self.patience_seconds, room_bytes, _Ended)
        self._sweeper: asyncio.TimerHandle | None = None
        self.is_stopping = False
        self._sweep()

    def _sweep(self) -> None:
        """End connections that have kept a request half sent, or their end waiting, too long."""
        now = self._loop.time()
        for connection, transport in list(self._connections.items()):
            if isinstance(connection, ClientConnection) and connection.is_overdue(now, transport):
                transport.abort()
        seconds = min(self.patience_seconds / 4, 5.0)
        self._sweeper = self._loop.call_later(seconds, self._sweep)

    async def part(self) -> None:
        """Begin to stop: answer what comes still, and tell every client that it was the last."""
        self.is_stopping = True
        self._bodies.stop(_LAST_WORDS_SECONDS, ServiceUnavailable)
        self._answers.stop(_LAST_ANSWERS_SECONDS, _Ended)
        if self._connections:
            await asyncio.sleep(_FAREWELL_SECONDS)

    def pre_shutdown(self) -> None:
        """End what is idle; aiohttp calls it once nothing listens any more."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        super().pre_shutdown()

    async def read_body(self, request: web.BaseRequest) -> bytes:
        """Read the whole body, up to `MAXIMUM_REQUEST_BYTES` after any Content-Encoding is undone.

        Raises:
            RequestEntityTooLarge: it is longer.
            RequestTimeout: the client took too long; the connection is of no use any more.
            RequestThrottled: other clients needed the room.
            ServiceUnavailable: the server stops, or has too many connections.
        """
        if connection_of(request).is_excess:
            raise ServiceUnavailable("The server has as many connections as it may.")
        content = request.content
        if content.is_eof() and "Content-Encoding" not in request.headers:
            # It came with the headers, as small requests do.
            whole = content.read_nowait()
            if len(whole) > MAXIMUM_REQUEST_BYTES:
                raise _too_large()
            return whole
        body = bytearray()
        async with Transfer(self._bodies, RequestTimeout) as transfer:
            expects = request.headers.get("Expect", "").lower() == "100-continue"
            if expects and request.version >= HttpVersion11:
                # Several SDKs wait for leave before they send a large body; HTTP/1.0 knows no such
                # answer.
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            while chunk := await content.readany():
                body += chunk
                if len(body) > MAXIMUM_REQUEST_BYTES:
                    raise _too_large()
                transfer.grow(len(chunk))
        return bytes(body)

    async def until_read(self, connection: ClientConnection, count: int = 0) -> None:
        """Wait until a client has read most of what it was sent; cut off one that does not.

        Raises:
            ConnectionError: it did not, or it has gone.
        """
        transport = connection.transport
        try:
            async with Transfer(self._answers, _Ended) as transfer:
                transfer.grow(count)
                while connection.writing_paused and transport is not None:
                    left = transport.get_write_buffer_size()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self.patience_seconds / 4):
                            await connection._drain_helper()
                    if transport.get_write_buffer_size() < left:
                        transfer.grow(0)
        except _Ended:
            if transport is not None:
                transport.abort()
            raise ConnectionResetError("the client does not read its answer") from None


class ClientConnection(RequestHandler):
    """One client's connection."""

    __slots__ = ("_closing_since", "_connections", "_half_since", "_was_paused", "is_excess")

    def __init__(self, connections: ClientConnections, **more: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(connections, **more)
        self._connections = connections
        self._half_since: float | None = None
        self._closing_since: float | None = None
        self._was_paused = False
        self.is_excess = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let a client in; one too many is to be told so, and far too many are cut off."""
        limit = self._connections.limit
        count = len(self._connections._connections) + 1
        if count > limit:
            self.is_excess = True
            self._keepalive_timeout = self._connections.patience_seconds
        super().connection_made(transport)
        if count > limit + limit // _SPARE_CONNECTIONS + 1 and self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what came, and note whether a request is half told."""
        count = self._request_count
        super().data_received(data)
        if self._request_in_progress or self._request_count != count:
            self._half_since = None
        elif self._half_since is None and not self._messages:
            self._half_since = self._loop.time()

    def pause_reading(self) -> None:
        """Read no more for now: what came is not taken as quickly."""
        self._was_paused = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading, if that was ever paused; aiohttp asks for it after every body.

        Where it was not, the parser would be asked whether it can make something of nothing. Where
        it was, the parser may still be paused when the connection is not any more.
        """
        if self._was_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    async def begin(self) -> None:
        """Begin a request: not before most of the answers to earlier ones were read."""
        self._half_since = None
        if self.writing_paused:
            await self._connections.until_read(self)

    async def send(self, content: bytes) -> None:
        """Send a whole answer; waits while the client is slow to read.

        Raises:
            ConnectionError: it has gone, or was cut off because it does not read.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(content)
        if self.writing_paused:
            await self._connections.until_read(self, len(content))

    def is_overdue(self, now: float, transport: asyncio.Transport) -> bool:
        """Tell whether the client has had all the time there is for what it does."""
        patience = self._connections.patience_seconds
        if self._half_since is not None and now - self._half_since > patience:
            return not self._request_in_progress
        if not transport.is_closing():
            return False
        if self._closing_since is None:
            self._closing_since = now
        return now - self._closing_since > patience

    @property
    def is_last_request(self) -> bool:
        """Whether the connection ends with the request at hand, whatever the client asked for."""
        return self._close or self.is_excess or self._connections.is_stopping

    def log_exception(self, *args: Any, **details: Any) -> None:  # noqa: ANN401 - aiohttp's own
        """Say nothing of a body that cannot be read: its sender was told, and nobody else cares."""
        if not isinstance(details.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **details)


def connection_of(request: web.BaseRequest) -> ClientConnection:
    """Give the connection that a request came on."""
    return cast("ClientConnection", request.protocol)


def raise_file_limit() -> None:
    """Let the process open as many descriptors as the system allows it: each client is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1_048_576 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            log.warning("only %d files can be open at a time: %s", soft, error)


def _possible_connections(limit: int) -> int:
    """Bring the setting down to what the system's limit of open files leaves room for."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return limit
    spare = 1 + 1 / _SPARE_CONNECTIONS
    possible = max(int((files - _OWN_FILES) / spare), 1)
    if possible < limit:
        log.warning("at most %d connections: the system lets %d files be open", possible, files)
    return min(limit, possible)


def _too_large() -> SQSError:
    return RequestEntityTooLarge(f"Request must be shorter than {MAXIMUM_REQUEST_BYTES} bytes.")
