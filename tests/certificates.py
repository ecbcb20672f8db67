"""TLS for tests: a certificate authority, its certificates, and clients that trust it."""

from __future__ import annotations

import contextlib
import functools
import io
import socket
import ssl
from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec
import trustme

NAMES = ("localhost", "127.0.0.1", "::1")
_RECORD_BYTES = 16 * 1024


@functools.cache
def authority() -> trustme.CA:
    """Return the authority that issues the certificates of a test run."""
    return trustme.CA()


class Files(msgspec.Struct, frozen=True):
    """The paths of a certificate, of its key, and of its issuer's certificate."""

    cert: Path
    key: Path
    ca: Path

    @property
    def flags(self) -> list[str]:
        """The flags of a server that uses them."""
        return ["--tls-cert", str(self.cert), "--tls-key", str(self.key)]

    @property
    def settings(self) -> dict[str, str]:
        """The same as fields of the settings."""
        return {"tls_cert": str(self.cert), "tls_key": str(self.key)}


def write_files(
    directory: Path, expires: datetime | None = None, issuer: trustme.CA | None = None
) -> Files:
    """Write a new certificate for this machine into a directory; replace the one before."""
    directory.mkdir(exist_ok=True)
    files = Files(*(directory / name for name in ("tls.crt", "tls.key", "ca.crt")))
    issuer = issuer or authority()
    issued = issuer.issue_cert(*NAMES, not_after=expires)
    files.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    files.key.touch(mode=0o600)
    files.key.write_bytes(issued.private_key_pem.bytes())
    files.ca.write_bytes(issuer.cert_pem.bytes())
    return files


def client_context(issuer: trustme.CA | None = None) -> ssl.SSLContext:
    """Return the context of a client that trusts the authority alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    (issuer or authority()).configure_trust(context)
    return context


@functools.cache
def usual_client() -> ssl.SSLContext:
    """Return the context of clients without a certificate."""
    return client_context()


class TlsSocket:
    """A client's TLS connection that can close its sending side, as a TCP socket can.

    It has the methods of a socket that the tests use. `ssl.SSLSocket` cannot read any more after
    `shutdown`.
    """

    def __init__(self, tcp: socket.socket, context: ssl.SSLContext, name: str) -> None:
        self._tcp = tcp
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._read_ahead = b""
        self.fileno = tcp.fileno
        self.settimeout = tcp.settimeout
        self.setsockopt = tcp.setsockopt
        self.getsockopt = tcp.getsockopt
        self.getsockname = tcp.getsockname
        try:
            self._shake_hands()
        except BaseException:
            tcp.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tcp.close()

    @property
    def serial_number(self) -> str:
        """The serial number of the server's certificate."""
        certificate = self._tls.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])

    def _shake_hands(self) -> None:
        is_done = False
        while not is_done:
            try:
                self._tls.do_handshake()
                is_done = True
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
        self._flush()
        # The session tickets: `select` must not report them as an answer.
        with contextlib.suppress(ssl.SSLWantReadError):
            self._fill()
            self._tls.read(0)

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]
            self._flush()

    def send(self, data: bytes) -> int:
        self.sendall(data)
        return len(data)

    def recv(self, count: int) -> bytes:
        """Read; return nothing if the server has closed the TLS connection.

        Raises:
            ConnectionResetError: the server has closed the TCP connection alone.
        """
        while not self._read_ahead:
            try:
                piece = self._tls.read(_RECORD_BYTES)
            except ssl.SSLZeroReturnError:  # after `shutdown`
                return b""
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            else:
                if not piece:
                    return b""
                self._read_ahead = piece
                self._read_what_has_arrived()
        data, self._read_ahead = self._read_ahead[:count], self._read_ahead[count:]
        return data

    def _read_what_has_arrived(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while piece := self._tls.read(_RECORD_BYTES):
                self._read_ahead += piece

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def shutdown(self, _how: int) -> None:
        """Close the sending side: of TLS, and of TCP."""
        # OpenSSL reads no more after it has found data while it closes.
        self._read_what_has_arrived()
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        self._tcp.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._tcp.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._tcp.sendall(self._outgoing.read())

    def _fill(self) -> None:
        data = self._tcp.recv(4 * _RECORD_BYTES)
        if not data:
            raise ConnectionResetError("the TCP connection was closed, but not the TLS connection")
        self._incoming.write(data)


class _Reader(io.RawIOBase):
    """The reading side of a TLS connection, as a file."""

    def __init__(self, connection: TlsSocket) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # of a fixed type
        data = self._connection.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)
