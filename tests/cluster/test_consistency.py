"""A change through one server is visible at once through others, also if their clocks differ."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.client import queue_url
from tests.cluster.postgres import Postgres
from tests.cluster.servers import Servers, cluster
from tests.histories.client import Addresses, Client, queue_arn

SKEW_SECONDS = 600
LATE_SECONDS = 10
"""Longer than the delays of a busy machine, and shorter than a wait of 20 s."""
Q = queue_url("q")
DEAD = queue_url("dead")


class ServerClients:
    """One client for each server; their calls must be done."""

    def __init__(self, servers: Servers) -> None:
        self._clients = [Client(Addresses(url)) for url in servers.urls]

    async def __aenter__(self) -> ServerClients:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def call(self, server: int, action: str, **parameters: object) -> Mapping[str, Any]:
        """Call an action on one of the servers; return the answer."""
        call = await self._clients[server].call(action, **parameters)
        assert call.outcome == "done", call
        return call.answer

    async def wake_up(self, sender: int, receiver: int) -> float:
        """Send to a waiting receiver of another server; return how many seconds that takes."""
        waiting = asyncio.create_task(
            self.call(receiver, "ReceiveMessage", QueueUrl=Q, WaitTimeSeconds=20)
        )
        # A real server does not report when the receive begins to wait.
        await asyncio.sleep(0.02)
        began = time.monotonic()
        await self.call(sender, "SendMessage", QueueUrl=Q, MessageBody="x")
        (message,) = (await waiting)["Messages"]
        seconds = time.monotonic() - began
        handle = message["ReceiptHandle"]
        await self.call(receiver, "DeleteMessage", QueueUrl=Q, ReceiptHandle=handle)
        return seconds

    def close(self) -> None:
        for client in self._clients:
            client.close()


async def test_send_through_one_server_wakes_up_receiver_at_another(
    primary: Postgres, directory: Path, is_long: bool
) -> None:
    async with cluster(primary, directory, 2) as servers, ServerClients(servers) as clients:
        await clients.call(0, "CreateQueue", QueueName="q")
        seconds = sorted([await clients.wake_up(0, 1) for _ in range(500 if is_long else 50)])
    p50, p99 = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.99)]
    sys.stdout.write(f"woken up: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms\n")
    # A receiver that checks once a second takes half of one, and one that does not check waits for
    # all of the 20. Beside other tests, a machine may delay anything for a while.
    assert p50 < (0.05 if is_long else 0.25)
    assert p99 < (0.05 if is_long else LATE_SECONDS)


async def test_servers_without_notifications_poll(primary: Postgres, directory: Path) -> None:
    async with (
        cluster(primary, directory, 2, "--poll-seconds", "0.2") as servers,
        ServerClients(servers) as clients,
    ):
        await clients.call(0, "CreateQueue", QueueName="q")
        for _ in range(3):
            assert await clients.wake_up(0, 1) < LATE_SECONDS


async def test_servers_with_wrong_clocks_agree(primary: Postgres, directory: Path) -> None:
    async with (
        cluster(primary, directory, 2, ahead_seconds=SKEW_SECONDS) as servers,
        ServerClients(servers) as clients,
    ):
        for name, attributes in (("q", {}), ("q.fifo", {"FifoQueue": "true"})):
            await clients.call(0, "CreateQueue", QueueName=name, Attributes=attributes)
        earliest, latest = [], []
        for server in (1, 0):
            began = time.monotonic()
            await clients.call(server, "SendMessage", QueueUrl=Q, MessageBody="x", DelaySeconds=1)
            sent = time.monotonic()
            asked = {"QueueUrl": Q, "VisibilityTimeout": 1, "WaitTimeSeconds": 20}
            asked["MessageSystemAttributeNames"] = ["All"]
            for delivery in (1, 2):
                answer = await clients.call((server + delivery) % 2, "ReceiveMessage", **asked)
                (message,) = answer["Messages"]
                assert message["Attributes"]["ApproximateReceiveCount"] == str(delivery)
                assert delivery - 0.02 <= time.monotonic() - began < delivery + LATE_SECONDS
            timestamp = int(message["Attributes"]["SentTimestamp"]) / 1000
            earliest.append(timestamp - sent)
            latest.append(timestamp - began)
            handle = message["ReceiptHandle"]
            await clients.call(1 - server, "DeleteMessage", QueueUrl=Q, ReceiptHandle=handle)
        # The server took the timestamp between the call and its return.
        assert max(earliest) - min(latest) < 0.1
        same = {"QueueUrl": queue_url("q.fifo"), "MessageBody": "x", "MessageGroupId": "g"}
        answers = [
            await clients.call(server, "SendMessage", **same, MessageDeduplicationId="d")
            for server in (1, 0, 1)
        ]
        assert len({answer["MessageId"] for answer in answers}) == 1


async def test_servers_that_start_at_once_on_an_empty_database_all_start(
    primary: Postgres, directory: Path, is_long: bool
) -> None:
    count = 10 if is_long else 4
    async with cluster(primary, directory, count) as servers, ServerClients(servers) as clients:
        await clients.call(0, "CreateQueue", QueueName="q")
        for server in range(count):
            await clients.call(server, "SendMessage", QueueUrl=Q, MessageBody=str(server))


async def test_move_task_continues_on_another_server_at_the_same_rate(
    primary: Postgres, directory: Path
) -> None:
    async with cluster(primary, directory, 2) as servers, ServerClients(servers) as clients:
        await clients.call(0, "CreateQueue", QueueName="dead")
        source = queue_arn("dead")
        policy = json.dumps({"deadLetterTargetArn": source, "maxReceiveCount": 1})
        attributes = {"RedrivePolicy": policy}
        await clients.call(0, "CreateQueue", QueueName="q", Attributes=attributes)
        entries = [{"Id": str(n), "MessageBody": str(n)} for n in range(10)]
        # So many that some are left, however long servers take to start.
        for _ in range(50):
            await clients.call(0, "SendMessageBatch", QueueUrl=DEAD, Entries=entries)
        began = time.monotonic()
        await clients.call(
            1,
            "StartMessageMoveTask",
            SourceArn=source,
            DestinationArn=queue_arn("q"),
            MaxNumberOfMessagesPerSecond=5,
        )
        for server in (0, 1):
            # One of the two runs the task: killing both in turn kills the one that does.
            before = await moved(clients, 1 - server, source)
            await servers.all[server].kill()
            killed = time.monotonic()
            while (after := await moved(clients, 1 - server, source)) <= before + 5:
                assert time.monotonic() - killed < 2 * LATE_SECONDS
            assert after <= 5 * (time.monotonic() - began + 2)
            await servers.all[server].start()
            clients.close()


async def moved(clients: ServerClients, server: int, source: str) -> int:
    answer = await clients.call(server, "ListMessageMoveTasks", SourceArn=source)
    return int(answer["Results"][0]["ApproximateNumberOfMessagesMoved"])
