"""What one process remembers of queues between transactions, so that it need not count them.

It may be thrown away at any time: whatever is missing or out of date is counted again.
"""

from __future__ import annotations

from collections.abc import Mapping

_QUEUES = 10_000
"""How many queues are remembered; then all are forgotten."""


class Estimate:
    """What is remembered of one queue.

    Attributes:
        in_flight: how many were in flight when they were counted, and were claimed here since.
        is_counted: whether they ever were.
        claimed: messages claimed since the tenants in flight were counted.
        counted_at_ms: when they were counted.
        retention_ms: the queue's retention, as the last command that knew it said.
        tenants: how many messages of each tenant were in flight then; None has none.
    """

    __slots__ = (
        "claimed",
        "counted_at_ms",
        "in_flight",
        "is_counted",
        "retention_ms",
        "tenants",
    )

    def __init__(self) -> None:
        self.in_flight = 0
        self.is_counted = False
        self.claimed = 0
        self.counted_at_ms: int | None = None
        self.retention_ms: int | None = None
        self.tenants: Mapping[str | None, int] = {}


class Estimates:
    """Estimates by queue id."""

    def __init__(self) -> None:
        self._by_queue: dict[int, Estimate] = {}

    def of(self, queue_id: int) -> Estimate:
        """Give what is remembered of a queue, to be read and changed."""
        estimate = self._by_queue.get(queue_id)
        if estimate is None:
            if len(self._by_queue) >= _QUEUES:
                self._by_queue.clear()
            estimate = self._by_queue[queue_id] = Estimate()
        return estimate
