"""Message move tasks: the three actions on them, and the runner that does their work.

A task is a row in the database and nothing else; the runner takes up what is there, also what an
earlier process began.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging

import msgspec

from protocol import actions
from protocol.errors import (
    InvalidParameterValue,
    MissingParameter,
    ResourceNotFoundException,
)
from protocol.names import Arn, parse_arn, queue_arn
from queueserver.dispatch import Caller
from queueserver.identifiers import as_text, new_identifier
from queueserver.rules import limits
from queueserver.rules.attributes import typed
from storage import move_tasks, queues
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.move_tasks import NoDestination, NoSource, Task, TaskHasEnded, TaskIsRunning
from storage.queues import Queue
from storage.waiters import Clock

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


class _Handle(msgspec.Struct):
    """What a task handle says; AWS's are base64 of just this JSON."""

    task_id: str = msgspec.field(name="taskId")
    source_arn: str = msgspec.field(name="sourceArn")


class MoveTasks:
    """What SQS does with message move tasks; each public method is the action of its name."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def start_message_move_task(
        self, caller: Caller, request: actions.StartMessageMoveTask
    ) -> actions.StartMessageMoveTaskResult:
        """Begin to move a dead-letter queue's messages back, or to another queue."""
        if request.max_number_of_messages_per_second is not None:
            limits.max_number_of_messages_per_second(request.max_number_of_messages_per_second)
        source = await self._queue(caller, request.source_arn, "SourceArn")
        source_arn = _arn(source)
        sources = await self._database.read(
            queues.sources, source_arn, source.account, source.region, "", 1
        )
        if not sources:
            raise InvalidParameterValue("Source queue must be configured as a Dead Letter Queue.")
        if request.destination_arn:
            await self._check_destination(caller, source, request.destination_arn)
        await self._check_quota(caller.account)
        task_id = as_text(new_identifier())
        try:
            await self._database.write(
                move_tasks.start,
                task_id,
                source,
                request.destination_arn or None,
                request.max_number_of_messages_per_second,
                await self._visible(source),
            )
        except TaskIsRunning:
            raise InvalidParameterValue(
                "There is already a task running. Only one active task is allowed for a source "
                "queue arn at a given time."
            ) from None
        return actions.StartMessageMoveTaskResult(_handle(task_id, source_arn))

    async def _check_quota(self, account: str) -> None:
        """Refuse an account more active tasks than it may have; those that begin at once pass."""
        active = await self._database.read(move_tasks.active)
        limits.active_move_tasks(sum(task.account == account for task in active))

    async def _check_destination(self, caller: Caller, source: Queue, arn: str) -> None:
        destination = await self._queue(caller, arn, "DestinationArn")
        if destination.id == source.id:
            raise InvalidParameterValue(
                "Source queue arn and destination queue arn cannot be the same."
            )
        if (destination.kind == queues.STANDARD) != (source.kind == queues.STANDARD):
            raise InvalidParameterValue(
                "The source queue and destination queue must be of the same queue type."
            )

    async def _visible(self, queue: Queue) -> int:
        now_ms = self._clock.now_ms()
        expired_ms = now_ms - _retention_ms(queue)
        counts = await self._database.read(queues.count, queue.id, now_ms, expired_ms)
        return counts.visible

    async def list_message_move_tasks(
        self, caller: Caller, request: actions.ListMessageMoveTasks
    ) -> actions.ListMessageMoveTasksResult:
        """List a queue's latest tasks, newest first."""
        limit = limits.max_results_of_move_tasks(request.max_results)
        source = await self._queue(caller, request.source_arn, "SourceArn")
        tasks = await self._database.read(
            move_tasks.latest, source.account, source.region, source.name, limit
        )
        return actions.ListMessageMoveTasksResult([_entry(task, _arn(source)) for task in tasks])

    async def cancel_message_move_task(
        self, caller: Caller, request: actions.CancelMessageMoveTask
    ) -> actions.CancelMessageMoveTaskResult:
        """Ask a task to end; a few more messages may be moved before it does."""
        handle = _read_handle(request.task_handle)
        source = await self._queue(caller, handle.source_arn, "SourceArn")
        task = None
        if limits.characters_allowed(handle.task_id):  # else PostgreSQL cannot even be asked
            task = await self._database.read(move_tasks.find, handle.task_id)
        key = (source.account, source.region, source.name)
        if task is None or (task.account, task.region, task.source) != key:
            raise ResourceNotFoundException("Task does not exist.")
        try:
            moved = await self._database.write(move_tasks.cancel, task.id)
        except TaskHasEnded:
            raise InvalidParameterValue("Only active tasks can be cancelled.") from None
        return actions.CancelMessageMoveTaskResult(moved)

    async def _queue(self, caller: Caller, text: str, parameter: str) -> Queue:
        """Find one of the caller's own queues by its ARN; nobody else's can be named here."""
        if not text:
            raise MissingParameter(f"The request must contain the parameter {parameter}.")
        arn = limits.move_task_arn(parameter, text)
        queue = None
        if arn.account == caller.account:
            key = (arn.account, arn.region, arn.resource)
            queue = await self._database.read(queues.find, *key)
        # What is left of an ARN, partition and service, has one right value for each queue.
        if queue is None or _arn(queue) != text:
            raise ResourceNotFoundException(
                f"The resource that you specified for the {parameter} parameter doesn't exist."
            )
        return queue


def _arn(queue: Queue) -> str:
    return queue_arn(queue.region, queue.account, queue.name)


def _handle(task_id: str, source_arn: str) -> str:
    return base64.b64encode(msgspec.json.encode(_Handle(task_id, source_arn))).decode()


def _read_handle(text: str) -> _Handle:
    if not text:
        raise MissingParameter("The request must contain the parameter TaskHandle.")
    try:
        handle = msgspec.json.decode(base64.b64decode(text, validate=True), type=_Handle)
        limits.move_task_arn("SourceArn", handle.source_arn)
    except (ValueError, InvalidParameterValue):
        raise InvalidParameterValue("Value for parameter TaskHandle is invalid.") from None
    return handle


def _entry(task: Task, source_arn: str) -> actions.ListMessageMoveTasksResultEntry:
    is_running = task.status == move_tasks.RUNNING
    return actions.ListMessageMoveTasksResultEntry(
        status=task.status,
        source_arn=source_arn,
        approximate_number_of_messages_moved=task.moved,
        started_timestamp=task.started_at_ms,
        task_handle=_handle(task.id, source_arn) if is_running else None,
        destination_arn=task.destination,
        max_number_of_messages_per_second=task.per_second,
        approximate_number_of_messages_to_move=task.to_move,
        failure_reason=task.failure,
    )


class Runner:
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
                return await self._database.write(
                    move_tasks.step, task_id, limit, _locate, _retention_ms
                )
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


def _retention_ms(queue: Queue) -> int:
    return typed(queue.attributes).message_retention_period * 1000


def _locate(text: str) -> tuple[str, str, str] | None:
    arn: Arn | None = parse_arn(text)
    return (arn.account, arn.region, arn.resource) if arn else None
