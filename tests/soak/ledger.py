"""What was sent and is not deleted yet: an account that stays small however long it is kept."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_REMEMBERED_SECONDS = 60.0
"""A receive that began longer ago than this before a deletion is answered by now."""

_FILLER = "abcdefghijklmnopqrstuvwxyz äöü €\n" * 40_000


@dataclass(slots=True, eq=False)
class Entry:
    """One message, from before it is sent until its deletion is acknowledged."""

    serial: int
    queue: str
    length: int
    group: str = ""
    sequence_number: int = 0
    receives: int = 0
    is_leaving: bool = False

    @property
    def body(self) -> str:
        """Give what it says: nothing that could be mistaken for another's."""
        head = f"{self.serial} {self.queue} "
        return head + _FILLER[: max(self.length - len(head), 0)]


class Ledger:
    """Everything that was sent, and what must not have been seen.

    Attributes:
        sent: how many messages were sent.
        deleted: how many of them are gone for good.
        received: how many were received from each queue.
        findings: what was wrong.
    """

    def __init__(self, homes: Mapping[str, frozenset[str]], now: Callable[[], float]) -> None:
        self._homes = homes
        self._now = now
        self._entries: dict[int, Entry] = {}
        self._groups: dict[str, dict[int, Entry]] = defaultdict(dict)
        self._gone: dict[int, float] = {}
        self._gone_line: deque[int] = deque()
        self._waiting: dict[str, int] = defaultdict(int)
        self.sent = 0
        self.deleted = 0
        self.received: Counter[str] = Counter()
        self.findings: list[str] = []

    def waiting(self, queue: str | None = None) -> int:
        """Count what was sent, to a queue or to all, and is not deleted."""
        return len(self._entries) if queue is None else self._waiting[queue]

    def add(self, queue: str, length: int, group: str = "") -> Entry:
        """Open an account for a message that is about to be sent."""
        self.sent += 1
        entry = Entry(self.sent, queue, length, group)
        self._entries[entry.serial] = entry
        self._waiting[queue] += 1
        return entry

    def order(self, entry: Entry, sequence_number: int) -> None:
        """Note the place that a message was given in its group."""
        if entry.sequence_number not in (0, sequence_number):
            self.findings.append(f"message {entry.serial} was taken for two")
        entry.sequence_number = sequence_number
        if not entry.is_leaving:
            self._groups[entry.group][sequence_number] = entry

    def receive(
        self, queue: str, called: float, messages: Iterable[Mapping[str, Any]]
    ) -> list[tuple[Entry, str]]:
        """Hold what a receive gave against the account; give the entries and their handles."""
        found = []
        met: set[int] = set()
        for message in messages:
            serial = int(message["Body"].partition(" ")[0])
            entry = self._entries.get(serial)
            if entry is None:
                if self._gone.get(serial, 0.0) < called:
                    self.findings.append(f"message {serial} was received after its deletion")
                continue
            if message["Body"] != entry.body or queue not in self._homes[entry.queue]:
                self.findings.append(f"message {serial} was altered, or is astray in {queue}")
            self._see_order(entry, met)
            entry.receives += 1
            self.received[queue] += 1
            found.append((entry, message["ReceiptHandle"]))
        return found

    def _see_order(self, entry: Entry, met: set[int]) -> None:
        number = entry.sequence_number
        if number and not entry.is_leaving:
            earlier = min(self._groups[entry.group].keys() - met)
            if earlier < number:
                self.findings.append(f"message {entry.serial} overtook another of its group")
            met.add(number)

    def leave(self, entry: Entry) -> None:
        """Note that a deletion is asked for: from now on the next of its group may come."""
        entry.is_leaving = True
        self._groups[entry.group].pop(entry.sequence_number, None)

    def delete(self, entry: Entry) -> None:
        """Close the account of a message whose deletion was acknowledged."""
        if self._entries.pop(entry.serial, None) is None:
            return
        self._waiting[entry.queue] -= 1
        self.deleted += 1
        now = self._now()
        self._gone[entry.serial] = now
        self._gone_line.append(entry.serial)
        while self._gone[self._gone_line[0]] < now - _REMEMBERED_SECONDS:
            del self._gone[self._gone_line.popleft()]
