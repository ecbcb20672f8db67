"""The actions on messages: send, receive, delete, and change of the visibility timeout.

These are the actions as coroutines, which handle every case; `direct` begins most requests without
one. Each action passes a private method to the queue cache, which calls it with the cached queue.
If the cached queue was out of date, the cache reloads it and calls the method again. For the
database, a single action is a batch of one. Every answer comes after COMMIT.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from protocol import actions
from queueserver.actions.deletes import prepare_delete, prepare_delete_batch
from queueserver.actions.prepared import PreparedAction
from queueserver.actions.queue_cache import CachedQueue, QueueCache
from queueserver.actions.receives import Receives
from queueserver.actions.sends import prepare_send, prepare_send_batch
from queueserver.actions.visibility_changes import VisibilityChanges
from queueserver.context import RequestContext
from storage.clock import Clock
from storage.database import Database
from storage.errors import MasterKeyMissing
from storage.messages.commands import InFlightLimit, ReceiveAttemptExpired
from storage.waiting import polling

Q = TypeVar("Q")
R = TypeVar("R")
S = TypeVar("S")


class Messages:
    """The actions on messages; each public method is the action of its name.

    `in_flight_limit` is the most messages of a queue in flight (AWS: about 120,000).
    """

    def __init__(
        self, database: Database, cache: QueueCache, clock: Clock, *, in_flight_limit: int
    ) -> None:
        self._database = database
        self._cache = cache
        self._clock = clock
        self._receives = Receives(in_flight_limit)
        self._changes = VisibilityChanges(clock)

    async def send_message(
        self, context: RequestContext, request: actions.SendMessage
    ) -> actions.SendMessageResult:
        """Send a message to a queue."""
        return await self._cache.run(context, request, self._run, prepare_send, context, request)

    async def send_message_batch(
        self, context: RequestContext, request: actions.SendMessageBatch
    ) -> actions.SendMessageBatchResult:
        """Send up to ten messages to a queue; an invalid entry fails alone."""
        return await self._cache.run(
            context, request, self._run, prepare_send_batch, context, request
        )

    async def receive_message(
        self, context: RequestContext, request: actions.ReceiveMessage
    ) -> actions.ReceiveMessageResult:
        """Receive up to ten messages; wait for the first one for up to 20 s (AWS: long poll)."""
        # A second run with another state of the queue must not wait longer in total.
        started_ms = self._clock.now_ms()
        return await self._cache.run(context, request, self._receive, context, request, started_ms)

    async def delete_message(self, context: RequestContext, request: actions.DeleteMessage) -> None:
        """Delete a message by receipt handle.

        AWS: on a standard queue, the handle of any receive of the message is valid, and deleting a
        message again succeeds. On a FIFO queue, only the latest handle is valid, and only until its
        visibility timeout ends.
        """
        await self._cache.run(context, request, self._run, prepare_delete, context, request)

    async def delete_message_batch(
        self, context: RequestContext, request: actions.DeleteMessageBatch
    ) -> actions.DeleteMessageBatchResult:
        """Delete up to ten messages; an invalid entry fails alone."""
        return await self._cache.run(
            context, request, self._run, prepare_delete_batch, context, request
        )

    async def change_message_visibility(
        self, context: RequestContext, request: actions.ChangeMessageVisibility
    ) -> None:
        """Make a message visible after some seconds from now; 0 makes it visible at once."""
        await self._cache.run(context, request, self._run, self._changes.prepare, context, request)

    async def change_message_visibility_batch(
        self, context: RequestContext, request: actions.ChangeMessageVisibilityBatch
    ) -> actions.ChangeMessageVisibilityBatchResult:
        """Change the visibility timeout of up to ten messages; an invalid entry fails alone."""
        return await self._cache.run(
            context, request, self._run, self._changes.prepare_batch, context, request
        )

    async def _run(
        self,
        queue: CachedQueue,
        prepare: Callable[[CachedQueue, RequestContext, Q], PreparedAction[R, S]],
        context: RequestContext,
        request: Q,
    ) -> S:
        """Prepare an action, run its command if it has one, and return the action's result."""
        prepared = prepare(queue, context, request)
        if prepared.command is None:
            return prepared.result(())
        try:
            outcomes = await self._database.submit(prepared.command)
        except MasterKeyMissing as error:
            return _answer(prepared, error)
        return prepared.result(outcomes)

    async def _receive(
        self,
        queue: CachedQueue,
        context: RequestContext,
        request: actions.ReceiveMessage,
        started_ms: int,
    ) -> actions.ReceiveMessageResult:
        prepared = self._receives.prepare(queue, context, request)
        try:
            if prepared.waits:
                deadline_ms = started_ms + prepared.wait_s * 1000
                received = await polling.long_poll(
                    self._database, prepared.waiting_command, deadline_ms
                )
            else:
                received = await polling.short_poll(self._database, prepared.command)
        except (InFlightLimit, ReceiveAttemptExpired, MasterKeyMissing) as error:
            return _answer(prepared, error)
        return prepared.result(received)


def _answer(prepared: PreparedAction[R, S], error: Exception) -> S:
    """Return the result of an action whose command failed, or raise the error for its client."""
    answer = prepared.failure(error)
    if isinstance(answer, Exception):
        raise answer from None
    return answer
