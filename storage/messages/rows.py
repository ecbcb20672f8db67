"""Rows of messages: the columns that statements read, their types, and what they allow."""

from __future__ import annotations

import enum
from typing import NamedTuple, Protocol, Self

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

        Nothing runs at that time: the row matches claims again (see `storage.messages.claim`).
        """

    @property
    def sent_at_ms(self) -> int:
        """The time of sending, from which retention counts."""

    @property
    def receive_count(self) -> int:
        """The number of receives of the message."""

    @property
    def first_received_at_ms(self) -> int | None:
        """The time of the first receive."""


class MessageContent(Protocol):
    """A message's content: one row of `CONTENT`."""

    @property
    def message_id(self) -> bytes:
        """The message id that the sender got, 16 bytes."""

    @property
    def body(self) -> str:
        """The body."""

    @property
    def envelope(self) -> bytes:
        """The attributes, as the rules encode them; opaque here."""

    @property
    def dead_letter_source(self) -> str | None:
        """The queue that the message was dead-lettered from, in the form of `QueueName.parse`."""


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
    messages.c.sent_at_ms,
    messages.c.receive_count,
    messages.c.first_received_at_ms,
)
"""The columns of `MessageState`, which decide whether a message may be received."""

CONTENT = (bodies.c.message_id, bodies.c.body, bodies.c.envelope, bodies.c.dead_letter_source)
"""The columns of `MessageContent`."""


_ANY_COUNT = 2**31 - 1


class Eligibility(enum.Enum):
    """Whether a message may be delivered when it is visible."""

    ELIGIBLE = enum.auto()
    EXPIRED = enum.auto()
    """It is older than the queue's retention (AWS: 60 s to 14 days): delete it."""
    EXHAUSTED = enum.auto()
    """It was received as often as the redrive policy allows (AWS: 1 to 1,000): dead-letter it."""


class DeliveryRules(NamedTuple):
    """The conditions for delivering a queue's messages, from its settings, at one time.

    Attributes:
        now_ms: that time.
        expired_ms: messages that were sent at this time or before have expired.
        max_receive_count: visible messages with this receive count or more are exhausted.
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
        if row.sent_at_ms <= self.expired_ms:
            return Eligibility.EXPIRED
        if row.receive_count >= self.max_receive_count and row.visible_at_ms <= self.now_ms:
            return Eligibility.EXHAUSTED
        return Eligibility.ELIGIBLE

    def is_eligible(self, row: MessageState) -> bool:
        """Return whether a message may be delivered."""
        return self.judge(row) is Eligibility.ELIGIBLE
