"""The checker finds each kind of broken promise in a history that has it, and no other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest

from tests.crash.checker import Checker
from tests.crash.history import Delete, History, Message, Outcome, Receive, Removal, Send

HOMES = {
    "q": frozenset({"q"}),
    "source": frozenset({"source", "dead"}),
    "dead": frozenset({"dead", "source"}),
    "o.fifo": frozenset({"o.fifo"}),
}


@dataclass
class Play:
    """A history that is written line by line; each operation takes from `at` to `at + 1`."""

    history: History = field(default_factory=History)

    def send(self, at: float, body: str, queue: str = "q", outcome: Outcome = "done") -> Play:
        self.history.sends.append(Send(queue, body, at, at + 1, outcome, f"id of {body}"))
        return self

    def order(
        self, at: float, body: str, order: int, message_id: str = "", sequence_number: str = ""
    ) -> Play:
        message_id, number = message_id or f"id of {body}", sequence_number or str(order)
        self.history.sends.append(
            Send("o.fifo", body, at, at + 1, "done", message_id, "g", order, number)
        )
        return self

    def receive(
        self, at: float, *bodies: str, queue: str = "q", last: bool = False, altered: bool = False
    ) -> Play:
        messages = [
            Message(
                body,
                f"id of {body}",
                "no digest" if altered else hashlib.md5(body.encode()).hexdigest(),
            )
            for body in bodies
        ]
        self.history.receives.append(Receive(queue, at, at + 1, messages, last))
        return self

    def delete(self, at: float, body: str, outcome: Outcome = "done", queue: str = "q") -> Play:
        self.history.deletes.append(Delete(queue, body, at, at + 1, outcome))
        return self

    def remove(self, at: float, outcome: Outcome = "done", queue: str = "q") -> Play:
        self.history.removals.append(Removal(queue, at, at + 1, outcome))
        return self

    def promises(self) -> list[str]:
        return [finding.promise for finding in Checker(self.history, HOMES).findings()]


def play() -> Play:
    return Play()


BROKEN = [
    pytest.param(play().send(1, "a"), "acknowledged and lost", id="lost"),
    pytest.param(
        play().send(1, "a").receive(3, "a"), "acknowledged and lost", id="lost once received"
    ),
    pytest.param(
        play().send(1, "a").delete(5, "a", "refused"),
        "acknowledged and lost",
        id="lost though the delete was refused",
    ),
    pytest.param(
        play().remove(1).send(5, "a"), "acknowledged and lost", id="lost, sent after a purge"
    ),
    pytest.param(
        play().send(1, "a").receive(3, "a").delete(5, "a").receive(7, "a"),
        "delivered after its deletion",
        id="undead",
    ),
    pytest.param(play().receive(1, "a"), "invented or altered", id="invented"),
    pytest.param(
        play().send(1, "a").receive(3, "a", last=True, altered=True),
        "invented or altered",
        id="altered",
    ),
    pytest.param(
        play().send(1, "a", outcome="refused").receive(3, "a"),
        "refused and delivered",
        id="refused",
    ),
    pytest.param(
        play().send(1, "a").receive(3, "a", last=True, queue="dead"),
        "in a wrong queue",
        id="wrong queue",
    ),
    pytest.param(
        play()
        .send(1, "a", "source")
        .receive(3, "a", last=True, queue="dead")
        .receive(5, "a", last=True, queue="source"),
        "in two places",
        id="two places",
    ),
    pytest.param(
        play().send(1, "a").remove(3).receive(5, "a", last=True), "removed and back", id="purged"
    ),
    pytest.param(
        play()
        .order(1, "a", 1)
        .order(3, "b", 2)
        .receive(5, "b", queue="o.fifo", last=True)
        .receive(7, "a", queue="o.fifo", last=True),
        "out of order",
        id="order",
    ),
    pytest.param(
        play().order(1, "a", 1).order(3, "b", 2).receive(5, "b", "a", queue="o.fifo", last=True),
        "out of order",
        id="order in one receive",
    ),
    pytest.param(
        play()
        .order(1, "a", 1)
        .order(2, "a", 1, message_id="another")
        .receive(5, "a", queue="o.fifo", last=True),
        "taken for two",
        id="deduplication",
    ),
    pytest.param(
        play()
        .order(1, "a", 1, sequence_number="5")
        .order(3, "b", 2, sequence_number="4")
        .receive(5, "a", "b", queue="o.fifo", last=True),
        "numbered out of order",
        id="sequence numbers",
    ),
]

KEPT = [
    pytest.param(play().send(1, "a").receive(3, "a", last=True), id="there in the end"),
    pytest.param(play().send(1, "a").receive(3, "a").delete(5, "a"), id="deleted"),
    pytest.param(play().send(1, "a").delete(5, "a", "unknown"), id="perhaps deleted"),
    pytest.param(play().send(1, "a", outcome="unknown"), id="perhaps sent, and not there"),
    pytest.param(
        play().send(1, "a", outcome="unknown").receive(3, "a", last=True), id="perhaps sent"
    ),
    pytest.param(play().send(1, "a").remove(3), id="purged"),
    pytest.param(play().send(1, "a").remove(1.5, "unknown"), id="perhaps purged"),
    pytest.param(
        play().remove(1).send(1.5, "a").receive(3, "a", last=True), id="sent during a purge"
    ),
    pytest.param(
        play().send(1, "a").receive(2.5, "a").delete(2, "a").receive(2.9, "a"),
        id="received while it was being deleted",
    ),
    pytest.param(
        play().send(1, "a", "source").receive(3, "a", last=True, queue="dead"), id="redriven"
    ),
    pytest.param(
        play()
        .order(1, "a", 1)
        .order(3, "b", 2)
        .receive(5, "a", "b", queue="o.fifo")
        .delete(7, "a", queue="o.fifo")
        .receive(9, "b", queue="o.fifo", last=True),
        id="in order",
    ),
    pytest.param(
        play()
        .order(1, "a", 1)
        .order(3, "b", 2)
        .delete(5, "a", "unknown", "o.fifo")
        .receive(7, "b", queue="o.fifo", last=True),
        id="in order, if the first one is gone",
    ),
    pytest.param(
        play()
        .order(1, "a", 1)
        .order(3, "b", 2)
        .delete(5, "a", "unknown", "o.fifo")
        .receive(7, "a", queue="o.fifo")
        .receive(9, "a", "b", queue="o.fifo", last=True),
        id="in order, though the first one was not deleted after all",
    ),
]


@pytest.mark.parametrize(("history", "promise"), BROKEN)
def test_a_broken_promise_is_found(history: Play, promise: str) -> None:
    assert history.promises() == [promise]


@pytest.mark.parametrize("history", KEPT)
def test_kept_promises_are_not_found_broken(history: Play) -> None:
    assert history.promises() == []
