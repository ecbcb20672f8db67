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
from queueserver import limits
from queueserver.attributes import typed
from queueserver.identifiers import as_text, new_identifier
from queueserver.operations import Caller
from storage import move_tasks, queues
from storage.arrivals import Clock
from storage.database import Database
from storage.faults import DatabaseUnavailable
from storage.move_tasks import NoDestination, NoSource, Task, TaskHasEnded, TaskIsRunning
from storage.queues import Queue

log = logging.getLogger(__name__)

_STEP = 100
"""Messages that a task without a rate moves in one transaction."""


class _Handle(msgspec.Struct):
    """What a task handle says; AWS's are base64 of just this JSON."""

    task_id: str = msgspec.field(name="taskId")
    source_arn: str = msgspec.field(name="sourceArn")


class MoveTasks:
    """What SQS does with message move tasks; each public method is the action of its name."""

    def __init__(self, database: Database, clock: Clock, runner: Runner) -> None:
        self._database = database
        self._clock = clock
        self._runner = runner

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
        self._runner.take_up(task_id, request.max_number_of_messages_per_second)
        return actions.StartMessageMoveTaskResult(_handle(task_id, source_arn))

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
        return msgspec.json.decode(base64.b64decode(text, validate=True), type=_Handle)
    except ValueError:
        raise InvalidParameterValue("Value for parameter TaskHandle is invalid.") from None


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
    """Does the work of all active tasks, in steps between the requests' own transactions."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take up the tasks that are not finished."""
        for task in await self._database.read(move_tasks.active):
            self.take_up(task.id, task.per_second)

    async def stop(self) -> None:
        """End after the steps at hand; what remains goes on with the next process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def take_up(self, task_id: str, per_second: int | None) -> None:
        """Work on a task until it has ended."""
        task = asyncio.create_task(self._run(task_id, per_second), name=f"move task {task_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, task_id: str, per_second: int | None) -> None:
        while True:
            try:
                if not await self._step(task_id, per_second or _STEP):
                    return
                if per_second:
                    await self._sleep_a_second()
            except DatabaseUnavailable as error:
                log.warning("move task %s waits for the database: %s", task_id, error)
                await self._sleep_a_second()
            except Exception:
                log.exception("move task %s failed; it goes on when the server starts", task_id)
                return

    async def _step(self, task_id: str, limit: int) -> bool:
        try:
            return await self._database.write(
                move_tasks.step, task_id, limit, _locate, _retention_ms
            )
        except NoDestination:
            failure = "AWS.SimpleQueueService.NonExistentQueue"
        except NoSource:
            failure = "CouldNotDetermineMessageSource"
        await self._database.write(move_tasks.end, task_id, move_tasks.FAILED, failure)
        return False

    async def _sleep_a_second(self) -> None:
        awake = asyncio.Event()
        cancel = self._clock.call_at(self._clock.now_ms() + 1000, awake.set)
        with contextlib.ExitStack() as stack:
            stack.callback(cancel)
            await awake.wait()


def _retention_ms(queue: Queue) -> int:
    return typed(queue.attributes).message_retention_period * 1000


def _locate(text: str) -> tuple[str, str, str] | None:
    arn: Arn | None = parse_arn(text)
    return (arn.account, arn.region, arn.resource) if arn else None
