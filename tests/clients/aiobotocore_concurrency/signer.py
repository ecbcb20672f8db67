"""The scenario of all signers, by aiobotocore."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable
from typing import Any, TypeAlias

from aiobotocore.session import get_session  # type: ignore[import-not-found]
from botocore.exceptions import ClientError

Sqs: TypeAlias = Any
"""An aiobotocore client for SQS; it creates its methods at run time."""

BODY = 'line\r\nwith <xml> & "quotes", 100% + ünïcode and 🎉'


async def rejection(call: Awaitable[object]) -> str:
    try:
        await call
    except ClientError as error:
        code: str = error.response["Error"]["Code"]
        return code
    return "not rejected"


async def use_queue(sqs: Sqs, name: str) -> dict[str, Any]:
    created = await sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "45"})
    url = created["QueueUrl"]
    await sqs.send_message(
        QueueUrl=url,
        MessageBody=BODY,
        MessageAttributes={"text": {"DataType": "String", "StringValue": "ü"}},
    )
    entries = [{"Id": f"e{number}", "MessageBody": f"batch {number}"} for number in range(2)]
    await sqs.send_message_batch(QueueUrl=url, Entries=entries)
    before = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    received = await sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )
    first, *others = (message["ReceiptHandle"] for message in received["Messages"])
    await sqs.delete_message(QueueUrl=url, ReceiptHandle=first)
    handles = [{"Id": f"d{n}", "ReceiptHandle": handle} for n, handle in enumerate(others)]
    await sqs.delete_message_batch(QueueUrl=url, Entries=handles)
    after = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    listed = await sqs.list_queues(QueueNamePrefix=name)
    await sqs.delete_queue(QueueUrl=url)
    counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    return {
        "arn": before["Attributes"]["QueueArn"],
        "timeout": before["Attributes"]["VisibilityTimeout"],
        "bodies": sorted(message["Body"] for message in received["Messages"]),
        "texts": [
            message["MessageAttributes"]["text"]["StringValue"]
            for message in received["Messages"]
            if "MessageAttributes" in message
        ],
        "left": [after["Attributes"][count] for count in counts],
        "listed": listed["QueueUrls"] == [url],
        "missing": await rejection(sqs.get_queue_url(QueueName=name)),
    }


async def run_all(endpoint: str, given: str) -> dict[str, Any]:
    case = json.loads(given)
    async with contextlib.AsyncExitStack() as stack:
        clients = {
            user: await stack.enter_async_context(
                get_session().create_client(
                    "sqs",
                    endpoint_url=endpoint,
                    aws_access_key_id=access_key_id,
                    aws_secret_access_key=secret,
                )
            )
            for user, (access_key_id, secret) in case["pairs"].items()
        }
        producer, orders = clients["producer"], case["orders"]
        sent = await producer.send_message(QueueUrl=orders, MessageBody=case["name"])
        return {
            "queue": await use_queue(clients["admin"], case["name"]),
            "sent": "MessageId" in sent,
            "denied": await rejection(producer.receive_message(QueueUrl=orders)),
            "wrong secret": await rejection(clients["wrong secret"].list_queues()),
            "unknown key": await rejection(clients["unknown key"].list_queues()),
        }


def main(endpoint: str, given: str) -> None:
    json.dump(asyncio.run(run_all(endpoint, given)), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
