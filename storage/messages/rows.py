"""Rows of messages: the columns that statements read, their types, and what they allow."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import sqlalchemy as sa

from storage.queue_settings import LockedQueue
from storage.schema import bodies, messages


class MessageKey(Protocol):
    """The columns that deleting a message needs: its number, and its FIFO message group."""

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
        """The message is visible from this time on: when its delay or visibility timeout ends.

        0 for a ready message (see `storage.schema.messages`). Nothing runs when the time comes: the
        row matches claims again (see `storage.messages.claim`).
        """

    @property
    def queued_at_ms(self) -> int:
        """The time when the message joined the end of its queue."""

    @property
    def sent_at_ms(self) -> int:
        """The time of sending, from which retention counts."""

    @property
    def body_id(self) -> int:
        """The number of its row in `bodies`."""

    @property
    def size(self) -> int:
        """Bytes of the body and the envelope."""

    @property
    def receive_count(self) -> int:
        """The number of receives of the message, in all queues that it was in."""

    @property
    def earlier_receives(self) -> int:
        """The number of receives in the queues that the message was in before this one."""

    @property
    def first_received_at_ms(self) -> int | None:
        """The time of the first receive."""

    @property
    def dead_letter_source(self) -> str | None:
        """The queue that the message was dead-lettered from, in the form of `QueueName.parse`."""


class MessageContent(Protocol):
    """A message's content: one row of `CONTENT`."""

    @property
    def message_id(self) -> bytes:
        """The message id, 16 bytes: the one that the sender got, or a later one of a move task."""

    @property
    def body(self) -> str:
        """The body."""

    @property
    def envelope(self) -> bytes:
        """The attributes, as the rules encode them; opaque here.

        If the content is encrypted, the encrypted record of body and envelope.
        """

    @property
    def data_key(self) -> int | None:
        """The data key that has encrypted the content; None if it is in clear."""

    @property
    def sent_id(self) -> bytes:
        """The message id that the sender got."""


class GroupRow(Protocol):
    """A row of `groups`. Times are epoch milliseconds."""

    @property
    def group_id(self) -> str:
        """The message group."""

    @property
    def head_id(self) -> int:
        """The number of its first message."""

    @property
    def available_at_ms(self) -> int:
        """The group delivers from this time on."""


class NewInGroup(NamedTuple):
    """A message that a transaction adds to a group, by sending it or by moving it there.

    If it is the first of its group, this is also the group's row.
    """

    queue_id: int
    group_id: str
    number: int
    visible_at_ms: int


class GroupHead(GroupRow, Protocol):
    """A row of `groups` with the group's first message as it is now."""

    @property
    def id(self) -> int:
        """The number of the first message."""

    @property
    def visible_at_ms(self) -> int:
        """The first message is visible from this time on."""

    @property
    def sent_at_ms(self) -> int:
        """The time when it was sent."""

    @property
    def retention_ms(self) -> int | None:
        """The queue's retention, or None for a dropped queue."""


STATE = (
    messages.c.id,
    messages.c.group_id,
    messages.c.tenant_id,
    messages.c.visible_at_ms,
    messages.c.queued_at_ms,
    messages.c.sent_at_ms,
    messages.c.body_id,
    messages.c.size,
    messages.c.receive_count,
    messages.c.earlier_receives,
    messages.c.first_received_at_ms,
    messages.c.dead_letter_source,
)
"""The columns of `MessageState`, which decide whether a message may be received."""


def content_columns(given_id: sa.ColumnElement[bytes]) -> tuple[sa.ColumnElement[Any], ...]:
    """Return the columns of `MessageContent` for a statement that joins states with bodies.

    `given_id` is the state's column `message_id`.
    """
    message_id = sa.func.coalesce(given_id, bodies.c.message_id).label("message_id")
    sent_id = bodies.c.message_id.label("sent_id")
    return message_id, bodies.c.body, bodies.c.envelope, bodies.c.data_key, sent_id


def message_id_text(message_id: bytes) -> str:
    """Return a message id as clients know it; a damaged one, of any length, in hexadecimal."""
    return str(uuid.UUID(bytes=message_id)) if len(message_id) == 16 else message_id.hex()


STEP_ROWS = 200
"""Most messages that one transaction moves or deletes, beside those that a client named."""

STEP_BYTES = 2 * 1024 * 1024
"""Most bytes of bodies that one transaction deletes, beside those that a client named."""


CONTENT_BYTES = 16 * 1024 * 1024
"""Most bytes of content that one transaction reads. A receive alone reads up to ten MiB."""


class Sized(Protocol):
    """A row with the size of a message."""

    @property
    def size(self) -> int:
        """Bytes of the body and the envelope."""


SizedRow = TypeVar("SizedRow", bound=Sized)


class Step:
    """The messages that one transaction may still move or delete, beside those a client named.

    Attributes:
        was_empty: whether the transaction may move and delete none at all.
    """

    __slots__ = ("_bytes", "_rows", "was_empty")

    def __init__(self, rows: int = STEP_ROWS) -> None:
        self.was_empty = rows <= 0
        self._rows = rows
        self._bytes = STEP_BYTES

    @property
    def is_over(self) -> bool:
        """Whether the transaction may do no more."""
        return self._rows <= 0 or self._bytes <= 0

    def moved(self, rows: Sequence[SizedRow]) -> Sequence[SizedRow]:
        """Return the first rows, as many as may be moved; a move does not write the body."""
        taken = rows[: max(self._rows, 0)]
        self._rows -= len(taken)
        return taken

    def deleted(self, rows: Sequence[SizedRow]) -> Sequence[SizedRow]:
        """Return the first rows, as many as may be deleted with their bodies."""
        taken = []
        for row in rows:
            if self.is_over:
                break
            self._rows -= 1
            self._bytes -= row.size
            taken.append(row)
        return taken


class ContentBudget:
    """The bytes of message content that one transaction may still read."""

    __slots__ = ("bytes_left",)

    def __init__(self) -> None:
        self.bytes_left = CONTENT_BYTES

    @property
    def is_over(self) -> bool:
        """Whether the transaction may read no more."""
        return self.bytes_left <= 0

    def take(self, rows: Sequence[SizedRow]) -> Sequence[SizedRow]:
        """Return the first rows whose content may be read, and count it; the last may exceed it."""
        for place, row in enumerate(rows):
            if self.bytes_left <= 0:
                return rows[:place]
            self.bytes_left -= row.size
        return rows


_ANY_COUNT = 2**31 - 1


class Eligibility(enum.Enum):
    """Whether a message may be delivered when it is visible."""

    ELIGIBLE = enum.auto()
    EXPIRED = enum.auto()
    """It is older than the queue's retention (AWS: 60 s to 14 days): delete it."""
    EXHAUSTED = enum.auto()
    """Its queue delivered it as often as the redrive policy allows: dead-letter it.

    AWS: 1 to 1,000 times. Receives in an earlier queue do not count, so a dead-letter queue with a
    redrive policy of its own delivers the message.
    """


class DeliveryRules(NamedTuple):
    """The conditions for delivering a queue's messages, from its settings, at one time.

    Attributes:
        now_ms: that time.
        expired_ms: messages that were sent at this time or before have expired.
        max_receive_count: visible messages with this many receives in the queue are exhausted.
    """

    now_ms: int
    expired_ms: int
    max_receive_count: int

    @classmethod
    def of(cls, queue: LockedQueue, now_ms: int) -> Self:
        """Return the rules of a queue."""
        redrive = queue.redrive
        max_receive_count = _ANY_COUNT if redrive is None else redrive.max_receive_count
        return cls(now_ms, now_ms - queue.retention_ms, max_receive_count)

    def without_redrive(self) -> Self:
        """Return the rules of a queue whose dead-letter queue does not exist."""
        return self._replace(max_receive_count=_ANY_COUNT)

    def judge(self, row: MessageState) -> Eligibility:
        """Decide whether a message may be delivered."""
        if self.is_eligible(row):
            return Eligibility.ELIGIBLE
        expired = row.sent_at_ms <= self.expired_ms
        return Eligibility.EXPIRED if expired else Eligibility.EXHAUSTED

    def is_eligible(self, row: MessageState) -> bool:
        """Return whether a message may be delivered."""
        if row.sent_at_ms <= self.expired_ms:
            return False
        receives = row.receive_count - row.earlier_receives
        return receives < self.max_receive_count or row.visible_at_ms > self.now_ms
