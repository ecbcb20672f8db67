"""Retries of the SDK hide a rolling restart of the servers from its callers."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import boto3
import pytest
from botocore.config import Config

from tests.access.declared_users import KeyPair
from tests.access.load_access import LoadAccess
from tests.cluster.balancer import Balancer
from tests.cluster.postgres import Postgres
from tests.cluster.servers import cluster
from tests.histories.checker import Setting, check
from tests.histories.history import Delete, History, Message, Receive, Send

CLIENTS = 8
QUEUE = "orders"
VISIBILITY_SECONDS = 3
MIN_SENDS = 50
"""Sends between two restarts, and after the last one."""

SETTING = Setting(routes={QUEUE: frozenset({QUEUE})}, is_sent_once=False)
"""The SDK repeats a send that was not answered, and a standard queue may store it twice."""

Sqs: TypeAlias = Any


class Returned(NamedTuple):
    """An answer of the SDK, and the time of its call."""

    answer: Any
    called: float
    returned: float


class Callers:
    """Threads that use one boto3 client; an error that its retries do not hide is raised."""

    def __init__(self, sqs: Sqs) -> None:
        self._sqs = sqs
        self._url = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        self.history = History()
        self.retries = 0
        self.is_over = threading.Event()
        self._has_sent = threading.Event()
        self._sent: set[str] = set()
        self._deleted: set[str] = set()

    def _call(self, method: Callable[..., Any], **parameters: object) -> Returned:
        called = time.monotonic()
        answer = method(QueueUrl=self._url, **parameters)
        self.retries += answer["ResponseMetadata"]["RetryAttempts"]
        return Returned(answer, called, time.monotonic())

    def produce(self, number: int) -> None:
        """Send one message after the other until it is over."""
        count = 0
        while not self.is_over.is_set():
            body = f"{number} {count}"
            count += 1
            answer, called, returned = self._call(self._sqs.send_message, MessageBody=body)
            self.history.add(Send(QUEUE, body, called, returned, "done", answer["MessageId"]))
            self._sent.add(body)
            self._has_sent.set()

    def consume(self) -> None:
        """Receive and delete until all sent messages are deleted."""
        while not (self.is_over.is_set() and self._sent <= self._deleted):
            answer, called, returned = self._call(
                self._sqs.receive_message,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=1,
                VisibilityTimeout=VISIBILITY_SECONDS,
            )
            messages = [
                Message(one["Body"], one["MessageId"], one["MD5OfBody"], one["ReceiptHandle"])
                for one in answer.get("Messages", ())
            ]
            self.history.add(Receive(QUEUE, called, returned, messages, VISIBILITY_SECONDS))
            for message in messages:
                self._delete(message)

    def _delete(self, message: Message) -> None:
        handle = message.receipt_handle
        _, called, returned = self._call(self._sqs.delete_message, ReceiptHandle=handle)
        self.history.add(
            Delete(QUEUE, message.body, called, returned, "done", message.message_id, handle)
        )
        self._deleted.add(message.body)

    async def progress(self) -> None:
        """Wait until the given number of further messages was sent."""
        wanted = len(self._sent) + MIN_SENDS
        while len(self._sent) < wanted:
            self._has_sent.clear()
            assert await asyncio.to_thread(self._has_sent.wait, 30)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * CLIENTS) as pool:
        yield pool


async def test_sdk_hides_a_rolling_restart_from_its_callers(
    primary: Postgres, directory: Path, is_long: bool, threads: ThreadPoolExecutor
) -> None:
    loop = asyncio.get_running_loop()
    async with cluster(primary, directory, 2) as servers, Balancer(servers.urls) as balancer:
        sqs = await asyncio.to_thread(sdk_client, balancer.url, servers.access)
        callers = await asyncio.to_thread(Callers, sqs)
        working = [
            *(loop.run_in_executor(threads, callers.produce, n) for n in range(CLIENTS)),
            *(loop.run_in_executor(threads, callers.consume) for _ in range(CLIENTS)),
        ]
        try:
            for _ in range(20 if is_long else 2):
                for server in servers.all:
                    await callers.progress()
                    server.send(signal.SIGTERM)
                    assert await server.wait() == 0
                    await callers.progress()
                    await server.start()
            await callers.progress()
        finally:
            callers.is_over.set()
            await asyncio.gather(*working)
            sqs.close()
    history = callers.history
    sys.stdout.write(
        f"rolling restart: {len(history.sends)} sent, {history.deliveries()} received,"
        f" {len(history.deletes)} deleted, {callers.retries} requests retried\n"
    )
    assert check(history, SETTING) == []


def sdk_client(url: str, access: LoadAccess) -> Sqs:
    """Return a client with the SDK's default retries."""
    access_key_id, secret, _ = access.pair or KeyPair("any", "any")
    return boto3.client(
        "sqs",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret,
        config=Config(proxies={}, max_pool_connections=4 * CLIENTS),
    )
