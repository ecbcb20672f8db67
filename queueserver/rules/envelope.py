"""What is kept of a message beside its body, and what a receive is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from protocol.actions import MessageAttributeValue
from protocol.digests import md5_of_attributes, md5_of_body
from protocol.names import queue_arn
from queueserver.identifiers import as_text
from storage.errors import DatabaseDamaged
from storage.messages.commands import Received


class Envelope(msgspec.Struct, array_like=True, gc=False):
    """A message's attributes, digests and origin, as they are written with it once.

    Attributes are by name: type, text and bytes, of which the type says which is there. Fields may
    only ever be added, and at the end: envelopes outlive the version that wrote them.
    """

    sender_id: str
    md5_of_body: str
    attributes: dict[str, tuple[str, str | None, bytes | None]] | None = None
    md5_of_attributes: str | None = None
    trace_header: str | None = None
    deduplication_id: str | None = None

    @staticmethod
    def of(
        sender_id: str,
        body: str,
        attributes: Mapping[str, MessageAttributeValue] | None,
        trace_header: str | None,
        deduplication_id: str | None,
    ) -> Envelope:
        """Make the envelope of a new message; its attributes have passed every rule."""
        origin = (trace_header, deduplication_id)
        if not attributes:
            return Envelope(sender_id, md5_of_body(body), None, None, *origin)
        kept = {
            name: (value.data_type or "", value.string_value, value.binary_value)
            for name, value in attributes.items()
        }
        digest = md5_of_attributes(attributes)
        return Envelope(sender_id, md5_of_body(body), kept, digest, *origin)

    def closed(self) -> bytes:
        """Give the bytes that the database keeps."""
        return _encode(self)

    @staticmethod
    def open(content: bytes) -> Envelope:
        """Read the bytes that the database kept.

        Raises:
            DatabaseDamaged: they are not those that it was given.
        """
        try:
            return _decode(content)
        except msgspec.DecodeError as error:
            raise DatabaseDamaged(f"an envelope cannot be read: {error}") from error

    @staticmethod
    def can_be_opened(content: bytes) -> bool:
        """Tell whether these are bytes that the database was given."""
        try:
            Envelope.open(content)
        except DatabaseDamaged:
            return False
        return True

    def returned_attributes(
        self, wanted: Callable[[str], bool]
    ) -> tuple[dict[str, MessageAttributeValue] | None, str | None]:
        """Give the attributes that a receive asked for, and the digest over just these."""
        if not self.attributes:
            return None, None
        returned = {
            name: MessageAttributeValue(*value)
            for name, value in self.attributes.items()
            if wanted(name)
        }
        if len(returned) == len(self.attributes):
            return returned, self.md5_of_attributes
        return (returned, md5_of_attributes(returned)) if returned else (None, None)

    def system_attributes(self, received: Received, told: frozenset[str]) -> dict[str, str] | None:
        """Give the system attributes that a receive asked for, as far as the message has them.

        In a dead-letter queue, a FIFO queue's message is known by its own id: there, messages from
        several sources with equal deduplication ids are not one.
        """
        deduplication_id, source = self.deduplication_id, received.dead_letter_source
        if deduplication_id and source:
            deduplication_id = as_text(received.message_id)
        known = {
            "SenderId": self.sender_id,
            "SentTimestamp": str(received.sent_at_ms),
            "ApproximateReceiveCount": str(received.receipt.receive_count),
            "ApproximateFirstReceiveTimestamp": str(received.first_received_at_ms),
            "MessageGroupId": received.group_id,
            "MessageDeduplicationId": deduplication_id,
            "SequenceNumber": (
                sequence_number(received.receipt.number) if received.is_ordered else None
            ),
            "AWSTraceHeader": self.trace_header,
            "DeadLetterQueueSourceArn": (
                queue_arn(source.region, source.account, source.name) if source else None
            ),
        }
        found = {name: value for name, value in known.items() if value and name in told}
        return found or None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode


def sequence_number(number: int) -> str:
    """Write a message's number as FIFO queues show it: 20 digits, in the order of sending."""
    return str(10**19 + number)
