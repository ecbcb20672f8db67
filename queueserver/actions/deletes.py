"""DeleteMessage and DeleteMessageBatch, before and after their command."""

from __future__ import annotations

from collections.abc import Sequence

from protocol import actions
from protocol.errors import SQSError
from queueserver.actions.prepared import PreparedAction, failed_entry
from queueserver.actions.queue_cache import CachedQueue
from queueserver.context import RequestContext
from queueserver.rules import message_parameters, receive_parameters
from queueserver.rules.receipt_handles import decode_receipt_handle
from storage.messages.commands import Delete, Outcome, Receipt


class PreparedDelete(PreparedAction[Outcome, None], gc=False):
    """A DeleteMessage whose receipt handle is valid."""

    handle: str

    def result(self, outcomes: Sequence[Outcome]) -> None:
        """Reject a handle of a FIFO queue that has expired; any other delete has succeeded.

        Raises:
            InvalidParameterValue: the handle has expired.
        """
        if outcomes[0] is Outcome.EXPIRED:
            raise receive_parameters.expired_receipt_error(self.handle)


def prepare_delete(
    queue: CachedQueue, _: RequestContext, request: actions.DeleteMessage
) -> PreparedDelete:
    """Check a DeleteMessage and make its command.

    Raises:
        SQSError: the receipt handle is missing, or the queue did not issue it.
    """
    handle = receive_parameters.parse_receipt_handle(request.receipt_handle)
    receipt, _received_at_ms = decode_receipt_handle(queue.signer, handle)
    return PreparedDelete(Delete(queue.id, queue.revision, queue.kind, [receipt]), handle)


class PreparedDeleteBatch(PreparedAction[Outcome, actions.DeleteMessageBatchResult], gc=False):
    """A DeleteMessageBatch: id and handle of the valid entries, and the entries that failed."""

    deletes: list[tuple[str, str]]
    failed: list[actions.BatchResultErrorEntry]

    def result(self, outcomes: Sequence[Outcome]) -> actions.DeleteMessageBatchResult:
        """Return the entries that succeeded, and those that failed."""
        failed = self.failed
        successful = []
        for (entry_id, handle), outcome in zip(self.deletes, outcomes, strict=True):
            if outcome is Outcome.EXPIRED:
                rejection = receive_parameters.expired_receipt_error(handle)
                failed.append(failed_entry(entry_id, rejection))
            else:
                successful.append(actions.DeleteMessageBatchResultEntry(entry_id))
        return actions.DeleteMessageBatchResult(successful or None, failed or None)


def prepare_delete_batch(
    queue: CachedQueue, _: RequestContext, request: actions.DeleteMessageBatch
) -> PreparedDeleteBatch:
    """Check a DeleteMessageBatch and make its command; an invalid entry fails alone.

    Raises:
        SQSError: the whole batch breaks a rule.
    """
    entries = request.entries or []
    message_parameters.check_batch_entries(entries, "DeleteMessageBatchRequestEntry")
    receipts: list[Receipt] = []
    deletes: list[tuple[str, str]] = []
    failed: list[actions.BatchResultErrorEntry] = []
    for entry in entries:
        try:
            handle = receive_parameters.parse_receipt_handle(entry.receipt_handle)
            receipt, _received_at_ms = decode_receipt_handle(queue.signer, handle)
        except SQSError as error:
            failed.append(failed_entry(entry.id, error))
        else:
            receipts.append(receipt)
            deletes.append((entry.id or "", handle))
    command = Delete(queue.id, queue.revision, queue.kind, receipts) if receipts else None
    return PreparedDeleteBatch(command, deletes, failed)
