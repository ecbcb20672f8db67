"""The load: keep-alive connections in a closed loop, and the requests that they send."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

ACCOUNT = "000000000000"
_LENGTH = b"content-length:"


class Answer(NamedTuple):
    """A response: the HTTP status and the raw body."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """Parse the body as JSON; an empty body is an empty object."""
        found: dict[str, Any] = json.loads(self.body or b"{}")
        return found


class Connection:
    """A keep-alive connection, for one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: str) -> Connection:
        """Connect to a server by its base URL."""
        parts = urlsplit(url)
        limit = 32 * 1024 * 1024
        return cls(*await asyncio.open_connection(parts.hostname, parts.port, limit=limit))

    async def ask(self, request: bytes) -> Answer:
        """Send a request and return the response, which must have a Content-Length."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        start = head.lower().index(_LENGTH) + len(_LENGTH)
        length = int(head[start : head.index(b"\r", start)])
        return Answer(status, await self._reader.readexactly(length) if length else b"")

    async def call(self, action: str, **parameters: object) -> dict[str, Any]:
        """Call an action and return its result.

        Raises:
            RuntimeError: the action failed.
        """
        answer = await self.ask(json_request(action, **parameters))
        if answer.status != 200:
            raise RuntimeError(f"{action}: {answer.status} {answer.body[:500]!r}")
        return answer.json()

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


def _request(headers: str, body: bytes) -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def json_request(action: str, **parameters: object) -> bytes:
    """Return a request in the JSON protocol, with the headers that an SDK sends."""
    headers = (
        f"X-Amz-Target: AmazonSQS.{action}\r\nContent-Type: application/x-amz-json-1.0\r\n"
        "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/sqs/"
        "aws4_request, SignedHeaders=host;x-amz-date, Signature=0\r\n"
    )
    return _request(headers, json.dumps(parameters).encode())


def query_request(action: str, **parameters: str) -> bytes:
    """Return a request in the Query protocol."""
    headers = "Content-Type: application/x-www-form-urlencoded\r\n"
    return _request(headers, urlencode({"Action": action, **parameters}).encode())


def queue_url(name: str) -> str:
    """Return a queue's URL, in the form that every SQS-compatible server accepts."""
    return f"http://bench/{ACCOUNT}/{name}"


class Load(NamedTuple):
    """The requests of a closed loop, their duration in seconds, and each one's latency."""

    requests: int
    seconds: float
    latencies: Sequence[float]

    def percentile(self, share: float) -> float:
        """Return the latency in milliseconds that this share of the requests did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


Step = Callable[[Connection, int], Awaitable[int]]
"""One step of a worker: takes its connection and number, and returns its number of requests."""


async def run(url: str, connections: int, turns: int, step: Step) -> Load:
    """Run a step `turns` times on each of `connections` connections."""
    opened = [await Connection.open(url) for _ in range(connections)]
    latencies: list[float] = []

    async def work(number: int) -> int:
        done = 0
        for _ in range(turns):
            began = time.perf_counter()
            requests = await step(opened[number], number)
            latencies.append((time.perf_counter() - began) / max(requests, 1))
            done += requests
        return done

    began = time.perf_counter()
    requests = sum(await asyncio.gather(*(work(number) for number in range(connections))))
    seconds = time.perf_counter() - began
    for connection in opened:
        connection.close()
    return Load(requests, seconds, latencies)
