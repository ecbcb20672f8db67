"""More is asked for than can be done: the excess is told so at once, all else goes on as it did."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from statistics import quantiles
from time import perf_counter

from tests.api.live_server import PATIENCE_SECONDS
from tests.api.raw_http import exchange
from tests.api.server_process import ServerProcess
from tests.bench.client import Answer, Connection, json_request, queue_url

LIMIT = 20
CROWD = 300
REQUESTS = 20
"""How many each of the crowd sends, one after the other, whatever becomes of them."""

ACCEPTED_SECONDS = 2.0
"""What may lie before an accepted request is a few drains of `LIMIT`: milliseconds, if undisturbed.

Were nobody rejected, it would be the whole crowd's requests. A drain during which the machine does
something else is some percent of them: so three quarters are held to this.
"""

Q = queue_url("q")
SEND = json_request("SendMessage", QueueUrl=Q, MessageBody="x" * 2_000)


def limited(directory: Path) -> ServerProcess:
    """Start a server that lets few requests wait."""
    database = ("--database", "sqlite:///q.db")
    return ServerProcess(*database, "--pending-limit", str(LIMIT), directory=directory)


async def crowd(url: str) -> list[Connection]:
    """Make the queue, and let everybody connect."""
    connections = [await Connection.open(url) for _ in range(CROWD)]
    await connections[0].call("CreateQueue", QueueName="q")
    return connections


async def count(connection: Connection) -> int:
    name = "ApproximateNumberOfMessages"
    told = await connection.call("GetQueueAttributes", QueueUrl=Q, AttributeNames=[name])
    return int(told["Attributes"][name])


def accepted(answers: Iterable[Answer]) -> int:
    """Count those that were done; see that all others were told to come again."""
    done = 0
    for answer in answers:
        if answer.status == 200:
            done += 1
        else:
            assert answer.status == 403
            assert json.loads(answer.body)["__type"].endswith("#RequestThrottled")
    return done


async def test_excess_requests_are_throttled_while_accepted_requests_wait(tmp_path: Path) -> None:
    with limited(tmp_path) as server:
        connections = await crowd(server.url)
        other = sqlite3.connect(tmp_path / "q.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # and nobody else can write
        asked = [asyncio.create_task(one.ask(SEND)) for one in connections]
        # One drain is at work with so many at most, and so many wait for the next.
        waiting = set(asked)
        while len(waiting) > 2 * LIMIT:
            answered, waiting = await asyncio.wait(
                waiting, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            assert answered
            assert accepted(one.result() for one in answered) == 0
        health = await asyncio.to_thread(exchange, server.url, "GET", "/health")
        assert health.status == 200
        other.rollback()
        other.close()
        done = accepted(await asyncio.gather(*asked))
        assert LIMIT <= done <= 2 * LIMIT
        # It is over with the cause: the very next ones are all accepted.
        for one in connections[:LIMIT]:
            assert accepted([await one.ask(SEND)]) == 1
        assert await count(connections[0]) == done + LIMIT
        for one in connections:
            one.close()


async def test_accepted_requests_stay_fast_while_excess_requests_are_throttled(
    tmp_path: Path,
) -> None:
    with limited(tmp_path) as server:
        connections = await crowd(server.url)
        seconds: list[float] = []

        async def press(connection: Connection) -> int:
            done = 0
            for _ in range(REQUESTS):
                began = perf_counter()
                if accepted([await connection.ask(SEND)]):
                    seconds.append(perf_counter() - began)
                    done += 1
            return done

        done = sum(await asyncio.gather(*(press(one) for one in connections)))
        assert LIMIT < done < CROWD * REQUESTS
        assert quantiles(seconds, n=4)[-1] < ACCEPTED_SECONDS
        for one in connections[:LIMIT]:
            assert accepted([await one.ask(SEND)]) == 1
        assert await count(connections[0]) == done + LIMIT
        for one in connections:
            one.close()
