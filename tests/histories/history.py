"""Records of the operations that clients did on messages, with times and outcomes.

Times are numbers of one clock that never goes back, the same for all clients of a history. An
operation took effect at some time between `called` and `returned`. If its outcome is `unknown`
(no answer, or a server error), it may have taken effect in that time, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

Outcome = Literal["done", "rejected", "unknown"]


class Send(NamedTuple):
    """One attempt to send one message.

    Attributes:
        message_id: the ID in the answer; empty if the outcome is not `done`.
        group: the message group of a FIFO queue.
        order: the message's position in its group. Only the single sender of a group knows it, if
            it waits for each acknowledgement before it sends the next message. Otherwise it is
            None, and the sequence number is the position.
        sequence_number: the number in the answer, for a FIFO queue.
    """

    queue: str
    body: str
    called: float
    returned: float
    outcome: Outcome
    message_id: str = ""
    group: str | None = None
    order: int | None = None
    sequence_number: str = ""


class Message(NamedTuple):
    """A message as it was received; `md5` is the server's MD5OfBody."""

    body: str
    message_id: str
    md5: str
    receipt_handle: str = ""


class Receive(NamedTuple):
    """One receive that was answered.

    Attributes:
        visibility_seconds: the visibility timeout of the messages; None if it is not known, or if
            the history's times are not seconds.
        is_final: whether it belongs to the final receives, which empty the queues when all other
            clients have finished.
    """

    queue: str
    called: float
    returned: float
    messages: Sequence[Message]
    visibility_seconds: float | None = None
    is_final: bool = False


class Delete(NamedTuple):
    """One attempt to delete one message that had been received."""

    queue: str
    body: str
    called: float
    returned: float
    outcome: Outcome
    message_id: str = ""
    receipt_handle: str = ""


class VisibilityChange(NamedTuple):
    """One attempt to change the visibility timeout of one message that had been received."""

    queue: str
    body: str
    called: float
    returned: float
    outcome: Outcome


class Removal(NamedTuple):
    """One attempt to purge or to delete a whole queue."""

    queue: str
    called: float
    returned: float
    outcome: Outcome


Operation: TypeAlias = Send | Receive | Delete | VisibilityChange | Removal
Record: TypeAlias = Callable[[Operation], None]
"""Receives each operation that has returned: `History.add` or `Checker.add`."""


@dataclass
class History:
    """All operations of a run, each kind in the order in which they returned."""

    sends: list[Send] = field(default_factory=list)
    receives: list[Receive] = field(default_factory=list)
    deletes: list[Delete] = field(default_factory=list)
    visibility_changes: list[VisibilityChange] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)

    def add(self, operation: Operation) -> None:
        """Append an operation that has returned."""
        match operation:
            case Send():
                self.sends.append(operation)
            case Receive():
                self.receives.append(operation)
            case Delete():
                self.deletes.append(operation)
            case VisibilityChange():
                self.visibility_changes.append(operation)
            case Removal():
                self.removals.append(operation)

    def operations(self) -> Iterator[Operation]:
        """Yield all operations, kind by kind."""
        yield from self.sends
        yield from self.receives
        yield from self.deletes
        yield from self.visibility_changes
        yield from self.removals

    def acknowledged_sends(self) -> int:
        """Count the sends that were acknowledged."""
        return sum(send.outcome == "done" for send in self.sends)

    def acknowledged_deletes(self) -> int:
        """Count the deletes that were acknowledged."""
        return sum(delete.outcome == "done" for delete in self.deletes)

    def deliveries(self) -> int:
        """Count the messages of all receives."""
        return sum(len(receive.messages) for receive in self.receives)
