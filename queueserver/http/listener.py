"""The HTTP listener: listen on the server's addresses, and stop listening on them."""

from __future__ import annotations

from aiohttp import web

from queueserver.config import Config
from queueserver.http.binding import BACKLOG, bind, name_of
from queueserver.http.clients.connections import ClientConnections
from queueserver.http.clients.endpoint import Endpoint

_STOP_SECONDS = 8
"""Time that `stop` gives requests that are being answered."""


class Listener:
    """Listens on all ports of all hosts, from `start` to `stop`."""

    def __init__(self, config: Config, endpoint: Endpoint) -> None:
        self._hosts = config.host
        self._ports = config.port
        self.connections = ClientConnections(config, endpoint)
        self._runner = web.ServerRunner(self.connections, shutdown_timeout=_STOP_SECONDS)

    async def start(self) -> tuple[str, ...]:
        """Listen; return a URL for each host and port, in the order of the settings.

        A free port that the system has chosen comes behind the other ports of its host.

        Raises:
            StartError: an address cannot be bound.
        """
        await self._runner.setup()
        try:
            bound = await bind(self._hosts, self._ports)
            for sockets in bound.values():
                for each in sockets:
                    await web.SockSite(self._runner, each, backlog=BACKLOG).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        return tuple(f"http://{name_of(host, port)}" for host in self._hosts for port in bound)

    @property
    def addresses(self) -> list[str]:
        """The IP addresses that are bound."""
        return [address[0] for address in self._runner.addresses]

    async def stop(self) -> None:
        """Stop listening, answer the requests that have arrived, and close all connections."""
        for site in list(self._runner.sites):
            await site.stop()
        await self.connections.begin_stop()
        await self._runner.cleanup()
