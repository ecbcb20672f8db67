"""A session at the AWS CLI: every command as it is typed, and what it said."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, NamedTuple


class Said(NamedTuple):
    """How a command ended: its status, what it printed (JSON is read), what it complained of."""

    status: int
    printed: Any
    errors: str


class Shell:
    """Types `aws sqs` commands for one server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def aws(self, *words: str) -> Said:
        ended = subprocess.run(
            [sys.executable, "-m", "awscli", "--endpoint-url", self._url, "sqs", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        text = ended.stdout.strip()
        printed = json.loads(text) if text.startswith("{") else text
        return Said(ended.returncode, printed, ended.stderr.strip())


def queue(shell: Shell) -> tuple[str, dict[str, Any]]:
    attributes = {"VisibilityTimeout": "45", "DelaySeconds": "0", "MessageRetentionPeriod": "3600"}
    created = shell.aws(
        "create-queue", "--queue-name", "cli", "--attributes", json.dumps(attributes),
        "--tags", "team=checkout",
    )  # fmt: skip
    url: str = created.printed["QueueUrl"]
    changed = shell.aws(
        "set-queue-attributes", "--queue-url", url, "--attributes", "DelaySeconds=0"
    )
    everything = shell.aws("get-queue-attributes", "--queue-url", url, "--attribute-names", "All")
    asked = ("VisibilityTimeout", "DelaySeconds", "MessageRetentionPeriod", "QueueArn")
    return url, {
        "created": created,
        "set": changed,
        "attributes": [everything.printed["Attributes"][name] for name in asked],
        "number of attributes": len(everything.printed["Attributes"]),
        "tags": shell.aws("list-queue-tags", "--queue-url", url),
        "url": shell.aws("get-queue-url", "--queue-name", "cli", "--output", "text"),
        "listed": shell.aws("list-queues", "--queue-name-prefix", "cl"),
        "nothing listed": shell.aws("list-queues", "--queue-name-prefix", "nothing"),
    }


def messages(shell: Shell, url: str) -> dict[str, Any]:
    attributes = {
        "City": {"DataType": "String", "StringValue": "Any City"},
        "Population": {"DataType": "Number", "StringValue": "1250800"},
        "Greeting": {"DataType": "Binary", "BinaryValue": "Hello"},
    }
    sent = shell.aws(
        "send-message", "--queue-url", url, "--message-body", "Information",
        "--message-attributes", json.dumps(attributes),
    )  # fmt: skip
    received = shell.aws(
        "receive-message", "--queue-url", url, "--attribute-names", "All",
        "--message-attribute-names", "All", "--max-number-of-messages", "10",
        "--wait-time-seconds", "5",
    )  # fmt: skip
    (message,) = received.printed["Messages"]
    handle = ("--receipt-handle", message["ReceiptHandle"])
    hidden = shell.aws(
        "change-message-visibility", "--queue-url", url, *handle, "--visibility-timeout", "36000"
    )
    deleted = shell.aws("delete-message", "--queue-url", url, *handle)
    return {
        "same id": message["MessageId"] == sent.printed["MessageId"],
        "same digests": [
            message["MD5OfBody"] == sent.printed["MD5OfMessageBody"],
            message["MD5OfMessageAttributes"] == sent.printed["MD5OfMessageAttributes"],
        ],
        "body": message["Body"],
        "attributes": message["MessageAttributes"],
        "count": message["Attributes"]["ApproximateReceiveCount"],
        "hidden": hidden,
        "deleted": deleted,
        "empty": shell.aws("receive-message", "--queue-url", url),
    }


def batch(shell: Shell, url: str) -> dict[str, Any]:
    entries = [
        {"Id": "one", "MessageBody": "1"},
        {"Id": "late", "MessageBody": "2", "DelaySeconds": 901},
    ]
    sent = shell.aws("send-message-batch", "--queue-url", url, "--entries", json.dumps(entries))
    return {
        "status": sent.status,
        "successful": [entry["Id"] for entry in sent.printed["Successful"]],
        "failed": [[entry["Id"], entry["Code"]] for entry in sent.printed["Failed"]],
    }


def farewell(shell: Shell, url: str) -> dict[str, Any]:
    return {
        "purged": shell.aws("purge-queue", "--queue-url", url),
        "left": shell.aws(
            "get-queue-attributes", "--queue-url", url,
            "--attribute-names", "ApproximateNumberOfMessages", "--output", "text",
        ),
        "deleted": shell.aws("delete-queue", "--queue-url", url),
        "gone": shell.aws("get-queue-url", "--queue-name", "cli"),
    }  # fmt: skip


def rejections(shell: Shell, url: str) -> dict[str, Any]:
    return {
        "conflict": shell.aws(
            "create-queue", "--queue-name", "cli", "--attributes", "VisibilityTimeout=1"
        ),
        "handle": shell.aws("delete-message", "--queue-url", url, "--receipt-handle", "garbage"),
        "attribute": shell.aws(
            "set-queue-attributes", "--queue-url", url, "--attributes", "DelaySeconds=901"
        ),
        "too many": shell.aws(
            "receive-message", "--queue-url", url, "--max-number-of-messages", "11"
        ),
    }


def main(endpoint: str) -> None:
    shell = Shell(endpoint)
    url, made = queue(shell)
    parts = (messages, batch, rejections, farewell)
    said = {part.__name__: part(shell, url) for part in parts}
    json.dump({"url": url, "queue": made, **said}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
