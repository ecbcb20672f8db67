"""The actions on message move tasks: start, list and cancel.

A task is a row in the database; `queueserver.background.move_task_runner` moves its messages.
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol import actions
from protocol.errors import InvalidParameterValue, MissingParameter, ResourceNotFoundException
from protocol.names import queue_arn
from queueserver.access.authorizer import Authorizer, named_resource, resource_of
from queueserver.context import RequestContext
from queueserver.identifiers import as_text, new_identifier
from queueserver.policies.evaluation import Resource
from queueserver.rules import move_task_parameters
from queueserver.rules.move_task_parameters import TaskHandle
from queueserver.rules.parameters import is_xml_text
from queueserver.rules.queue_parameters import is_queue_arn
from storage import move_tasks, queues
from storage.clock import Clock
from storage.database import Database
from storage.messages import counts
from storage.move_tasks import Task, TaskHasEnded, TaskIsRunning
from storage.queue_settings import QueueName
from storage.queues import Queue

_MOVE_PERMISSIONS = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
"""AWS: the permissions on the dead-letter queue, besides the action's own, to move messages."""

_SOURCES_PER_READ = 1_000


class MoveTasks:
    """The actions on message move tasks; each public method is the action of its name."""

    def __init__(self, database: Database, authorizer: Authorizer, clock: Clock) -> None:
        self._database = database
        self._authorizer = authorizer
        self._clock = clock

    async def start_message_move_task(
        self, context: RequestContext, request: actions.StartMessageMoveTask
    ) -> actions.StartMessageMoveTaskResult:
        """Start moving a dead-letter queue's messages to their sources or to another queue.

        AWS: one task per source queue can run at a time. The sender must be allowed to receive and
        delete at the source, and to send to the destination, else to each source of the dead-letter
        queue.

        Raises:
            AccessDenied: the sender may not run the action on one of the queues.
            MissingParameter: the source ARN is empty.
            InvalidParameterValue: the source is not a dead-letter queue or has a running task, the
                destination is the source or of another type, or a parameter is not valid.
            ResourceNotFoundException: the source or the destination does not exist.
            OverLimit: the account has too many active tasks.
        """
        if request.max_number_of_messages_per_second is not None:
            move_task_parameters.check_messages_per_second(
                request.max_number_of_messages_per_second
            )
        source = await self._find_queue(
            context, request.source_arn, "SourceArn", ("StartMessageMoveTask", *_MOVE_PERMISSIONS)
        )
        sources = await self._database.read(
            queues.list_dead_letter_sources, source.full_name, "", 1
        )
        if not sources:
            raise InvalidParameterValue("Source queue must be configured as a Dead Letter Queue.")
        destination = None
        if request.destination_arn:
            destination = await self._find_destination(context, source, request.destination_arn)
        elif self._authorizer.is_on:
            await self._check_sources(context, source)
        await self._check_quota(context.account)
        task_id = as_text(new_identifier())
        found = await self._database.read(counts.count, source, self._clock.now_ms())
        try:
            await self._database.write(
                move_tasks.start,
                task_id,
                source,
                destination,
                request.max_number_of_messages_per_second,
                found.visible,
            )
        except TaskIsRunning:
            raise InvalidParameterValue(
                "There is already a task running. Only one active task is allowed for a source "
                "queue arn at a given time."
            ) from None
        return actions.StartMessageMoveTaskResult(TaskHandle(task_id, _arn(source)).encode())

    async def _check_sources(self, context: RequestContext, source: Queue) -> None:
        """Check that the sender may send to each queue that the messages may move back to.

        These are the queues that use this one as their dead-letter queue, and those that its
        messages came from: such a queue may use another one now, or may be created again.

        Raises:
            AccessDenied: the sender may not send to one of them.
        """
        for origin in await self._database.read(move_tasks.origins, source):
            await self._check_send(context, origin)
        after = ""
        while names := await self._database.read(
            queues.list_dead_letter_sources, source.full_name, after, _SOURCES_PER_READ
        ):
            for name in names:
                await self._check_send(context, QueueName(source.account, source.region, name))
            after = names[-1]

    async def _check_send(self, context: RequestContext, name: QueueName) -> None:
        queue = await self._database.read(queues.find, *name)
        resource = named_resource(name, queue)
        self._authorizer.check_permission(context, "SendMessage", resource)

    async def _check_quota(self, account: str) -> None:
        """Reject a task beyond the account's quota.

        Two tasks that start at the same time do not count each other, so they may exceed it.

        Raises:
            OverLimit: the account has too many active tasks.
        """
        active = await self._database.read(move_tasks.active)
        count = sum(task.account == account for task in active)
        move_task_parameters.check_active_move_tasks(count)

    async def _find_destination(
        self, context: RequestContext, source: Queue, arn: str
    ) -> QueueName:
        """Return the name of the destination.

        Raises:
            InvalidParameterValue: the destination is the source, or of another type.
            ResourceNotFoundException: there is no such queue.
        """
        destination = await self._find_queue(context, arn, "DestinationArn", ("SendMessage",))
        if destination.id == source.id:
            raise InvalidParameterValue(
                "Source queue arn and destination queue arn cannot be the same."
            )
        if (destination.kind == queues.STANDARD) != (source.kind == queues.STANDARD):
            raise InvalidParameterValue(
                "The source queue and destination queue must be of the same queue type."
            )
        return destination.full_name

    async def list_message_move_tasks(
        self, context: RequestContext, request: actions.ListMessageMoveTasks
    ) -> actions.ListMessageMoveTasksResult:
        """List the latest tasks of a source queue, newest first."""
        limit = move_task_parameters.parse_move_task_max_results(request.max_results)
        source = await self._find_queue(
            context,
            request.source_arn,
            "SourceArn",
            ("ListMessageMoveTasks", "GetQueueAttributes"),
        )
        tasks = await self._database.read(move_tasks.latest, *source.full_name, limit)
        source_arn = _arn(source)
        return actions.ListMessageMoveTasksResult([_entry(task, source_arn) for task in tasks])

    async def cancel_message_move_task(
        self, context: RequestContext, request: actions.CancelMessageMoveTask
    ) -> actions.CancelMessageMoveTaskResult:
        """Cancel a task; its current step still moves some messages.

        Raises:
            MissingParameter: the handle is empty.
            InvalidParameterValue: the task has ended, or the handle is not valid.
            ResourceNotFoundException: there is no such task.
        """
        handle = move_task_parameters.parse_task_handle(request.task_handle)
        source = await self._find_queue(
            context,
            handle.source_arn,
            "SourceArn",
            ("CancelMessageMoveTask", *_MOVE_PERMISSIONS),
        )
        task = None
        if is_xml_text(handle.task_id):  # PostgreSQL cannot look up another text.
            task = await self._database.read(move_tasks.find, handle.task_id)
        if task is None or (task.account, task.region, task.source) != source.full_name:
            raise ResourceNotFoundException("Task does not exist.")
        try:
            moved = await self._database.write(move_tasks.cancel, task.id)
        except TaskHasEnded:
            raise InvalidParameterValue("Only active tasks can be cancelled.") from None
        return actions.CancelMessageMoveTaskResult(moved)

    async def _find_queue(
        self, context: RequestContext, text: str, parameter: str, permissions: Sequence[str]
    ) -> Queue:
        """Return a queue of the request's account by the ARN in `parameter`.

        `permissions` are those that the sender needs on the queue, whether it exists or not.

        Raises:
            AccessDenied: the sender lacks a permission.
            MissingParameter: the ARN is empty.
            InvalidParameterValue: the text is not an ARN.
            ResourceNotFoundException: there is no such queue in the account.
        """
        if not text:
            raise MissingParameter(f"The request must contain the parameter {parameter}.")
        arn = move_task_parameters.parse_move_task_arn(parameter, text)
        queue = None
        if arn.account == context.account and is_queue_arn(arn):
            queue = await self._database.read(queues.find, arn.account, arn.region, arn.resource)
        if self._authorizer.is_on:
            resource = Resource(text, arn.account) if queue is None else resource_of(queue)
            for permission in permissions:
                self._authorizer.check_permission(context, permission, resource)
        # Comparing ARNs also rejects a wrong partition or service, which the lookup does not see.
        if queue is None or _arn(queue) != text:
            raise ResourceNotFoundException(
                f"The resource that you specified for the {parameter} parameter doesn't exist."
            )
        return queue


def _arn(queue: Queue) -> str:
    return queue_arn(queue.region, queue.account, queue.name)


def _entry(task: Task, source_arn: str) -> actions.ListMessageMoveTasksResultEntry:
    """Return a task as ListMessageMoveTasks lists it. AWS: only a running task has a handle."""
    is_running = task.status == move_tasks.RUNNING
    to = task.destination
    return actions.ListMessageMoveTasksResultEntry(
        status=task.status,
        source_arn=source_arn,
        approximate_number_of_messages_moved=task.moved,
        started_timestamp=task.started_at_ms,
        task_handle=TaskHandle(task.id, source_arn).encode() if is_running else None,
        destination_arn=None if to is None else queue_arn(to.region, to.account, to.name),
        max_number_of_messages_per_second=task.per_second,
        approximate_number_of_messages_to_move=task.to_move,
        failure_reason=task.failure,
    )
