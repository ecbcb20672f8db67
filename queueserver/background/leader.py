"""What one server does for all that share a database, while it is its turn: upkeep, move tasks.

Turns come and go at any time, with the link to the other servers. Refuses to let two turns of one
server overlap: what was begun has ended before it is begun again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from queueserver.background.move_task_runner import MoveTaskRunner
from queueserver.background.upkeep import Upkeep

log = logging.getLogger(__name__)


class LeaderWork:
    """The work of all servers, begun and ended as the database says whose turn it is."""

    def __init__(self, upkeep: Upkeep, runner: MoveTaskRunner) -> None:
        self._upkeep = upkeep
        self._runner = runner
        self._is_ours = False
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="duty")

    def begin(self) -> None:
        """Begin: it is this server's turn."""
        self._is_ours = True
        self._changed.set()

    def end(self) -> None:
        """End: it is not, any more."""
        self._is_ours = False
        self._changed.set()

    def run_soon(self) -> None:
        """Look at once: something was left to be done."""
        self._upkeep.run_soon()
        self._runner.look()

    def look(self) -> None:
        """Look for tasks that were begun elsewhere; all else waits for the next round."""
        self._runner.look()

    async def stop(self) -> None:
        """End for good."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._end()

    async def _run(self) -> None:
        is_working = False
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._is_ours and not is_working:
                log.debug("this server does the upkeep and the message move tasks now")
                self._upkeep.start()
                self._runner.start()
                is_working = True
            elif is_working and not self._is_ours:
                await self._end()
                is_working = False

    async def _end(self) -> None:
        await self._upkeep.stop()
        await self._runner.stop()
