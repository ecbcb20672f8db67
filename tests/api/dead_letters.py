"""Queues with dead-letter queues, created by SQS clients."""

from __future__ import annotations

import json

from tests.api.sqs_clients import Sqs

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793"
COLOUR = {"colour": {"DataType": "String", "StringValue": "red"}}


def arn_of(url: str, region: str = "us-east-1") -> str:
    return ":".join(("arn:aws:sqs", region, *url.split("/")[-2:]))


def redrive(dead: str, count: int = 1) -> dict[str, str]:
    """Return the attributes of a source queue whose dead-letter queue has the URL `dead`."""
    policy = {"deadLetterTargetArn": arn_of(dead), "maxReceiveCount": count}
    return {"RedrivePolicy": json.dumps(policy)}


def create(sqs: Sqs, name: str, attributes: dict[str, str] | None = None) -> str:
    fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    created = sqs.create_queue(QueueName=name, Attributes={**fifo, **(attributes or {})})
    url: str = created["QueueUrl"]
    return url
