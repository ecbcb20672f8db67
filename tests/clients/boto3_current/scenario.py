"""The examples of boto3's guide: resources, collections and paginators."""

from __future__ import annotations

import json
import sys
from typing import Any, TypeAlias

import boto3

Sqs: TypeAlias = Any
"""boto3's resource for SQS; boto3 creates its methods at run time."""


def create_and_find(sqs: Sqs) -> dict[str, Any]:
    queue = sqs.create_queue(QueueName="guide", Attributes={"DelaySeconds": "5"})
    delays = [queue.attributes["DelaySeconds"]]
    found = sqs.get_queue_by_name(QueueName="guide")
    found.set_attributes(Attributes={"DelaySeconds": "0"})
    found.reload()
    try:
        sqs.get_queue_by_name(QueueName="nowhere")
    except sqs.meta.client.exceptions.QueueDoesNotExist as error:
        rejection = error.response["Error"]["Message"]
    return {
        "same": queue.url == found.url,
        "delays": [*delays, found.attributes["DelaySeconds"]],
        "all": [each.url == queue.url for each in sqs.queues.all()],
        "rejection": rejection,
    }


def send_and_process(sqs: Sqs) -> dict[str, Any]:
    queue = sqs.create_queue(QueueName="messages")
    author = {"Author": {"StringValue": "Daniel", "DataType": "String"}}
    one = queue.send_message(MessageBody="boto3", MessageAttributes=author)
    sent = queue.send_messages(
        Entries=[
            {"Id": "1", "MessageBody": "world"},
            {"Id": "2", "MessageBody": "hello", "MessageAttributes": author},
        ]
    )
    greetings = []
    for message in queue.receive_messages(MessageAttributeNames=["Author"], MaxNumberOfMessages=10):
        attributes = message.message_attributes or {}
        name = attributes.get("Author", {}).get("StringValue")
        greetings.append([message.body, name, message.meta.data["MD5OfBody"]])
        message.delete()
    queue.reload()
    return {
        "one": one["MD5OfMessageBody"],
        "successful": [entry["Id"] for entry in sent["Successful"]],
        "failed": sent.get("Failed"),
        "greetings": sorted(greetings, key=str),
        "left": queue.attributes["ApproximateNumberOfMessages"],
    }


def change_and_delete(sqs: Sqs) -> dict[str, Any]:
    queue = sqs.create_queue(QueueName="handles")
    queue.send_messages(Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(3)])
    first, second, third = queue.receive_messages(
        MaxNumberOfMessages=10, AttributeNames=["All"], VisibilityTimeout=60
    )
    first.change_visibility(VisibilityTimeout=0)
    (again,) = queue.receive_messages(MaxNumberOfMessages=10, AttributeNames=["All"])
    changed = queue.change_message_visibility_batch(
        Entries=[{"Id": "a", "ReceiptHandle": second.receipt_handle, "VisibilityTimeout": 0}]
    )
    deleted = queue.delete_messages(
        Entries=[
            {"Id": "a", "ReceiptHandle": third.receipt_handle},
            {"Id": "b", "ReceiptHandle": "garbage"},
        ]
    )
    sqs.Message(queue.url, again.receipt_handle).delete()
    left = [message.message_id == second.message_id for message in queue.receive_messages()]
    queue.purge()
    queue.reload()
    return {
        "same": first.message_id == again.message_id,
        "counts": [each.attributes["ApproximateReceiveCount"] for each in (first, again)],
        "changed": changed["Successful"],
        "deleted": deleted["Successful"],
        "failed": [[entry["Id"], entry["Code"]] for entry in deleted["Failed"]],
        "left": left,
        "in flight after a purge": queue.attributes["ApproximateNumberOfMessagesNotVisible"],
    }


def dead_letters(sqs: Sqs) -> dict[str, Any]:
    dead = sqs.create_queue(QueueName="dead")
    policy = {"deadLetterTargetArn": dead.attributes["QueueArn"], "maxReceiveCount": "1"}
    source = sqs.create_queue(QueueName="source")
    source.set_attributes(Attributes={"RedrivePolicy": json.dumps(policy)})
    source.send_message(MessageBody="poison")
    received = [
        [message.body for message in queue.receive_messages(VisibilityTimeout=0)]
        for queue in (source, source, dead)
    ]
    return {
        "sources": [each.url == source.url for each in dead.dead_letter_source_queues.all()],
        "received": received,
    }


def permissions(sqs: Sqs) -> dict[str, Any]:
    queue = sqs.create_queue(QueueName="shared")
    queue.add_permission(Label="read", AWSAccountIds=["111122223333"], Actions=["ReceiveMessage"])
    (statement,) = json.loads(queue.attributes["Policy"])["Statement"]
    queue.remove_permission(Label="read")
    queue.reload()
    return {"statement": statement, "left": queue.attributes.get("Policy")}


def pages(sqs: Sqs) -> dict[str, Any]:
    for number in range(7):
        sqs.create_queue(QueueName=f"page-{number}")
    paginator = sqs.meta.client.get_paginator("list_queues")
    listed = [
        [url.rpartition("/")[2] for url in page["QueueUrls"]]
        for page in paginator.paginate(
            QueueNamePrefix="page-", PaginationConfig={"PageSize": 3, "MaxItems": 6}
        )
    ]
    filtered = [queue.url.rpartition("/")[2] for queue in sqs.queues.filter(QueueNamePrefix="page")]
    for queue in sqs.queues.filter(QueueNamePrefix="page-").page_size(2):
        queue.delete()
    return {
        "pages": listed,
        "filtered": filtered,
        "left": list(sqs.queues.filter(QueueNamePrefix="page-")),
    }


def main(url: str) -> None:
    sqs = boto3.resource("sqs", endpoint_url=url)
    parts = (create_and_find, send_and_process, change_and_delete, dead_letters, permissions, pages)
    json.dump({part.__name__: part(sqs) for part in parts}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
