"""The lengths from which on another thread should read a request or write a result.

A thread for a short one would take longer than the work. Escaping takes up to 15 ns for a byte.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from protocol.actions import Message, ReceiveMessageResult

LONG_BYTES = 64 * 1024
"""Bytes of a request, or characters of messages, from which on they are long."""


def has_more(body: bytes, mark: bytes, limit: int) -> bool:
    """Return whether a mark, which is one byte, occurs more than `limit` times.

    `count` looks at each byte; `replace` jumps from mark to mark, which is 15 times faster.
    """
    return len(body) > limit and len(body) - len(body.replace(mark, b"", limit + 1)) > limit


def long_messages(result: msgspec.Struct | None) -> Sequence[Message] | None:
    """Return the messages of a result if they are long; nothing else in a result is long."""
    if type(result) is not ReceiveMessageResult or not result.messages:
        return None
    characters = 0
    for message in result.messages:
        characters += len(message.body)
        if message.message_attributes:
            for value in message.message_attributes.values():
                characters += len(value.string_value or value.binary_value or "")
    return result.messages if characters > LONG_BYTES else None
