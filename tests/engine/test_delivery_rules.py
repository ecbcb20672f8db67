"""Which messages may be delivered: a decision over a message's state and its queue's settings."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from storage.messages.rows import DeliveryRules, Eligibility
from storage.queue_settings import LockedQueue, QueueName, Redrive
from storage.queues import STANDARD

NOW_MS = 1_000_000
RETENTION_MS = 60_000
NAME = QueueName("000000000000", "us-east-1", "orders")
ELIGIBLE, EXPIRED, EXHAUSTED = Eligibility


class State(NamedTuple):
    """A message's state: sent a second ago, visible, never received."""

    id: int = 1
    group_id: str | None = None
    tenant_id: str | None = None
    visible_at_ms: int = NOW_MS
    queued_at_ms: int = NOW_MS - 1_000
    sent_at_ms: int = NOW_MS - 1_000
    body_id: int = 1
    size: int = 1
    receive_count: int = 0
    earlier_receives: int = 0
    first_received_at_ms: int | None = None
    dead_letter_source: str | None = None


def rules(max_receive_count: int | None) -> DeliveryRules:
    """Return the rules of a queue with this maxReceiveCount, or without a redrive policy."""
    redrive = None if max_receive_count is None else Redrive(NAME, max_receive_count)
    return DeliveryRules.of(LockedQueue(1, 1, STANDARD, NAME, RETENTION_MS, redrive), NOW_MS)


EXPIRED_MS = NOW_MS - RETENTION_MS
ROWS = [
    pytest.param(State(), 3, ELIGIBLE, id="new"),
    pytest.param(State(receive_count=2), 3, ELIGIBLE, id="received less often than allowed"),
    pytest.param(State(receive_count=3), 3, EXHAUSTED, id="received as often as allowed"),
    pytest.param(State(receive_count=4), 3, EXHAUSTED, id="received more often than allowed"),
    pytest.param(
        State(receive_count=5, earlier_receives=3), 3, ELIGIBLE, id="received in another queue"
    ),
    pytest.param(
        State(receive_count=6, earlier_receives=3), 3, EXHAUSTED, id="received in two queues"
    ),
    pytest.param(State(receive_count=1_000), None, ELIGIBLE, id="no dead-letter queue"),
    pytest.param(
        State(receive_count=3, visible_at_ms=NOW_MS + 1), 3, ELIGIBLE, id="last receive in flight"
    ),
    pytest.param(State(sent_at_ms=EXPIRED_MS), None, EXPIRED, id="retention just over"),
    pytest.param(State(sent_at_ms=EXPIRED_MS + 1), None, ELIGIBLE, id="retention not over"),
    pytest.param(
        State(sent_at_ms=EXPIRED_MS, visible_at_ms=NOW_MS + 1), 3, EXPIRED, id="expired in flight"
    ),
    pytest.param(
        State(sent_at_ms=EXPIRED_MS, receive_count=3), 3, EXPIRED, id="expired and exhausted"
    ),
]


@pytest.mark.parametrize(("state", "max_receive_count", "eligibility"), ROWS)
def test_settings_of_queue_decide_what_is_delivered(
    state: State, max_receive_count: int | None, eligibility: Eligibility
) -> None:
    found = rules(max_receive_count)
    assert found.judge(state) is eligibility
    assert found.is_eligible(state) is (eligibility is ELIGIBLE)


def test_exhausted_messages_are_delivered_without_dead_letter_queue() -> None:
    assert rules(3).without_redrive().judge(State(receive_count=3)) is ELIGIBLE
