"""The HTTP listener: bind the server's address, and stop listening on it."""

from __future__ import annotations

import errno

from aiohttp import web

from queueserver.config import Config
from queueserver.http.connections import ClientConnections, Endpoint
from queueserver.start_errors import StartError

_BACKLOG = 1024
"""Most connections that the system queues until the server accepts them."""

_STOP_SECONDS = 8
"""Time that `stop` gives requests that are being answered."""


class Listener:
    """Listens on one address, from `start` to `stop`."""

    def __init__(self, config: Config, endpoint: Endpoint) -> None:
        self._host = config.host
        self._port = config.port
        self.connections = ClientConnections(config, endpoint)
        self._runner = web.ServerRunner(self.connections, shutdown_timeout=_STOP_SECONDS)

    async def start(self) -> str:
        """Listen; return the URL of the address that is bound.

        Raises:
            StartError: the address cannot be bound.
        """
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, self._host, self._port, backlog=_BACKLOG)
            await site.start()
        except (OSError, UnicodeError) as error:
            await self._runner.cleanup()
            reason = getattr(error, "strerror", None)
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                reason = "address already in use"
            raise StartError(
                f"cannot listen on {self._host}:{self._port}: {reason or error}"
            ) from error
        port = self._runner.addresses[0][1]
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{port}"

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
