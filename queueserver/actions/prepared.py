"""Prepared actions on messages: what is left to do when the rules have accepted the request.

An action has two halves without I/O. A function `prepare_...` checks the request by the rules and
returns a prepared action with the command for the database. The prepared action turns the result
of that command into the result of the action. `Messages` awaits the command in a task;
`DirectActions` gets its result by a callback.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from protocol.actions import BatchResultErrorEntry
from protocol.errors import KmsNotFound, SQSError
from queueserver.actions.queue_cache import CachedQueue
from queueserver.encryption.key_ids import missing_key_text
from storage.errors import MasterKeyMissing
from storage.messages.commands import Command
from storage.queues import QueueChanged

R = TypeVar("R")
S = TypeVar("S")


class PreparedAction(msgspec.Struct, Generic[R, S], gc=False):
    """An action whose request is accepted; R is an item of the command's result, S its own result.

    Attributes:
        command: the command; None if no entry of a batch is valid. The command's result is then
            empty.
    """

    command: Command[list[R]] | None

    @property
    def waits(self) -> bool:
        """Whether the action waits if its command finds nothing."""
        return False

    def result(self, outcomes: Sequence[R]) -> S:
        """Return the action's result, for the result of the command.

        Raises:
            SQSError: the command did not do what the request asks.
            DatabaseDamaged: the rows that the command read are damaged.
        """
        raise NotImplementedError

    def failure(self, error: Exception) -> S | Exception:
        """Return what the client gets if the command failed: an error, or a result after all."""
        return error

    def must_run_again(self, outcome: Sequence[R] | Exception) -> bool:
        """Return whether the command had no effect, so that the action has to run again."""
        return isinstance(outcome, QueueChanged)


def key_failure(queue: CachedQueue, error: Exception) -> Exception:
    """Return KmsNotFound if a command failed for lack of a master key, or else the error.

    AWS: that a key of KMS does not exist is found when a message is sent or received.
    """
    if isinstance(error, MasterKeyMissing):
        return KmsNotFound(missing_key_text(error.name, queue.arn), reason=f"reason={error}")
    return error


def failed_entry(entry_id: str | None, error: SQSError) -> BatchResultErrorEntry:
    """Return the part of a batch's result for an entry that failed."""
    return BatchResultErrorEntry(entry_id or "", error.sender_fault, error.code, error.message)
