"""The servers of a cluster: processes with their own ports, which tests kill and start again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.access.load_access import OFF, LoadAccess, access_on
from tests.api.server_process import environment
from tests.cluster.postgres import Postgres, free_port
from tests.databases import create_database, drop_database
from tests.encryption import load_encryption
from tests.encryption.load_encryption import encryption_on
from tests.histories.client import Addresses, Client

SERVERS = 4
RECOVERY_SECONDS = 5.0
"""Limit of the time until all servers work again, and of the time until any answer."""

_PROCESS_SECONDS = 30
"""Timeout of a server's start and of its end."""

_SERVER_WITH_WRONG_CLOCK = """
import sys, time
ahead = int(sys.argv.pop(1)) * 10**9
right = time.time_ns
time.time_ns = lambda: right() + ahead
from queueserver.cli import main
sys.exit(main())
"""
"""The server's command, on a machine whose clock is ahead by the first argument, in seconds."""


class ClusterServer:
    """One server process, on the same port after every start."""

    def __init__(
        self, directory: Path, access: LoadAccess, *arguments: str, ahead_seconds: int = 0
    ) -> None:
        self.port = free_port()
        self.url = access.url(f"http://127.0.0.1:{self.port}")
        self._log = directory / f"server-{self.port}.log"
        self._checks_access = access is not OFF
        program = ["-m", "queueserver"]
        if ahead_seconds:
            program = ["-c", _SERVER_WITH_WRONG_CLOCK, str(ahead_seconds)]
        given = (*access.arguments, *arguments)
        self._command = [sys.executable, *program, "--port", str(self.port), *given]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start, and wait until the server listens."""
        with self._log.open("a") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=environment(), stdout=subprocess.PIPE, stderr=errors
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), _PROCESS_SECONDS)
        assert b"listening" in line, self.errors()
        assert (b"access on" in line) == self._checks_access, line

    def errors(self) -> str:
        """Return what the server has written to stderr."""
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process runs."""
        if self._process is not None and self._process.returncode is None:
            os.kill(self._process.pid, number)

    async def kill(self) -> None:
        """Kill the process, and wait until it has ended."""
        self.send(signal.SIGKILL)
        await self.wait()

    async def wait(self) -> int:
        """Wait until the process has ended; return its exit status."""
        assert self._process is not None
        status = await asyncio.wait_for(self._process.wait(), _PROCESS_SECONDS)
        assert self._process.stdout is not None
        await self._process.stdout.read()
        return status


class Servers:
    """Several servers on one database; leaving the block kills those that still run.

    If the block fails, it prints the first traceback of each server's log. The servers check access
    if QUEUESERVER_CLUSTER_ACCESS is set; `access` is how a load reaches them. They encrypt if
    QUEUESERVER_CLUSTER_ENCRYPTION is set.
    """

    def __init__(
        self, directory: Path, database: str, count: int, *arguments: str, ahead_seconds: int = 0
    ) -> None:
        """Prepare servers; the clock of every second one is `ahead_seconds` ahead."""
        self.access = access_on(directory) if "QUEUESERVER_CLUSTER_ACCESS" in os.environ else OFF
        self.encryption = load_encryption.OFF
        if "QUEUESERVER_CLUSTER_ENCRYPTION" in os.environ:
            self.encryption = encryption_on(directory)
        given = ("--database", database, *self.encryption.arguments, *arguments)
        self.all: Sequence[ClusterServer] = [
            ClusterServer(directory, self.access, *given, ahead_seconds=ahead_seconds * (place % 2))
            for place in range(count)
        ]

    @property
    def urls(self) -> list[str]:
        """The base URLs of all servers."""
        return [server.url for server in self.all]

    async def __aenter__(self) -> Servers:
        try:
            await asyncio.gather(*(server.start() for server in self.all))
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, failure: object, *_: object) -> None:
        await self._end()
        if not failure:
            is_on = self.encryption is not load_encryption.OFF
            assert all(("encryption is on" in each.errors()) == is_on for each in self.all)
        for server in self.all if failure else ():
            before, found, traceback = server.errors().partition("Traceback")
            if found:
                sys.stdout.write(f"{server.url}:\n{before[-500:]}{found}{traceback[:5_000]}\n")

    async def _end(self) -> None:
        await asyncio.gather(*(server.kill() for server in self.all), return_exceptions=True)

    async def recover(self) -> float:
        """Wait until every server has done a write; return how many seconds that took."""
        began = time.monotonic()

        async def write(url: str) -> None:
            async with Client(Addresses(url)) as client:
                await client.call_until_done("CreateQueue", QueueName="recovered")

        await asyncio.gather(*(write(url) for url in self.urls))
        return time.monotonic() - began


@asynccontextmanager
async def cluster(
    primary: Postgres,
    directory: Path,
    count: int = SERVERS,
    *arguments: str,
    ahead_seconds: int = 0,
) -> AsyncIterator[Servers]:
    """Run servers on a new database of a PostgreSQL; drop it afterwards."""
    url = await asyncio.to_thread(create_database, primary.url)
    async with Servers(directory, url, count, *arguments, ahead_seconds=ahead_seconds) as servers:
        yield servers
    await asyncio.to_thread(drop_database, primary.url, url)
