"""Receipt handles: signed tokens that identify one receive of one message.

A handle contains the queue's id, the message's number, its receive count and the time of the
receive, and is valid only with the queue that issued it.
"""

from __future__ import annotations

import struct

from protocol.errors import ReceiptHandleIsInvalid
from queueserver.rules.signed_tokens import TokenSigner
from storage.messages.commands import Receipt, Received

# Clients keep handles of earlier versions of the server: the format cannot change.
_CONTENT = struct.Struct(">QQIQ")
"""Queue id, message number, receive count, time of the receive in epoch milliseconds."""


def encode_receipt_handle(signer: TokenSigner, received: Received) -> str:
    """Return the handle of a received message; the purpose of `signer` is the queue's ARN."""
    queue_id, number, receive_count = received.receipt
    return signer.sign(_CONTENT.pack(queue_id, number, receive_count, received.received_at_ms))


def decode_receipt_handle(signer: TokenSigner, handle: str) -> tuple[Receipt, int]:
    """Return the receipt in a handle, and the time of the receive in epoch milliseconds.

    Raises:
        ReceiptHandleIsInvalid: the queue did not issue this handle.
    """
    content = signer.verify(handle)
    if content is None or len(content) != _CONTENT.size:
        raise ReceiptHandleIsInvalid(
            f'The input receipt handle "{handle}" is not a valid receipt handle.'
        )
    queue_id, number, receive_count, received_at_ms = _CONTENT.unpack(content)
    return Receipt(queue_id, number, receive_count), received_at_ms
