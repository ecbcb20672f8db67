"""Record a load, cut the power at many moments of it, and check what each cut leaves."""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from queueserver.start_errors import StartError
from tests.api.live_server import LiveServer, config
from tests.bench.processes import started
from tests.clock import ManualClock
from tests.crash.load import ROUTES, SETTING, Load
from tests.histories.checker import Finding, check
from tests.histories.client import Addresses, CallCounts
from tests.histories.history import History, Outcome
from tests.histories.recording_client import RecordingClient
from tests.power.recording import Disk, Kind, Step, steps

DATABASE = "queueserver.db"

KEPT = (0.0, 0.5, 0.9, 1.0)
"""Shares of the unsynced steps that a cut keeps: none, a random half, most, all."""

_LATER_MS = 3_600_000
"""Time from the load to the restart, in which every visibility timeout ends."""

_MIN_SENDS = 200
"""Sends that return after the time is over, so that a slow machine has messages to lose."""

_MAX_RECEIVES = 1_000
"""Receives that find more messages than any queue here can have."""


class RecordedLoad(Load):
    """A load whose times are sizes of the recording in bytes.

    An operation that returned at a size cannot depend on steps that were recorded later.
    """

    def __init__(self, seed: int, recording: Path) -> None:
        super().__init__(seed)
        self._recording = recording

    def now(self) -> float:
        return self._recording.stat().st_size


@dataclass
class Report:
    """What a run did and found.

    Attributes:
        acknowledgements: how many the checks relied on, over all cuts.
    """

    seed: int
    steps: int
    syncs: int
    cuts: int = 0
    acknowledgements: int = 0
    findings: list[Finding] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        summary = (
            f"seed {self.seed}: {self.steps} steps, {self.syncs} syncs, {self.cuts} cuts;"
            f" {self.acknowledgements} acknowledgements checked; {len(self.findings)} findings"
        )
        return [
            summary,
            *(f"  {finding.rule}: {finding.detail}" for finding in self.findings[:20]),
        ]


def record(directory: Path, seed: int, seconds: float) -> tuple[History, list[Step]]:
    """Run a server under load; return what its clients saw and what it did to files."""
    recording = directory / "recording"
    database = f"sqlite:///{directory / DATABASE}"
    arguments = ("tests.power.recorder", str(recording), "--port", "0", "--database", database)

    async def run_load(url: str) -> History:
        load = RecordedLoad(seed, recording)
        load.addresses.set(url)
        await load.create_queues()
        acting = asyncio.create_task(load.run())
        await asyncio.sleep(seconds)
        await load.progress(_MIN_SENDS)
        load.end()
        await acting
        assert not load.counts.server_errors, load.counts.server_errors[:3]
        return load.history

    with started(*arguments) as server:
        history = asyncio.run(run_load(server.url))
        # SQLite still knows its files by the names that they were opened with.
        assert (directory / f"{DATABASE}-shm").exists()
    return history, list(steps(recording))


def cut(history: History, done: Sequence[Step], cuts: int, seed: int) -> Report:
    """Cut the power so many times, in order of time, and check what each cut leaves."""
    report = Report(seed, len(done), sum(step.kind is Kind.SYNCED for step in done))
    rng = random.Random(seed)
    disk = Disk()
    remaining = iter(done)
    step = next(remaining, None)
    for moment in _moments(history, done, cuts, rng):
        while step is not None and step.position < moment:
            disk.take(step)
            step = next(remaining, None)
        files = disk.cut(rng, KEPT[report.cuts % len(KEPT)])
        before = until(history, moment)
        report.cuts += 1
        report.acknowledgements += before.acknowledged_sends() + before.acknowledged_deletes()
        with tempfile.TemporaryDirectory(prefix="queueserver-power-") as made:
            report.findings += examine(Path(made), files, before, moment)
    return report


def _moments(history: History, done: Sequence[Step], cuts: int, rng: random.Random) -> list[float]:
    """Choose moments: half of them between any two steps, half just when a call returned."""
    returns = [one.returned for one in history.sends] + [one.returned for one in history.deletes]
    between = [step.position for step in done]
    return sorted(rng.choice((returns, between)[number % 2]) for number in range(cuts))


def until(history: History, moment: float) -> History:
    """Return what had happened by a moment: calls that had not returned are of unknown outcome."""

    def outcome(returned: float, recorded: Outcome) -> Outcome:
        return recorded if returned <= moment else "unknown"

    return History(
        sends=[
            one._replace(outcome=outcome(one.returned, one.outcome))
            for one in history.sends
            if one.called <= moment
        ],
        # Positions are not seconds: they cannot be compared with visibility timeouts.
        receives=[
            one._replace(visibility_seconds=None)
            for one in history.receives
            if one.returned <= moment
        ],
        deletes=[
            one._replace(outcome=outcome(one.returned, one.outcome))
            for one in history.deletes
            if one.called <= moment
        ],
        removals=[
            one._replace(outcome=outcome(one.returned, one.outcome))
            for one in history.removals
            if one.called <= moment
        ],
    )


def examine(
    directory: Path, files: Mapping[str, bytes], before: History, moment: float
) -> Iterator[Finding]:
    """Start a server on the files, receive all that it has, and yield what is wrong."""
    for path, content in files.items():
        (directory / Path(path).name).write_bytes(content)
    database = directory / DATABASE
    clock = ManualClock(time.time_ns() // 1_000_000 + _LATER_MS)
    try:
        server = LiveServer(config(f"sqlite:///{database}"), clock)
    except StartError as error:
        yield Finding("the server does not start", str(error))
        return
    try:
        failures = asyncio.run(drain(server.url, before, moment))
    finally:
        server.close()
    if failures:
        yield Finding("the server cannot read its database", failures[0])
        return
    yield from check(before, SETTING)
    connection = sqlite3.connect(database)
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Finding("the file is damaged", line)
    connection.close()


async def drain(url: str, before: History, moment: float) -> list[str]:
    """Receive and delete all messages, and record it; return server errors, which end it.

    A move task may still move messages from one queue to another.
    """
    counts = CallCounts()
    times = itertools.count(int(moment) + 1)
    client = RecordingClient(
        Addresses(url), before.add, observe=counts.add, now=lambda: next(times)
    )

    async def empty(queue: str) -> int:
        for receives in range(_MAX_RECEIVES):
            messages = await client.receive(queue, is_drain=True)
            if not messages:
                return receives
            await client.delete_batch(queue, messages)
        return 0

    quiet = 0
    async with client:
        while quiet < 2 and not counts.server_errors:
            quiet = 0 if sum([await empty(queue) for queue in ROUTES]) else quiet + 1
    return counts.server_errors
