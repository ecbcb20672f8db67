"""The last botocore release with only the Query protocol: all kinds of actions."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import boto3
from botocore.exceptions import ClientError

Sqs: TypeAlias = Any
"""A boto3 client for SQS; boto3 creates its methods at run time."""

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "sqs:SendMessage",
            "Resource": "arn:aws:sqs:us-east-1:000000000000:set",
        }
    ],
}
BODY = 'line\r\nwith <xml> & "quotes",\ttabs, ünïcode and \U0001f389 '


def protocol(sqs: Sqs) -> str:
    name: str = sqs.meta.service_model.metadata["protocol"]
    return name


def cycle(sqs: Sqs) -> dict[str, Any]:
    url = sqs.create_queue(QueueName="cycle", tags={"team": "a+b=c", "empty": ""})["QueueUrl"]
    attributes = {
        "text": {"DataType": "String", "StringValue": "ü\r\n"},
        "number": {"DataType": "Number.int", "StringValue": "007"},
        "bytes": {"DataType": "Binary", "BinaryValue": bytes(range(256))},
    }
    trace_header = "Root=1-5759e988-bd862e3fe1be46a994272793"
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": trace_header}}
    sent = sqs.send_message(
        QueueUrl=url,
        MessageBody=BODY,
        MessageAttributes=attributes,
        MessageSystemAttributes=trace,
    )
    (got,) = sqs.receive_message(
        QueueUrl=url, WaitTimeSeconds=5, AttributeNames=["All"], MessageAttributeNames=["All"]
    )["Messages"]
    sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=got["ReceiptHandle"], VisibilityTimeout=60
    )
    sqs.delete_message(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"])
    sqs.untag_queue(QueueUrl=url, TagKeys=["empty"])
    return {
        "same id": got["MessageId"] == sent["MessageId"],
        "same body": got["Body"] == BODY,
        "same attributes": got["MessageAttributes"] == attributes,
        "same digests": [
            sent["MD5OfMessageBody"] == got["MD5OfBody"],
            sent["MD5OfMessageAttributes"] == got["MD5OfMessageAttributes"],
        ],
        "system": sorted(got["Attributes"]),
        "trace": got["Attributes"]["AWSTraceHeader"],
        "nothing": sorted(sqs.receive_message(QueueUrl=url)),
        "tags": sqs.list_queue_tags(QueueUrl=url)["Tags"],
    }


def attributes(sqs: Sqs) -> dict[str, Any]:
    url = sqs.create_queue(QueueName="set", Attributes={"VisibilityTimeout": "7"})["QueueUrl"]
    changes = {"DelaySeconds": "1", "Policy": json.dumps(POLICY)}
    sqs.set_queue_attributes(QueueUrl=url, Attributes=changes)
    all_attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    names = ["DelaySeconds", "VisibilityTimeout", "QueueArn"]
    return {
        "names": sorted(all_attributes),
        "same policy": json.loads(all_attributes["Policy"]) == POLICY,
        "requested": sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"],
        "none": sqs.get_queue_attributes(QueueUrl=url).get("Attributes"),
    }


def fifo(sqs: Sqs) -> dict[str, Any]:
    url = sqs.create_queue(
        QueueName="orders.fifo",
        Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"},
    )["QueueUrl"]
    sent = [
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group)
        for body, group in (("1", "a"), ("2", "a"), ("3", "b"), ("1", "a"))
    ]
    first = sqs.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"]
    others = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first[0]["ReceiptHandle"])
    rest = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    numbers = [answer["SequenceNumber"] for answer in sent]
    return {
        "bodies": [[message["Body"] for message in part] for part in (first, others, rest)],
        "group": first[0]["Attributes"]["MessageGroupId"],
        "rising": numbers[:3] == sorted(set(numbers[:3])),
        "deduplicated": sent[3]["MessageId"] == sent[0]["MessageId"],
    }


def batch(sqs: Sqs) -> dict[str, Any]:
    limit = {"MaximumMessageSize": "1024"}
    url = sqs.create_queue(QueueName="batch", Attributes=limit)["QueueUrl"]
    entries = [{"Id": f"e{n}", "MessageBody": f"body {n}"} for n in range(9)]
    sent = sqs.send_message_batch(
        QueueUrl=url, Entries=[*entries, {"Id": "big", "MessageBody": "x" * 1025}]
    )
    got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    changed = sqs.change_message_visibility_batch(
        QueueUrl=url,
        Entries=[
            {"Id": f"v{n}", "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
            for n, message in enumerate(got)
        ],
    )
    again = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    deleted = sqs.delete_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": f"d{n}", "ReceiptHandle": message["ReceiptHandle"]}
            for n, message in enumerate(again)
        ]
        + [{"Id": "bad", "ReceiptHandle": "garbage"}],
    )
    return {
        "sent": [entry["Id"] for entry in sent["Successful"]],
        "not sent": sent["Failed"],
        "received": sorted(message["Body"] for message in got),
        "changed": [len(changed["Successful"]), changed.get("Failed")],
        "deleted": len(deleted["Successful"]),
        "not deleted": [[e["Id"], e["Code"], e["SenderFault"]] for e in deleted["Failed"]],
    }


def dead_letters(sqs: Sqs) -> dict[str, Any]:
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": "1"}
    attributes = {"RedrivePolicy": json.dumps(policy), "VisibilityTimeout": "0"}
    source = sqs.create_queue(QueueName="source", Attributes=attributes)["QueueUrl"]
    sqs.send_message(QueueUrl=source, MessageBody="poison")
    received = [
        [message["Body"] for message in sqs.receive_message(QueueUrl=url).get("Messages", [])]
        for url in (source, source)
    ]
    handle = sqs.start_message_move_task(SourceArn=arn["QueueArn"])["TaskHandle"]
    back = sqs.receive_message(QueueUrl=source, WaitTimeSeconds=10)["Messages"]
    (task,) = sqs.list_message_move_tasks(SourceArn=arn["QueueArn"])["Results"]
    return {
        "received": received,
        "sources": sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [source],
        "handle": bool(handle),
        "back": [message["Body"] for message in back],
        "to move": task["ApproximateNumberOfMessagesToMove"],
    }


def lists(sqs: Sqs) -> dict[str, Any]:
    for number in range(5):
        sqs.create_queue(QueueName=f"list-{number}")
    pages = sqs.get_paginator("list_queues").paginate(
        QueueNamePrefix="list-", PaginationConfig={"PageSize": 2}
    )
    url = sqs.get_queue_url(QueueName="list-0")["QueueUrl"]
    sqs.add_permission(
        QueueUrl=url,
        Label="both",
        AWSAccountIds=["111122223333", "444455556666"],
        Actions=["SendMessage", "ReceiveMessage"],
    )
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]
    (statement,) = json.loads(policy["Policy"])["Statement"]
    sqs.send_message(QueueUrl=url, MessageBody="purged")
    sqs.purge_queue(QueueUrl=url)
    return {
        "pages": [len(page["QueueUrls"]) for page in pages],
        "accounts": len(statement["Principal"]["AWS"]),
        "actions": sorted(statement["Action"]),
        "purged": sqs.receive_message(QueueUrl=url).get("Messages"),
        "nothing": sqs.list_queues(QueueNamePrefix="nothing").get("QueueUrls"),
    }


def rejected(call: Callable[..., object], **parameters: object) -> list[object]:
    try:
        call(**parameters)
    except ClientError as error:
        details, metadata = error.response["Error"], error.response["ResponseMetadata"]
        status = metadata["HTTPStatusCode"]
        return [type(error).__name__, details["Code"], details["Message"], details["Type"], status]
    return ["the request was not rejected"]


def errors(sqs: Sqs) -> dict[str, Any]:
    url = sqs.create_queue(QueueName="errors")["QueueUrl"]
    entry = {"Id": "same", "MessageBody": "x"}
    return {
        "queue": rejected(sqs.get_queue_url, QueueName="nowhere"),
        "exists": rejected(sqs.create_queue, QueueName="errors", Attributes={"DelaySeconds": "9"}),
        "name": rejected(sqs.create_queue, QueueName="not a name"),
        "attribute": rejected(sqs.get_queue_attributes, QueueUrl=url, AttributeNames=["Foo"]),
        "handle": rejected(sqs.delete_message, QueueUrl=url, ReceiptHandle="garbage"),
        "contents": rejected(sqs.send_message, QueueUrl=url, MessageBody="\x01"),
        "empty": rejected(sqs.send_message_batch, QueueUrl=url, Entries=[]),
        "ids": rejected(sqs.send_message_batch, QueueUrl=url, Entries=[entry, entry]),
        "wait": rejected(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=21),
        "task": rejected(sqs.start_message_move_task, SourceArn="arn:aws:sqs:us-east-1:0:q"),
    }


def main(url: str) -> None:
    sqs = boto3.client("sqs", endpoint_url=url)
    parts: tuple[Callable[[Sqs], object], ...] = (
        protocol,
        cycle,
        attributes,
        fifo,
        batch,
        dead_letters,
        lists,
        errors,
    )
    json.dump({part.__name__: part(sqs) for part in parts}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
