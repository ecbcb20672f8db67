"""Preparing a message to be sent: every check of one message, and the command's input."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from protocol import actions
from protocol.actions import MessageAttributeValue
from protocol.digests import md5_of_attributes, md5_of_body
from queueserver.context import RequestContext
from queueserver.identifiers import new_identifier
from queueserver.rules import message_attributes, message_parameters
from queueserver.rules.attributes import Attributes
from queueserver.rules.envelope import Envelope, stored_attributes
from queueserver.rules.trace_headers import is_trace_header
from storage.messages.commands import NewMessage

Entry: TypeAlias = actions.SendMessage | actions.SendMessageBatchRequestEntry


class PreparedMessage(msgspec.Struct, gc=False):
    """A checked message for the database, and the digests that the sender gets."""

    new: NewMessage
    md5_of_body: str
    md5_of_attributes: str | None
    md5_of_system_attributes: str | None


def prepare_message(
    context: RequestContext, queue: Attributes, entry: Entry, size: int, position: int = 0
) -> PreparedMessage:
    """Check a message, and return it with its id, envelope and delay.

    `queue` has the attributes of the queue. `size` is the message's size as AWS counts it, in
    bytes. `position` is the position of a batch entry, counted from 1, or 0 for SendMessage. As on
    AWS, required parameters and the rules of the queue's type come before the contents. The size
    comes next, because what follows takes too long for 8 MiB.

    Raises:
        SQSError: the message breaks a rule.
    """
    in_batch = position > 0
    body = entry.message_body
    if not body:
        raise message_parameters.missing_body_error(position)
    delay_s = _parse_delivery(queue, entry, in_batch=in_batch)
    encoded = message_parameters.encode_message_body(body)
    if size > queue.maximum_message_size:
        raise message_parameters.message_size_error(queue.maximum_message_size, in_batch=in_batch)
    attributes, system = entry.message_attributes, entry.message_system_attributes
    if attributes:
        message_attributes.check_message_attributes(attributes)
    if system:
        message_attributes.check_message_system_attributes(system)
    envelope = Envelope(
        context.sender_id,
        md5_of_body(encoded),
        stored_attributes(attributes) if attributes else None,
        md5_of_attributes(attributes) if attributes else None,
        _trace_header(context, system) if system or context.trace_header else None,
        _deduplication_id(entry, encoded) if queue.fifo_queue else None,
    )
    stored = envelope.encode()
    new = NewMessage(
        new_identifier(),
        body,
        stored,
        len(encoded) + len(stored),
        entry.message_group_id,
        delay_s * 1000,
        envelope.deduplication_id,
    )
    return PreparedMessage(
        new,
        envelope.md5_of_body,
        envelope.md5_of_attributes,
        md5_of_attributes(system) if system else None,
    )


def check_fifo_ids(queue: Attributes, entry: Entry, *, in_batch: bool) -> None:
    """Reject a message for a FIFO queue that has no group, or nothing to deduplicate it by.

    Raises:
        MissingParameter: SendMessage has no group id.
        InvalidParameterValue: a batch entry has no group id, or there is no deduplication id.
    """
    message_parameters.check_fifo_message(
        entry.message_group_id,
        entry.message_deduplication_id,
        queue.content_based_deduplication,
        in_batch=in_batch,
    )


def _parse_delivery(queue: Attributes, entry: Entry, *, in_batch: bool) -> int:
    """Check delay, group and deduplication id for the queue's type; return the delay in seconds."""
    if entry.delay_seconds is not None:
        message_parameters.check_delay_seconds(entry.delay_seconds)
    if entry.message_group_id is not None:
        message_parameters.check_message_group_id(entry.message_group_id, in_batch=in_batch)
    if queue.fifo_queue:
        if entry.message_deduplication_id is not None:
            message_parameters.check_message_deduplication_id(
                entry.message_deduplication_id, in_batch=in_batch
            )
        check_fifo_ids(queue, entry, in_batch=in_batch)
        if entry.delay_seconds:
            message_parameters.check_fifo_delay(entry.delay_seconds)
        return queue.delay_seconds
    if entry.message_deduplication_id is not None:
        raise message_parameters.unexpected_deduplication_id_error(
            entry.message_deduplication_id, in_batch=in_batch
        )
    return queue.delay_seconds if entry.delay_seconds is None else entry.delay_seconds


def _deduplication_id(entry: Entry, body: bytes) -> str:
    """Return the deduplication id in a FIFO queue. AWS: by default the SHA-256 of the body."""
    return entry.message_deduplication_id or hashlib.sha256(body).hexdigest()


def _trace_header(
    context: RequestContext, system: Mapping[str, MessageAttributeValue] | None
) -> str | None:
    """Return the message's trace header: its own system attribute, else the request's header.

    A header in another form is ignored: what adds it is often not the sender of the message.
    """
    if system and message_attributes.TRACE_HEADER in system:
        return system[message_attributes.TRACE_HEADER].string_value
    header = context.trace_header
    return header if header and is_trace_header(header) else None
