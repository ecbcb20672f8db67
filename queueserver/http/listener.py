"""The listener: listen on the server's addresses, for HTTP and HTTPS, and stop listening."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from typing import NamedTuple

from queueserver.config import Config
from queueserver.http.binding import BACKLOG, bind, name_of
from queueserver.http.clients.connections import ClientConnections
from queueserver.http.clients.endpoint import Endpoint
from queueserver.http.clients.tls_connection import TlsConnection
from queueserver.http.tls.certificates import Certificates
from queueserver.identity.proxies import Proxies

_STOP_SECONDS = 8
"""Time that `stop` gives requests that are being answered."""


class _Port(NamedTuple):
    """A port of the settings; `new_connection` returns the protocol of a client's connection."""

    number: int
    scheme: str
    new_connection: Callable[[], asyncio.BaseProtocol]


class Listener:
    """Listens on all ports of all hosts, from `start` to `stop`.

    With certificates, the ports of `tls_port` speak HTTPS. If there are none, all ports do.
    """

    def __init__(
        self,
        config: Config,
        endpoint: Endpoint,
        proxies: Proxies,
        certificates: Certificates | None,
    ) -> None:
        self._hosts = config.host
        self.connections = connections = ClientConnections(config, endpoint, proxies)
        self._certificates = certificates
        self._ports = [_Port(number, "http", connections) for number in config.port]
        if certificates is not None:
            accept = partial(_tls_connection, certificates, connections)
            https = [_Port(number, "https", accept) for number in config.tls_port or config.port]
            self._ports = [*self._ports, *https] if config.tls_port else https
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> tuple[str, ...]:
        """Listen; return a URL for each host and port, in the order of the settings.

        The ports that speak HTTP come before those that speak HTTPS. A free port that the system
        has chosen comes behind the other ports of its host.

        Raises:
            StartError: an address cannot be bound.
        """
        # In the order in which `bind` returns them.
        ports = sorted(self._ports, key=lambda port: port.number == 0)
        schemes: dict[int, str] = {}
        try:
            bound = await bind(self._hosts, [port.number for port in ports])
            for port, (number, sockets) in zip(ports, bound.items(), strict=True):
                schemes[number] = port.scheme
                for each in sockets:
                    await self._accept(each, port.new_connection)
        except BaseException:
            await self._close()
            raise
        if self._certificates is not None:
            self._run(self._certificates.watch())
        return tuple(
            f"{scheme}://{name_of(host, number)}"
            for host in self._hosts
            for number, scheme in schemes.items()
        )

    async def _accept(
        self, listening: socket.socket, new_connection: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        server = await asyncio.get_running_loop().create_server(
            new_connection, sock=listening, backlog=BACKLOG
        )
        self._servers.append(server)

    @property
    def addresses(self) -> list[str]:
        """The IP addresses that are bound."""
        return [each.getsockname()[0] for server in self._servers for each in server.sockets]

    def reload_certificate(self) -> None:
        """Begin to load the TLS certificate again, if there is one.

        If it cannot be used, one line is logged, and the server keeps the one before.
        """
        if self._certificates is not None:
            self._run(self._certificates.reload())

    def _run(self, work: Coroutine[None, None, None]) -> None:
        """Run work until `stop`."""
        task = asyncio.create_task(work, name="certificate")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Stop listening, answer the requests that have arrived, and close all connections."""
        for task in self._tasks:
            task.cancel()
        for server in self._servers:
            server.close()
        await self.connections.begin_stop()
        await self._close()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        # Requests that have arrived begin before the idle connections are closed.
        await asyncio.sleep(0)
        self.connections.pre_shutdown()
        await self.connections.shutdown(_STOP_SECONDS)


def _tls_connection(certificates: Certificates, connections: ClientConnections) -> TlsConnection:
    """Return the protocol of a connection that uses TLS, with the certificate of this time."""
    return TlsConnection(certificates.context, connections())
