"""The actions on messages: send, receive, delete, and change of visibility.

A single action is a batch of one. Nothing is answered before the database has committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from protocol import actions
from protocol.actions import Message
from protocol.digests import md5_of_attributes
from protocol.errors import InvalidParameterValue, MissingParameter, SQSError
from queueserver import limits, message_attributes
from queueserver.directory import Directory, KnownQueue
from queueserver.envelope import Envelope, message_id_text
from queueserver.operations import Caller
from queueserver.seals import Seal
from storage.arrivals import Clock
from storage.database import Database
from storage.faults import DatabaseUnavailable
from storage.messages import (
    ChangeVisibility,
    Delete,
    NewMessage,
    Receipt,
    Receive,
    Received,
    Release,
    Send,
)

T = TypeVar("T")
E = TypeVar("E", bound=limits.BatchEntry)


class _Prepared(NamedTuple):
    """A message that may be sent, and the digests that its sender is told."""

    new: NewMessage
    md5_of_body: str
    md5_of_attributes: str | None
    md5_of_system_attributes: str | None


class Messages:
    """What SQS does with messages; each public method is the action of its name."""

    def __init__(self, database: Database, directory: Directory, clock: Clock) -> None:
        self._database = database
        self._directory = directory
        self._clock = clock
        self._seal = Seal(database.secret)

    async def send_message(
        self, caller: Caller, request: actions.SendMessage
    ) -> actions.SendMessageResult:
        """Put a message into a queue."""

        async def send(queue: KnownQueue) -> actions.SendMessageResult:
            prepared = _prepare(caller, queue, request)
            size = limits.message_bytes(request.message_body, request.message_attributes)
            limits.message_size(size, queue.attributes.maximum_message_size)
            await self._database.submit(Send(queue.id, queue.revision, [prepared.new]))
            return actions.SendMessageResult(
                md5_of_message_body=prepared.md5_of_body,
                message_id=message_id_text(prepared.new.message_id),
                md5_of_message_attributes=prepared.md5_of_attributes,
                md5_of_message_system_attributes=prepared.md5_of_system_attributes,
            )

        return await self._directory.on_queue(caller, request.queue_url, send)

    async def send_message_batch(
        self, caller: Caller, request: actions.SendMessageBatch
    ) -> actions.SendMessageBatchResult:
        """Put up to ten messages into a queue; what is wrong with one does not harm the others."""

        async def send(queue: KnownQueue) -> actions.SendMessageBatchResult:
            entries = request.entries or []
            limits.batch_entries(request.entries, "SendMessageBatchRequestEntry")
            sizes = [
                limits.message_bytes(entry.message_body or "", entry.message_attributes)
                for entry in entries
            ]
            limits.batch_size(sum(sizes))
            maximum = queue.attributes.maximum_message_size

            def prepare(position: int, entry: actions.SendMessageBatchRequestEntry) -> _Prepared:
                prepared = _prepare(caller, queue, entry, position)
                limits.entry_size(sizes[position - 1], maximum)
                return prepared

            accepted, failed = _sort_out(entries, prepare)
            if accepted:
                new_messages = [prepared.new for _, prepared in accepted]
                await self._database.submit(Send(queue.id, queue.revision, new_messages))
            successful = [
                actions.SendMessageBatchResultEntry(
                    id=entry.id or "",
                    message_id=message_id_text(prepared.new.message_id),
                    md5_of_message_body=prepared.md5_of_body,
                    md5_of_message_attributes=prepared.md5_of_attributes,
                    md5_of_message_system_attributes=prepared.md5_of_system_attributes,
                )
                for entry, prepared in accepted
            ]
            return actions.SendMessageBatchResult(successful or None, failed or None)

        return await self._directory.on_queue(caller, request.queue_url, send)

    async def receive_message(
        self, caller: Caller, request: actions.ReceiveMessage
    ) -> actions.ReceiveMessageResult:
        """Take up to ten messages, waiting for the first of them as long as was asked for."""
        maximum = limits.max_number_of_messages(request.max_number_of_messages)
        if request.wait_time_seconds is not None:
            limits.wait_time_seconds(request.wait_time_seconds)
        if request.visibility_timeout is not None:
            limits.visibility_timeout_of_receive(request.visibility_timeout)
        names = request.message_system_attribute_names
        told = message_attributes.system_attributes(
            request.attribute_names if names is None else names
        )
        wanted = message_attributes.attribute_filter(request.message_attribute_names)
        started_ms = self._clock.now_ms()

        async def receive(queue: KnownQueue) -> actions.ReceiveMessageResult:
            received = await self._receive(queue, request, maximum, started_ms)
            answer = [self._message(queue, message, told, wanted) for message in received]
            return actions.ReceiveMessageResult(answer or None)

        return await self._directory.on_queue(caller, request.queue_url, receive)

    async def _receive(
        self, queue: KnownQueue, request: actions.ReceiveMessage, maximum: int, started_ms: int
    ) -> Sequence[Received]:
        """Look for messages; if there are none, sleep until news or the deadline, and look."""
        timeout_s = _given(request.visibility_timeout, queue.attributes.visibility_timeout)
        wait_s = _given(
            request.wait_time_seconds, queue.attributes.receive_message_wait_time_seconds
        )

        def look() -> Receive:
            return Receive(
                queue.id, queue.revision, maximum, timeout_s * 1000, queue.retention_ms, wait_s > 0
            )

        if wait_s == 0:
            return await self._claim(look())
        deadline_ms = started_ms + wait_s * 1000
        arrivals = self._database.arrivals
        with arrivals.join(queue.id) as place:
            while True:
                place.clear()
                received = await self._claim(look())
                if received or arrivals.closed or self._clock.now_ms() >= deadline_ms:
                    return received
                await place.sleep_until(deadline_ms)

    async def _claim(self, command: Receive) -> Sequence[Received]:
        """Claim messages; if the receiver goes away meanwhile, give them back at once."""
        claim = self._database.submit(command)
        try:
            received: Sequence[Received] = await asyncio.shield(claim)
        except asyncio.CancelledError:
            command.withdraw()
            claim.add_done_callback(self._give_back)
            raise
        return received

    def _give_back(self, claim: asyncio.Future[Sequence[Received]]) -> None:
        if claim.cancelled() or claim.exception() is not None or not claim.result():
            return
        with contextlib.suppress(DatabaseUnavailable):
            # Nobody is left to be told of a failure; then the visibility timeout gives them back.
            self._database.submit(Release(claim.result())).add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )

    def _message(
        self,
        queue: KnownQueue,
        received: Received,
        told: frozenset[str],
        wanted: Callable[[str], bool] | None,
    ) -> Message:
        envelope = Envelope.open(received.envelope)
        attributes, digest = envelope.returned_attributes(wanted)
        return Message(
            message_id=message_id_text(received.message_id),
            receipt_handle=self._seal.receipt_handle(queue.arn, received),
            md5_of_body=envelope.md5_of_body,
            body=received.body,
            attributes=envelope.system_attributes(received, told) if told else None,
            md5_of_message_attributes=digest,
            message_attributes=attributes,
        )

    async def delete_message(self, caller: Caller, request: actions.DeleteMessage) -> None:
        """Delete a message by any handle it was ever received by; fine if it is gone already."""

        async def delete(queue: KnownQueue) -> None:
            receipt, _ = self._seal.receipt(queue.arn, request.receipt_handle)
            await self._database.submit(Delete(queue.id, queue.revision, [receipt]))

        await self._directory.on_queue(caller, request.queue_url, delete)

    async def delete_message_batch(
        self, caller: Caller, request: actions.DeleteMessageBatch
    ) -> actions.DeleteMessageBatchResult:
        """Do DeleteMessage for up to ten messages."""

        async def delete(queue: KnownQueue) -> actions.DeleteMessageBatchResult:
            entries = request.entries or []
            limits.batch_entries(request.entries, "DeleteMessageBatchRequestEntry")
            accepted, failed = _sort_out(
                entries, lambda _, entry: self._receipt(queue, entry.receipt_handle)[0]
            )
            if accepted:
                receipts = [receipt for _, receipt in accepted]
                await self._database.submit(Delete(queue.id, queue.revision, receipts))
            successful = [
                actions.DeleteMessageBatchResultEntry(entry.id or "") for entry, _ in accepted
            ]
            return actions.DeleteMessageBatchResult(successful or None, failed or None)

        return await self._directory.on_queue(caller, request.queue_url, delete)

    async def change_message_visibility(
        self, caller: Caller, request: actions.ChangeMessageVisibility
    ) -> None:
        """Hide a message for so many seconds from now; 0 shows it at once."""

        async def change(queue: KnownQueue) -> None:
            limits.visibility_timeout(request.visibility_timeout)
            wanted = self._change(queue, request.receipt_handle, request.visibility_timeout)
            (exists,) = await self._change_visibility(queue, [wanted])
            if not exists:
                raise _no_such_message(request.receipt_handle)

        await self._directory.on_queue(caller, request.queue_url, change)

    async def change_message_visibility_batch(
        self, caller: Caller, request: actions.ChangeMessageVisibilityBatch
    ) -> actions.ChangeMessageVisibilityBatchResult:
        """Do ChangeMessageVisibility for up to ten messages."""

        async def change(queue: KnownQueue) -> actions.ChangeMessageVisibilityBatchResult:
            entries = request.entries or []
            name = "ChangeMessageVisibilityBatchRequestEntry"
            limits.batch_entries(request.entries, name)
            for position, entry in enumerate(entries, 1):
                if entry.visibility_timeout is None:
                    raise MissingParameter(
                        f"The request must contain the parameter "
                        f"{name}.{position}.VisibilityTimeout."
                    )

            def prepare(
                _: int, entry: actions.ChangeMessageVisibilityBatchRequestEntry
            ) -> tuple[Receipt, int]:
                limits.visibility_timeout_of_entry(entry.visibility_timeout or 0)
                return self._change(queue, entry.receipt_handle, entry.visibility_timeout or 0)

            accepted, failed = _sort_out(entries, prepare)
            exist: Sequence[bool] = ()
            if accepted:
                exist = await self._change_visibility(queue, [wanted for _, wanted in accepted])
            successful = []
            for (entry, _), exists in zip(accepted, exist, strict=True):
                if exists:
                    successful.append(
                        actions.ChangeMessageVisibilityBatchResultEntry(entry.id or "")
                    )
                else:
                    failed.append(_failure(entry.id, _no_such_message(entry.receipt_handle)))
            return actions.ChangeMessageVisibilityBatchResult(successful or None, failed or None)

        return await self._directory.on_queue(caller, request.queue_url, change)

    async def _change_visibility(
        self, queue: KnownQueue, changes: Sequence[tuple[Receipt, int]]
    ) -> Sequence[bool]:
        exist: Sequence[bool] = await self._database.submit(
            ChangeVisibility(queue.id, queue.revision, queue.retention_ms, changes)
        )
        return exist

    def _change(self, queue: KnownQueue, handle: str | None, timeout_s: int) -> tuple[Receipt, int]:
        """Read a handle, and hold the new timeout against what is left of its twelve hours."""
        receipt, received_at_ms = self._receipt(queue, handle)
        limits.total_visibility(self._clock.now_ms() - received_at_ms, timeout_s)
        return receipt, timeout_s * 1000

    def _receipt(self, queue: KnownQueue, handle: str | None) -> tuple[Receipt, int]:
        if not handle:
            raise MissingParameter("The request must contain the parameter ReceiptHandle.")
        return self._seal.receipt(queue.arn, handle)


def _prepare(
    caller: Caller,
    queue: KnownQueue,
    entry: actions.SendMessage | actions.SendMessageBatchRequestEntry,
    position: int = 0,
) -> _Prepared:
    """Hold a message to every rule but size, and make what the database is given of it."""
    body = limits.message_body(entry.message_body, position)
    message_attributes.message_attributes(entry.message_attributes)
    message_attributes.message_system_attributes(entry.message_system_attributes)
    if entry.message_deduplication_id is not None:
        raise _no_deduplication(entry.message_deduplication_id, position)
    if entry.message_group_id is not None:
        limits.message_group_id(entry.message_group_id)
    delay_s = queue.attributes.delay_seconds
    if entry.delay_seconds is not None:
        limits.delay_seconds(entry.delay_seconds)
        delay_s = entry.delay_seconds
    envelope = Envelope.of(
        caller.account, body, entry.message_attributes, _trace_header(caller, entry)
    )
    new = NewMessage(
        uuid.uuid4().bytes, body, envelope.closed(), entry.message_group_id, delay_s * 1000
    )
    system = entry.message_system_attributes
    return _Prepared(
        new,
        envelope.md5_of_body,
        envelope.md5_of_attributes,
        md5_of_attributes(system) if system else None,
    )


def _no_deduplication(deduplication_id: str, position: int) -> InvalidParameterValue:
    """Word that only FIFO queues deduplicate; a batch's entry is told in fewer words."""
    reason = "The request include parameter that is not valid for this queue type"
    if position:
        return InvalidParameterValue(reason)
    return InvalidParameterValue(
        f"Value {deduplication_id} for parameter MessageDeduplicationId is invalid. "
        f"Reason: {reason}."
    )


def _trace_header(
    caller: Caller, entry: actions.SendMessage | actions.SendMessageBatchRequestEntry
) -> str | None:
    """Choose the message's trace header: its own system attribute, else the request's header."""
    system = entry.message_system_attributes
    if system and message_attributes.TRACE_HEADER in system:
        return system[message_attributes.TRACE_HEADER].string_value
    return caller.trace_header or None


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


def _no_such_message(handle: str | None) -> InvalidParameterValue:
    return InvalidParameterValue(
        f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist "
        "or is not available for visibility timeout change."
    )


def _given(value: int | None, default: int) -> int:
    return default if value is None else value
