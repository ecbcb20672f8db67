"""One run: a load, its recording, and what the checker says of the disk at many moments of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from queueserver.start_errors import StartError
from tests.api.live_server import LiveServer, config
from tests.api.raw_http import exchange, json_headers
from tests.bench.processes import started
from tests.clock import ManualClock
from tests.crash.checker import Checker, Finding
from tests.crash.history import Delete, History, Message, Outcome, Receive
from tests.crash.load import HOMES, Load
from tests.power.recording import Disk, Kind, Step, steps

DATABASE = "queueserver.db"

KEPT = (0.0, 0.5, 0.9, 1.0)
"""How much is there of what was not synced: nothing, a random half, most of it, all."""

_LATER_MS = 3_600_000
"""The power comes back when every visibility timeout is over."""

_ENOUGH_SENDS = 200
"""What is sent at least, after the time is over."""

_ENDLESS = 1_000
"""So many receives find what no queue here can have."""


class RecordedLoad(Load):
    """A load whose times are positions of the recording: what was not done then cannot count."""

    def __init__(self, seed: int, recording: Path) -> None:
        super().__init__(seed)
        self._recording = recording

    def now(self) -> float:
        return self._recording.stat().st_size


@dataclass
class Report:
    """What was cut how often, and what was found."""

    seed: int
    steps: int
    syncs: int
    cuts: int = 0
    held: int = 0
    findings: list[Finding] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Put it in a few lines."""
        summary = (
            f"seed {self.seed}: {self.steps} steps, {self.syncs} syncs, {self.cuts} cuts;"
            f" {self.held} acknowledgements held to them; {len(self.findings)} findings"
        )
        return [
            summary,
            *(f"  {finding.promise}: {finding.what}" for finding in self.findings[:20]),
        ]


def record(directory: Path, seed: int, seconds: float) -> tuple[History, list[Step]]:
    """Let a server work for a while; give what its clients saw and what it did to files."""
    recording = directory / "recording"
    database = f"sqlite:///{directory / DATABASE}"
    arguments = ("tests.power.recorder", str(recording), "--port", "0", "--database", database)

    async def load(url: str) -> History:
        load = RecordedLoad(seed, recording)
        load.url = url
        load.is_up.set()
        await load.create_queues()
        acting = asyncio.create_task(load.run())
        await asyncio.sleep(seconds)
        # On a slow machine there is to be something to lose, too.
        await load.progress(_ENOUGH_SENDS)
        load.end()
        await acting
        assert not load.failures, load.failures[:3]
        return load.history

    with started(*arguments) as server:
        history = asyncio.run(load(server.url))
        # SQLite still knows its files by the names that they were opened with.
        assert (directory / f"{DATABASE}-shm").exists()
    return history, list(steps(recording))


def cut(history: History, done: Sequence[Step], cuts: int, seed: int) -> Report:
    """Cut the power so many times, in order of time, and check what is left each time."""
    report = Report(seed, len(done), sum(step.kind is Kind.SYNCED for step in done))
    chances = random.Random(seed)
    disk = Disk()
    remaining = iter(done)
    step = next(remaining, None)
    for moment in _moments(history, done, cuts, chances):
        while step is not None and step.position < moment:
            disk.take(step)
            step = next(remaining, None)
        files = disk.cut(chances, KEPT[report.cuts % len(KEPT)])
        before = until(history, moment)
        report.cuts += 1
        report.held += sum(send.outcome == "done" for send in before.sends)
        report.held += sum(delete.outcome == "done" for delete in before.deletes)
        with tempfile.TemporaryDirectory(prefix="queueserver-power-") as made:
            report.findings += examine(Path(made), files, before, moment)
    return report


def _moments(
    history: History, done: Sequence[Step], cuts: int, chances: random.Random
) -> list[float]:
    """Choose moments: half of them between any two steps, half just when something is told."""
    told = [one.returned for one in history.sends] + [one.returned for one in history.deletes]
    between = [step.position for step in done]
    return sorted(chances.choice((told, between)[number % 2]) for number in range(cuts))


def until(history: History, moment: float) -> History:
    """Give what had happened by a moment: what was not answered may have been done, or not."""

    def outcome(returned: float, told: Outcome) -> Outcome:
        return told if returned <= moment else "unknown"

    return History(
        [
            one._replace(outcome=outcome(one.returned, one.outcome))
            for one in history.sends
            if one.called <= moment
        ],
        [one for one in history.receives if one.returned <= moment],
        [
            one._replace(outcome=outcome(one.returned, one.outcome))
            for one in history.deletes
            if one.called <= moment
        ],
        [
            one._replace(outcome=outcome(one.returned, one.outcome))
            for one in history.removals
            if one.called <= moment
        ],
    )


def examine(
    directory: Path, files: Mapping[str, bytes], before: History, moment: float
) -> Iterator[Finding]:
    """Start a server on what is left, receive all that it has, and see if that can be right."""
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
        drain(server.url, before, moment)
    except _Unreadable as error:
        yield Finding("what is there cannot be read", str(error))
        return
    finally:
        server.close()
    yield from Checker(before, HOMES).findings()
    connection = sqlite3.connect(database)
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Finding("the file is damaged", line)
    connection.close()


class _Unreadable(Exception):
    """The server says that it cannot do what it should."""


def drain(url: str, before: History, moment: float) -> None:
    """Receive and delete all that is there, and note it; a move task may still be at work."""
    at = itertools.count(int(moment) + 1)

    def ask(action: str, **parameters: object) -> dict[str, Any]:
        answer = exchange(url, headers=json_headers(action), body=json.dumps(parameters))
        if answer.status >= 500:
            raise _Unreadable(f"{action}: {answer.body!r}")
        found: dict[str, Any] = json.loads(answer.body or "{}")
        return found

    def empty(queue: str) -> int:
        for count in range(_ENDLESS):
            called = next(at)
            told = ask("ReceiveMessage", QueueUrl=queue, MaxNumberOfMessages=10)
            found = [
                (Message(one["Body"], one["MessageId"], one["MD5OfBody"]), one["ReceiptHandle"])
                for one in told.get("Messages", ())
            ]
            messages = [message for message, _ in found]
            before.receives.append(Receive(queue, called, next(at), messages, is_last=True))
            if not found:
                return count
            entries = [
                {"Id": str(n), "ReceiptHandle": handle} for n, (_, handle) in enumerate(found)
            ]
            called = next(at)
            ask("DeleteMessageBatch", QueueUrl=queue, Entries=entries)
            returned = next(at)
            before.deletes += [
                Delete(queue, one.body, called, returned, "done") for one in messages
            ]
        return 0

    quiet = 0
    while quiet < 2:
        quiet = 0 if sum(map(empty, HOMES)) else quiet + 1
