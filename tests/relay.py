"""A port that relays to PostgreSQL, until a test makes it silent."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

import pytest


class Relay:
    """A port that relays to PostgreSQL, or that accepts connections and never answers."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._server: asyncio.Server | None = None
        self.is_silent = False
        self.host = ""
        self.is_relaying = asyncio.Event()
        self.is_relaying.set()
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def connections(self) -> int:
        """The number of connections that were made: here, and to PostgreSQL."""
        return len(self._writers)

    def url_of(self, database: str) -> str:
        """Return the URL of a database of the server, through this port."""
        return f"postgresql://postgres@{self.host}{urlsplit(database).path}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.host = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if self.is_silent:
            return
        directory = urlsplit(self._url).query.removeprefix("host=")
        there = await asyncio.open_unix_connection(f"{directory}/.s.PGSQL.5432")
        self._writers.append(there[1])
        await asyncio.gather(self._copy(reader, there[1]), self._copy(there[0], writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                await self.is_relaying.wait()
                writer.write(data)
        writer.close()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.close()


async def opened_relay(url: str) -> Relay:
    """Return a relay to a PostgreSQL server; skip the test if that is reached by no Unix socket."""
    if not urlsplit(url).query.startswith("host=/"):
        pytest.skip("QUEUESERVER_TEST_POSTGRES is not the path of a Unix socket")
    relay = Relay(url)
    await relay.open()
    return relay
