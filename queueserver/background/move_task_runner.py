"""The runner of message move tasks, which moves messages in small transactions.

A task is a row in the database. The runner continues every unfinished task, whichever server or
process started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from queueserver.rules.limits import MAXIMUM_MOVE_TASK_HOURS
from storage import move_tasks
from storage.clock import Clock
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.move_tasks import NoDestination, NoSource

log = logging.getLogger(__name__)

_STEP_MESSAGES = 100
"""Messages that a task without a rate moves in one transaction."""

_MAXIMUM_MS = MAXIMUM_MOVE_TASK_HOURS * 3_600 * 1_000
"""Duration of a task from its start, which includes the time when no server was running."""

_CONSECUTIVE_FAILURES = 5
"""Failures of a step in a row after which the task fails; an unavailable database is no failure."""

_MAXIMUM_PAUSE_SECONDS = 60
"""Longest pause before the next attempt of a step that failed."""

_NO_DESTINATION = "AWS.SimpleQueueService.NonExistentQueue"
_NO_SOURCE = "CouldNotDetermineMessageSource"
_TIMED_OUT = "TaskTimedOut"  # [guess]
_BROKEN = "InternalFailure"  # [guess]


class MoveTaskRunner:
    """Runs all active tasks, one step after another, until they end.

    A task fails after 36 hours (AWS: 36 hours), or when its step has failed five times in a row. A
    task waits for a database that does not answer for as long as it takes.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._running: dict[str, asyncio.Task[None]] = {}
        self._finder: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    def start(self) -> None:
        """Start running the active tasks, and those that start later."""
        self._wake.set()
        self._finder = asyncio.create_task(self._find_tasks(), name="move tasks")

    async def stop(self) -> None:
        """Stop after the current steps; the next leader continues the tasks."""
        tasks = [*self._running.values(), *([self._finder] if self._finder else [])]
        self._finder = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def run_soon(self) -> None:
        """Check for new tasks now, if the runner has been started."""
        self._wake.set()

    def run_task(self, task_id: str, per_second: int | None, started_at_ms: int) -> None:
        """Run a task until it ends, unless the runner already runs it.

        `per_second` is the maximum number of messages to move per second, or None.
        """
        if task_id in self._running:
            return
        work = self._run(task_id, per_second, started_at_ms + _MAXIMUM_MS)
        task = self._running[task_id] = asyncio.create_task(work, name=f"move task {task_id}")
        task.add_done_callback(lambda _: self._running.pop(task_id))

    async def _find_tasks(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                for task in await self._database.read(move_tasks.active):
                    self.run_task(task.id, task.per_second, task.started_at_ms)
            except DatabaseUnavailable as error:
                log.warning(
                    "move tasks wait for the database, next attempt in 1 s: reason=%s", error
                )
                self._wake.set()
                await self._sleep(1)
            except Exception:
                log.exception("cannot list the move tasks, next attempt when a task starts")

    async def _run(self, task_id: str, per_second: int | None, deadline_ms: int) -> None:
        failures = waits = 0
        while True:
            try:
                failure = _BROKEN if failures >= _CONSECUTIVE_FAILURES else None
                if self._clock.now_ms() >= deadline_ms:
                    failure = _TIMED_OUT
                moved = await self._step(task_id, per_second or _STEP_MESSAGES, failure)
                if moved is None:
                    return
            except DatabaseUnavailable as error:
                waits += 1
                pause_s = _pause_seconds(failures + waits)
                log.warning(
                    "a move task waits for the database, next attempt in %d s: task=%s reason=%s",
                    pause_s,
                    task_id,
                    error,
                )
            except Exception:
                failures += 1
                pause_s = _pause_seconds(failures + waits)
                log.exception(
                    "a step of a move task failed, next attempt in %d s: task=%s failures=%d",
                    pause_s,
                    task_id,
                    failures,
                )
            else:
                failures = waits = 0
                # A step that moved nothing waits for messages that another transaction has locked.
                pause_s = 1 if per_second or not moved else 0
            if pause_s:
                await self._sleep(pause_s)

    async def _step(self, task_id: str, limit: int, failure: str | None) -> int | None:
        """Move up to `limit` messages, or end the task with the failure.

        Returns:
            The number of moved messages, or None if the task has ended.
        """
        try:
            if failure is None:
                return await self._database.write(move_tasks.step, task_id, limit)
        except NoDestination:
            failure = _NO_DESTINATION
        except NoSource:
            failure = _NO_SOURCE
        await self._database.write(move_tasks.end, task_id, move_tasks.FAILED, failure)
        return None

    async def _sleep(self, seconds: int) -> None:
        awake = asyncio.Event()
        cancel = self._clock.call_at(self._clock.now_ms() + seconds * 1000, awake.set)
        with contextlib.ExitStack() as stack:
            stack.callback(cancel)
            await awake.wait()


def _pause_seconds(attempts: int) -> int:
    """Return the pause after so many attempts in a row that did not succeed: it doubles."""
    return min(1 << (attempts - 1), _MAXIMUM_PAUSE_SECONDS)
