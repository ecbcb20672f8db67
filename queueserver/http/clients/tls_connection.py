"""TLS on a client's connection: a transport for its protocol, on top of the TCP transport.

The event loop's own TLS transport does not fit this server. It counts no connection before its
handshake has ended, it cannot close one direction alone, and each connection takes a buffer of
256 KiB. This one passes everything that it has decrypted on at once. It encrypts long responses
step by step, as the client reads them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from typing import Any, Protocol, cast

log = logging.getLogger(__name__)

_RECORD_BYTES = 16 * 1024
"""Most bytes in a record of TLS (RFC 8446, 5.1)."""

_STEP_BYTES = 256 * 1024
"""Most bytes that are encrypted in one step, which takes about 0.1 ms."""

_TEXT = b"This port speaks HTTPS: the URL must begin with https://\n"
_PLAIN_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(_TEXT), _TEXT)
)


class Client(Protocol):
    """The protocol of a client's connection."""

    def connection_made(self, transport: asyncio.BaseTransport, /) -> None:
        """Accept a client."""

    def connection_lost(self, exc: BaseException | None, /) -> None:
        """Cancel the request of a client that has gone."""

    def data_received(self, data: bytes, /) -> None:
        """Read the data."""

    def eof_received(self) -> bool:
        """Return whether answers follow, although the client has closed its sending side."""

    def pause_writing(self) -> None:
        """Write less."""

    def resume_writing(self) -> None:
        """Write again."""


class TlsConnection(asyncio.Transport, asyncio.Protocol):
    """The TLS side of one connection.

    It is the protocol of the TCP transport, and the transport of `client`.
    """

    __slots__ = (
        "_began",
        "_client",
        "_context",
        "_has_ended",
        "_incoming",
        "_is_closing",
        "_is_end_known",
        "_is_established",
        "_is_paused",
        "_is_tcp_full",
        "_is_write_closed",
        "_is_writing_paused",
        "_loop",
        "_outgoing",
        "_tcp",
        "_tls",
        "_unsent",
        "_unsent_bytes",
    )

    def __init__(self, context: ssl.SSLContext, client: Client) -> None:
        super().__init__()
        self._context = context
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._tcp: asyncio.Transport
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._began = self._loop.time()
        self._is_established = False
        # Whether the client has closed its sending side, whether its protocol knows, and whether
        # the server has closed its own.
        self._has_ended = False
        self._is_end_known = False
        self._is_write_closed = False
        self._is_closing = False
        self._is_paused = False
        # Written data that is not encrypted yet, and whether the client's protocol knows of it.
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._is_tcp_full = False
        self._is_writing_paused = False

    # The protocol of the TCP transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake; the connection counts from now on."""
        self._tcp = cast("asyncio.Transport", transport)
        self._client.connection_made(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Cancel the request of a client that has gone."""
        self._is_closing = True
        self._drop_unsent()
        self._client.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on the data, decrypted."""
        if self._is_closing:
            return
        if self._is_write_closed:
            # Only the number of the bytes matters after the last response.
            self._client.data_received(data)
            return
        self._incoming.write(data)
        if self._is_established or self._continue_handshake():
            self._read()

    def eof_received(self) -> bool:
        """Pass on that the client sends no more; return whether the TCP connection stays open."""
        if not self._is_established or self._is_closing:
            return False
        if not self._has_ended:
            self._end()
        return True

    def pause_writing(self) -> None:
        """Pause the encryption: the client reads too slowly."""
        self._is_tcp_full = True
        self._report_writing()

    def resume_writing(self) -> None:
        """Resume the encryption: the client has read most of what was sent."""
        self._is_tcp_full = False
        self._send_unsent()

    def _continue_handshake(self) -> bool:
        """Return whether the handshake has ended."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._fail_handshake(error)
            return False
        self._flush()
        self._is_established = True
        return True

    def _fail_handshake(self, error: ssl.SSLError) -> None:
        reason = (error.reason or "unknown").lower().replace("_", " ")
        log.debug(
            "TLS handshake failed, closing the connection: client_address=%s reason=%s",
            (self.get_extra_info("peername") or ("",))[0],
            reason,
        )
        if error.reason == "HTTP_REQUEST":
            self._tcp.write(_PLAIN_HTTP_ANSWER)
        else:
            self._flush()
        self._close_tcp()

    def _read(self) -> None:
        tls, incoming = self._tls, self._incoming
        pieces = []
        has_ended = False
        try:
            while incoming.pending or tls.pending():
                piece = tls.read(_RECORD_BYTES)
                if not piece:
                    has_ended = True
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            log.debug("invalid TLS data, closing the connection: reason=%s", error.reason)
            self.abort()
            return
        self._flush()
        if pieces:
            self._client.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if has_ended and not self._has_ended:
            self._end()

    def _end(self) -> None:
        """Pass on that the client has closed its sending side, unless the client is paused.

        A paused client has not read the data before that yet.
        """
        self._has_ended = True
        if self._is_paused or self._is_closing or self._is_end_known:
            return
        self._is_end_known = True
        if not self._client.eof_received():
            self.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._tcp.write(self._outgoing.read())

    # The transport of the client's protocol

    def is_late(self, now: float, seconds: float) -> bool:
        """Return whether the handshake has taken longer than `seconds`.

        `now` is the loop's time in seconds.
        """
        return not self._is_established and now - self._began > seconds

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data, encrypted."""
        if self._is_closing or self._is_write_closed or not self._is_established:
            return
        if not self._unsent and not self._is_tcp_full and len(data) <= _STEP_BYTES:
            self._encrypt(data)
        elif data:
            self._unsent.append(memoryview(data))
            self._unsent_bytes += len(data)
            if len(self._unsent) == 1:
                self._send_unsent()

    def _send_unsent(self) -> None:
        """Send one step of the written data, and the next one soon, unless TCP is full."""
        if self._unsent and not self._is_tcp_full and not self._is_closing:
            first = self._unsent.popleft()
            if len(first) > _STEP_BYTES:
                self._unsent.appendleft(first[_STEP_BYTES:])
            step = first[:_STEP_BYTES]
            self._unsent_bytes -= len(step)
            self._encrypt(step)
            if self._unsent and not self._is_tcp_full:
                self._loop.call_soon(self._send_unsent)
        self._report_writing()

    def _send_all(self) -> None:
        """Send all of the written data: nothing can follow."""
        while self._unsent:
            each = self._unsent.popleft()
            self._unsent_bytes -= len(each)
            self._encrypt(each)

    def _encrypt(self, data: bytes | bytearray | memoryview) -> None:
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            log.debug("cannot encrypt, closing the connection: reason=%s", error.reason)
            self.abort()
        else:
            self._flush()

    def _drop_unsent(self) -> None:
        self._unsent.clear()
        self._unsent_bytes = 0

    def _report_writing(self) -> None:
        """Pass on whether written data waits for the client to read."""
        is_paused = self._is_tcp_full or bool(self._unsent)
        if is_paused != self._is_writing_paused:
            self._is_writing_paused = is_paused
            if is_paused:
                self._client.pause_writing()
            else:
                self._client.resume_writing()

    def can_write_eof(self) -> bool:
        """Return that one direction can be closed alone."""
        return True

    def write_eof(self) -> None:
        """Close the sending side; the client may still send."""
        if self._is_closing or self._is_write_closed:
            return
        self._send_all()
        self._send_close_notify()
        self._is_write_closed = True
        self._tcp.write_eof()

    def close(self) -> None:
        """Send what was written, and close the connection."""
        if self._is_closing:
            return
        if not self._is_write_closed:
            self._send_all()
            self._send_close_notify()
        self._close_tcp()

    def abort(self) -> None:
        """Close the connection at once."""
        self._is_closing = True
        self._drop_unsent()
        self._tcp.abort()

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or about to be."""
        return self._is_closing or self._tcp.is_closing()

    def _close_tcp(self) -> None:
        self._is_closing = True
        self._tcp.close()

    def _send_close_notify(self) -> None:
        if self._is_established:
            # An error is that the client has not closed its side yet.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()

    def pause_reading(self) -> None:
        """Stop reading from the socket."""
        self._is_paused = True
        self._tcp.pause_reading()

    def resume_reading(self) -> None:
        """Read from the socket again."""
        if self._is_paused and self._has_ended:
            self._loop.call_soon(self._end)
        self._is_paused = False
        self._tcp.resume_reading()

    def is_reading(self) -> bool:
        """Return whether the socket is read."""
        return self._tcp.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set how many bytes may wait until writing is paused, and until it is resumed."""
        self._tcp.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait to be sent."""
        return self._unsent_bytes + self._tcp.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the limits of `set_write_buffer_limits`: low, high."""
        return self._tcp.get_write_buffer_limits()

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol of the client's connection."""
        return self._client  # type: ignore[return-value] # a structural type of the same methods

    # asyncio declares both values as Any.
    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401
        """Return what is known of the connection, such as `peername`."""
        if name == "sslcontext":
            return self._context
        if name == "ssl_object":
            return self._tls
        return self._tcp.get_extra_info(name, default)
