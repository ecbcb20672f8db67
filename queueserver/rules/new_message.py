"""A message before it is sent: held to every rule, and made into what the database is given."""

from __future__ import annotations

import hashlib
from typing import NamedTuple, TypeAlias

from protocol import actions
from protocol.digests import md5_of_attributes
from queueserver.actions.queue_cache import CachedQueue
from queueserver.context import RequestContext
from queueserver.identifiers import new_identifier
from queueserver.rules import limits, message_attributes
from queueserver.rules.envelope import Envelope
from storage.messages.commands import NewMessage

Entry: TypeAlias = actions.SendMessage | actions.SendMessageBatchRequestEntry


class PreparedMessage(NamedTuple):
    """A message that may be sent, and the digests that its sender is told."""

    new: NewMessage
    md5_of_body: str
    md5_of_attributes: str | None
    md5_of_system_attributes: str | None


def prepare_message(
    context: RequestContext, queue: CachedQueue, entry: Entry, position: int = 0
) -> PreparedMessage:
    """Hold a message to every rule but those of size; `position` counts a batch's entries from 1.

    SQS looks at what a message needs and where it goes before it looks at what is in it.

    Raises:
        SQSError: the rule that the message breaks.
    """
    body = limits.message_body(entry.message_body, position)
    delay_s = _delivery(queue, entry, position)
    limits.message_contents(body)
    message_attributes.message_attributes(entry.message_attributes)
    message_attributes.message_system_attributes(entry.message_system_attributes)
    deduplication_id = _deduplication_id(queue, entry, body)
    envelope = Envelope.of(
        context.account,
        body,
        entry.message_attributes,
        _trace_header(context, entry),
        deduplication_id,
    )
    system = entry.message_system_attributes
    return PreparedMessage(
        NewMessage(
            new_identifier(),
            body,
            envelope.closed(),
            entry.message_group_id,
            delay_s * 1000,
            deduplication_id,
        ),
        envelope.md5_of_body,
        envelope.md5_of_attributes,
        md5_of_attributes(system) if system else None,
    )


def _delivery(queue: CachedQueue, entry: Entry, position: int) -> int:
    """Settle the delay, in seconds, and check what differs by the kind of queue, and the group."""
    in_batch = position > 0
    if entry.delay_seconds is not None:
        limits.delay_seconds(entry.delay_seconds)
    if entry.message_group_id is not None:
        limits.message_group_id(entry.message_group_id, in_batch=in_batch)
    if queue.attributes.fifo_queue:
        if entry.message_deduplication_id is not None:
            limits.message_deduplication_id(entry.message_deduplication_id, in_batch=in_batch)
        require_fifo_members(queue, entry, in_batch=in_batch)
        if entry.delay_seconds:
            limits.fifo_delay(entry.delay_seconds)
        return queue.attributes.delay_seconds
    limits.standard_message(entry.message_deduplication_id, in_batch=in_batch)
    return queue.attributes.delay_seconds if entry.delay_seconds is None else entry.delay_seconds


def _deduplication_id(queue: CachedQueue, entry: Entry, body: str) -> str | None:
    """Settle what a FIFO queue knows the message by: the id that came with it, or its content."""
    if not queue.attributes.fifo_queue:
        return None
    return entry.message_deduplication_id or hashlib.sha256(body.encode()).hexdigest()


def require_fifo_members(queue: CachedQueue, entry: Entry, *, in_batch: bool) -> None:
    """Require what a FIFO queue cannot do without: a group, and an id or content to tell it by."""
    limits.fifo_message(
        entry.message_group_id,
        entry.message_deduplication_id,
        queue.attributes.content_based_deduplication,
        in_batch=in_batch,
    )


def _trace_header(context: RequestContext, entry: Entry) -> str | None:
    """Choose the message's trace header: its own system attribute, else the request's header."""
    system = entry.message_system_attributes
    if system and message_attributes.TRACE_HEADER in system:
        return system[message_attributes.TRACE_HEADER].string_value
    return context.trace_header or None
