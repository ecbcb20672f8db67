"""The envelope of a message: the data that is stored with its body and returned by a receive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from protocol.actions import MessageAttributeValue
from protocol.digests import md5_of_attributes
from protocol.names import queue_arn
from queueserver.identifiers import as_text
from queueserver.rules.message_attributes import SYSTEM_ATTRIBUTE_NAMES
from storage.errors import DatabaseDamaged
from storage.messages.commands import Received

StoredAttributes: TypeAlias = dict[str, tuple[str, str | None, bytes | None]]
"""By name, the type, text value and binary value; one of the values is None."""


class Envelope(msgspec.Struct, array_like=True, gc=False):
    """A message's attributes, digests and origin, written once, when the message is sent.

    Databases contain envelopes of earlier versions of the server: a new field must be added at the
    end and have a default.

    Attributes:
        sender_id: the account, user or address that sent the message.
        md5_of_body: the MD5 digest of the body, in hex.
        attributes: the message attributes, or None.
        md5_of_attributes: the digest over all attributes, or None without attributes.
        trace_header: the value of AWSTraceHeader.
        deduplication_id: in a FIFO queue, the id sent with the message or derived from its body.
    """

    sender_id: str
    md5_of_body: str
    attributes: StoredAttributes | None = None
    md5_of_attributes: str | None = None
    trace_header: str | None = None
    deduplication_id: str | None = None

    def encode(self) -> bytes:
        """Return the bytes to store in the database."""
        return _encode(self)

    @staticmethod
    def decode(content: bytes) -> Envelope:
        """Return the envelope that the database stored as these bytes.

        Raises:
            DatabaseDamaged: the bytes are not an envelope.
        """
        try:
            return _decode(content)
        except msgspec.DecodeError as error:
            raise DatabaseDamaged(f"an envelope cannot be read: {error}") from error

    @staticmethod
    def can_decode(content: bytes) -> bool:
        """Return whether these bytes are an envelope."""
        try:
            Envelope.decode(content)
        except DatabaseDamaged:
            return False
        return True

    def select_attributes(
        self, is_selected: Callable[[str], bool]
    ) -> tuple[dict[str, MessageAttributeValue] | None, str | None]:
        """Return the selected attributes and the digest over them; AWS omits the others from it."""
        if not self.attributes:
            return None, None
        selected = {
            name: MessageAttributeValue(*value)
            for name, value in self.attributes.items()
            if is_selected(name)
        }
        if len(selected) == len(self.attributes):
            return selected, self.md5_of_attributes
        return (selected, md5_of_attributes(selected)) if selected else (None, None)

    def select_system_attributes(
        self, received: Received, names: frozenset[str]
    ) -> dict[str, str] | None:
        """Return the system attributes of these names that the message has, or None.

        `names` are some of `SYSTEM_ATTRIBUTE_NAMES`, or all of them.

        AWS: in a dead-letter queue, the deduplication id of a FIFO message is its message id, so
        messages of several source queues with equal deduplication ids stay distinct.
        """
        deduplication_id, source = self.deduplication_id, received.dead_letter_source
        if deduplication_id and source:
            deduplication_id = as_text(received.message_id)
        values = {
            "SenderId": self.sender_id,
            "SentTimestamp": str(received.sent_at_ms),
            "ApproximateReceiveCount": str(received.receipt.receive_count),
            "ApproximateFirstReceiveTimestamp": str(received.first_received_at_ms),
        }
        if received.group_id:
            values["MessageGroupId"] = received.group_id
        if deduplication_id:
            values["MessageDeduplicationId"] = deduplication_id
        if received.is_ordered:
            values["SequenceNumber"] = sequence_number(received.receipt.number)
        if self.trace_header:
            values["AWSTraceHeader"] = self.trace_header
        if source:
            arn = queue_arn(source.region, source.account, source.name)
            values["DeadLetterQueueSourceArn"] = arn
        if len(names) == len(SYSTEM_ATTRIBUTE_NAMES):
            return values
        return {name: value for name, value in values.items() if name in names} or None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode


def stored_attributes(attributes: Mapping[str, MessageAttributeValue]) -> StoredAttributes:
    """Return checked message attributes as an envelope stores them."""
    return {
        name: (value.data_type or "", value.string_value, value.binary_value)
        for name, value in attributes.items()
    }


def sequence_number(number: int) -> str:
    """Return the SequenceNumber of a message in a FIFO queue: 20 digits, in order of sending."""
    return str(10**19 + number)
