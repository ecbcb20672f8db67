"""The scenario of all signers by kombu, which signs the requests of its event loop on its own.

botocore makes the signature, but kombu makes the request and sends it with curl. In the Query
protocol it signs the query string of GET requests. Celery workers receive messages in this way.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import boto3
from kombu.asynchronous import Hub, set_event_loop  # type: ignore[import-not-found]
from kombu.asynchronous.aws.sqs.connection import (  # type: ignore[import-not-found]
    AsyncSQSConnection,
)
from kombu.asynchronous.aws.sqs.queue import AsyncQueue  # type: ignore[import-not-found]
from vine import promise  # type: ignore[import-not-found]

Connection: TypeAlias = Any
"""kombu's connection to SQS; kombu has no annotations."""

BODY = 'line\r\nwith <xml> & "quotes", 100% + ünïcode and 🎉'

_REJECTION = re.compile(r'"__type": ?"[^"#]*#(\w+)"|<Code>([^<]+)</Code>')


class Rejected(Exception):
    """A request that the server has rejected."""


class Loop:
    """kombu's event loop, which runs until a request is answered."""

    def __init__(self) -> None:
        self._hub = Hub()
        set_event_loop(self._hub)

    def run(self, call: Callable[..., object], *arguments: object, **parameters: object) -> Any:  # noqa: ANN401 - the answer of any call
        """Make a request and return its answer.

        Raises:
            Rejected: the server rejects the request.
        """
        answers: list[Any] = []
        errors: list[Exception] = []
        call(*arguments, callback=promise(answers.append, on_error=errors.append), **parameters)
        while not answers and not errors:
            self._hub.run_once()
        for error in errors:
            raise Rejected(str(error))
        return answers[0]

    def rejection(self, call: Callable[..., object], *arguments: object) -> str:
        try:
            self.run(call, *arguments)
        except Rejected as error:
            found = _REJECTION.search(str(error))
            return found[1] or found[2] if found else str(error)
        return "not rejected"


def connect(endpoint: str, pair: list[str]) -> Connection:
    sqs = boto3.client(
        "sqs", endpoint_url=endpoint, aws_access_key_id=pair[0], aws_secret_access_key=pair[1]
    )
    return AsyncSQSConnection(sqs_connection=sqs)


def use_queue(loop: Loop, connection: Connection, name: str) -> dict[str, Any]:
    sqs = connection.sqs_connection
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=BODY)
    received = loop.run(connection.receive_message, AsyncQueue(url=url), url, number_messages=10)
    (message,) = received["Messages"]
    status = loop.run(connection.delete_message_from_handle, url, message["ReceiptHandle"])
    left = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    sqs.delete_queue(QueueUrl=url)
    return {
        "protocol": sqs.meta.service_model.protocol,
        "body": message["Body"],
        "deleted": status,
        "left": [
            left["ApproximateNumberOfMessages"],
            left["ApproximateNumberOfMessagesNotVisible"],
        ],
    }


def main(endpoint: str, given: str) -> None:
    case = json.loads(given)
    loop, orders = Loop(), case["orders"]
    connections = {user: connect(endpoint, pair) for user, pair in case["pairs"].items()}
    facts: dict[str, Any] = {"queue": use_queue(loop, connections["admin"], case["name"])}
    for name, user in (
        ("denied", "producer"),
        ("wrong secret", "wrong secret"),
        ("unknown key", "unknown key"),
    ):
        receive = connections[user].receive_message
        facts[name] = loop.rejection(receive, AsyncQueue(url=orders), orders)
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
