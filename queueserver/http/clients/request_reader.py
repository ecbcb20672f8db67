"""Read requests from a connection one at a time, and limit what a client may send ahead.

aiohttp parses up to 32 requests ahead of the one that it answers, and discards those before bytes
that are not HTTP. Its public interface cannot change that. The class here uses these private
attributes of aiohttp 3.14, beside those that `connections` names:

- `RequestHandler._parser`, `_request_count`, `_messages`, `_waiter` and the class `_ErrInfo`: parse
  one request at a time, and hand it, or an error, to the task that answers.
- `RequestHandler._close` and `_force_close`: whether aiohttp takes no more requests.
- `RequestHandler._reading_paused`, `_pause_transport_reading` and `_resume_transport_reading`: stop
  and begin to read from the socket.
"""

from __future__ import annotations

import asyncio
import re

from aiohttp import hdrs, web
from aiohttp.http import HttpProcessingError, RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from protocol.errors import RequestHeaderSectionTooLarge, RequestThrottled
from queueserver.http.clients.heads import (
    MAXIMUM_FIELD_BYTES,
    MAXIMUM_LINE_BYTES,
    SMALL_HEAD_BYTES,
    has_long_headers,
    memory_of,
    too_long_head,
)
from queueserver.http.clients.transfers import Transfers, UnparsedBytes

_MOST_UNPARSED_BYTES = 64 * 1024
"""Most bytes that a client may send ahead, before its current request is answered."""

_HEAD_BYTES_PER_SECOND = 32 * 1024
"""Bytes of a request's head that extend its timeout by one second."""

_CUT_OFF = "the client has closed its side before the end of the body"

_METHOD = re.compile(rb"[A-Z-]{1,32}( |\Z)")
"""The beginning of a request: a method in upper case, and a space. The parser checks the rest."""

_TLS_HANDSHAKE = b"\x16\x03"
"""The beginning of a TLS connection (RFC 8446, 5.1): the type of the record, and the version."""

_SPOKE_TLS = (
    "a client spoke TLS to a port of HTTP: its URL must begin with http://, or set --tls-cert"
)

_EMPTY_LINE = b"\r\n\r\n"
_CONTENT_LENGTH = b"\r\nContent-Length: "


class _Framing:
    """Cuts the bytes of one connection into pieces, none of which reaches into the next request.

    aiohttp's parser gets every byte in order and alone decides what it means. It discards the
    requests before an error in the same piece; it gets one request at a time to discard none.
    """

    __slots__ = ("_body_bytes", "_last")

    def __init__(self) -> None:
        self._body_bytes = 0
        # The end of the last piece: an empty line may begin there.
        self._last = b""

    def begin_body(self, count: int) -> None:
        """Begin a body of `count` bytes."""
        self._body_bytes = count

    @property
    def has_begun_head(self) -> bool:
        """Whether the last piece ended before an empty line."""
        return bool(self._last)

    def end_of_piece(self, data: bytes, start: int) -> int:
        """Return the end of the piece of `data` that begins at `start`.

        A piece ends with the body, or with an empty line: a head ends there, a chunked body too.
        """
        if self._body_bytes:
            end = min(start + self._body_bytes, len(data))
            self._body_bytes -= end - start
            return end
        last, self._last = self._last, b""
        if last:
            found = (last + data[start : start + 3]).find(_EMPTY_LINE)
            if found >= 0:
                return start + found + len(_EMPTY_LINE) - len(last)
        found = data.find(_EMPTY_LINE, start)
        if found >= 0:
            return found + len(_EMPTY_LINE)
        self._last = (last + data[max(start, len(data) - 3) :])[-3:]
        return len(data)


def _is_small_request(data: bytes) -> bool:
    """Return whether the data seems to be one small request, the usual case; it needs no cuts."""
    head_bytes = data.find(_EMPTY_LINE) + len(_EMPTY_LINE)
    # A length behind the first empty line is that of another request.
    length_at = data.find(_CONTENT_LENGTH, 0, head_bytes)
    if length_at < 0 or len(data) > SMALL_HEAD_BYTES:
        return False
    length, _, _ = data[length_at + len(_CONTENT_LENGTH) : head_bytes].partition(b"\r")
    return length.isdigit() and head_bytes + int(length) == len(data)


class RequestReader(RequestHandler):
    """The receiving side of a connection."""

    __slots__ = (
        "_body",
        "_framing",
        "_has_ended",
        "_has_failed",
        "_head",
        "_incomplete_since",
        "_line_end",
        "_reserved_bytes",
        "_transfers",
        "_unanswered",
        "_unparsed",
        "_unparsed_bytes",
        "_was_paused",
    )

    def __init__(self, server: web.Server, transfers: Transfers, idle_seconds: float) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=idle_seconds,
            max_line_size=MAXIMUM_LINE_BYTES,
            max_field_size=MAXIMUM_FIELD_BYTES,
            lingering_time=0,
            access_log=None,  # type: ignore[arg-type] # aiohttp's documented way to have none
        )
        self._transfers = transfers
        self._framing = _Framing()
        self._unparsed = b""
        self._unparsed_bytes: UnparsedBytes | None = None
        # The part of a head that has arrived, and where its request line ends.
        self._head = bytearray()
        self._line_end = -1
        self._reserved_bytes = 0
        # The body that is being received.
        self._body: StreamReader | None = None
        self._unanswered = 0
        self._incomplete_since: float | None = None
        # Whether bytes were received that are no request, or too many: the rest is discarded.
        self._has_failed = False
        # Whether the client has closed its sending side.
        self._has_ended = False
        self._was_paused = False

    @property
    def _has_received(self) -> bool:
        """Whether a part of a request has arrived, or a request that is not answered yet."""
        return bool(self._unanswered or self._unparsed or self._head)

    def data_received(self, data: bytes) -> None:
        """Parse the data up to the end of the next request; keep the rest until it is answered.

        Empty data continues a parser that was paused.
        """
        if self._close or self._force_close or self._has_failed:
            return
        if not data:
            self._parse(b"")
        elif not (self._unanswered or self._head) and _is_small_request(data):
            self._parse(data)
            return
        elif self._unparsed:
            self._unparsed += data
        else:
            self._unparsed = data
        self._parse_request()

    def _parse_request(self) -> None:
        """Parse what has been received of one request, and count the memory of the rest."""
        data, start = self._unparsed, 0
        if self._body is None and not self._head and not self._unanswered:
            # Empty lines may come before a request: a pass for each of thousands takes too long.
            data = data.lstrip(b"\r\n")
            if data.startswith(_TLS_HANDSHAKE):
                self._fail(BadHttpMessage(_SPOKE_TLS))
                return
        while start < len(data) and not self._is_parsing_paused():
            end = self._framing.end_of_piece(data, start)
            piece = data[start:end]
            start = end
            if self._body is not None:
                self._parse(piece)
            elif self._framing.has_begun_head:
                self._keep_head(piece)
            else:
                self._parse_head(piece)
        if self._has_failed:
            return
        self._unparsed = data[start:] if start else data
        if self._unparsed or self._head or self._unparsed_bytes is not None:
            self._count_unparsed()

    def _is_parsing_paused(self) -> bool:
        is_answering = self._unanswered > 0 and self._body is None
        return is_answering or self._reading_paused or self._has_failed

    def _keep_head(self, piece: bytes) -> None:
        """Keep a part of a head until the rest arrives; answer what cannot become a request.

        The bytes alone take less memory than what the parser makes of them.
        """
        if not self._head and not _METHOD.match(piece):
            self._parse(piece)
            self._fail(BadHttpMessage("no method"))
            return
        length = len(self._head)
        self._head += piece
        if self._line_end < 0:
            self._line_end = self._head.find(b"\r\n", max(0, length - 1))
        error = too_long_head(len(self._head), self._line_end)
        if error is not None:
            self._fail(error)

    def _parse_head(self, piece: bytes) -> None:
        """Parse a head that ends with this piece."""
        if self._head:
            piece = bytes(self._head) + piece
            self._drop_head()
        self._parse(piece)

    def _parse(self, piece: bytes) -> None:
        """Parse a piece that does not reach into the next request."""
        parser = self._parser
        if parser is None:
            return
        try:
            messages, is_upgrade, _ = parser.feed_data(piece)
        except HttpProcessingError as error:
            self._fail(error)
            return
        if is_upgrade:
            # The server never changes the protocol: what follows is HTTP.
            parser.set_upgraded(False)
        for message, content in messages:
            self._begin(message, content, len(piece))
        body = self._body
        if body is not None and (body.is_eof() or body.exception() is not None):
            self._has_failed = not body.is_eof()
            self._body = None

    def _begin(self, message: RawRequestMessage, body: StreamReader, count: int) -> None:
        """Begin a request whose head has `count` bytes."""
        if count > SMALL_HEAD_BYTES:
            # The request keeps its head until it is answered.
            memory = memory_of(count, is_ascii=message.path.isascii())
            if has_long_headers(message, count):
                self._fail(RequestHeaderSectionTooLarge())
                return
            if not self._transfers.reserve(memory):
                self._fail(RequestThrottled())
                return
            self._reserved_bytes = memory
        if not body.is_eof():
            self._body = body
            if not message.chunked:
                self._framing.begin_body(int(message.headers.get(hdrs.CONTENT_LENGTH, 0)))
        self._enqueue(message, body)

    def _enqueue(self, message: RawRequestMessage | _ErrInfo, body: StreamReader) -> None:
        """Pass a request, or an error, to the task that answers."""
        self._unanswered += 1
        self._incomplete_since = None
        self._request_count += 1
        self._messages.append((message, body))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        """Answer an error after the requests before it, and discard what follows."""
        if self._has_failed:
            return
        self._has_failed = True
        self._drop_unparsed()
        self._parser = None
        if self._body is None:
            self._enqueue(_ErrInfo(status=400, exc=error, message=""), EMPTY_PAYLOAD)
        else:
            failure = web.RequestPayloadError(str(error))
            failure.__cause__ = error
            self._body.set_exception(failure)

    def _count_unparsed(self) -> None:
        """Count the bytes of incomplete requests, and pause a client that sends far ahead."""
        count = len(self._unparsed) + len(self._head)
        if not count:
            self._drop_unparsed()
        else:
            if self._unparsed_bytes is None:
                self._unparsed_bytes = UnparsedBytes(self._transfers, self._fail, RequestThrottled)
            self._unparsed_bytes.resize(count)
            if not self._unanswered and self._incomplete_since is None:
                self._incomplete_since = self._loop.time()
        if len(self._unparsed) > _MOST_UNPARSED_BYTES:
            self._pause_transport_reading()
        elif not self._reading_paused:
            self._resume_transport_reading()

    def _drop_head(self) -> None:
        self._head = bytearray()
        self._line_end = -1

    def _drop_unparsed(self) -> None:
        self._unparsed = b""
        self._drop_head()
        if self._unparsed_bytes is not None:
            self._unparsed_bytes.end()
            self._unparsed_bytes = None

    def _drop_received(self) -> None:
        """Free the memory of everything that has been received."""
        self._drop_unparsed()
        self._free_head()
        self._parser = None
        if self._body is not None and self._body.exception() is None:
            self._body.read_nowait()
        self._body = None

    def _free_head(self) -> None:
        if self._reserved_bytes:
            self._transfers.free(self._reserved_bytes)
            self._reserved_bytes = 0

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp's never keeps it open
        """Answer what has been received of a client that has closed its sending side.

        Return False to close the connection at once.
        """
        if not self._unanswered:
            return False
        self._has_ended = True
        if self._body is not None:
            self._fail(ConnectionError(_CUT_OFF))
        return True

    def _finish_request(self) -> None:
        """Count a request as answered, and parse the next one."""
        self._unanswered -= 1
        if self._unparsed:
            self._parse_request()
        if self._has_ended:
            if self._body is not None:
                self._fail(ConnectionError(_CUT_OFF))
            elif not self._unanswered:
                self.force_close()

    def _is_incomplete_for(self, seconds: float, now: float) -> bool:
        """Return whether the head of a request has been incomplete for longer than `seconds`.

        Each 32 KiB of it may take a second more. `now` is the loop's time in seconds.
        """
        if self._incomplete_since is None or self._unanswered:
            return False
        return now - self._incomplete_since > seconds + len(self._head) / _HEAD_BYTES_PER_SECOND

    @property
    def _is_last(self) -> bool:
        """Whether nothing can follow the current request."""
        has_ended = self._has_failed or (self._has_ended and not self._unparsed)
        return self._body is not None or (has_ended and self._unanswered == 1)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop counting the memory of a client that has gone, and cancel its request."""
        self._drop_unparsed()
        self._free_head()
        super().connection_lost(exc)

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
        if self._was_paused:
            super().resume_reading(resume_parser)
