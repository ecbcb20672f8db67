"""Kill a server repeatedly under load, and check its clients' history."""

from __future__ import annotations

import asyncio
import random
import signal
from dataclasses import dataclass
from pathlib import Path

from tests.access.load_access import OFF, LoadAccess
from tests.api.server_process import ServerProcess
from tests.crash.load import SETTING, Load
from tests.encryption import load_encryption
from tests.encryption.load_encryption import LoadEncryption, StoredContents, count_contents
from tests.histories.checker import Finding, check
from tests.histories.client import CallCounts
from tests.histories.history import History

_MIN_SENDS = 150
"""Sends that return before every second crash: then a slow machine has sent enough messages."""


@dataclass
class Report:
    """The counts and findings of a run.

    Attributes:
        failures: server errors: answers with status 5xx, and errors in the server's log.
        stored: the contents in the database when the load ended.
    """

    seed: int
    crashes: int
    history: History
    findings: list[Finding]
    failures: list[str]
    counts: CallCounts
    stored: StoredContents

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        history = self.history
        removals = sum(removal.outcome == "done" for removal in history.removals)
        unknown = sum(send.outcome == "unknown" for send in history.sends)
        summary = (
            f"seed {self.seed}: {self.crashes} crashes; acknowledged:"
            f" {history.acknowledged_sends()} sends, {history.acknowledged_deletes()} deletes,"
            f" {removals} purges and deletions of queues; {history.deliveries()} deliveries;"
            f" {unknown} sends of unknown outcome;"
            f" {len(self.findings)} findings, {len(self.failures)} failures"
        )
        by_action = self.counts.by_action.items()
        done = [f"{action} {count}" for (action, outcome), count in by_action if outcome == "done"]
        return [
            summary,
            f"  calls that succeeded: {', '.join(sorted(done))}",
            f"  contents at the end: {self.stored.clear} clear, {self.stored.encrypted} encrypted",
            *(f"  {finding.rule}: {finding.detail}" for finding in self.findings[:20]),
            *(f"  failure: {failure}" for failure in self.failures[:20]),
        ]


async def crash(
    database: str,
    directory: Path,
    crashes: int,
    seed: int,
    access: LoadAccess = OFF,
    encryption: LoadEncryption = load_encryption.OFF,
) -> Report:
    """Kill a server `crashes` times, empty its queues at the end, and check the history."""
    arguments = ("--database", database, *access.arguments, *encryption.arguments)
    rng = random.Random(seed)
    load = Load(seed, encryption)
    log = directory / "stderr"
    log_errors: list[str] = []
    acting: asyncio.Task[None] | None = None
    stored = StoredContents(0, 0)
    for number in range(crashes + 1):
        with await asyncio.to_thread(ServerProcess, *arguments, directory=directory) as server:
            assert ("access on" in server.line) == (access is not OFF), server.line
            load.addresses.set(access.url(server.url))
            if acting is None:
                await load.create_queues()
                acting = asyncio.create_task(load.run())
            if number < crashes:
                # Short times are frequent: they crash the server while it recovers.
                await asyncio.sleep(rng.uniform(0, 1.0) ** 2 * 1.5)
                if number % 2:
                    await load.progress(_MIN_SENDS)
                load.addresses.set()
                server.stop(signal.SIGKILL)
            else:
                load.end()
                await acting
                stored = await count_contents(database)
                await load.empty_queues()
                assert server.stop()[0] == 0
            log_errors += [line for line in log.read_text().splitlines() if " ERROR " in line]
        if acting.done():
            await acting
    findings = check(load.history, SETTING)
    failures = [*load.counts.server_errors, *log_errors]
    return Report(seed, crashes, load.history, findings, failures, load.counts, stored)
