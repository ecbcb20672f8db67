"""The actions on messages: send, receive, delete, and change of visibility.

A single action is a batch of one. Nothing is answered before the database has committed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from protocol import actions
from protocol.actions import Message
from protocol.errors import InvalidParameterValue, MissingParameter, SQSError
from queueserver.actions.queue_cache import CachedQueue, QueueCache
from queueserver.context import RequestContext
from queueserver.identifiers import as_text
from queueserver.rules import message_attributes, message_parameters, receive_parameters
from queueserver.rules.envelope import Envelope, sequence_number
from queueserver.rules.new_message import PreparedMessage, check_fifo_ids, prepare_message
from queueserver.rules.receipt_handles import decode_receipt_handle, encode_receipt_handle
from queueserver.rules.signed_tokens import TokenSigner
from storage import polling
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

log = logging.getLogger(__name__)

T = TypeVar("T")
E = TypeVar("E", bound=message_parameters.BatchEntry)


class Messages:
    """What SQS does with messages; each public method is the action of its name."""

    def __init__(
        self, database: Database, directory: QueueCache, clock: Clock, *, in_flight_limit: int
    ) -> None:
        self._in_flight_limit = in_flight_limit
        self._database = database
        self._directory = directory
        self._clock = clock
        self._signer = TokenSigner(database.secret)

    async def send_message(
        self, context: RequestContext, request: actions.SendMessage
    ) -> actions.SendMessageResult:
        """Put a message into a queue."""

        async def send(queue: CachedQueue) -> actions.SendMessageResult:
            ready = prepare_message(context, queue.attributes, request)
            size = message_parameters.message_bytes(ready.new.body, request.message_attributes)
            message_parameters.check_message_size(size, queue.attributes.maximum_message_size)
            (sent,) = await self._send(queue, [ready])
            return actions.SendMessageResult(
                md5_of_message_body=ready.md5_of_body,
                message_id=as_text(sent.message_id),
                md5_of_message_attributes=ready.md5_of_attributes,
                md5_of_message_system_attributes=ready.md5_of_system_attributes,
                sequence_number=_sequence_number(queue, sent),
            )

        return await self._directory.on_queue(context, request.queue_url, send)

    async def send_message_batch(
        self, context: RequestContext, request: actions.SendMessageBatch
    ) -> actions.SendMessageBatchResult:
        """Put up to ten messages into a queue; what is wrong with one does not harm the others."""

        async def send(queue: CachedQueue) -> actions.SendMessageBatchResult:
            entries = request.entries or []
            message_parameters.check_batch_entries(request.entries, "SendMessageBatchRequestEntry")
            sizes = [
                message_parameters.message_bytes(entry.message_body or "", entry.message_attributes)
                for entry in entries
            ]
            message_parameters.check_batch_size(sum(sizes))
            if queue.attributes.fifo_queue:
                for entry in entries:
                    check_fifo_ids(queue.attributes, entry, in_batch=True)
            maximum = queue.attributes.maximum_message_size

            def prepare(
                position: int, entry: actions.SendMessageBatchRequestEntry
            ) -> PreparedMessage:
                ready = prepare_message(context, queue.attributes, entry, position)
                message_parameters.check_entry_size(sizes[position - 1], maximum)
                return ready

            accepted, failed = _sort_out(entries, prepare)
            sent = await self._send(queue, [ready for _, ready in accepted])
            successful = [
                actions.SendMessageBatchResultEntry(
                    id=entry.id or "",
                    message_id=as_text(one.message_id),
                    md5_of_message_body=ready.md5_of_body,
                    md5_of_message_attributes=ready.md5_of_attributes,
                    md5_of_message_system_attributes=ready.md5_of_system_attributes,
                    sequence_number=_sequence_number(queue, one),
                )
                for (entry, ready), one in zip(accepted, sent, strict=True)
            ]
            return actions.SendMessageBatchResult(successful or None, failed or None)

        return await self._directory.on_queue(context, request.queue_url, send)

    async def _send(
        self, queue: CachedQueue, drafts: Sequence[PreparedMessage]
    ) -> list[SentMessage]:
        if not drafts:
            return []
        new = [ready.new for ready in drafts]
        return await self._database.submit(Send(queue.id, queue.revision, queue.kind, new))

    async def receive_message(
        self, context: RequestContext, request: actions.ReceiveMessage
    ) -> actions.ReceiveMessageResult:
        """Take up to ten messages, waiting for the first of them as long as was asked for."""
        started_ms = self._clock.now_ms()

        async def receive(queue: CachedQueue) -> actions.ReceiveMessageResult:
            maximum = receive_parameters.parse_max_number_of_messages(
                request.max_number_of_messages
            )
            if request.wait_time_seconds is not None:
                receive_parameters.check_wait_time_seconds(request.wait_time_seconds)
            if request.visibility_timeout is not None:
                receive_parameters.check_receive_visibility_timeout(request.visibility_timeout)
            names = request.message_system_attribute_names
            told = message_attributes.parse_system_attribute_names(
                request.attribute_names if names is None else names
            )
            wanted = message_attributes.parse_attribute_filter(request.message_attribute_names)
            received = await self._receive(queue, request, maximum, started_ms)
            try:
                answer = [self._message(queue, message, told, wanted) for message in received]
            except DatabaseDamaged:
                answer = self._sound_messages(queue, received, told, wanted)
            return actions.ReceiveMessageResult(answer or None)

        return await self._directory.on_queue(context, request.queue_url, receive)

    async def _receive(
        self, queue: CachedQueue, request: actions.ReceiveMessage, maximum: int, started_ms: int
    ) -> Sequence[Received]:
        """Claim messages; wait for the first one if the request or the queue says so."""
        timeout_s = _given(request.visibility_timeout, queue.attributes.visibility_timeout)
        wait_s = _given(
            request.wait_time_seconds, queue.attributes.receive_message_wait_time_seconds
        )
        attempt = _attempt(queue, request, maximum)
        make_command = partial(
            Receive,
            queue_id=queue.id,
            revision=queue.revision,
            kind=queue.kind,
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
            if queue.kind == STANDARD:
                raise receive_parameters.too_many_in_flight_error() from None
            return ()
        except ReceiveAttemptExpired:
            attempt_id = attempt.attempt_id if attempt else ""
            raise receive_parameters.expired_attempt_error(attempt_id) from None

    def _sound_messages(
        self,
        queue: CachedQueue,
        received: Sequence[Received],
        told: frozenset[str],
        wanted: Callable[[str], bool] | None,
    ) -> list[Message]:
        """Make what can be made of a receive; what is damaged stays hidden for its while.

        Raises:
            DatabaseDamaged: all of it is.
        """
        sound = []
        for position, message in enumerate(received, 1):
            try:
                sound.append(self._message(queue, message, told, wanted))
            except DatabaseDamaged as error:
                if position == len(received) and not sound:
                    raise
                number = message.receipt.number
                log.warning("message %d of queue %s is damaged: %s", number, queue.name, error)
        return sound

    def _message(
        self,
        queue: CachedQueue,
        received: Received,
        told: frozenset[str],
        wanted: Callable[[str], bool] | None,
    ) -> Message:
        envelope = Envelope.decode(received.envelope)
        attributes = digest = None
        if wanted is not None:
            attributes, digest = envelope.select_attributes(wanted)
        return Message(
            message_id=as_text(received.message_id),
            receipt_handle=encode_receipt_handle(self._signer, queue.arn, received),
            md5_of_body=envelope.md5_of_body,
            body=received.body,
            attributes=envelope.select_system_attributes(received, told) if told else None,
            md5_of_message_attributes=digest,
            message_attributes=attributes,
        )

    async def delete_message(self, context: RequestContext, request: actions.DeleteMessage) -> None:
        """Delete a message by any handle it was ever received by; fine if it is gone already."""

        async def delete(queue: CachedQueue) -> None:
            receipt, _ = self._receipt(queue, request.receipt_handle)
            (outcome,) = await self._delete(queue, [receipt])
            if outcome is Outcome.EXPIRED:
                raise receive_parameters.expired_receipt_error(request.receipt_handle or "")

        await self._directory.on_queue(context, request.queue_url, delete)

    async def delete_message_batch(
        self, context: RequestContext, request: actions.DeleteMessageBatch
    ) -> actions.DeleteMessageBatchResult:
        """Do DeleteMessage for up to ten messages."""

        async def delete(queue: CachedQueue) -> actions.DeleteMessageBatchResult:
            entries = request.entries or []
            message_parameters.check_batch_entries(
                request.entries, "DeleteMessageBatchRequestEntry"
            )
            accepted, failed = _sort_out(
                entries, lambda _, entry: self._receipt(queue, entry.receipt_handle)[0]
            )
            successful = []
            outcomes = await self._delete(queue, [receipt for _, receipt in accepted])
            for (entry, _), outcome in zip(accepted, outcomes, strict=True):
                if outcome is Outcome.EXPIRED:
                    failed.append(
                        _failure(
                            entry.id,
                            receive_parameters.expired_receipt_error(entry.receipt_handle or ""),
                        )
                    )
                else:
                    successful.append(actions.DeleteMessageBatchResultEntry(entry.id or ""))
            return actions.DeleteMessageBatchResult(successful or None, failed or None)

        return await self._directory.on_queue(context, request.queue_url, delete)

    async def _delete(self, queue: CachedQueue, receipts: Sequence[Receipt]) -> list[Outcome]:
        if not receipts:
            return []
        return await self._database.submit(Delete(queue.id, queue.revision, queue.kind, receipts))

    async def change_message_visibility(
        self, context: RequestContext, request: actions.ChangeMessageVisibility
    ) -> None:
        """Hide a message for so many seconds from now; 0 shows it at once."""

        async def change(queue: CachedQueue) -> None:
            receive_parameters.parse_receipt_handle(request.receipt_handle)
            timeout_s = receive_parameters.parse_visibility_timeout(request.visibility_timeout)
            wanted = self._change(queue, request.receipt_handle, timeout_s)
            (outcome,) = await self._change_visibility(queue, [wanted])
            error = _why_unchanged(outcome, request.receipt_handle)
            if error is not None:
                raise error

        await self._directory.on_queue(context, request.queue_url, change)

    async def change_message_visibility_batch(
        self, context: RequestContext, request: actions.ChangeMessageVisibilityBatch
    ) -> actions.ChangeMessageVisibilityBatchResult:
        """Do ChangeMessageVisibility for up to ten messages."""

        async def change(queue: CachedQueue) -> actions.ChangeMessageVisibilityBatchResult:
            entries = request.entries or []
            name = "ChangeMessageVisibilityBatchRequestEntry"
            message_parameters.check_batch_entries(request.entries, name)
            for position, entry in enumerate(entries, 1):
                if entry.visibility_timeout is None:
                    raise MissingParameter(
                        f"The request must contain the parameter "
                        f"{name}.{position}.VisibilityTimeout."
                    )

            def prepare(
                _: int, entry: actions.ChangeMessageVisibilityBatchRequestEntry
            ) -> tuple[Receipt, int]:
                receive_parameters.check_entry_visibility_timeout(entry.visibility_timeout or 0)
                return self._change(queue, entry.receipt_handle, entry.visibility_timeout or 0)

            accepted, failed = _sort_out(entries, prepare)
            outcomes = await self._change_visibility(queue, [wanted for _, wanted in accepted])
            successful = []
            for (entry, _), outcome in zip(accepted, outcomes, strict=True):
                error = _why_unchanged(outcome, entry.receipt_handle)
                if error is not None:
                    failed.append(_failure(entry.id, error))
                else:
                    done = actions.ChangeMessageVisibilityBatchResultEntry(entry.id or "")
                    successful.append(done)
            return actions.ChangeMessageVisibilityBatchResult(successful or None, failed or None)

        return await self._directory.on_queue(context, request.queue_url, change)

    async def _change_visibility(
        self, queue: CachedQueue, changes: Sequence[tuple[Receipt, int]]
    ) -> list[Outcome]:
        if not changes:
            return []
        return await self._database.submit(
            ChangeVisibility(queue.id, queue.revision, queue.kind, changes)
        )

    def _change(
        self, queue: CachedQueue, handle: str | None, timeout_s: int
    ) -> tuple[Receipt, int]:
        """Read a handle, and hold the new timeout against what is left of its twelve hours."""
        receipt, received_at_ms = self._receipt(queue, handle)
        receive_parameters.check_total_visibility(self._clock.now_ms() - received_at_ms, timeout_s)
        return receipt, timeout_s * 1000

    def _receipt(self, queue: CachedQueue, handle: str | None) -> tuple[Receipt, int]:
        return decode_receipt_handle(
            self._signer, queue.arn, receive_parameters.parse_receipt_handle(handle)
        )


def _sort_out(
    entries: Sequence[E], prepare: Callable[[int, E], T]
) -> tuple[list[tuple[E, T]], list[actions.BatchResultErrorEntry]]:
    """Prepare each entry of a batch, by its position from 1; part those that fail, with reasons."""
    accepted: list[tuple[E, T]] = []
    failed: list[actions.BatchResultErrorEntry] = []
    for position, entry in enumerate(entries, 1):
        try:
            accepted.append((entry, prepare(position, entry)))
        except SQSError as error:
            failed.append(_failure(entry.id, error))
    return accepted, failed


def _failure(entry_id: str | None, error: SQSError) -> actions.BatchResultErrorEntry:
    return actions.BatchResultErrorEntry(
        entry_id or "", error.sender_fault, error.code, error.message
    )


def _why_unchanged(outcome: Outcome, handle: str | None) -> InvalidParameterValue | None:
    """Word why a visibility timeout could not be changed, if it could not."""
    if outcome is Outcome.EXPIRED:
        return receive_parameters.expired_receipt_error(handle or "")
    if outcome is Outcome.MISSING:
        return receive_parameters.unavailable_message_error(handle or "")
    return None


def _attempt(
    queue: CachedQueue, request: actions.ReceiveMessage, maximum: int
) -> ReceiveAttempt | None:
    """Name the receive, on a FIFO queue; standard queues ignore such names."""
    name = request.receive_request_attempt_id
    if name is None or not queue.attributes.fifo_queue:
        return None
    receive_parameters.check_receive_request_attempt_id(name)
    return ReceiveAttempt(name, [maximum, request.visibility_timeout])


def _sequence_number(queue: CachedQueue, sent: SentMessage) -> str | None:
    return sequence_number(sent.number) if queue.attributes.fifo_queue else None


def _given(value: int | None, default: int) -> int:
    return default if value is None else value
