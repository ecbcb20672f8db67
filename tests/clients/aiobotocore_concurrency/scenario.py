"""A crowd: twenty producers and twenty consumers that share a queue and one aiobotocore client."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any, TypeAlias

from aiobotocore.config import AioConfig  # type: ignore[import-not-found]
from aiobotocore.session import get_session  # type: ignore[import-not-found]

Sqs: TypeAlias = Any
"""An aiobotocore client for SQS; it makes its methods when it runs."""

PRODUCERS = CONSUMERS = 20
MESSAGES_EACH = 200
BATCH = 10


class Account:
    """Every message that was received and deleted, and whether all are."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self.deleted: Counter[str] = Counter()
        self.done = asyncio.Event()

    def close(self, bodies: list[str]) -> None:
        self.deleted.update(bodies)
        if self.deleted.total() >= PRODUCERS * MESSAGES_EACH:
            self.done.set()


async def produce(sqs: Sqs, url: str, number: int) -> list[str]:
    """Send batches, or, every other producer, single messages; give the ids that came back."""
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


async def consume(sqs: Sqs, url: str, number: int, account: Account) -> None:
    """Receive and delete until nobody has anything left to do."""
    while not account.done.is_set():
        answer = await sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=1
        )
        messages = answer.get("Messages", [])
        account.received.update(message["Body"] for message in messages)
        if number % 2:
            for message in messages:
                await sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                account.close([message["Body"]])
        elif messages:
            entries = [
                {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
                for n, message in enumerate(messages)
            ]
            deleted = await sqs.delete_message_batch(QueueUrl=url, Entries=entries)
            account.close([messages[int(e["Id"])]["Body"] for e in deleted["Successful"]])


async def crowd(endpoint: str) -> dict[str, Any]:
    config = AioConfig(
        max_pool_connections=PRODUCERS + CONSUMERS, retries={"total_max_attempts": 1}
    )
    async with get_session().create_client("sqs", endpoint_url=endpoint, config=config) as sqs:
        url = (await sqs.create_queue(QueueName="crowd"))["QueueUrl"]
        account = Account()
        async with asyncio.TaskGroup() as group:
            for number in range(CONSUMERS):
                group.create_task(consume(sqs, url, number, account))
            producers = [
                group.create_task(produce(sqs, url, number)) for number in range(PRODUCERS)
            ]
        counts = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {
        "ids": len({each for producer in producers for each in producer.result()}),
        "received": len(account.received),
        "deleted": len(account.deleted),
        "more than once": [
            body for body, times in (account.received + account.deleted).items() if times != 2
        ],
        "left": [
            value for name, value in sorted(counts["Attributes"].items()) if "NumberOf" in name
        ],
    }


def main(url: str) -> None:
    json.dump(asyncio.run(crowd(url)), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
