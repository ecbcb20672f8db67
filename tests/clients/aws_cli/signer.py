"""The scenario of all signers, by commands of the AWS CLI."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

BODY = 'line\r\nwith <xml> & "quotes", 100% + ünïcode and 🎉'

_REJECTION = re.compile(r"An error occurred \((\S+)\) when calling")


class Shell:
    """Runs `aws sqs` commands with one key pair."""

    def __init__(self, endpoint: str, pair: list[str]) -> None:
        self._aws = [sys.executable, "-m", "awscli", "--endpoint-url", endpoint, "sqs"]
        keys = {"AWS_ACCESS_KEY_ID": pair[0], "AWS_SECRET_ACCESS_KEY": pair[1]}
        self._environment = {**os.environ, **keys}

    def aws(self, *words: str) -> Any:  # noqa: ANN401 - the output of any command
        """Run a command that must succeed; return its output."""
        process = self._run(*words)
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout) if process.stdout else None

    def rejection(self, *words: str) -> str:
        """Run a command; return the code of the error that it prints."""
        found = _REJECTION.search(self._run(*words).stderr)
        return found[1] if found else "not rejected"

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*self._aws, *words]
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, check=False
        )


def use_queue(shell: Shell, name: str) -> dict[str, Any]:
    created = shell.aws(
        "create-queue", "--queue-name", name, "--attributes", "VisibilityTimeout=45"
    )
    queue = ("--queue-url", created["QueueUrl"])
    attributes = json.dumps({"text": {"DataType": "String", "StringValue": "ü"}})
    shell.aws("send-message", *queue, "--message-body", BODY, "--message-attributes", attributes)
    before = shell.aws("get-queue-attributes", *queue, "--attribute-names", "All")["Attributes"]
    (message,) = shell.aws("receive-message", *queue, "--message-attribute-names", "All")[
        "Messages"
    ]
    shell.aws("delete-message", *queue, "--receipt-handle", message["ReceiptHandle"])
    listed = shell.aws("list-queues", "--queue-name-prefix", name)["QueueUrls"]
    shell.aws("delete-queue", *queue)
    return {
        "arn": before["QueueArn"],
        "timeout": before["VisibilityTimeout"],
        "body": message["Body"],
        "text": message["MessageAttributes"]["text"]["StringValue"],
        "listed": listed == [created["QueueUrl"]],
        "missing": shell.rejection("get-queue-url", "--queue-name", name),
    }


def main(endpoint: str, given: str) -> None:
    case = json.loads(given)
    shells = {user: Shell(endpoint, pair) for user, pair in case["pairs"].items()}
    producer, orders = shells["producer"], ("--queue-url", case["orders"])
    facts = {
        "queue": use_queue(shells["admin"], case["name"]),
        "sent": "MessageId" in producer.aws("send-message", *orders, "--message-body", "cli"),
        "denied": producer.rejection("receive-message", *orders),
        "wrong secret": shells["wrong secret"].rejection("list-queues"),
        "unknown key": shells["unknown key"].rejection("list-queues"),
    }
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
