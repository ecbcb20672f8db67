"""Servers that are restarted one after the other: no caller with an SDK notices anything."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import boto3
import pytest
from botocore.config import Config

from tests.cluster.balancer import Balancer
from tests.cluster.history import Got, History, Span
from tests.cluster.postgres import Postgres
from tests.cluster.room import cluster

CLIENTS = 8
TIMEOUT_SECONDS = 3
ENOUGH = 50
"""What is sent at least between two restarts, and at the end."""

Sqs: TypeAlias = Any


class Callers:
    """Threads that use one boto3 client; an error that its own retries do not hide is raised."""

    def __init__(self, sqs: Sqs) -> None:
        self._sqs = sqs
        self._queue = sqs.create_queue(QueueName="orders")["QueueUrl"]
        self.history = History()
        self.retries = 0
        self.is_over = threading.Event()
        self.has_sent = threading.Event()
        self._deleted: set[str] = set()

    def _call(self, method: Callable[..., Any], **parameters: object) -> tuple[Any, Span]:
        asked = time.monotonic()
        answer = method(QueueUrl=self._queue, **parameters)
        self.retries += answer["ResponseMetadata"]["RetryAttempts"]
        return answer, Span(asked, time.monotonic())

    def produce(self, number: int) -> None:
        """Send one message after the other until it is over."""
        count = 0
        while not self.is_over.is_set():
            body = f"{number} {count}"
            count += 1
            self.history.attempted.add(body)
            self._call(self._sqs.send_message, MessageBody=body)
            self.history.acknowledged.add(body)
            self.has_sent.set()

    def consume(self) -> None:
        """Receive and delete until all that was sent is gone."""
        while not (self.is_over.is_set() and self.history.acknowledged <= self._deleted):
            answer, span = self._call(
                self._sqs.receive_message,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=1,
                VisibilityTimeout=TIMEOUT_SECONDS,
            )
            for message in answer.get("Messages", ()):
                receipt = message["ReceiptHandle"]
                self.history.got.append(
                    Got(span, message["Body"], message["MessageId"], receipt, TIMEOUT_SECONDS)
                )
                self.history.let_go[receipt] = time.monotonic()
                _, deleted = self._call(self._sqs.delete_message, ReceiptHandle=receipt)
                self.history.deleted[receipt] = deleted
                self._deleted.add(message["Body"])

    async def progress(self) -> None:
        """Wait until so many more messages were sent."""
        wanted = len(self.history.acknowledged) + ENOUGH
        while len(self.history.acknowledged) < wanted:
            self.has_sent.clear()
            assert await asyncio.to_thread(self.has_sent.wait, 30)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * CLIENTS) as pool:
        yield pool


async def test_callers_with_an_sdk_notice_nothing_of_servers_that_are_restarted_in_turn(
    primary: Postgres, directory: Path, is_long: bool, threads: ThreadPoolExecutor
) -> None:
    loop = asyncio.get_running_loop()
    async with cluster(primary, directory, 2) as servers, Balancer(servers.urls) as balancer:
        sqs = await asyncio.to_thread(sdk_client, balancer.url)
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
        f"restarted in turn: {len(history.acknowledged)} sent, {len(history.got)} received,"
        f" {len(history.deleted)} deleted, {callers.retries} requests tried again\n"
    )
    assert history.violations(ordered=False) == []


def sdk_client(url: str) -> Sqs:
    """Make a client as most people do: how often it tries again is left to it."""
    return boto3.client(
        "sqs",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(proxies={}, max_pool_connections=4 * CLIENTS),
    )
