"""What one process remembers of queues between transactions, so that it need not count them.

It may be thrown away at any time: whatever is missing or out of date is counted again.
"""

from __future__ import annotations

from collections.abc import Mapping

_QUEUES = 10_000
"""How many queues are remembered; then all are forgotten."""

_LONGEST_BODY_BYTES = 1024 * 1024
"""What bodies are taken for before any was seen."""


class QueueHints:
    """What is remembered of one queue.

    Attributes:
        body_bytes: how long the longest bodies were that were sent or received lately.
        in_flight: how many were in flight when they were counted, and were claimed here since.
        counted: how many that were when they were counted, if they ever were.
        is_full: whether a claim found no room for more in flight, and none has found any since.
        claimed: messages claimed since the tenants in flight were compared.
        compared: among about how many messages in flight they were.
        counted_at_ms: when they were.
        noisy: the tenants that were found noisy then, by how many messages each had in flight.
        waiting: quiet tenants that were seen to have visible messages, and since when.
        walked_to: the tenant after which the search for such goes on.
    """

    __slots__ = (
        "body_bytes",
        "claimed",
        "compared",
        "counted",
        "counted_at_ms",
        "in_flight",
        "is_full",
        "noisy",
        "waiting",
        "walked_to",
    )

    def __init__(self) -> None:
        self.body_bytes = _LONGEST_BODY_BYTES
        self.in_flight = 0
        self.counted: int | None = None
        self.is_full = False
        self.claimed = 0
        self.compared = 0
        self.counted_at_ms: int | None = None
        self.noisy: Mapping[str, int] = {}
        self.waiting: dict[str, int] = {}
        self.walked_to = ""

    def note_bodies(self, longest_bytes: int) -> None:
        """Learn from a claim how long bodies are; what was longer before is forgotten slowly."""
        self.body_bytes = max(longest_bytes, self.body_bytes * 7 // 8)


class Hints:
    """Hints by queue id."""

    def __init__(self) -> None:
        self._by_queue: dict[int, QueueHints] = {}

    def of(self, queue_id: int) -> QueueHints:
        """Give what is remembered of a queue, to be read and changed."""
        hint = self._by_queue.get(queue_id)
        if hint is None:
            if len(self._by_queue) >= _QUEUES:
                self._by_queue.clear()
            hint = self._by_queue[queue_id] = QueueHints()
        return hint

    def forget(self, queue_id: int) -> None:
        """Remember nothing of a queue that has ended."""
        self._by_queue.pop(queue_id, None)
