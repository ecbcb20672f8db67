"""The runner of message move tasks: steps of work between the requests' own transactions.

A task is a row in the database; the runner resumes unfinished tasks, also those that an earlier
process started.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from storage import move_tasks
from storage.clock import Clock
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.move_tasks import NoDestination, NoSource

log = logging.getLogger(__name__)

_STEP = 100
"""Messages that a task without a rate moves in one transaction."""

_LONGEST_MS = 36 * 3_600 * 1_000
"""How long a task may run, from its start and whether or not a server was there to work on it."""

_ATTEMPTS = 5
"""How often in a row a step may fail for no reason that is known to pass."""

_LONGEST_PAUSE_SECONDS = 60
"""How long a task waits at most before it tries a step again that failed."""

_TIMED_OUT = "TaskTimedOut"  # [guess]

_BROKEN = "InternalFailure"  # [guess]


class MoveTaskRunner:
    """Does the work of all active tasks, in steps between the requests' own transactions.

    No task is worked on for ever: one that goes on for 36 hours fails, and so does one whose steps
    fail again and again. While the database does not answer, a task waits for it.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    def start(self) -> None:
        """Take up the tasks that are not finished, now and whenever told to look."""
        self._wake.set()
        self._looking = asyncio.create_task(self._look_forever(), name="move tasks")

    async def stop(self) -> None:
        """End after the steps at hand; what remains goes on with the next process."""
        tasks = [*self._tasks.values(), *([self._looking] if self._looking else [])]
        self._looking = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def look(self) -> None:
        """Look for new tasks now, if this runner has started."""
        self._wake.set()

    async def _look_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                for task in await self._database.read(move_tasks.active):
                    self.take_up(task.id, task.per_second, task.started_at_ms)
            except DatabaseUnavailable as error:
                log.warning("move tasks wait for the database: %s", error)
                self._wake.set()
                await self._sleep(1)
            except Exception:
                log.exception("move tasks could not be looked for")

    def take_up(self, task_id: str, per_second: int | None, started_ms: int) -> None:
        """Work on a task until it has ended, unless that is being done.

        A task that is begun while the server starts is found among the stored ones too.
        """
        if task_id in self._tasks:
            return
        work = self._run(task_id, per_second, started_ms + _LONGEST_MS)
        task = self._tasks[task_id] = asyncio.create_task(work, name=f"move task {task_id}")
        task.add_done_callback(lambda _: self._tasks.pop(task_id))

    async def _run(self, task_id: str, per_second: int | None, deadline_ms: int) -> None:
        failures = waits = 0
        while True:
            try:
                failure = _BROKEN if failures >= _ATTEMPTS else None
                if self._clock.now_ms() >= deadline_ms:
                    failure = _TIMED_OUT
                done = await self._step(task_id, per_second or _STEP, failure)
                if done is None:
                    return
            except DatabaseUnavailable as error:
                waits += 1
                log.warning("move task %s waits for the database: %s", task_id, error)
            except Exception:
                failures += 1
                log.exception("move task %s failed, for the %d. time in a row", task_id, failures)
            else:
                failures = waits = 0
            if failures or waits:
                await self._sleep(min(2 ** (failures + waits - 1), _LONGEST_PAUSE_SECONDS))
            elif per_second or not done:  # others are just about all that is left
                await self._sleep(1)

    async def _step(self, task_id: str, limit: int, failure: str | None) -> int | None:
        """Move messages, or let the task end with the failure that is known already."""
        try:
            if failure is None:
                return await self._database.write(move_tasks.step, task_id, limit)
        except NoDestination:
            failure = "AWS.SimpleQueueService.NonExistentQueue"
        except NoSource:
            failure = "CouldNotDetermineMessageSource"
        await self._database.write(move_tasks.end, task_id, move_tasks.FAILED, failure)
        return None

    async def _sleep(self, seconds: int) -> None:
        awake = asyncio.Event()
        cancel = self._clock.call_at(self._clock.now_ms() + seconds * 1000, awake.set)
        with contextlib.ExitStack() as stack:
            stack.callback(cancel)
            await awake.wait()
