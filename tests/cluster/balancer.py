"""A minimal load balancer: it passes connections to the servers in turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from urllib.parse import urlsplit

_CHUNK_BYTES = 65_536


class Balancer:
    """Listens on its own port inside its `async with` block.

    It skips a server that it cannot connect to. It does not read the bytes, and retries nothing.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._addresses = [(urlsplit(url).hostname, urlsplit(url).port) for url in urls]
        self._next = 0
        self._pairs: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> Balancer:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for pair in self._pairs:
            pair.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        task.add_done_callback(self._pairs.discard)
        try:
            server_reader, server_writer = await self._connect()
        except ConnectionError:
            await _close(writer)
            return
        # When one side closes its connection, the other's must be closed, too.
        directions = [
            asyncio.create_task(_copy(reader, server_writer)),
            asyncio.create_task(_copy(server_reader, writer)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(_close(writer), _close(server_writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in self._addresses:
            self._next += 1
            host, port = self._addresses[self._next % len(self._addresses)]
            with contextlib.suppress(ConnectionError):
                return await asyncio.open_connection(host, port)
        raise ConnectionError("no server accepts a connection")


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while content := await reader.read(_CHUNK_BYTES):
            writer.write(content)
            await writer.drain()
