"""A session with the AWS CLI: commands and their results."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, NamedTuple


class Result(NamedTuple):
    """Exit status of a command, its output (parsed if it is JSON), and its error output."""

    status: int
    printed: Any
    errors: str


class Shell:
    """Runs `aws sqs` commands on one server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def aws(self, *words: str) -> Result:
        process = subprocess.run(
            [sys.executable, "-m", "awscli", "--endpoint-url", self._url, "sqs", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        text = process.stdout.strip()
        printed = json.loads(text) if text.startswith("{") else text
        return Result(process.returncode, printed, process.stderr.strip())


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
    all_attributes = shell.aws(
        "get-queue-attributes", "--queue-url", url, "--attribute-names", "All"
    )
    names = ("VisibilityTimeout", "DelaySeconds", "MessageRetentionPeriod", "QueueArn")
    return url, {
        "created": created,
        "set": changed,
        "attributes": [all_attributes.printed["Attributes"][name] for name in names],
        "number of attributes": len(all_attributes.printed["Attributes"]),
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
    changed = shell.aws(
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
        "visibility changed": changed,
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


def purge_and_delete(shell: Shell, url: str) -> dict[str, Any]:
    return {
        "purged": shell.aws("purge-queue", "--queue-url", url),
        "left": shell.aws(
            "get-queue-attributes", "--queue-url", url,
            "--attribute-names", "ApproximateNumberOfMessages", "--output", "text",
        ),
        "deleted": shell.aws("delete-queue", "--queue-url", url),
        "missing": shell.aws("get-queue-url", "--queue-name", "cli"),
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
    url, created = queue(shell)
    parts = (messages, batch, rejections, purge_and_delete)
    results = {part.__name__: part(shell, url) for part in parts}
    json.dump({"url": url, "queue": created, **results}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
