"""One run: a server that is killed again and again under load, and what the checker says of it."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.api.server_process import ServerProcess
from tests.crash.checker import Checker, Finding
from tests.crash.history import History, Outcome
from tests.crash.load import HOMES, Load

_BUSY_SENDS = 150
"""What is sent at least before every other crash."""


@dataclass
class Report:
    """What a run did and found. `failures` are answers of 5xx, and errors in the server's log."""

    seed: int
    crashes: int
    history: History
    findings: list[Finding]
    failures: list[str]
    counts: Mapping[tuple[str, Outcome], int]

    def lines(self) -> list[str]:
        """Put it in a few lines."""
        sends = [send for send in self.history.sends if send.outcome == "done"]
        deletes = [delete for delete in self.history.deletes if delete.outcome == "done"]
        received = sum(len(receive.messages) for receive in self.history.receives)
        removals = [removal for removal in self.history.removals if removal.outcome == "done"]
        unknown = sum(send.outcome == "unknown" for send in self.history.sends)
        summary = (
            f"seed {self.seed}: {self.crashes} crashes; acknowledged: {len(sends)} sends,"
            f" {len(deletes)} deletes, {len(removals)} purges and ends of queues;"
            f" {received} deliveries; {unknown} sends of unknown outcome;"
            f" {len(self.findings)} findings, {len(self.failures)} failures"
        )
        done = [f"{action} {n}" for (action, how), n in self.counts.items() if how == "done"]
        return [
            summary,
            f"  calls that succeeded: {', '.join(sorted(done))}",
            *(f"  {finding.promise}: {finding.what}" for finding in self.findings[:20]),
            *(f"  failure: {failure}" for failure in self.failures[:20]),
        ]


async def crash(database: str, directory: Path, crashes: int, seed: int) -> Report:
    """Kill a server so often, then let it finish, and check what everybody saw."""
    chances = random.Random(seed)
    load = Load(seed)
    log = directory / "stderr"
    acting: asyncio.Task[None] | None = None
    for number in range(crashes + 1):
        with await asyncio.to_thread(
            ServerProcess, "--database", database, directory=directory
        ) as server:
            load.url = server.url
            load.is_up.set()
            if acting is None:
                await load.create_queues()
                acting = asyncio.create_task(load.run())
            if number < crashes:
                # Often at once, when it still does what it does at the start.
                await asyncio.sleep(chances.uniform(0, 1.0) ** 2 * 1.5)
                if number % 2:
                    # And on a slow machine there is to be something to lose.
                    await load.progress(_BUSY_SENDS)
                load.is_up.clear()
                server.stop(signal.SIGKILL)
            else:
                load.end()
                await acting
                await load.drain()
                assert server.stop()[0] == 0
            load.failures += [line for line in log.read_text().splitlines() if " ERROR " in line]
        if acting.done():
            await acting
    findings = Checker(load.history, HOMES).findings()
    return Report(seed, crashes, load.history, findings, load.failures, load.counts)
