"""Message move tasks: the three actions on them, and the runner that does their work.

A task is a row in the database and nothing else; the runner takes up what is there, also what an
earlier process began.
"""

from __future__ import annotations

import base64

import msgspec

from protocol import actions
from protocol.errors import (
    InvalidParameterValue,
    MissingParameter,
    ResourceNotFoundException,
)
from protocol.names import queue_arn
from queueserver.context import RequestContext
from queueserver.identifiers import as_text, new_identifier
from queueserver.rules import move_task_parameters
from queueserver.rules.parameters import is_xml_text
from storage import move_tasks, queues
from storage.clock import Clock
from storage.database import Database
from storage.messages import counts
from storage.move_tasks import Task, TaskHasEnded, TaskIsRunning
from storage.queue_settings import QueueName
from storage.queues import Queue


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
        self, context: RequestContext, request: actions.StartMessageMoveTask
    ) -> actions.StartMessageMoveTaskResult:
        """Begin to move a dead-letter queue's messages back, or to another queue."""
        if request.max_number_of_messages_per_second is not None:
            move_task_parameters.check_messages_per_second(
                request.max_number_of_messages_per_second
            )
        source = await self._queue(context, request.source_arn, "SourceArn")
        source_arn = _arn(source)
        sources = await self._database.read(
            queues.list_dead_letter_sources, source.full_name, "", 1
        )
        if not sources:
            raise InvalidParameterValue("Source queue must be configured as a Dead Letter Queue.")
        destination = None
        if request.destination_arn:
            destination = await self._destination(context, source, request.destination_arn)
        await self._check_quota(context.account)
        task_id = as_text(new_identifier())
        try:
            await self._database.write(
                move_tasks.start,
                task_id,
                source,
                destination,
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
        move_task_parameters.check_active_move_tasks(
            sum(task.account == account for task in active)
        )

    async def _destination(self, context: RequestContext, source: Queue, arn: str) -> QueueName:
        """Find the queue that messages are to move to; one of the source's type, and another."""
        destination = await self._queue(context, arn, "DestinationArn")
        if destination.id == source.id:
            raise InvalidParameterValue(
                "Source queue arn and destination queue arn cannot be the same."
            )
        if (destination.kind == queues.STANDARD) != (source.kind == queues.STANDARD):
            raise InvalidParameterValue(
                "The source queue and destination queue must be of the same queue type."
            )
        return destination.full_name

    async def _visible(self, queue: Queue) -> int:
        found = await self._database.read(counts.count, queue, self._clock.now_ms())
        return found.visible

    async def list_message_move_tasks(
        self, context: RequestContext, request: actions.ListMessageMoveTasks
    ) -> actions.ListMessageMoveTasksResult:
        """List a queue's latest tasks, newest first."""
        limit = move_task_parameters.parse_move_task_max_results(request.max_results)
        source = await self._queue(context, request.source_arn, "SourceArn")
        tasks = await self._database.read(
            move_tasks.latest, source.account, source.region, source.name, limit
        )
        return actions.ListMessageMoveTasksResult([_entry(task, _arn(source)) for task in tasks])

    async def cancel_message_move_task(
        self, context: RequestContext, request: actions.CancelMessageMoveTask
    ) -> actions.CancelMessageMoveTaskResult:
        """Ask a task to end; a few more messages may be moved before it does."""
        handle = _read_handle(request.task_handle)
        source = await self._queue(context, handle.source_arn, "SourceArn")
        task = None
        if is_xml_text(handle.task_id):  # else PostgreSQL cannot even be asked
            task = await self._database.read(move_tasks.find, handle.task_id)
        key = (source.account, source.region, source.name)
        if task is None or (task.account, task.region, task.source) != key:
            raise ResourceNotFoundException("Task does not exist.")
        try:
            moved = await self._database.write(move_tasks.cancel, task.id)
        except TaskHasEnded:
            raise InvalidParameterValue("Only active tasks can be cancelled.") from None
        return actions.CancelMessageMoveTaskResult(moved)

    async def _queue(self, context: RequestContext, text: str, parameter: str) -> Queue:
        """Find one of the caller's own queues by its ARN; nobody else's can be named here."""
        if not text:
            raise MissingParameter(f"The request must contain the parameter {parameter}.")
        arn = move_task_parameters.parse_move_task_arn(parameter, text)
        queue = None
        if arn.account == context.account:
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
        move_task_parameters.parse_move_task_arn("SourceArn", handle.source_arn)
    except (ValueError, InvalidParameterValue):
        raise InvalidParameterValue("Value for parameter TaskHandle is invalid.") from None
    return handle


def _entry(task: Task, source_arn: str) -> actions.ListMessageMoveTasksResultEntry:
    is_running = task.status == move_tasks.RUNNING
    to = task.destination
    return actions.ListMessageMoveTasksResultEntry(
        status=task.status,
        source_arn=source_arn,
        approximate_number_of_messages_moved=task.moved,
        started_timestamp=task.started_at_ms,
        task_handle=_handle(task.id, source_arn) if is_running else None,
        destination_arn=None if to is None else queue_arn(to.region, to.account, to.name),
        max_number_of_messages_per_second=task.per_second,
        approximate_number_of_messages_to_move=task.to_move,
        failure_reason=task.failure,
    )
