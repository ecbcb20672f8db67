"""Commands on messages, and their values.

A command is what one request asks of messages. `storage.messages.batch` runs many commands in one
transaction. The type parameter of a command is the type of its result: `Database.submit(command)`
returns that.

A command on a queue fails with `QueueChanged` if the database has another revision of the queue
than the command.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from storage.encryption.data_keys import DataKeyRule
from storage.queue_settings import QueueName

R = TypeVar("R")


class NewMessage(NamedTuple):
    """A message to be sent.

    Attributes:
        message_id: 16 bytes.
        body: the body.
        envelope: the attributes, as the rules encode them; opaque here.
        size: bytes of the body, in UTF-8, and of the envelope, both in clear.
        group_id: the message group; on a standard queue, the tenant (AWS: fair queues). Every
            message of a FIFO queue has one.
        delay_ms: how long the message stays invisible.
        deduplication_id: every message of a FIFO queue has one, and no other message.
    """

    message_id: bytes
    body: str
    envelope: bytes
    size: int
    group_id: str | None
    delay_ms: int
    deduplication_id: str | None = None


class SentMessage(NamedTuple):
    """The number and id of a sent message; for a duplicate, those of the message sent first."""

    number: int
    message_id: bytes


class Receipt(NamedTuple):
    """The content of a receipt handle: a message, and the receive that the handle is from."""

    queue_id: int
    number: int
    receive_count: int


class Received(NamedTuple):
    """A message as one receive got it. Times are epoch milliseconds.

    Attributes:
        receipt: identifies the message and this receive.
        message_id: the message id that the sender got, 16 bytes.
        body: the body.
        envelope: the attributes, as the rules encode them; opaque here.
        group_id: the message group; on a standard queue, the tenant.
        is_ordered: whether the queue is a FIFO queue.
        sent_at_ms: when the message was sent.
        first_received_at_ms: when it was received for the first time.
        received_at_ms: the time of this receive.
        dead_letter_source: the queue that it was dead-lettered from, if it was.
    """

    receipt: Receipt
    message_id: bytes
    body: str
    envelope: bytes
    group_id: str | None
    is_ordered: bool
    sent_at_ms: int
    first_received_at_ms: int
    received_at_ms: int
    dead_letter_source: QueueName | None


class ReceiveAttempt(NamedTuple):
    """The id that makes a receive from a FIFO queue repeatable (AWS: ReceiveRequestAttemptId).

    `parameters` are the other parameters of the receive, as JSON values. A repeated receive must
    have the same.
    """

    attempt_id: str
    parameters: Sequence[Any]


class Outcome(enum.Enum):
    """The effect of a Delete or ChangeVisibility on the message of one receipt."""

    DONE = enum.auto()
    MISSING = enum.auto()
    """The message does not exist, or is older than the queue's retention."""
    EXPIRED = enum.auto()
    """On a FIFO queue: the receipt's visibility timeout is over, or the message was received again.

    The receipt has expired, not the message. AWS: "The receipt handle has expired."
    """


class InFlightLimit(Exception):
    """The queue is at its limit of messages in flight (AWS: about 120,000)."""


class ReceiveIncomplete(Exception):
    """A receive has found no messages to return yet, and there may be some: run it again.

    One transaction removes a limited number of expired and exhausted messages, marks a limited
    number of messages ready, and reads a limited number of bytes. On a full disk it removes none,
    and the receive returns no messages instead.
    """


class ReceiveAttemptExpired(Exception):
    """The id of a receive attempt was used, and the attempt cannot be repeated.

    Its parameters were different, or a message of it was deleted, changed or is older than the
    retention.

    AWS: "The receiveRequestAttemptId is not valid anymore since the receive call is not retryable."
    """


class Command(Generic[R]):
    """One request's work on messages. It returns an R, or fails without failing other commands."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class QueueCommand(Command[R]):
    """A command on one queue, which the caller has read before.

    Attributes:
        queue_id: the queue's id. Every purge gives the queue a new id.
        revision: the queue's revision. Every change of the queue increases it.
        queue_kind: `queues.STANDARD`, `FIFO` or `FIFO_BY_GROUP`.
    """

    queue_id: int
    revision: int
    queue_kind: str


@dataclass(slots=True, eq=False)
class Send(QueueCommand[list[SentMessage]]):
    """Send messages to one queue, in their order; all of them, or none.

    A message of a FIFO queue that has the deduplication id of one sent up to five minutes before is
    not sent again (AWS: five minutes from the first send).

    Fails with `MasterKeyMissing` if the keyring does not have the key that `encryption` names.

    Attributes:
        messages: the messages.
        encryption: how the messages are encrypted; None leaves them in clear.
    """

    messages: Sequence[NewMessage]
    encryption: DataKeyRule | None = None


@dataclass(slots=True, eq=False)
class Receive(QueueCommand[list[Received]]):
    """Receive up to `maximum` visible messages, perhaps none.

    A message whose content cannot be decrypted is not returned and not counted as received. It is
    in flight like the others. If it is in a FIFO queue, so are those behind it in its group.

    Fails with `InFlightLimit`, `ReceiveIncomplete` or `ReceiveAttemptExpired`. If none of the
    messages that were found can be decrypted, it fails with `MasterKeyMissing` or
    `DatabaseDamaged`.

    Attributes:
        maximum: most messages to receive (AWS: 10).
        visibility_timeout_ms: how long they are in flight (AWS: up to 12 h); 0 leaves them visible.
        is_waiting: whether this receiver is registered with `Waiters`. If more receivers are
            registered, one of them is woken for messages that this receive leaves.
        in_flight_limit: most messages of the queue in flight (AWS: about 120,000).
        attempt: on a FIFO queue, makes the receive repeatable.
    """

    maximum: int
    visibility_timeout_ms: int
    is_waiting: bool
    in_flight_limit: int
    attempt: ReceiveAttempt | None = None

    def withdraw(self) -> None:
        """Make the command receive nothing, if it has not run yet."""
        self.maximum = 0


@dataclass(slots=True, eq=False)
class Delete(QueueCommand[list[Outcome]]):
    """Delete messages by receipt.

    On a standard queue any receipt of a message deletes it, and the outcome is always DONE (AWS: an
    older handle still deletes, and deleting twice succeeds). On a FIFO queue the receipt must be
    the latest, and its visibility timeout must not be over.
    """

    receipts: Sequence[Receipt]


@dataclass(slots=True, eq=False)
class ChangeVisibility(QueueCommand[list[Outcome]]):
    """Set visibility timeouts, in milliseconds from now on, by receipt.

    On a standard queue any receipt of a message is valid, whether the message is in flight or not
    (AWS: observed). On a FIFO queue the receipt must be the latest, and its visibility timeout must
    not be over.
    """

    changes: Sequence[tuple[Receipt, int]]


@dataclass(slots=True, eq=False)
class Release(Command[None]):
    """Undo receives whose client has disconnected, unless the messages were received again since.

    The messages are visible at once, and the receives are not counted.
    """

    received: Sequence[Received]
