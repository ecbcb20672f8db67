"""Record a load, cut the power at many times, and check the data after each cut."""

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
"""Sends that return after the time is over: then a slow machine has sent enough messages."""

_MAX_RECEIVES = 1_000
"""Number of receives that would return more messages than any queue here has."""


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
    """The counts and findings of a run.

    Attributes:
        acknowledgements: number of acknowledgements that were checked, over all cuts.
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
    """Run a server under load; return its clients' history and its steps on files."""
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
    """Cut the power `cuts` times, in order of time, and check the data after each cut."""
    report = Report(seed, len(done), sum(step.kind is Kind.SYNCED for step in done))
    rng = random.Random(seed)
    disk = Disk()
    remaining = iter(done)
    step = next(remaining, None)
    for cut_at in _cut_times(history, done, cuts, rng):
        while step is not None and step.position < cut_at:
            disk.take(step)
            step = next(remaining, None)
        files = disk.cut(rng, KEPT[report.cuts % len(KEPT)])
        before = until(history, cut_at)
        report.cuts += 1
        report.acknowledgements += before.acknowledged_sends() + before.acknowledged_deletes()
        with tempfile.TemporaryDirectory(prefix="queueserver-power-") as made:
            report.findings += examine(Path(made), files, before, cut_at)
    return report


def _cut_times(
    history: History, done: Sequence[Step], cuts: int, rng: random.Random
) -> list[float]:
    """Choose times: half of them between any two steps, half at the return of a call."""
    returns = [one.returned for one in history.sends] + [one.returned for one in history.deletes]
    between = [step.position for step in done]
    return sorted(rng.choice((returns, between)[number % 2]) for number in range(cuts))


def until(history: History, cut_at: float) -> History:
    """Return the history until `cut_at`: calls that had not returned have an unknown outcome."""

    def outcome(returned: float, recorded: Outcome) -> Outcome:
        return recorded if returned <= cut_at else "unknown"

    return History(
        sends=[
            one._replace(outcome=outcome(one.returned, one.outcome))
            for one in history.sends
            if one.called <= cut_at
        ],
        # Positions are not seconds: they cannot be compared with visibility timeouts.
        receives=[
            one._replace(visibility_seconds=None)
            for one in history.receives
            if one.returned <= cut_at
        ],
        deletes=[
            one._replace(outcome=outcome(one.returned, one.outcome))
            for one in history.deletes
            if one.called <= cut_at
        ],
        removals=[
            one._replace(outcome=outcome(one.returned, one.outcome))
            for one in history.removals
            if one.called <= cut_at
        ],
    )


def examine(
    directory: Path, files: Mapping[str, bytes], before: History, cut_at: float
) -> Iterator[Finding]:
    """Start a server on the files, receive all its messages, and yield the findings."""
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
        failures = asyncio.run(empty_queues(server.url, before, cut_at))
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


async def empty_queues(url: str, before: History, cut_at: float) -> list[str]:
    """Receive, record and delete all messages until a server error; return the server errors.

    A move task may still move messages from one queue to another.
    """
    counts = CallCounts()
    times = itertools.count(int(cut_at) + 1)
    client = RecordingClient(
        Addresses(url), before.add, observe=counts.add, now=lambda: next(times)
    )

    async def empty(queue: str) -> int:
        for receives in range(_MAX_RECEIVES):
            messages = await client.receive(queue, is_final=True)
            if not messages:
                return receives
            await client.delete_batch(queue, messages)
        return 0

    quiet = 0
    async with client:
        while quiet < 2 and not counts.server_errors:
            quiet = 0 if sum([await empty(queue) for queue in ROUTES]) else quiet + 1
    return counts.server_errors
