"""One soak: a server, the load, a sample now and then, and what is found in the end."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.api.server_process import ServerProcess
from tests.bench.processes import Server
from tests.soak.clients import PATIENCE_SECONDS
from tests.soak.load import Load
from tests.soak.watch import (
    MIB,
    PARTS,
    SLOWER,
    Sample,
    descriptors,
    growth,
    percentile,
    size,
)

_SAMPLES = 600
_LINES = 60


@dataclass
class Soak:
    """One run of so many seconds; lines go to `say` as they come.

    Attributes:
        samples: what the server used, from moment to moment.
        findings: what must not have been; an empty list is what is wanted.
        latencies: of each sixth of the run, in seconds.
    """

    database: str
    directory: Path
    seconds: float
    per_second: float
    seed: int
    say: Callable[[str], None]
    samples: list[Sample] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    latencies: list[array[float]] = field(default_factory=list)

    async def run(self) -> None:
        """Start the server, load it, and hold what it then is against what it may be."""
        self.latencies = [array("d") for _ in range(PARTS)]
        with await asyncio.to_thread(
            ServerProcess, "--database", self.database, directory=self.directory
        ) as process:
            server = Server(process.url, process.pid)
            load = Load(process.url, self.per_second, self.seed)
            await load.prepare()
            watching = asyncio.create_task(self._watch(server, load))
            await load.run(self.seconds)
            await watching
            await load.settle()
            load.clients.close()
            self.findings += [*load.findings(), *growth(self.samples)]
            self.findings += await _left_open(server)
            ledger = load.ledger
            received = ", ".join(f"{name} {n}" for name, n in sorted(ledger.received.items()))
            self.say(f"{ledger.sent} sent, {ledger.deleted} deleted; received: {received}")
            status, _, errors = await asyncio.to_thread(process.stop)
            if (status, errors) != (0, ""):
                self.findings.append(f"it ended with status {status}, and said {errors[-2_000:]!r}")
        self._conclude()

    async def _watch(self, server: Server, load: Load) -> None:
        began = time.monotonic()
        lines = 0
        for number in range(1, _SAMPLES + 1):
            due = began + self.seconds * number / _SAMPLES
            # What is late is not made up for: samples of one moment would count as many.
            await asyncio.sleep(max(due - time.monotonic(), self.seconds / _SAMPLES / 2))
            if load.findings():
                return
            self._sample(server, load, time.monotonic() - began)
            if number * _LINES >= (lines + 1) * _SAMPLES:
                lines += 1
                self.say(self._line())

    def _sample(self, server: Server, load: Load, seconds: float) -> None:
        connections, others = _descriptors(server)
        path = self.database.removeprefix("sqlite:///")
        self.samples.append(
            Sample(
                seconds,
                server.resident_bytes(),
                connections,
                connections - load.clients.open,
                others,
                size(Path(path)),
                size(Path(f"{path}-wal")),
                load.clients.requests,
                load.ledger.waiting(),
                server.usage().cpu_seconds,
            )
        )
        part = min(int(seconds / self.seconds * PARTS), PARTS - 1)
        self.latencies[part].extend(load.clients.latencies)
        load.clients.latencies.clear()

    def _line(self) -> str:
        last = self.samples[-1]
        first = self.samples[max(len(self.samples) - _SAMPLES // _LINES - 1, 0)]
        seconds = (last.seconds - first.seconds) or last.seconds
        return (
            f"{last.seconds / 60:6.1f} min: {(last.requests - first.requests) / seconds:4.0f}"
            f" requests/s, CPU {(last.cpu_seconds - first.cpu_seconds) / seconds:4.0%},"
            f" {last.waiting} wait, RSS {last.resident_bytes / MIB:.1f} MiB,"
            f" {last.connections} connections, {last.others} other descriptors,"
            f" database {last.database_bytes / MIB:.1f} MiB, log {last.log_bytes / MIB:.1f} MiB"
        )

    def _conclude(self) -> None:
        for number, latencies in enumerate(self.latencies, 1):
            p50, p99 = percentile(latencies, 0.5), percentile(latencies, 0.99)
            self.say(f"sixth {number}: p50 {p50:.2f} ms, p99 {p99:.2f} ms of {len(latencies)}")
        early, late = (percentile(self.latencies[part], 0.99) for part in (1, PARTS - 1))
        if early and late > SLOWER * early:
            # Machines are shared: this alone is no fault of the server's.
            self.say(f"the last sixth's p99 is {late / early:.1f} times the second's")
        for finding in self.findings[:20]:
            self.say(f"found: {finding}")


def _descriptors(server: Server) -> tuple[int, int]:
    assert server.pid is not None
    return descriptors(server.pid, urlsplit(server.url).port or 0)


async def _left_open(server: Server) -> list[str]:
    """Tell how many connections the server keeps after all have hung up."""
    until = time.monotonic() + PATIENCE_SECONDS
    while left := _descriptors(server)[0]:
        if time.monotonic() > until:
            return [f"{left} connections are open that nobody has"]
        await asyncio.sleep(0.05)
    return []
