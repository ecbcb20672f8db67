"""What a crowd of clients saw, and whether it can have been so: the referee of the cluster.

Every observation has two moments, of the question and of the answer; what happened, happened in
between. Only what is wrong whatever the moment in between is found to be wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple


class Span(NamedTuple):
    """From the question to the answer, in seconds of one clock for all clients."""

    asked: float
    answered: float


class Got(NamedTuple):
    """One message as one receive gave it."""

    span: Span
    body: str
    message_id: str
    receipt: str
    timeout_seconds: float


@dataclass
class History:
    """What was sent, received and deleted.

    Attributes:
        acknowledged: bodies whose sends were answered with success.
        attempted: bodies that were sent at all; those of FIFO queues end in their group and place.
        got: all receives' messages.
        deleted: receipts whose deletes were answered with success.
        let_go: when a delete of a receipt, whatever came of it, was first asked for.
        refused: answers that were no success, by status.
        longest: the longest that anybody waited for an answer beyond what it asked to wait.
    """

    acknowledged: set[str] = field(default_factory=set)
    attempted: set[str] = field(default_factory=set)
    got: list[Got] = field(default_factory=list)
    deleted: dict[str, Span] = field(default_factory=dict)
    let_go: dict[str, float] = field(default_factory=dict)
    refused: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    longest: float = 0.0

    def violations(self, *, ordered: bool) -> list[str]:
        """Tell what cannot have been right."""
        found = [*self._lost(), *self._invented(), *self._held_twice(), *self._back_again()]
        if ordered:
            found += [*self._out_of_order(), *self._duplicated()]
        return found

    def received(self) -> set[str]:
        return {got.body for got in self.got}

    def _lost(self) -> Iterator[str]:
        for body in sorted(self.acknowledged - self.received()):
            yield f"{body} was acknowledged and never received"

    def _invented(self) -> Iterator[str]:
        for body in sorted(self.received() - self.attempted):
            yield f"{body} was received and never sent"

    def _by_message(self) -> Iterator[list[Got]]:
        by_id: dict[str, list[Got]] = defaultdict(list)
        for got in self.got:
            by_id[got.message_id].append(got)
        for gots in by_id.values():
            yield sorted(gots, key=lambda got: got.span.answered)

    def _held_twice(self) -> Iterator[str]:
        """A message is certainly held from the answer until it is let go, or time is over."""
        for gots in self._by_message():
            for one, other in pairwise(gots):
                until = one.span.asked + one.timeout_seconds
                until = min(until, self.let_go.get(one.receipt, until))
                if one.span.answered < other.span.asked and other.span.answered < until:
                    yield f"{one.body} was held by two at once: {one.span} and {other.span}"

    def _back_again(self) -> Iterator[str]:
        for gots in self._by_message():
            ends = [self.deleted[got.receipt] for got in gots if got.receipt in self.deleted]
            end = min((span.answered for span in ends), default=float("inf"))
            for got in gots:
                if got.span.asked > end:
                    yield f"{got.body} was deleted and came back {got.span.asked - end:.3f} s later"

    def _out_of_order(self) -> Iterator[str]:
        """A message of a group comes after all before it are deleted, the first time it comes."""
        groups: dict[str, dict[int, Span]] = defaultdict(dict)
        for got in sorted(self.got, key=lambda got: got.span.answered):
            group, place = got.body.split(" ")[-2:]
            groups[group].setdefault(int(place), got.span)
        for group, firsts in groups.items():
            places = sorted(firsts)
            for before, after in pairwise(places):
                if firsts[after].answered < firsts[before].asked:
                    yield f"group {group}: {after} was received before {before}"

    def _duplicated(self) -> Iterator[str]:
        ids: dict[str, set[str]] = defaultdict(set)
        for got in self.got:
            ids[got.body].add(got.message_id)
        for body, found in ids.items():
            if len(found) > 1:
                yield f"{body} is {len(found)} messages"
