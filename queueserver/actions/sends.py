"""SendMessage and SendMessageBatch, before and after their command."""

from __future__ import annotations

from collections.abc import Sequence

from protocol import actions
from protocol.errors import KmsNotFound, SQSError
from queueserver.actions.prepared import PreparedAction, failed_entry, key_failure
from queueserver.actions.queue_cache import CachedQueue
from queueserver.context import RequestContext
from queueserver.identifiers import as_text
from queueserver.rules import message_parameters
from queueserver.rules.envelope import sequence_number
from queueserver.rules.new_message import PreparedMessage, check_fifo_ids, prepare_message
from storage.encryption.data_keys import DataKeyRule
from storage.messages.commands import Send, SentMessage


class PreparedSend(PreparedAction[SentMessage, actions.SendMessageResult], gc=False):
    """A SendMessage whose message is accepted."""

    queue: CachedQueue
    message: PreparedMessage

    def result(self, outcomes: Sequence[SentMessage]) -> actions.SendMessageResult:
        """Return the message's id, digests and sequence number."""
        (sent,) = outcomes
        message = self.message
        return actions.SendMessageResult(
            message.md5_of_body,
            as_text(sent.message_id),
            message.md5_of_attributes,
            message.md5_of_system_attributes,
            sequence_number(sent.number) if self.queue.attributes.fifo_queue else None,
        )

    def failure(self, error: Exception) -> actions.SendMessageResult | Exception:
        """Return the error of a send that failed."""
        return key_failure(self.queue, error)


def prepare_send(
    queue: CachedQueue, context: RequestContext, request: actions.SendMessage
) -> PreparedSend:
    """Check a SendMessage and make its command; a single message is a batch of one.

    Raises:
        SQSError: the message breaks a rule.
    """
    size = message_parameters.message_bytes(request.message_body, request.message_attributes)
    message = prepare_message(context, queue.attributes, request, size)
    rule = _data_key_rule(queue)
    command = Send(queue.id, queue.revision, queue.kind, [message.new], rule)
    return PreparedSend(command, queue, message)


class PreparedSendBatch(PreparedAction[SentMessage, actions.SendMessageBatchResult], gc=False):
    """A SendMessageBatch with the entries that are accepted and those that failed."""

    queue: CachedQueue
    messages: list[tuple[str, PreparedMessage]]
    failed: list[actions.BatchResultErrorEntry]

    def result(self, outcomes: Sequence[SentMessage]) -> actions.SendMessageBatchResult:
        """Return the entries that were sent, and those that failed."""
        is_fifo = self.queue.attributes.fifo_queue
        successful = [
            actions.SendMessageBatchResultEntry(
                entry_id,
                as_text(sent.message_id),
                message.md5_of_body,
                message.md5_of_attributes,
                message.md5_of_system_attributes,
                sequence_number(sent.number) if is_fifo else None,
            )
            for (entry_id, message), sent in zip(self.messages, outcomes, strict=True)
        ]
        return actions.SendMessageBatchResult(successful or None, self.failed or None)

    def failure(self, error: Exception) -> actions.SendMessageBatchResult | Exception:
        """Return the error of a send that failed."""
        return key_failure(self.queue, error)


def prepare_send_batch(
    queue: CachedQueue, context: RequestContext, request: actions.SendMessageBatch
) -> PreparedSendBatch:
    """Check a SendMessageBatch and make its command; an invalid entry fails alone.

    Raises:
        SQSError: the whole batch breaks a rule.
    """
    entries = request.entries or []
    message_parameters.check_batch_entries(entries, "SendMessageBatchRequestEntry")
    sizes = [
        message_parameters.message_bytes(entry.message_body, entry.message_attributes)
        for entry in entries
    ]
    message_parameters.check_batch_size(sum(sizes))
    if queue.attributes.fifo_queue:
        for entry in entries:
            check_fifo_ids(queue.attributes, entry, in_batch=True)
    messages: list[tuple[str, PreparedMessage]] = []
    failed: list[actions.BatchResultErrorEntry] = []
    for position, (entry, size) in enumerate(zip(entries, sizes, strict=True), 1):
        try:
            message = prepare_message(context, queue.attributes, entry, size, position)
        except SQSError as error:
            failed.append(failed_entry(entry.id, error))
        else:
            messages.append((entry.id or "", message))
    new = [message.new for _, message in messages]
    command = None
    if new:
        command = Send(queue.id, queue.revision, queue.kind, new, _data_key_rule(queue))
    return PreparedSendBatch(command, queue, messages, failed)


def _data_key_rule(queue: CachedQueue) -> DataKeyRule | None:
    """Return how messages for the queue are encrypted, None for not at all.

    Raises:
        KmsNotFound: the queue's key does not exist, or the queue has none and must have one.
    """
    rule, error = queue.encryption
    if error is not None:
        raise KmsNotFound(error, reason=f"queue={queue.name} reason=it cannot be encrypted")
    return rule
