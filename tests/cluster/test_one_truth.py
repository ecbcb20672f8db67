"""What is so through one server is so through every other, and soon; whatever their clocks say."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from protocol.names import queue_arn
from tests.bench.client import ACCOUNT, queue_url
from tests.cluster.crowd import Client
from tests.cluster.history import History
from tests.cluster.postgres import Postgres
from tests.cluster.room import cluster
from tests.cluster.servers import Servers

SKEW_SECONDS = 600
LATE_SECONDS = 10
"""Later than any busy machine makes what is due, and long before a wait of 20 s is over."""
Q = queue_url("q")
DEAD = queue_url("dead")


class Through:
    """One client, whose requests must succeed, and who chooses the server."""

    def __init__(self, servers: Servers) -> None:
        self._client = Client(servers.urls, History(), 0)
        self._urls = servers.urls

    async def ask(self, server: int, action: str, **parameters: object) -> dict[str, Any]:
        status, answer, _ = await self._client.ask(action, 20, self._urls[server], **parameters)
        assert status == 200, answer
        return answer

    def close(self) -> None:
        self._client.close()


async def test_a_waiting_receiver_is_woken_by_what_another_server_is_sent(
    primary: Postgres, directory: Path, is_long: bool
) -> None:
    async with cluster(primary, directory, 2) as servers:
        sender, receiver = Through(servers), Through(servers)
        await sender.ask(0, "CreateQueue", QueueName="q")
        seconds = []
        for _ in range(500 if is_long else 50):
            waiting = asyncio.create_task(
                receiver.ask(1, "ReceiveMessage", QueueUrl=Q, WaitTimeSeconds=20)
            )
            await asyncio.sleep(0.02)
            began = time.monotonic()
            await sender.ask(0, "SendMessage", QueueUrl=Q, MessageBody="x")
            (message,) = (await waiting)["Messages"]
            seconds.append(time.monotonic() - began)
            handle = message["ReceiptHandle"]
            await receiver.ask(1, "DeleteMessage", QueueUrl=Q, ReceiptHandle=handle)
        sender.close()
        receiver.close()
    seconds.sort()
    middle, late = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.99)]
    sys.stdout.write(f"woken: p50 {middle * 1000:.1f} ms, p99 {late * 1000:.1f} ms\n")
    # Who is not told, and looks once a second, takes half of one; and who does not look waits for
    # all of the 20. Beside other tests, a machine may keep anybody waiting for a while.
    assert middle < (0.05 if is_long else 0.25)
    assert late < (0.05 if is_long else LATE_SECONDS)


async def test_servers_that_cannot_be_told_of_news_look_for_it(
    primary: Postgres, directory: Path
) -> None:
    async with cluster(primary, directory, 2, "--poll-seconds", "0.2") as servers:
        sender, receiver = Through(servers), Through(servers)
        await sender.ask(0, "CreateQueue", QueueName="q")
        for _ in range(3):
            waiting = asyncio.create_task(
                receiver.ask(1, "ReceiveMessage", QueueUrl=Q, WaitTimeSeconds=20)
            )
            await asyncio.sleep(0.02)
            began = time.monotonic()
            await sender.ask(0, "SendMessage", QueueUrl=Q, MessageBody="x")
            (message,) = (await waiting)["Messages"]
            assert time.monotonic() - began < LATE_SECONDS
            handle = message["ReceiptHandle"]
            await receiver.ask(1, "DeleteMessage", QueueUrl=Q, ReceiptHandle=handle)
        sender.close()
        receiver.close()


async def test_servers_with_wrong_clocks_agree(primary: Postgres, directory: Path) -> None:
    async with cluster(primary, directory, 2, ahead_seconds=SKEW_SECONDS) as servers:
        client = Through(servers)
        for name, attributes in (("q", {}), ("q.fifo", {"FifoQueue": "true"})):
            await client.ask(0, "CreateQueue", QueueName=name, Attributes=attributes)
        earliest, latest = [], []
        for server in (1, 0):
            began = time.monotonic()
            await client.ask(server, "SendMessage", QueueUrl=Q, MessageBody="x", DelaySeconds=1)
            sent = time.monotonic()
            asked = {"QueueUrl": Q, "VisibilityTimeout": 1, "WaitTimeSeconds": 20}
            asked["MessageSystemAttributeNames"] = ["All"]
            for delivery in (1, 2):
                answer = await client.ask((server + delivery) % 2, "ReceiveMessage", **asked)
                (message,) = answer["Messages"]
                assert message["Attributes"]["ApproximateReceiveCount"] == str(delivery)
                assert delivery - 0.02 <= time.monotonic() - began < delivery + LATE_SECONDS
            told = int(message["Attributes"]["SentTimestamp"]) / 1000
            earliest.append(told - sent)
            latest.append(told - began)
            handle = message["ReceiptHandle"]
            await client.ask(1 - server, "DeleteMessage", QueueUrl=Q, ReceiptHandle=handle)
        # It was sent at some moment between the question and the answer.
        assert max(earliest) - min(latest) < 0.1
        same = {"QueueUrl": queue_url("q.fifo"), "MessageBody": "x", "MessageGroupId": "g"}
        ids = [
            (await client.ask(server, "SendMessage", **same, MessageDeduplicationId="d"))
            for server in (1, 0, 1)
        ]
        assert len({answer["MessageId"] for answer in ids}) == 1
        client.close()


async def test_servers_that_start_at_once_on_an_empty_database_all_start(
    primary: Postgres, directory: Path, is_long: bool
) -> None:
    count = 10 if is_long else 4
    async with cluster(primary, directory, count) as servers:
        client = Through(servers)
        await client.ask(0, "CreateQueue", QueueName="q")
        for server in range(count):
            await client.ask(server, "SendMessage", QueueUrl=Q, MessageBody=str(server))
        client.close()


async def test_a_move_task_goes_on_when_its_server_dies_and_no_faster_with_more_of_them(
    primary: Postgres, directory: Path
) -> None:
    async with cluster(primary, directory, 2) as servers:
        client = Through(servers)
        await client.ask(0, "CreateQueue", QueueName="dead")
        arn = queue_arn("us-east-1", ACCOUNT, "dead")
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
        attributes = {"RedrivePolicy": policy}
        await client.ask(0, "CreateQueue", QueueName="q", Attributes=attributes)
        entries = [{"Id": str(n), "MessageBody": str(n)} for n in range(10)]
        # So many that there are some left whatever servers take to start.
        for _ in range(50):
            await client.ask(0, "SendMessageBatch", QueueUrl=DEAD, Entries=entries)
        began = time.monotonic()
        await client.ask(
            1,
            "StartMessageMoveTask",
            SourceArn=arn,
            DestinationArn=queue_arn("us-east-1", ACCOUNT, "q"),
            MaxNumberOfMessagesPerSecond=5,
        )
        for server in (0, 1):
            # Whoever does the work, it is one of these two.
            before = await moved(client, 1 - server, arn)
            await servers.all[server].kill()
            killed = time.monotonic()
            while (after := await moved(client, 1 - server, arn)) <= before + 5:
                assert time.monotonic() - killed < 2 * LATE_SECONDS
            assert after <= 5 * (time.monotonic() - began + 2)
            await servers.all[server].start()
            client.close()


async def moved(client: Through, server: int, arn: str) -> int:
    answer = await client.ask(server, "ListMessageMoveTasks", SourceArn=arn)
    return int(answer["Results"][0]["ApproximateNumberOfMessagesMoved"])
