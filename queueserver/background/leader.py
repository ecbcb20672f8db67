"""The leader's work: upkeep and message move tasks, done by one server for the whole database.

A server can become the leader, or stop being it, at any time. Work that was started has ended
before it is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from queueserver.background.move_task_runner import MoveTaskRunner
from queueserver.background.upkeep import Upkeep

log = logging.getLogger(__name__)


class LeaderWork:
    """The leader's work, started and stopped as the database elects the leader."""

    def __init__(self, upkeep: Upkeep, runner: MoveTaskRunner) -> None:
        self._upkeep = upkeep
        self._runner = runner
        self._is_leader = False
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="leader work")

    def start(self) -> None:
        """Start working: this server has become the leader."""
        self._is_leader = True
        self._changed.set()

    def stop(self) -> None:
        """Stop working: this server is not the leader any more."""
        self._is_leader = False
        self._changed.set()

    def run_soon(self) -> None:
        """Do the work that a transaction has just left, without waiting for the next round."""
        self._upkeep.run_soon()
        self._runner.run_soon()

    def resync(self) -> None:
        """Check for new move tasks; upkeep waits for its next round."""
        self._runner.run_soon()

    async def close(self) -> None:
        """Stop working for good."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._stop_work()

    async def _run(self) -> None:
        is_working = False
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._is_leader and not is_working:
                log.debug("this server is the leader: starting upkeep and message move tasks")
                self._upkeep.start()
                self._runner.start()
                is_working = True
            elif is_working and not self._is_leader:
                await self._stop_work()
                is_working = False

    async def _stop_work(self) -> None:
        await self._upkeep.stop()
        await self._runner.stop()
