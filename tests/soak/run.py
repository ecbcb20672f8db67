"""One soak: run a server under load, sample its resource usage, and report findings."""

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
from tests.soak.load import Load
from tests.soak.resources import (
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
_CLOSE_SECONDS = 30
"""Time in which the server must close the connections that the client has closed."""


@dataclass
class Soak:
    """One run of a given duration.

    Attributes:
        per_second: how many actions of the load begin in a second.
        write_line: called with each line of the report as soon as it is known.
        samples: the resource usage of the server, in order of time.
        findings: one text for each violation.
        latencies: seconds until answers, for each sixth of the run.
    """

    database: str
    directory: Path
    seconds: float
    per_second: float
    seed: int
    write_line: Callable[[str], None]
    samples: list[Sample] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    latencies: list[array[float]] = field(default_factory=list)

    async def run(self) -> None:
        """Start the server, run the load, and collect the findings."""
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
            load.client.close()
            self.findings += [*load.findings(), *growth(self.samples)]
            self.findings += await _left_open(server)
            backlog = load.backlog
            received = ", ".join(f"{name} {n}" for name, n in sorted(backlog.received.items()))
            self.write_line(f"{backlog.sent} sent, {backlog.deleted} deleted; received: {received}")
            status, _, errors = await asyncio.to_thread(process.stop)
            if (status, errors) != (0, ""):
                self.findings.append(
                    f"the server ended with status {status} and logged {errors[-2_000:]!r}"
                )
        self._conclude()

    async def _watch(self, server: Server, load: Load) -> None:
        began = time.monotonic()
        lines = 0
        for number in range(1, _SAMPLES + 1):
            due = began + self.seconds * number / _SAMPLES
            # After a delay, late samples keep a distance: else many would show the same state.
            await asyncio.sleep(max(due - time.monotonic(), self.seconds / _SAMPLES / 2))
            if load.findings():
                return
            self._sample(server, load, time.monotonic() - began)
            if number * _LINES >= (lines + 1) * _SAMPLES:
                lines += 1
                self.write_line(self._line())

    def _sample(self, server: Server, load: Load, seconds: float) -> None:
        connections, others = _descriptors(server)
        path = self.database.removeprefix("sqlite:///")
        self.samples.append(
            Sample(
                seconds,
                server.resident_bytes(),
                connections,
                # The server may not have accepted some of the client's connections yet.
                max(connections - load.client.open_connections, 0),
                others,
                size(Path(path)),
                size(Path(f"{path}-wal")),
                load.requests,
                load.backlog.count(),
                server.usage().cpu_seconds,
            )
        )
        part = min(int(seconds / self.seconds * PARTS), PARTS - 1)
        self.latencies[part].extend(load.latencies)
        load.latencies.clear()

    def _line(self) -> str:
        last = self.samples[-1]
        first = self.samples[max(len(self.samples) - _SAMPLES // _LINES - 1, 0)]
        seconds = (last.seconds - first.seconds) or last.seconds
        return (
            f"{last.seconds / 60:6.1f} min: {(last.requests - first.requests) / seconds:4.0f}"
            f" requests/s, CPU {(last.cpu_seconds - first.cpu_seconds) / seconds:4.0%},"
            f" backlog {last.backlog}, RSS {last.resident_bytes / MIB:.1f} MiB,"
            f" {last.connections} connections, {last.other_descriptors} other descriptors,"
            f" database {last.database_bytes / MIB:.1f} MiB, log {last.log_bytes / MIB:.1f} MiB"
        )

    def _conclude(self) -> None:
        for number, latencies in enumerate(self.latencies, 1):
            p50, p99 = percentile(latencies, 0.5), percentile(latencies, 0.99)
            self.write_line(
                f"sixth {number}: p50 {p50:.2f} ms, p99 {p99:.2f} ms of {len(latencies)}"
            )
        early, late = (percentile(self.latencies[part], 0.99) for part in (1, PARTS - 1))
        if early and late > SLOWER * early:
            # A note, not a finding: other processes of the machine may be the cause.
            self.write_line(f"the last sixth's p99 is {late / early:.1f} times the second's")
        for finding in self.findings[:20]:
            self.write_line(f"found: {finding}")


def _descriptors(server: Server) -> tuple[int, int]:
    assert server.pid is not None
    return descriptors(server.pid, urlsplit(server.url).port or 0)


async def _left_open(server: Server) -> list[str]:
    """Return a finding if the server keeps connections that the client has closed."""
    deadline = time.monotonic() + _CLOSE_SECONDS
    while left := _descriptors(server)[0]:
        if time.monotonic() > deadline:
            return [f"the server has {left} open connections, and the client has none"]
        # The server closes them when it notices, as a real process does.
        await asyncio.sleep(0.05)
    return []
