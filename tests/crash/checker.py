"""Decides from a history alone whether every promise was kept."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import NamedTuple

from tests.crash.history import History, Receive, Send

Homes = Mapping[str, frozenset[str]]
"""For each queue, the queues that its messages may rightly be in."""


class Finding(NamedTuple):
    """A promise that was broken, and how."""

    promise: str
    what: str


class Checker:
    """A history, sorted out by message. Bodies are unique: each names one message."""

    def __init__(self, history: History, homes: Homes) -> None:
        self._history = history
        self._homes = homes
        self._sends: dict[str, list[Send]] = defaultdict(list)
        for send in history.sends:
            self._sends[send.body].append(send)
        self._delete_called: dict[str, float] = {}
        self._deleted: dict[str, float] = {}
        for delete in history.deletes:
            if delete.outcome != "refused":
                earliest = self._delete_called.get(delete.body, inf)
                self._delete_called[delete.body] = min(earliest, delete.called)
            if delete.outcome == "done":
                earliest = self._deleted.get(delete.body, inf)
                self._deleted[delete.body] = min(earliest, delete.returned)
        self._last = Counter(
            message.body
            for receive in history.receives
            if receive.is_last
            for message in receive.messages
        )

    def findings(self) -> list[Finding]:
        """Give every promise that was broken."""
        checks: tuple[Callable[[], Iterator[Finding]], ...] = (
            self.lost,
            self.undead,
            self.invented,
            self.in_two_places,
            self.removed_and_back,
            self.out_of_order,
            self.sent_twice,
        )
        return [finding for check in checks for finding in check()]

    def lost(self) -> Iterator[Finding]:
        """What was acknowledged is there in the end, unless somebody tried to delete it."""
        for body, sends in self._sends.items():
            acknowledged = [send for send in sends if send.outcome == "done"]
            if not acknowledged or body in self._delete_called or self._last[body]:
                continue
            first = min(send.called for send in sends)
            if not any(
                removal.queue == sends[0].queue
                and removal.outcome != "refused"
                and removal.returned >= first
                for removal in self._history.removals
            ):
                yield Finding("acknowledged and lost", f"{sends[0].queue}: {body[:60]!r}")

    def undead(self) -> Iterator[Finding]:
        """What was deleted is not delivered to who asks after the acknowledgement."""
        for receive in self._history.receives:
            for message in receive.messages:
                if receive.called > self._deleted.get(message.body, inf):
                    yield Finding("delivered after its deletion", f"{message.body[:60]!r}")

    def invented(self) -> Iterator[Finding]:
        """What is delivered was sent, word for word, to this queue or to one that leads here."""
        for receive in self._history.receives:
            for message in receive.messages:
                sends = self._sends.get(message.body)
                if not sends or not message.is_whole:
                    yield Finding("invented or altered", f"{message.body[:60]!r}")
                elif receive.queue not in self._homes[sends[0].queue]:
                    yield Finding("in a wrong queue", f"{message.body[:60]!r} in {receive.queue}")
                elif all(send.outcome == "refused" for send in sends):
                    yield Finding("refused and delivered", f"{message.body[:60]!r}")

    def in_two_places(self) -> Iterator[Finding]:
        """When all is drained, each message is found once."""
        for body, count in self._last.items():
            if count > 1:
                yield Finding("in two places", f"{count} times {body[:60]!r}")

    def removed_and_back(self) -> Iterator[Finding]:
        """What was sent before a purge or the queue's end is not delivered after it."""
        latest: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for removal in self._history.removals:
            if removal.outcome == "done":
                latest[removal.queue].append((removal.returned, removal.called))
        for receive in self._history.receives:
            before = [called for over, called in latest[receive.queue] if over < receive.called]
            if not before:
                continue
            for message in receive.messages:
                sends = self._sends.get(message.body, [])
                if sends and max(send.returned for send in sends) < max(before):
                    yield Finding("removed and back", f"{message.body[:60]!r}")

    def out_of_order(self) -> Iterator[Finding]:
        """Within a group, nothing is delivered before what was sent earlier and is still there."""
        groups: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        places: dict[str, tuple[str, str]] = {}
        for send in self._history.sends:
            if send.group is not None and send.outcome == "done":
                groups[send.queue, send.group][send.body] = send.order
                places[send.body] = (send.queue, send.group)
        lines = {place: sorted(orders, key=orders.__getitem__) for place, orders in groups.items()}
        gone: dict[tuple[str, str], int] = defaultdict(int)
        for receive in sorted(self._history.receives, key=lambda receive: receive.returned):
            met: set[str] = set()
            for message in receive.messages:
                place = places.get(message.body)
                if place is None or place[0] != receive.queue:
                    continue
                yield from self._overtaken(receive, message.body, lines[place], gone, place, met)
                met.add(message.body)

    def _overtaken(
        self,
        receive: Receive,
        body: str,
        line: list[str],
        gone: dict[tuple[str, str], int],
        place: tuple[str, str],
        met: set[str],
    ) -> Iterator[Finding]:
        def is_gone(other: str) -> bool:
            return self._delete_called.get(other, inf) < receive.returned

        # Receives are looked at in order of time: what is gone stays so.
        while gone[place] < len(line) and is_gone(line[gone[place]]):
            gone[place] += 1
        for other in line[gone[place] : line.index(body)]:
            if other not in met and not is_gone(other):
                yield Finding("out of order", f"{body[:40]!r} before {other[:40]!r}")
                return

    def sent_twice(self) -> Iterator[Finding]:
        """A message has one id: every acknowledgement and every delivery says the same.

        But a message move task gives what it moves an id of its own, as SQS's does.
        """
        ids: dict[str, set[str]] = defaultdict(set)
        numbers: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        for send in self._history.sends:
            if send.outcome == "done":
                ids[send.body].add(send.message_id)
                if send.group is not None:
                    number = int(send.sequence_number)
                    numbers[send.queue, send.group].append((send.order, number))
        for receive in self._history.receives:
            if self._homes[receive.queue] == {receive.queue}:
                for message in receive.messages:
                    ids[message.body].add(message.message_id)
        for body, found in ids.items():
            if len(found) > 1:
                yield Finding("taken for two", f"{body[:60]!r} is {sorted(found)}")
        for place, pairs in numbers.items():
            ordered = [number for _, number in sorted(set(pairs))]
            if ordered != sorted(set(ordered)):
                yield Finding("numbered out of order", f"{place}")
