"""The actions on messages: send, receive, delete, and change of the visibility timeout.

Each action passes a private method to the queue cache, which calls it with the cached queue. If the
cached queue was out of date, the cache reloads it and calls the method again. For the database,
a single action is a batch of one. Every answer comes after COMMIT.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from protocol import actions
from protocol.actions import Message
from protocol.errors import SQSError
from queueserver.actions.queue_cache import CachedQueue, QueueCache
from queueserver.context import RequestContext
from queueserver.identifiers import as_text
from queueserver.rules import message_attributes, message_parameters, receive_parameters
from queueserver.rules.envelope import Envelope, sequence_number
from queueserver.rules.new_message import PreparedMessage, check_fifo_ids, prepare_message
from queueserver.rules.receipt_handles import decode_receipt_handle, encode_receipt_handle
from queueserver.rules.signed_tokens import TokenSigner
from storage.clock import Clock
from storage.database import Database
from storage.errors import DatabaseDamaged
from storage.messages.commands import (
    ChangeVisibility,
    Delete,
    InFlightLimit,
    Outcome,
    Receipt,
    Receive,
    ReceiveAttempt,
    ReceiveAttemptExpired,
    Received,
    Send,
    SentMessage,
)
from storage.queues import STANDARD
from storage.waiting import polling

log = logging.getLogger(__name__)


class Messages:
    """The actions on messages; each public method is the action of its name.

    `in_flight_limit` is the most messages of a queue in flight (AWS: about 120,000). The database
    enforces it in each receive.
    """

    def __init__(
        self, database: Database, cache: QueueCache, clock: Clock, *, in_flight_limit: int
    ) -> None:
        self._database = database
        self._cache = cache
        self._clock = clock
        self._in_flight_limit = in_flight_limit
        self._signer = TokenSigner(database.secret)

    # Send

    async def send_message(
        self, context: RequestContext, request: actions.SendMessage
    ) -> actions.SendMessageResult:
        """Send a message to a queue."""
        return await self._cache.run(context, request.queue_url, self._send, context, request)

    async def _send(
        self, queue: CachedQueue, context: RequestContext, request: actions.SendMessage
    ) -> actions.SendMessageResult:
        size = message_parameters.message_bytes(request.message_body, request.message_attributes)
        message = prepare_message(context, queue.attributes, request, size)
        (sent,) = await self._submit_send(queue, [message])
        return actions.SendMessageResult(
            md5_of_message_body=message.md5_of_body,
            message_id=as_text(sent.message_id),
            md5_of_message_attributes=message.md5_of_attributes,
            md5_of_message_system_attributes=message.md5_of_system_attributes,
            sequence_number=_sequence_number(queue, sent),
        )

    async def send_message_batch(
        self, context: RequestContext, request: actions.SendMessageBatch
    ) -> actions.SendMessageBatchResult:
        """Send up to ten messages to a queue; an invalid entry fails alone."""
        return await self._cache.run(context, request.queue_url, self._send_batch, context, request)

    async def _send_batch(
        self, queue: CachedQueue, context: RequestContext, request: actions.SendMessageBatch
    ) -> actions.SendMessageBatchResult:
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
                failed.append(_failed_entry(entry.id, error))
            else:
                messages.append((entry.id or "", message))
        sent = await self._submit_send(queue, [message for _, message in messages])
        successful = [
            actions.SendMessageBatchResultEntry(
                id=entry_id,
                message_id=as_text(one.message_id),
                md5_of_message_body=message.md5_of_body,
                md5_of_message_attributes=message.md5_of_attributes,
                md5_of_message_system_attributes=message.md5_of_system_attributes,
                sequence_number=_sequence_number(queue, one),
            )
            for (entry_id, message), one in zip(messages, sent, strict=True)
        ]
        return actions.SendMessageBatchResult(successful or None, failed or None)

    async def _submit_send(
        self, queue: CachedQueue, messages: Sequence[PreparedMessage]
    ) -> list[SentMessage]:
        if not messages:
            return []
        new = [message.new for message in messages]
        return await self._database.submit(Send(queue.id, queue.revision, queue.kind, new))

    # Receive

    async def receive_message(
        self, context: RequestContext, request: actions.ReceiveMessage
    ) -> actions.ReceiveMessageResult:
        """Receive up to ten messages; wait for the first one for up to 20 s (AWS: long poll)."""
        # A second run with another state of the queue must not wait longer in total.
        started_ms = self._clock.now_ms()
        return await self._cache.run(context, request.queue_url, self._receive, request, started_ms)

    async def _receive(
        self, queue: CachedQueue, request: actions.ReceiveMessage, started_ms: int
    ) -> actions.ReceiveMessageResult:
        maximum = receive_parameters.parse_max_number_of_messages(request.max_number_of_messages)
        if request.wait_time_seconds is not None:
            receive_parameters.check_wait_time_seconds(request.wait_time_seconds)
        if request.visibility_timeout is not None:
            receive_parameters.check_receive_visibility_timeout(request.visibility_timeout)
        system_names = message_attributes.parse_system_attribute_names(
            request.message_system_attribute_names, request.attribute_names
        )
        is_selected = message_attributes.parse_attribute_filter(request.message_attribute_names)
        received = await self._poll(queue, request, maximum, started_ms)
        try:
            messages = [
                self._to_wire_message(queue, message, system_names, is_selected)
                for message in received
            ]
        except DatabaseDamaged:
            messages = self._undamaged_messages(queue, received, system_names, is_selected)
        return actions.ReceiveMessageResult(messages or None)

    async def _poll(
        self, queue: CachedQueue, request: actions.ReceiveMessage, maximum: int, started_ms: int
    ) -> Sequence[Received]:
        """Receive up to `maximum` messages, waiting for the first one if the request asks."""
        timeout_s = _value_or(request.visibility_timeout, queue.attributes.visibility_timeout)
        wait_s = _value_or(
            request.wait_time_seconds, queue.attributes.receive_message_wait_time_seconds
        )
        attempt = _attempt_of(queue, request, maximum)
        # A new object each time, because `withdraw()` changes it.
        make_command = partial(
            Receive,
            queue_id=queue.id,
            revision=queue.revision,
            queue_kind=queue.kind,
            maximum=maximum,
            visibility_timeout_ms=timeout_s * 1000,
            is_waiting=wait_s > 0,
            in_flight_limit=self._in_flight_limit,
            attempt=attempt,
        )
        try:
            if wait_s > 0:
                deadline_ms = started_ms + wait_s * 1000
                return await polling.long_poll(self._database, make_command, deadline_ms)
            return await polling.short_poll(self._database, make_command())
        except InFlightLimit:
            # AWS: a FIFO queue at its limit answers with no messages instead of an error.
            if queue.kind == STANDARD:
                raise receive_parameters.too_many_in_flight_error() from None
            return ()
        except ReceiveAttemptExpired:
            attempt_id = attempt.attempt_id if attempt else ""
            raise receive_parameters.expired_attempt_error(attempt_id) from None

    def _to_wire_message(
        self,
        queue: CachedQueue,
        received: Received,
        system_names: frozenset[str],
        is_selected: Callable[[str], bool] | None,
    ) -> Message:
        """Return a received message with the attributes that the request selects.

        `is_selected` decides by name; None: no message attributes were asked for.

        Raises:
            DatabaseDamaged: the message cannot be decoded.
        """
        envelope = Envelope.decode(received.envelope)
        attributes = digest = system = None
        if is_selected is not None:
            attributes, digest = envelope.select_attributes(is_selected)
        if system_names:
            system = envelope.select_system_attributes(received, system_names)
        return Message(
            message_id=as_text(received.message_id),
            receipt_handle=encode_receipt_handle(self._signer, queue.arn, received),
            md5_of_body=envelope.md5_of_body,
            body=received.body,
            attributes=system,
            md5_of_message_attributes=digest,
            message_attributes=attributes,
        )

    def _undamaged_messages(
        self,
        queue: CachedQueue,
        received: Sequence[Received],
        system_names: frozenset[str],
        is_selected: Callable[[str], bool] | None,
    ) -> list[Message]:
        """Return the messages that can be decoded.

        A damaged message stays in flight until its visibility timeout ends.

        Raises:
            DatabaseDamaged: every message is damaged.
        """
        messages = []
        for position, one in enumerate(received, 1):
            try:
                messages.append(self._to_wire_message(queue, one, system_names, is_selected))
            except DatabaseDamaged as error:
                if position == len(received) and not messages:
                    raise
                log.warning(
                    "a message is damaged, not returning it; "
                    "find the damage with `queueserver check` or `pg_amcheck`: "
                    "queue=%s message=%d reason=%s",
                    queue.name,
                    one.receipt.number,
                    error,
                )
        return messages

    # Delete

    async def delete_message(self, context: RequestContext, request: actions.DeleteMessage) -> None:
        """Delete a message by receipt handle.

        AWS: on a standard queue, the handle of any receive of the message is valid, and deleting a
        message again succeeds. On a FIFO queue, only the latest handle is valid, and only until its
        visibility timeout ends.
        """
        await self._cache.run(context, request.queue_url, self._delete, request)

    async def _delete(self, queue: CachedQueue, request: actions.DeleteMessage) -> None:
        handle = receive_parameters.parse_receipt_handle(request.receipt_handle)
        receipt, _ = decode_receipt_handle(self._signer, queue.arn, handle)
        (outcome,) = await self._delete_receipts(queue, [receipt])
        if outcome is Outcome.EXPIRED:
            raise receive_parameters.expired_receipt_error(handle)

    async def delete_message_batch(
        self, context: RequestContext, request: actions.DeleteMessageBatch
    ) -> actions.DeleteMessageBatchResult:
        """Delete up to ten messages; an invalid entry fails alone."""
        return await self._cache.run(context, request.queue_url, self._delete_batch, request)

    async def _delete_batch(
        self, queue: CachedQueue, request: actions.DeleteMessageBatch
    ) -> actions.DeleteMessageBatchResult:
        entries = request.entries or []
        message_parameters.check_batch_entries(entries, "DeleteMessageBatchRequestEntry")
        deletes: list[tuple[str, str, Receipt]] = []
        failed: list[actions.BatchResultErrorEntry] = []
        for entry in entries:
            try:
                handle = receive_parameters.parse_receipt_handle(entry.receipt_handle)
                receipt, _ = decode_receipt_handle(self._signer, queue.arn, handle)
            except SQSError as error:
                failed.append(_failed_entry(entry.id, error))
            else:
                deletes.append((entry.id or "", handle, receipt))
        outcomes = await self._delete_receipts(queue, [receipt for _, _, receipt in deletes])
        successful = []
        for (entry_id, handle, _), outcome in zip(deletes, outcomes, strict=True):
            if outcome is Outcome.EXPIRED:
                rejection = receive_parameters.expired_receipt_error(handle)
                failed.append(_failed_entry(entry_id, rejection))
            else:
                successful.append(actions.DeleteMessageBatchResultEntry(entry_id))
        return actions.DeleteMessageBatchResult(successful or None, failed or None)

    async def _delete_receipts(
        self, queue: CachedQueue, receipts: Sequence[Receipt]
    ) -> list[Outcome]:
        if not receipts:
            return []
        return await self._database.submit(Delete(queue.id, queue.revision, queue.kind, receipts))

    # Change of the visibility timeout

    async def change_message_visibility(
        self, context: RequestContext, request: actions.ChangeMessageVisibility
    ) -> None:
        """Make a message visible after some seconds from now; 0 makes it visible at once."""
        await self._cache.run(context, request.queue_url, self._change_visibility, request)

    async def _change_visibility(
        self, queue: CachedQueue, request: actions.ChangeMessageVisibility
    ) -> None:
        handle = receive_parameters.parse_receipt_handle(request.receipt_handle)
        timeout_s = receive_parameters.parse_visibility_timeout(request.visibility_timeout)
        change = self._parse_change(queue, handle, timeout_s)
        (outcome,) = await self._change_receipts(queue, [change])
        error = _visibility_error(outcome, handle)
        if error is not None:
            raise error

    async def change_message_visibility_batch(
        self, context: RequestContext, request: actions.ChangeMessageVisibilityBatch
    ) -> actions.ChangeMessageVisibilityBatchResult:
        """Change the visibility timeout of up to ten messages; an invalid entry fails alone."""
        return await self._cache.run(
            context, request.queue_url, self._change_visibility_batch, request
        )

    async def _change_visibility_batch(
        self, queue: CachedQueue, request: actions.ChangeMessageVisibilityBatch
    ) -> actions.ChangeMessageVisibilityBatchResult:
        entries = request.entries or []
        message_parameters.check_batch_entries(entries, "ChangeMessageVisibilityBatchRequestEntry")
        timeouts_s = [
            receive_parameters.parse_entry_visibility_timeout(entry.visibility_timeout, position)
            for position, entry in enumerate(entries, 1)
        ]
        changes: list[tuple[str, str, tuple[Receipt, int]]] = []
        failed: list[actions.BatchResultErrorEntry] = []
        for entry, timeout_s in zip(entries, timeouts_s, strict=True):
            try:
                receive_parameters.check_entry_visibility_timeout(timeout_s)
                handle = receive_parameters.parse_receipt_handle(entry.receipt_handle)
                change = self._parse_change(queue, handle, timeout_s)
            except SQSError as error:
                failed.append(_failed_entry(entry.id, error))
            else:
                changes.append((entry.id or "", handle, change))
        outcomes = await self._change_receipts(queue, [change for _, _, change in changes])
        successful = []
        for (entry_id, handle, _), outcome in zip(changes, outcomes, strict=True):
            rejection = _visibility_error(outcome, handle)
            if rejection is not None:
                failed.append(_failed_entry(entry_id, rejection))
            else:
                successful.append(actions.ChangeMessageVisibilityBatchResultEntry(entry_id))
        return actions.ChangeMessageVisibilityBatchResult(successful or None, failed or None)

    def _parse_change(self, queue: CachedQueue, handle: str, timeout_s: int) -> tuple[Receipt, int]:
        """Return the receipt in the handle and the new timeout in milliseconds.

        Raises:
            ReceiptHandleIsInvalid: the queue did not issue this handle.
            InvalidParameterValue: the timeout ends more than 12 hours after the receive.
        """
        receipt, received_at_ms = decode_receipt_handle(self._signer, queue.arn, handle)
        receive_parameters.check_total_visibility(self._clock.now_ms() - received_at_ms, timeout_s)
        return receipt, timeout_s * 1000

    async def _change_receipts(
        self, queue: CachedQueue, changes: Sequence[tuple[Receipt, int]]
    ) -> list[Outcome]:
        if not changes:
            return []
        return await self._database.submit(
            ChangeVisibility(queue.id, queue.revision, queue.kind, changes)
        )


def _failed_entry(entry_id: str | None, error: SQSError) -> actions.BatchResultErrorEntry:
    return actions.BatchResultErrorEntry(
        entry_id or "", error.sender_fault, error.code, error.message
    )


def _visibility_error(outcome: Outcome, handle: str) -> SQSError | None:
    """Return the error for a visibility timeout that was not changed, or None if it was."""
    if outcome is Outcome.EXPIRED:
        return receive_parameters.expired_receipt_error(handle)
    if outcome is Outcome.MISSING:
        return receive_parameters.unavailable_message_error(handle)
    return None


def _attempt_of(
    queue: CachedQueue, request: actions.ReceiveMessage, maximum: int
) -> ReceiveAttempt | None:
    """Return the receive attempt of the request, or None. AWS: standard queues ignore the id."""
    attempt_id = request.receive_request_attempt_id
    if attempt_id is None or not queue.attributes.fifo_queue:
        return None
    receive_parameters.check_receive_request_attempt_id(attempt_id)
    return ReceiveAttempt(attempt_id, [maximum, request.visibility_timeout])


def _sequence_number(queue: CachedQueue, sent: SentMessage) -> str | None:
    return sequence_number(sent.number) if queue.attributes.fifo_queue else None


def _value_or(value: int | None, default: int) -> int:
    return default if value is None else value
