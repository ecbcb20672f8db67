"""Rows of messages: the columns that statements read, and their types."""

from __future__ import annotations

from typing import Protocol

from storage.schema import bodies, messages


class MessageKey(Protocol):
    """What must be known of a message to delete it: its number, and its FIFO message group."""

    @property
    def id(self) -> int:
        """The message's number, unique in its queue."""

    @property
    def group_id(self) -> str | None:
        """The message group, for a message of a FIFO queue."""


class MessageState(MessageKey, Protocol):
    """A message's state: one row of `STATE`. Times are epoch milliseconds."""

    @property
    def tenant_id(self) -> str | None:
        """The message group, for a message of a standard queue."""

    @property
    def visible_at_ms(self) -> int:
        """The message is visible from this time on."""

    @property
    def sent_at_ms(self) -> int:
        """The time of sending, from which retention counts."""

    @property
    def receive_count(self) -> int:
        """How often the message was received."""

    @property
    def first_received_at_ms(self) -> int | None:
        """The time of the first receive."""


class MessageContent(Protocol):
    """A message's content: one row of `CONTENT`."""

    @property
    def message_id(self) -> bytes:
        """The id that the sender was told, 16 bytes."""

    @property
    def body(self) -> str:
        """The body."""

    @property
    def envelope(self) -> bytes:
        """The attributes, as the rules encode them; opaque here."""

    @property
    def dead_letter_source(self) -> str | None:
        """The queue that the message was dead-lettered from, as the rules name it."""


STATE = (
    messages.c.id,
    messages.c.group_id,
    messages.c.tenant_id,
    messages.c.visible_at_ms,
    messages.c.sent_at_ms,
    messages.c.receive_count,
    messages.c.first_received_at_ms,
)
"""The columns of `MessageState`: what decides whether a message may be received."""

CONTENT = (bodies.c.message_id, bodies.c.body, bodies.c.envelope, bodies.c.dead_letter_source)
"""The columns of `MessageContent`."""
