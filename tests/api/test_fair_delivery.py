"""Fair queues: the order of receives when one tenant has most messages in flight."""

from __future__ import annotations

from tests.api.live_server import AlarmCountingClock
from tests.api.sqs_clients import Sqs, bodies


def send_messages(sqs: Sqs, queue: str, tenant: str, count: int) -> None:
    for start in range(0, count, 10):
        entries = [
            {"Id": str(number), "MessageBody": tenant, "MessageGroupId": tenant}
            for number in range(start, min(start + 10, count))
        ]
        assert "Failed" not in sqs.send_message_batch(QueueUrl=queue, Entries=entries)


def receive_tenants(sqs: Sqs, queue: str, times: int) -> list[str]:
    """Receive up to 10 messages `times` times, and return their tenants in order."""
    return [
        body
        for _ in range(times)
        for body in bodies(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10))
    ]


def test_quiet_tenants_are_received_before_a_noisy_one(
    sqs: Sqs, queue: str, clock: AlarmCountingClock
) -> None:
    send_messages(sqs, queue, "noisy", 60)
    assert receive_tenants(sqs, queue, 4) == ["noisy"] * 40
    clock.advance(1)
    send_messages(sqs, queue, "quiet", 3)
    sqs.send_message(QueueUrl=queue, MessageBody="no tenant")
    assert sorted(receive_tenants(sqs, queue, 1)[:4]) == ["no tenant", "quiet", "quiet", "quiet"]
    assert receive_tenants(sqs, queue, 2) == ["noisy"] * 14


def test_tenants_with_few_messages_in_flight_are_received_in_queue_order(
    sqs: Sqs, queue: str
) -> None:
    send_messages(sqs, queue, "first", 20)
    assert receive_tenants(sqs, queue, 1) == ["first"] * 10
    send_messages(sqs, queue, "second", 3)
    assert receive_tenants(sqs, queue, 2) == ["first"] * 10 + ["second"] * 3


def test_tenant_is_quiet_again_after_its_messages_are_deleted(
    sqs: Sqs, queue: str, clock: AlarmCountingClock
) -> None:
    send_messages(sqs, queue, "noisy", 50)
    for _ in range(4):
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        for message in answer["Messages"]:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    clock.advance(1)
    send_messages(sqs, queue, "quiet", 1)
    assert receive_tenants(sqs, queue, 2) == ["noisy"] * 10 + ["quiet"]


def test_least_noisy_tenant_is_received_first(
    sqs: Sqs, queue: str, clock: AlarmCountingClock
) -> None:
    send_messages(sqs, queue, "loud", 60)
    assert len(receive_tenants(sqs, queue, 5)) == 50
    send_messages(sqs, queue, "late", 40)
    for expected in ("late", "late", "late", "late", "loud"):
        clock.advance(1)
        assert receive_tenants(sqs, queue, 1) == [expected] * 10
