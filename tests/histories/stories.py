"""Hand-written histories for the tests of the checker."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from math import inf

from tests.histories.checker import Finding, Setting, check
from tests.histories.history import (
    Delete,
    History,
    Message,
    Outcome,
    Receive,
    Removal,
    Send,
    VisibilityChange,
)

SETTING = Setting(
    routes={
        "q": frozenset({"q"}),
        "source": frozenset({"source", "dead"}),
        "dead": frozenset({"dead", "source"}),
        "o.fifo": frozenset({"o.fifo"}),
    },
    ordered_queues={"o.fifo"},
)
FIFO = "o.fifo"


@dataclass
class Story:
    """A history whose operations take from `at` until `until`, one second if it is not given."""

    history: History = field(default_factory=History)
    longest_answer_seconds: float = 0.0

    def send(
        self,
        at: float,
        body: str,
        queue: str = "q",
        outcome: Outcome = "done",
        until: float | None = None,
    ) -> Story:
        returned = _end(at, until)
        self.history.add(Send(queue, body, at, returned, outcome, f"id of {body}"))
        return self

    def send_ordered(
        self,
        at: float,
        body: str,
        order: int,
        message_id: str = "",
        sequence_number: str = "",
        outcome: Outcome = "done",
    ) -> Story:
        """Send to group `g` as its single sender."""
        message_id, number = message_id or f"id of {body}", sequence_number or str(order)
        if outcome != "done":
            message_id = number = ""
        self.history.add(Send(FIFO, body, at, at + 1, outcome, message_id, "g", order, number))
        return self

    def send_numbered(self, at: float, body: str, sequence_number: int) -> Story:
        """Send to group `g` as one of several senders."""
        message_id, number = f"id of {body}", str(sequence_number)
        self.history.add(Send(FIFO, body, at, at + 1, "done", message_id, "g", None, number))
        return self

    def receive(
        self,
        at: float,
        *bodies: str,
        queue: str = "q",
        final: bool = False,
        altered: bool = False,
        until: float | None = None,
        receipt: str = "",
        message_id: str = "",
        visibility_seconds: float | None = None,
    ) -> Story:
        messages = [
            Message(
                body,
                message_id or f"id of {body}",
                "no digest" if altered else hashlib.md5(body.encode()).hexdigest(),
                receipt,
            )
            for body in bodies
        ]
        returned = _end(at, until)
        self.history.add(Receive(queue, at, returned, messages, visibility_seconds, final))
        return self

    def delete(
        self,
        at: float,
        body: str,
        outcome: Outcome = "done",
        queue: str = "q",
        until: float | None = None,
        receipt: str = "",
        message_id: str = "",
    ) -> Story:
        returned = _end(at, until)
        message_id = message_id or f"id of {body}"
        self.history.add(Delete(queue, body, at, returned, outcome, message_id, receipt))
        return self

    def change_visibility(self, at: float, body: str, outcome: Outcome = "done") -> Story:
        self.history.add(VisibilityChange("q", body, at, at + 1, outcome))
        return self

    def remove(self, at: float, outcome: Outcome = "done", queue: str = "q") -> Story:
        """Purge a queue, or delete it."""
        self.history.add(Removal(queue, at, at + 1, outcome))
        return self

    def answer_after(self, seconds: float) -> Story:
        self.longest_answer_seconds = max(self.longest_answer_seconds, seconds)
        return self

    def findings(self, setting: Setting, longest_call_seconds: float = inf) -> list[Finding]:
        setting = replace(setting, longest_call_seconds=longest_call_seconds)
        return check(self.history, setting, self.longest_answer_seconds)


def _end(at: float, until: float | None) -> float:
    return at + 1 if until is None else until
