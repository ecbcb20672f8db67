"""Hints: what one process remembers of queues between transactions, so that it can count less.

The database is the truth. Hints may be dropped at any time: a missing or stale hint costs another
count, and is never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

_QUEUES = 10_000
"""The number of queues that have hints, of at most 4 KB each without `waiting`.

When one more comes, all hints are dropped."""

_WAITING_QUEUES = 100
"""The number of queues that remember tenants in `waiting`: up to 2,000, of 300 bytes each."""

_LONGEST_BODY_BYTES = 1024 * 1024
"""The assumed length of bodies before one was seen (AWS: the longest message, 1 MiB)."""


class QueueHints:
    """The hints of one queue.

    Attributes:
        body_bytes: length of the longest bodies that were sent or received lately.
        in_flight: messages in flight at the last count, plus those claimed here since.
        counted: messages in flight at the last count, or None before the first.
        is_full: whether the last claim reached the limit of messages in flight.
        claimed: messages of tenants that were claimed since tenants were last compared.
        compared: messages in flight among which tenants were last compared.
        counted_at_ms: when tenants were last compared, in epoch milliseconds, or None.
        noisy: the noisy tenants of that comparison, with their number of messages in flight.
        walked_to: the tenant after which the search for such tenants continues.
    """

    __slots__ = (
        "_use_waiting",
        "_waiting",
        "body_bytes",
        "claimed",
        "compared",
        "counted",
        "counted_at_ms",
        "in_flight",
        "is_full",
        "noisy",
        "walked_to",
    )

    def __init__(self, use_waiting: Callable[[QueueHints], None]) -> None:
        self._use_waiting = use_waiting
        self._waiting: dict[str, int] = {}
        self.body_bytes = _LONGEST_BODY_BYTES
        self.in_flight = 0
        self.counted: int | None = None
        self.is_full = False
        self.claimed = 0
        self.compared = 0
        self.counted_at_ms: int | None = None
        self.noisy: Mapping[str, int] = {}
        self.walked_to = ""

    @property
    def waiting(self) -> dict[str, int]:
        """Quiet tenants with visible messages, and when the first of each was queued."""
        self._use_waiting(self)
        return self._waiting

    def note_bodies(self, longest_bytes: int) -> None:
        """Record the longest body of a claim; the hint of longer ones before decreases slowly."""
        self.body_bytes = max(longest_bytes, self.body_bytes * 7 // 8)


class Hints:
    """The hints of all queues, by queue id."""

    def __init__(self) -> None:
        self._by_queue: dict[int, QueueHints] = {}
        # In the order of their last use: the tenants of the first one are the next to be dropped.
        self._with_waiting: dict[QueueHints, None] = {}
        self._last_used: QueueHints | None = None

    def of(self, queue_id: int) -> QueueHints:
        """Return a queue's hints, which the caller may change."""
        hint = self._by_queue.get(queue_id)
        if hint is None:
            if len(self._by_queue) >= _QUEUES:
                self._by_queue.clear()
                self._with_waiting.clear()
                self._last_used = None
            hint = self._by_queue[queue_id] = QueueHints(self._use_waiting)
        return hint

    def drop(self, queue_id: int) -> None:
        """Drop the hints of a queue that was purged or deleted."""
        hint = self._by_queue.pop(queue_id, None)
        if hint is not None:
            self._with_waiting.pop(hint, None)
            self._last_used = None

    def _use_waiting(self, hint: QueueHints) -> None:
        if hint is self._last_used:
            return
        self._last_used = hint
        self._with_waiting.pop(hint, None)
        self._with_waiting[hint] = None
        if len(self._with_waiting) > _WAITING_QUEUES:
            oldest = next(iter(self._with_waiting))
            del self._with_waiting[oldest]
            oldest._waiting.clear()
