"""ChangeMessageVisibility and its batch, before and after their command."""

from __future__ import annotations

from collections.abc import Sequence

from protocol import actions
from protocol.errors import SQSError
from queueserver.actions.prepared import PreparedAction, failed_entry
from queueserver.actions.queue_cache import CachedQueue
from queueserver.context import RequestContext
from queueserver.rules import message_parameters, receive_parameters
from queueserver.rules.receipt_handles import decode_receipt_handle
from storage.clock import Clock
from storage.messages.commands import ChangeVisibility, Outcome, Receipt


class PreparedChange(PreparedAction[Outcome, None], gc=False):
    """A ChangeMessageVisibility whose receipt handle and timeout are valid."""

    handle: str

    def result(self, outcomes: Sequence[Outcome]) -> None:
        """Check that the visibility timeout was changed.

        Raises:
            InvalidParameterValue: the handle has expired, or the message was deleted.
        """
        error = _error(outcomes[0], self.handle)
        if error is not None:
            raise error


class PreparedChangeBatch(
    PreparedAction[Outcome, actions.ChangeMessageVisibilityBatchResult], gc=False
):
    """A ChangeMessageVisibilityBatch: id and handle of valid entries, and the failed entries."""

    changes: list[tuple[str, str]]
    failed: list[actions.BatchResultErrorEntry]

    def result(self, outcomes: Sequence[Outcome]) -> actions.ChangeMessageVisibilityBatchResult:
        """Return the entries that succeeded, and those that failed."""
        failed = self.failed
        successful = []
        for (entry_id, handle), outcome in zip(self.changes, outcomes, strict=True):
            rejection = _error(outcome, handle)
            if rejection is not None:
                failed.append(failed_entry(entry_id, rejection))
            else:
                successful.append(actions.ChangeMessageVisibilityBatchResultEntry(entry_id))
        return actions.ChangeMessageVisibilityBatchResult(successful or None, failed or None)


class VisibilityChanges:
    """Prepares changes of the visibility timeout, whose total the time of the change limits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def prepare(
        self, queue: CachedQueue, _: RequestContext, request: actions.ChangeMessageVisibility
    ) -> PreparedChange:
        """Check a ChangeMessageVisibility and make its command.

        Raises:
            SQSError: the receipt handle or the timeout breaks a rule.
        """
        handle = receive_parameters.parse_receipt_handle(request.receipt_handle)
        timeout_s = receive_parameters.parse_visibility_timeout(request.visibility_timeout)
        change = self._parse(queue, handle, timeout_s)
        command = ChangeVisibility(queue.id, queue.revision, queue.kind, [change])
        return PreparedChange(command, handle)

    def prepare_batch(
        self, queue: CachedQueue, _: RequestContext, request: actions.ChangeMessageVisibilityBatch
    ) -> PreparedChangeBatch:
        """Check a ChangeMessageVisibilityBatch and make its command; a bad entry fails alone.

        Raises:
            SQSError: the whole batch breaks a rule.
        """
        entries = request.entries or []
        message_parameters.check_batch_entries(entries, "ChangeMessageVisibilityBatchRequestEntry")
        timeouts_s = [
            receive_parameters.parse_entry_visibility_timeout(entry.visibility_timeout, position)
            for position, entry in enumerate(entries, 1)
        ]
        new: list[tuple[Receipt, int]] = []
        changes: list[tuple[str, str]] = []
        failed: list[actions.BatchResultErrorEntry] = []
        for entry, timeout_s in zip(entries, timeouts_s, strict=True):
            try:
                receive_parameters.check_entry_visibility_timeout(timeout_s)
                handle = receive_parameters.parse_receipt_handle(entry.receipt_handle)
                change = self._parse(queue, handle, timeout_s)
            except SQSError as error:
                failed.append(failed_entry(entry.id, error))
            else:
                new.append(change)
                changes.append((entry.id or "", handle))
        command = ChangeVisibility(queue.id, queue.revision, queue.kind, new) if new else None
        return PreparedChangeBatch(command, changes, failed)

    def _parse(self, queue: CachedQueue, handle: str, timeout_s: int) -> tuple[Receipt, int]:
        """Return the receipt in the handle and the new timeout in milliseconds.

        Raises:
            ReceiptHandleIsInvalid: the queue did not issue this handle.
            InvalidParameterValue: the timeout ends more than 12 hours after the receive.
        """
        receipt, received_at_ms = decode_receipt_handle(queue.signer, handle)
        elapsed_ms = self._clock.now_ms() - received_at_ms
        receive_parameters.check_total_visibility(elapsed_ms, timeout_s)
        return receipt, timeout_s * 1000


def _error(outcome: Outcome, handle: str) -> SQSError | None:
    """Return the error for a visibility timeout that was not changed, or None if it was."""
    if outcome is Outcome.EXPIRED:
        return receive_parameters.expired_receipt_error(handle)
    if outcome is Outcome.MISSING:
        return receive_parameters.unavailable_message_error(handle)
    return None
