"""What was called, when it returned, and what came back: all that the checker may know.

Times are seconds of one monotonic clock. An operation whose answer never came, or was an error of
the server's, is `unknown`: it may have been done, or not, until it returned and never after that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Outcome = Literal["done", "refused", "unknown"]


class Send(NamedTuple):
    """One attempt to send one message. `order` is its place in its FIFO group."""

    queue: str
    body: str
    called: float
    returned: float
    outcome: Outcome
    message_id: str = ""
    group: str | None = None
    order: int = 0
    sequence_number: str = ""


class Message(NamedTuple):
    """A message as it was received."""

    body: str
    message_id: str
    digest: str

    @property
    def is_whole(self) -> bool:
        """Whether the digest is the body's."""
        return self.digest == hashlib.md5(self.body.encode()).hexdigest()


class Receive(NamedTuple):
    """One receive; `is_last` marks those that drain the queues when all is over."""

    queue: str
    called: float
    returned: float
    messages: Sequence[Message]
    is_last: bool = False


class Delete(NamedTuple):
    """One attempt to delete one message."""

    queue: str
    body: str
    called: float
    returned: float
    outcome: Outcome


class Removal(NamedTuple):
    """One attempt to purge or delete a whole queue."""

    queue: str
    called: float
    returned: float
    outcome: Outcome


@dataclass
class History:
    """Everything that happened, each kind in the order in which it returned."""

    sends: list[Send] = field(default_factory=list)
    receives: list[Receive] = field(default_factory=list)
    deletes: list[Delete] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
