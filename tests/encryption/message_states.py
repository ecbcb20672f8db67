"""Messages with known texts of every kind, in every state that a message can be in."""

from __future__ import annotations

import json
import secrets
from functools import partial
from typing import Any

import boto3
from botocore.config import Config

from tests.api.dead_letters import create, redrive
from tests.api.raw_http import call_action, exchange, json_headers
from tests.api.sqs_clients import Sqs, bodies, receive
from tests.encryption.load_encryption import LoadEncryption
from tests.encryption.marked_texts import MD5, MarkedTexts
from tests.histories.client import queue_arn
from tests.waiting import wait_until

STANDARD_STATES = (
    "visible",
    "delayed",
    "in_flight",
    "returned",
    "dead_letter",
    "redriven",
    "deleted",
    "purged",
    "queue_deleted",
    "expired",
)
FIFO_STATES = ("fifo_dead_letter", "receive_attempt", "duplicate")
STATES = STANDARD_STATES + FIFO_STATES
"""`returned` is visible again after a receive. An expired message is freed."""

KINDS = (
    "body",
    "attribute_name",
    "string_value",
    "data_type",
    "binary_value",
    "trace_header",
    "trace_header_of_request",
    "deduplicated_body",
    "deduplication_id",
    "body_of_256_kib",
    "body_of_1_mib",
    "body_in_batch",
    "value_in_batch",
    "body_by_query",
    "value_by_query",
)
"""The texts of clients that encryption hides. A deduplicated body has its digest as its id."""

LONGEST_SECONDS = 43_200
"""The longest visibility timeout (AWS: 12 hours)."""

_DEAD_LETTERED = ("dead_letter", "fifo_dead_letter", "redriven")
_FIFO = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"}],
}
_TRACE_ID = "1-5e1b4151-5ac6c58f5b0a4d5a3f0e1a2b"


def connect(url: str) -> Sqs:
    """Return a client of the JSON protocol."""
    return boto3.client(
        "sqs",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(proxies={}, retries={"total_max_attempts": 1}),
    )


class MarkedMessages:
    """The messages of one run on a server, and what is known of them in clear.

    Attributes:
        label: the beginning of all queue names, and of other names that stay in clear.
        message_ids: the ids of all messages.
    """

    def __init__(self, url: str, marks: MarkedTexts, encryption: LoadEncryption) -> None:
        self.label = f"clear{secrets.token_hex(8)}"
        self.message_ids: list[str] = []
        self._url = url
        self._sqs = connect(url)
        self._marks = marks
        self._encryption = encryption
        self._queues: dict[str, str] = {}

    def close(self) -> None:
        self._sqs.close()

    # Names that stay in clear

    def name(self, queue: str) -> str:
        """Return the name of a queue."""
        is_fifo = queue.removesuffix("_dead") in FIFO_STATES
        return f"{self.label}-{queue}{'.fifo' if is_fifo else ''}"

    @property
    def group_id(self) -> str:
        return f"{self.label}-group"

    @property
    def attempt_id(self) -> str:
        return f"{self.label}-attempt"

    @property
    def tag(self) -> str:
        return f"{self.label}-tag"

    @property
    def policy_id(self) -> str:
        return f"{self.label}-policy"

    # Steps

    def fill(self) -> None:
        """Send messages of every kind, and bring them into all states but the removed ones."""
        for state in STATES:
            self._create(state)
            self._send(state)
        self._send_in_other_ways("visible")
        self._send_long("visible")
        self._send_long("deleted")
        self._receive("in_flight", VisibilityTimeout=LONGEST_SECONDS)
        for _ in range(2):
            self._receive("returned", VisibilityTimeout=0)
        for state in _DEAD_LETTERED:
            self._receive(state, VisibilityTimeout=0)
            assert not self._receive(state)
        self._redrive("redriven")
        self._receive("receive_attempt", ReceiveRequestAttemptId=self.attempt_id)

    def remove(self) -> None:
        """Delete messages, purge a queue, and delete a queue."""
        queue = self._queues["deleted"]
        while received := self._receive("deleted"):
            for message in received:
                self._sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        self._sqs.purge_queue(QueueUrl=self._queues["purged"])
        self._sqs.delete_queue(QueueUrl=self._queues["queue_deleted"])

    def received_bodies(self, url: str) -> list[str]:
        """Return the bodies of the state `returned` that another server delivers."""
        sqs = connect(url)
        try:
            return bodies(sqs.receive_message(QueueUrl=self._queues["returned"]))
        finally:
            sqs.close()

    def _create(self, state: str) -> None:
        attributes = {"VisibilityTimeout": "600", **self._encryption.attributes(len(self._queues))}
        if state in FIFO_STATES:
            attributes |= _FIFO
        if state in _DEAD_LETTERED:
            dead = create(self._sqs, self.name(f"{state}_dead"))
            attributes |= redrive(dead)
        if state == "expired":
            attributes["MessageRetentionPeriod"] = "60"
        attributes["Policy"] = json.dumps({**_POLICY, "Id": self.policy_id})
        name, tags = self.name(state), {"label": self.tag}
        created = self._sqs.create_queue(QueueName=name, Attributes=attributes, tags=tags)
        self._queues[state] = created["QueueUrl"]

    def _send(self, state: str) -> None:
        marks = self._marks
        if state not in FIFO_STATES:
            delay = {"DelaySeconds": 900} if state == "delayed" else {}
            self._send_message(state, marks.body(state, "body"), **delay)
            return
        group = {"MessageGroupId": self.group_id}
        body, other_body = marks.body(state, "deduplicated_body"), marks.body(state, "body")
        deduplication_id = marks.text(state, "deduplication_id")
        for _ in range(2 if state == "duplicate" else 1):
            self._send_message(state, body, **group)
            self._send_message(state, other_body, **group, MessageDeduplicationId=deduplication_id)

    def _send_message(self, state: str, body: str, **parameters: object) -> None:
        trace = f"Root={_TRACE_ID};Mark={self._marks.text(state, 'trace_header')}"
        sent = self._sqs.send_message(
            QueueUrl=self._queues[state],
            MessageBody=body,
            MessageAttributes=self._attributes(state),
            MessageSystemAttributes={
                "AWSTraceHeader": {"DataType": "String", "StringValue": trace}
            },
            **parameters,
        )
        self.message_ids.append(sent["MessageId"])
        self._marks.note_digest(MD5, bytes.fromhex(sent["MD5OfMessageAttributes"]))

    def _attributes(self, state: str) -> dict[str, dict[str, Any]]:
        text = partial(self._marks.text, state)
        return {
            text("attribute_name"): {
                "DataType": f"String.{text('data_type')}",
                "StringValue": text("string_value"),
            },
            "binary": {"DataType": "Binary", "BinaryValue": text("binary_value").encode()},
        }

    def _send_in_other_ways(self, state: str) -> None:
        """Send a batch, by the Query protocol, and with a trace header of the request."""
        marks, queue = self._marks, self._queues[state]
        entries = [
            {
                "Id": str(number),
                "MessageBody": marks.body(state, "body_in_batch"),
                "MessageAttributes": _string(marks.text(state, "value_in_batch")),
            }
            for number in range(10)
        ]
        sent = self._sqs.send_message_batch(QueueUrl=queue, Entries=entries)
        assert len(sent["Successful"]) == len(entries)
        parameters = {
            "QueueUrl": queue,
            "MessageBody": marks.body(state, "body_by_query"),
            "MessageAttributes": _string(marks.text(state, "value_by_query")),
        }
        assert call_action(self._url, "query", "SendMessage", parameters).status == 200
        trace = f"Root={_TRACE_ID};Mark={marks.text(state, 'trace_header_of_request')}"
        headers = {**json_headers("SendMessage"), "X-Amzn-Trace-Id": trace}
        content = json.dumps({"QueueUrl": queue, "MessageBody": marks.body(state, "body")})
        assert exchange(self._url, headers=headers, body=content).status == 200

    def _send_long(self, state: str) -> None:
        for kind, length in (("body_of_256_kib", 256 * 1024), ("body_of_1_mib", 1024 * 1024)):
            body = self._marks.body(state, kind, length)
            self._sqs.send_message(QueueUrl=self._queues[state], MessageBody=body)

    def _receive(self, state: str, **parameters: object) -> list[dict[str, Any]]:
        return receive(self._sqs, self._queues[state], **parameters)

    def _redrive(self, state: str) -> None:
        """Move the messages of a dead-letter queue back to their source."""
        source = queue_arn(self.name(f"{state}_dead"))
        self._sqs.start_message_move_task(SourceArn=source)

        def is_done() -> bool:
            (task,) = self._sqs.list_message_move_tasks(SourceArn=source)["Results"]
            assert task["Status"] in {"RUNNING", "COMPLETED"}, task
            return bool(task["Status"] == "COMPLETED")

        wait_until(is_done, "the move task does not end")


def _string(text: str) -> dict[str, dict[str, Any]]:
    return {"name": {"DataType": "String", "StringValue": text}}
