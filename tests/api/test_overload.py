"""Overload: the server throttles excess requests at once and serves the accepted ones."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from statistics import quantiles
from time import perf_counter

from tests.api.raw_http import exchange
from tests.api.server_process import ServerProcess
from tests.bench.client import Answer, Connection, json_request, queue_url
from tests.waiting import TIMEOUT_SECONDS

LIMIT = 20
CLIENTS = 300
REQUESTS = 20
"""Requests that each client sends, one after the other, accepted or not."""

ACCEPTED_SECONDS = 2.0
"""Limit of the time for three quarters of the accepted requests.

An accepted request waits for a few batches of `LIMIT` requests: milliseconds on an idle machine.
Without throttling it would wait for the requests of all clients. A few percent of the batches may
take longer, while the machine runs something else.
"""

Q = queue_url("q")
SEND = json_request("SendMessage", QueueUrl=Q, MessageBody="x" * 2_000)
COUNT = json_request(
    "GetQueueAttributes", QueueUrl=Q, AttributeNames=["ApproximateNumberOfMessages"]
)


def start_limited(directory: Path) -> ServerProcess:
    """Start a server with a pending limit of `LIMIT` requests."""
    database = ("--database", "sqlite:///q.db")
    return ServerProcess(*database, "--pending-limit", str(LIMIT), directory=directory)


async def connect(url: str) -> list[Connection]:
    """Connect all clients, and create the queue."""
    connections = [await Connection.open(url) for _ in range(CLIENTS)]
    await connections[0].call("CreateQueue", QueueName="q")
    return connections


async def count(connection: Connection) -> int:
    name = "ApproximateNumberOfMessages"
    answer = await connection.call("GetQueueAttributes", QueueUrl=Q, AttributeNames=[name])
    return int(answer["Attributes"][name])


def count_accepted(answers: Iterable[Answer]) -> int:
    """Count the accepted requests; check that all others are answered RequestThrottled."""
    accepted = 0
    for answer in answers:
        if answer.status == 200:
            accepted += 1
        else:
            assert answer.status == 403
            assert json.loads(answer.body)["__type"].endswith("#RequestThrottled")
    return accepted


async def test_excess_requests_are_throttled_while_accepted_requests_wait(tmp_path: Path) -> None:
    with start_limited(tmp_path) as server:
        connections = await connect(server.url)
        other = sqlite3.connect(tmp_path / "q.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # blocks the server's writes
        requests = [connection.ask(SEND) for connection in connections]
        # At most `LIMIT` requests are in the blocked batch, and as many wait for the next one.
        waiting = set(requests)
        while len(waiting) > 2 * LIMIT:
            answered, waiting = await asyncio.wait(
                waiting, timeout=TIMEOUT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            assert answered
            assert count_accepted(request.result() for request in answered) == 0
        health = await asyncio.to_thread(exchange, server.url, "GET", "/health")
        assert health.status == 200
        other.rollback()
        other.close()
        accepted = count_accepted(await asyncio.gather(*requests))
        assert LIMIT <= accepted <= 2 * LIMIT
        # Throttling ends with its cause: all next requests are accepted.
        for connection in connections[:LIMIT]:
            assert count_accepted([await connection.ask(SEND)]) == 1
        assert await count(connections[0]) == accepted + LIMIT
        for connection in connections:
            connection.close()


async def test_excess_reads_are_throttled_and_writes_are_not(tmp_path: Path) -> None:
    with start_limited(tmp_path) as server:
        connections = await connect(server.url)
        writer = connections.pop()
        # The first send reads the queue, the others have it from the cache.
        sends = [await writer.ask(SEND)]
        reads = [connection.ask(COUNT) for connection in connections]
        sends += [await writer.ask(SEND) for _ in range(LIMIT - 1)]
        health = await asyncio.to_thread(exchange, server.url, "GET", "/health")
        assert health.status == 200
        assert count_accepted(sends) == LIMIT
        accepted = count_accepted(await asyncio.gather(*reads))
        assert 0 < accepted < len(reads)
        # Throttling ends with its cause.
        assert await count(writer) == LIMIT
        for connection in [writer, *connections]:
            connection.close()


async def test_accepted_requests_stay_fast_while_excess_requests_are_throttled(
    tmp_path: Path,
) -> None:
    with start_limited(tmp_path) as server:
        connections = await connect(server.url)
        seconds: list[float] = []

        async def send_all(connection: Connection) -> int:
            accepted = 0
            for _ in range(REQUESTS):
                began = perf_counter()
                if count_accepted([await connection.ask(SEND)]):
                    seconds.append(perf_counter() - began)
                    accepted += 1
            return accepted

        accepted = sum(await asyncio.gather(*(send_all(connection) for connection in connections)))
        assert LIMIT < accepted < CLIENTS * REQUESTS
        # Measures a real server process on a real disk.
        assert quantiles(seconds, n=4)[-1] < ACCEPTED_SECONDS
        for connection in connections[:LIMIT]:
            assert count_accepted([await connection.ask(SEND)]) == 1
        assert await count(connections[0]) == accepted + LIMIT
        for connection in connections:
            connection.close()
