"""The scenario of all signers by boto3, with the environment's release of it: JSON or Query."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import boto3
from botocore.exceptions import ClientError

Sqs: TypeAlias = Any
"""A boto3 client for SQS; boto3 creates its methods at run time."""

BODY = 'line\r\nwith <xml> & "quotes", 100% + ünïcode and 🎉'


def connect(endpoint: str, pair: list[str]) -> Sqs:
    return boto3.client(
        "sqs", endpoint_url=endpoint, aws_access_key_id=pair[0], aws_secret_access_key=pair[1]
    )


def rejection(call: Callable[..., object], **parameters: object) -> str:
    try:
        call(**parameters)
    except ClientError as error:
        code: str = error.response["Error"]["Code"]
        return code
    return "not rejected"


def use_queue(sqs: Sqs, name: str) -> dict[str, Any]:
    url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "45"})["QueueUrl"]
    sqs.send_message(
        QueueUrl=url,
        MessageBody=BODY,
        MessageAttributes={"text": {"DataType": "String", "StringValue": "ü"}},
    )
    entries = [{"Id": f"e{number}", "MessageBody": f"batch {number}"} for number in range(2)]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    received = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )["Messages"]
    texts = [
        message["MessageAttributes"]["text"]["StringValue"]
        for message in received
        if "MessageAttributes" in message
    ]
    first, *others = (message["ReceiptHandle"] for message in received)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first)
    handles = [{"Id": f"d{n}", "ReceiptHandle": handle} for n, handle in enumerate(others)]
    sqs.delete_message_batch(QueueUrl=url, Entries=handles)
    left = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    listed = sqs.list_queues(QueueNamePrefix=name)["QueueUrls"]
    sqs.delete_queue(QueueUrl=url)
    return {
        "arn": attributes["QueueArn"],
        "timeout": attributes["VisibilityTimeout"],
        "bodies": sorted(message["Body"] for message in received),
        "texts": texts,
        "left": [
            left["ApproximateNumberOfMessages"],
            left["ApproximateNumberOfMessagesNotVisible"],
        ],
        "listed": listed == [url],
        "missing": rejection(sqs.get_queue_url, QueueName=name),
    }


def main(endpoint: str, given: str) -> None:
    case = json.loads(given)
    clients = {user: connect(endpoint, pair) for user, pair in case["pairs"].items()}
    producer, orders = clients["producer"], case["orders"]
    facts = {
        "queue": use_queue(clients["admin"], case["name"]),
        "sent": "MessageId" in producer.send_message(QueueUrl=orders, MessageBody=case["name"]),
        "denied": rejection(producer.receive_message, QueueUrl=orders),
        "wrong secret": rejection(clients["wrong secret"].list_queues),
        "unknown key": rejection(clients["unknown key"].list_queues),
    }
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
