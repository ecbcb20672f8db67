"""The hints of queues: what a process remembers of them is bounded."""

from __future__ import annotations

from storage.hints import Hints


def test_tenants_are_remembered_for_the_queues_that_used_them_last() -> None:
    hints = Hints()
    for queue_id in range(150):
        hints.of(queue_id).waiting[f"tenant {queue_id}"] = 1
        hints.of(0).waiting["used again"] = 1
    counts = [len(hints.of(queue_id)._waiting) for queue_id in range(150)]
    assert counts == [2] + [0] * 50 + [1] * 99


def test_dropped_hints_take_no_memory() -> None:
    hints = Hints()
    for queue_id in range(25_000):
        hints.of(queue_id).waiting["tenant"] = 1
        if queue_id % 2:
            hints.drop(queue_id)
    assert len(hints._by_queue) <= 10_000
    assert set(hints._with_waiting) <= set(hints._by_queue.values())
