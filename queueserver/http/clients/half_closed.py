"""Find out whether a client that has closed its sending side still reads.

A client may close its sending side after its request, and wait for the response. A client that has
gone looks the same: the server sees the end of its data. Only sent bytes show the difference: the
system of a client that has gone answers them with a reset. Every response begins with the same
bytes. Sending these early changes nothing for a client that reads.
"""

from __future__ import annotations

import asyncio
import socket

_BEGINNING = b"HTTP/1."
"""The beginning of every response."""

_PAUSES_SECONDS = (0.05, 1.0, 4.0, 5.0, 5.0, 5.0)
"""Times between two of those bytes. All together last as long as the longest long poll (20 s)."""


class Probe:
    """Sends the beginning of a response, a byte at a time, and disconnects a client that has gone.

    The rest of the response is sent by the caller, without the first `sent` bytes.
    """

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        """Begin to send after `seconds`."""
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self.sent = 0
        self._next: asyncio.Handle
        if seconds:
            self._next = self._loop.call_later(seconds, self._send)
        else:
            self._send()

    def stop(self) -> None:
        """Send no more bytes."""
        self._next.cancel()

    def _send(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_BEGINNING[self.sent : self.sent + 1])
            self.sent += 1
            self._next = self._loop.call_soon(self._check)

    def _check(self) -> None:
        """Disconnect a client whose system has reset the connection.

        The event loop does not report it, because it no longer reads from the connection.
        """
        if self._transport.is_closing():
            return
        connection: socket.socket = self._transport.get_extra_info("socket")
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._transport.abort()
        elif self.sent < len(_BEGINNING):
            self._next = self._loop.call_later(_PAUSES_SECONDS[self.sent - 1], self._send)
