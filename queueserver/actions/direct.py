"""Direct actions: the actions on messages without a task or a coroutine.

A task costs more than the rest of a small action. `begin` therefore submits the command of an
action and returns, and a callback gets the action's result after COMMIT. It begins nothing that
needs more than one command: the caller then runs the action in a task, by `Dispatcher.dispatch`,
which handles every case and raises every error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from protocol import actions
from protocol.actions import Action
from queueserver.actions.deletes import prepare_delete, prepare_delete_batch
from queueserver.actions.prepared import PreparedAction
from queueserver.actions.queue_cache import CachedQueue, QueueCache
from queueserver.actions.receives import Receives
from queueserver.actions.sends import prepare_send, prepare_send_batch
from queueserver.actions.visibility_changes import VisibilityChanges
from queueserver.context import RequestContext
from storage.clock import Clock
from storage.database import Database
from storage.messages.commands import Receive
from storage.waiting import polling

Done: TypeAlias = Callable[[msgspec.Struct | Exception | None], None]
"""Gets the result of an action, None if it has none, or the exception of its failure."""

# `Any`: each action has its own request, its own result, and a command with its own result.
AnyPrepared: TypeAlias = PreparedAction[Any, Any]
Prepare: TypeAlias = Callable[[CachedQueue, RequestContext, Any], AnyPrepared]


class NeedsTask(Exception):
    """The action had no effect and must run again, in a task: its command cannot answer it."""


class Pending:
    """An action that has begun: its command is submitted."""

    __slots__ = ("_database", "_done", "_prepared")

    def __init__(self, database: Database, prepared: AnyPrepared, done: Done) -> None:
        self._database = database
        self._prepared = prepared
        self._done: Done | None = done

    def cancel(self) -> None:
        """Do not call back: the client has disconnected.

        A receive that has not run yet claims nothing. Otherwise its messages are released.
        """
        self._done = None
        command = self._prepared.command
        if isinstance(command, Receive):
            command.withdraw()

    def end(self, outcome: Sequence[Any] | Exception) -> None:
        """Call back with the action's result; `outcome` is the result of its command."""
        prepared, done = self._prepared, self._done
        self._done = None
        if done is None:
            self._release(outcome)
            return
        if prepared.must_run_again(outcome):
            done(NeedsTask())
            return
        if isinstance(outcome, Exception):
            done(prepared.failure(outcome))
            return
        try:
            result = prepared.result(outcome)
        except Exception as error:
            # No variable may keep the error: its traceback has this frame with the messages.
            done(error)
        else:
            done(result)

    def _release(self, outcome: Sequence[Any] | Exception) -> None:
        command = self._prepared.command
        if isinstance(command, Receive) and not isinstance(outcome, Exception):
            polling.release(self._database, command, outcome)


class DirectActions:
    """Begins the actions on messages; the arguments are those of `Messages`."""

    def __init__(
        self, database: Database, cache: QueueCache, clock: Clock, *, in_flight_limit: int
    ) -> None:
        self._database = database
        self._cache = cache
        changes = VisibilityChanges(clock)
        self._prepare: dict[type[msgspec.Struct], Prepare] = {
            actions.SendMessage: prepare_send,
            actions.SendMessageBatch: prepare_send_batch,
            actions.ReceiveMessage: Receives(in_flight_limit).prepare,
            actions.DeleteMessage: prepare_delete,
            actions.DeleteMessageBatch: prepare_delete_batch,
            actions.ChangeMessageVisibility: changes.prepare,
            actions.ChangeMessageVisibilityBatch: changes.prepare_batch,
        }

    def can_begin(self, action: Action) -> bool:
        """Return whether the action is one of this class."""
        return action.request in self._prepare

    # `Any`: as for `Prepare`. The requests of the table have a queue URL.
    def begin(
        self,
        context: RequestContext,
        request: Any,  # noqa: ANN401
        done: Done,
    ) -> Pending | None:
        """Begin an action, and call `done` once, after this method has returned; or return None.

        `done` gets the action's result after COMMIT, or its error, or `NeedsTask`.

        None means that nothing has begun, and that `Dispatcher.dispatch` must run the action: it is
        not one of this class, its queue is not cached, a policy or a rule rejects the request
        (perhaps because the cached queue is stale), the write queue is full, a batch has no valid
        entry, or other receivers already wait for the messages of the queue.
        """
        prepare = self._prepare.get(type(request))
        if prepare is None:
            return None
        try:
            queue = self._cache.cached(context, request)
            if queue is None:
                return None
            prepared = prepare(queue, context, request)
            if prepared.command is None:
                return None
            if prepared.waits and self._database.waiters.count(queue.id):
                return None
            pending = Pending(self._database, prepared, done)
            self._database.submit_with(prepared.command, pending.end)
        except Exception:
            # `dispatch` takes the same steps, and raises the same error.
            return None
        return pending
