"""Twenty producers and twenty consumers that share a queue and one aiobotocore client."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any, TypeAlias

from aiobotocore.config import AioConfig  # type: ignore[import-not-found]
from aiobotocore.session import get_session  # type: ignore[import-not-found]

Sqs: TypeAlias = Any
"""An aiobotocore client for SQS; it creates its methods at run time."""

PRODUCERS = CONSUMERS = 20
MESSAGES_EACH = 200
BATCH = 10


class Tally:
    """Counts of receives and deletes of each message; `done` is set when all are deleted."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self.deleted: Counter[str] = Counter()
        self.done = asyncio.Event()

    def add_deleted(self, bodies: list[str]) -> None:
        self.deleted.update(bodies)
        if self.deleted.total() >= PRODUCERS * MESSAGES_EACH:
            self.done.set()


async def produce(sqs: Sqs, url: str, number: int) -> list[str]:
    """Send batches (even numbers) or single messages (odd); return the message ids."""
    bodies = [f"{number}-{n}" for n in range(MESSAGES_EACH)]
    if number % 2:
        return [
            (await sqs.send_message(QueueUrl=url, MessageBody=body))["MessageId"] for body in bodies
        ]
    ids: list[str] = []
    for start in range(0, MESSAGES_EACH, BATCH):
        entries = [
            {"Id": str(n), "MessageBody": body}
            for n, body in enumerate(bodies[start : start + BATCH])
        ]
        answer = await sqs.send_message_batch(QueueUrl=url, Entries=entries)
        ids += [entry["MessageId"] for entry in answer["Successful"]]
    return ids


async def consume(sqs: Sqs, url: str, number: int, tally: Tally) -> None:
    """Receive and delete messages until all messages are deleted."""
    while not tally.done.is_set():
        answer = await sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=1
        )
        messages = answer.get("Messages", [])
        tally.received.update(message["Body"] for message in messages)
        if number % 2:
            for message in messages:
                await sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                tally.add_deleted([message["Body"]])
        elif messages:
            entries = [
                {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
                for n, message in enumerate(messages)
            ]
            deleted = await sqs.delete_message_batch(QueueUrl=url, Entries=entries)
            tally.add_deleted([messages[int(e["Id"])]["Body"] for e in deleted["Successful"]])


async def run_all(endpoint: str) -> dict[str, Any]:
    config = AioConfig(
        max_pool_connections=PRODUCERS + CONSUMERS, retries={"total_max_attempts": 1}
    )
    async with get_session().create_client("sqs", endpoint_url=endpoint, config=config) as sqs:
        url = (await sqs.create_queue(QueueName="concurrency"))["QueueUrl"]
        tally = Tally()
        async with asyncio.TaskGroup() as group:
            for number in range(CONSUMERS):
                group.create_task(consume(sqs, url, number, tally))
            producers = [
                group.create_task(produce(sqs, url, number)) for number in range(PRODUCERS)
            ]
        counts = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {
        "ids": len({each for producer in producers for each in producer.result()}),
        "received": len(tally.received),
        "deleted": len(tally.deleted),
        "more than once": [
            body for body, times in (tally.received + tally.deleted).items() if times != 2
        ],
        "left": [
            value for name, value in sorted(counts["Attributes"].items()) if "NumberOf" in name
        ],
    }


def main(url: str) -> None:
    json.dump(asyncio.run(run_all(url)), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
