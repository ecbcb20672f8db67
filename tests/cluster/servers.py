"""The servers of a cluster: processes with ports of their own, to be killed and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.api.server_process import environment
from tests.cluster.postgres import free_port

PATIENCE_SECONDS = 30

_SKEWED = """
import sys, time
ahead = int(sys.argv.pop(1)) * 10**9
right = time.time_ns
time.time_ns = lambda: right() + ahead
from queueserver.cli import main
sys.exit(main())
"""
"""The command, on a machine whose clock is so many seconds ahead."""


class ClusterServer:
    """One server, on the same port after every start."""

    def __init__(self, directory: Path, *arguments: str, ahead_seconds: int = 0) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = directory / f"server-{self.port}.log"
        skewed = [sys.executable, "-c", _SKEWED, str(ahead_seconds)]
        plain = [sys.executable, "-m", "queueserver"]
        self._command = [
            *(skewed if ahead_seconds else plain),
            "--port",
            str(self.port),
            *arguments,
        ]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start, and wait until it listens."""
        with self._log.open("a") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=environment(), stdout=subprocess.PIPE, stderr=errors
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE_SECONDS)
        assert b"listening" in line, self.errors()

    def errors(self) -> str:
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            os.kill(self._process.pid, number)

    async def kill(self) -> None:
        self.send(signal.SIGKILL)
        await self.wait()

    async def wait(self) -> int:
        """Wait until it has ended; give its exit status."""
        assert self._process is not None
        status = await asyncio.wait_for(self._process.wait(), PATIENCE_SECONDS)
        assert self._process.stdout is not None
        await self._process.stdout.read()
        return status


class Servers:
    """So many servers on one database; leaving the block kills those that still run."""

    def __init__(
        self, directory: Path, database: str, count: int, *arguments: str, ahead_seconds: int = 0
    ) -> None:
        given = ("--database", database, *arguments)
        self.all: Sequence[ClusterServer] = [
            # Every second one has a clock that is wrong, if any.
            ClusterServer(directory, *given, ahead_seconds=ahead_seconds * (place % 2))
            for place in range(count)
        ]

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.all]

    async def __aenter__(self) -> Servers:
        try:
            await asyncio.gather(*(server.start() for server in self.all))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(server.kill() for server in self.all), return_exceptions=True)
