"""Servers on a database of their own, and what is done to all of them."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.api.databases import execute
from tests.cluster.crowd import Client
from tests.cluster.history import History
from tests.cluster.postgres import Postgres
from tests.cluster.servers import Servers

SERVERS = 4
RECOVERY_SECONDS = 5.0
"""How long it may take until all is well again, and how long anybody may wait for an answer."""


@asynccontextmanager
async def cluster(
    primary: Postgres,
    directory: Path,
    count: int = SERVERS,
    *arguments: str,
    ahead_seconds: int = 0,
) -> AsyncIterator[Servers]:
    """Give servers on a database of their own; every second one has a wrong clock, if any."""
    name = f"cluster_{uuid.uuid4().hex}"
    await asyncio.to_thread(execute, primary.url, f"CREATE DATABASE {name}")
    url = primary.url.rpartition("/")[0] + f"/{name}"
    async with Servers(directory, url, count, *arguments, ahead_seconds=ahead_seconds) as servers:
        yield servers
    await asyncio.to_thread(execute, primary.url, f"DROP DATABASE {name} WITH (FORCE)")


async def all_recover(servers: Servers) -> float:
    """Tell how long it takes until every server has answered a write with success."""
    began = time.monotonic()

    async def recover(url: str) -> None:
        client = Client([url], History(), 0)
        status = 0
        while status != 200:
            status, _, _ = await client.ask("CreateQueue", QueueName="recovered")
        client.close()

    await asyncio.gather(*(recover(url) for url in servers.urls))
    return time.monotonic() - began
