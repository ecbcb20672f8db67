"""The messages that are sent and not deleted, as the load counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tests.histories.history import Message

_FILLER = "abcdefghijklmnopqrstuvwxyz äöü €\n" * 40_000


@dataclass(slots=True, eq=False)
class Entry:
    """One message, from before it is sent until its deletion is acknowledged.

    Attributes:
        length: the body's length in characters.
        receives: how often it was received.
    """

    serial: int
    queue: str
    length: int
    receives: int = 0

    @property
    def body(self) -> str:
        """The message's body, which no other message has."""
        head = f"{self.serial} {self.queue} "
        return head + _FILLER[: max(self.length - len(head), 0)]


class Backlog:
    """The entries of all messages that are not deleted.

    Attributes:
        sent: how many messages were sent.
        deleted: how many deletions were acknowledged.
        received: how many messages were received from each queue.
    """

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._counts: Counter[str] = Counter()
        self.sent = 0
        self.deleted = 0
        self.received: Counter[str] = Counter()

    def count(self, queue: str | None = None) -> int:
        """Return how many messages were sent, to a queue or to all, and are not deleted."""
        return len(self._entries) if queue is None else self._counts[queue]

    def add(self, queue: str, length: int) -> Entry:
        """Return a new entry, for a message that is about to be sent."""
        self.sent += 1
        entry = Entry(self.sent, queue, length)
        self._entries[entry.serial] = entry
        self._counts[queue] += 1
        return entry

    def receive(self, queue: str, messages: Iterable[Message]) -> list[tuple[Entry, Message]]:
        """Count received messages; return those that are not deleted, with their entries.

        Another receive may have delivered a message earlier, and its deletion have returned since.
        """
        found = []
        for message in messages:
            serial = message.body.partition(" ")[0]
            entry = self._entries.get(int(serial)) if serial.isdecimal() else None
            if entry is not None:
                entry.receives += 1
                self.received[queue] += 1
                found.append((entry, message))
        return found

    def delete(self, entry: Entry) -> None:
        """Remove the entry of a message whose deletion was acknowledged."""
        if self._entries.pop(entry.serial, None) is not None:
            self._counts[entry.queue] -= 1
            self.deleted += 1
