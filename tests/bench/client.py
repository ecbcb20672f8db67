"""The load: keep-alive connections in a closed loop, and the requests that they send.

A connection is a protocol of asyncio, because streams would take more CPU than some of the measured
servers.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode, urlsplit

import msgspec

from tests.certificates import usual_client
from tests.request_signer import RequestSigner, signer_of

ACCOUNT = "000000000000"
_LENGTH = b"content-length:"

_HEAD = (
    "POST / HTTP/1.1\r\nHost: bench:9324\r\nAccept-Encoding: identity\r\n{headers}"
    "User-Agent: Boto3/1.44.8 md/Botocore#1.44.8 ua/2.1 os/linux#6.12.0 md/arch#x86_64 "
    "lang/python#3.13.1 md/pyimpl#CPython m/N,b,Z,E,e cfg/retry-mode#standard Botocore/1.44.8\r\n"
    "X-Amz-Date: 20260101T000000Z\r\n"
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/sqs/"
    "aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target;x-amzn-query-mode, "
    "Signature=%064x\r\n"
    "amz-sdk-invocation-id: 00000000-0000-4000-8000-%012x\r\n"
    "amz-sdk-request: attempt=1; max=3\r\nContent-Length: {length}\r\n\r\n"
)
"""The headers of boto3, in its order."""

_numbers = itertools.count(1)


class Request(NamedTuple):
    """A request: its head, which has places for two numbers, and its body.

    Each time it is sent, its signature and invocation id are new ones, as those of an SDK are. The
    signature is not valid, unless the connection signs.
    """

    head: bytes
    body: bytes

    def unsigned(self) -> bytes:
        """Return the request as it is sent, with a signature that is not valid."""
        number = next(_numbers)
        return self.head % (number, number) + self.body


class Answer(NamedTuple):
    """A response: the HTTP status and the raw body."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """Parse the body as JSON; an empty body is an empty object."""
        found: dict[str, Any] = msgspec.json.decode(self.body or b"{}")
        return found


class Connection(asyncio.Protocol):
    """A keep-alive connection, for one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[Answer] | None = None
        self._received = bytearray()
        self._expected = 0
        self._signer: RequestSigner | None = None

    @classmethod
    async def open(cls, url: str) -> Connection:
        """Connect to a server by its base URL; sign requests if the URL has an access key."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        host, port = parts.hostname or "127.0.0.1", parts.port or 80
        context = usual_client() if parts.scheme == "https" else None
        _, connection = await loop.create_connection(cls, host, port, ssl=context)
        connection._signer = signer_of(url)
        return connection

    def ask(self, request: Request | bytes) -> asyncio.Future[Answer]:
        """Send a request; return the future response, which must have a Content-Length.

        Bytes are sent as they are.
        """
        answer = self._answer = self._loop.create_future()
        if self._transport.is_closing():
            answer.set_exception(ConnectionResetError("the server has closed"))
            return answer
        if isinstance(request, Request):
            request = request.unsigned()
            if self._signer is not None:
                request = self._signer.sign(request)
        self._transport.write(request)
        return answer

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
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._received:
            self._received += data
            if len(self._received) < self._expected:
                return
            data = bytes(self._received)
            self._received.clear()
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._received += data
            self._expected = 0
            return
        head = data[:end].lower() + b"\r"
        start = head.index(_LENGTH) + len(_LENGTH)
        length = end + 4 + int(head[start : head.index(b"\r", start)])
        if len(data) < length:
            self._received += data
            self._expected = length
            return
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result(Answer(int(head[9:12]), data[end + 4 : length]))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the server has closed"))


def _request(headers: str, body: bytes) -> Request:
    head = _HEAD.replace("{headers}", headers).replace("{length}", str(len(body)))
    return Request(head.encode(), body)


def json_request(action: str, **parameters: object) -> Request:
    """Return a request in the JSON protocol."""
    headers = (
        f"X-Amz-Target: AmazonSQS.{action}\r\nContent-Type: application/x-amz-json-1.0\r\n"
        "x-amzn-query-mode: true\r\n"
    )
    return _request(headers, msgspec.json.encode(parameters))


def query_request(action: str, **parameters: str) -> Request:
    """Return a request in the Query protocol."""
    headers = "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
    return _request(headers, urlencode({"Action": action, **parameters}).encode())


def queue_url(name: str) -> str:
    """Return a queue's URL, in the form that every SQS-compatible server accepts."""
    return f"http://bench:9324/{ACCOUNT}/{name}"


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
    """Run a step `turns` times on each of `connections` new connections."""
    async with opened(url, connections) as workers:
        return await loop(workers, turns, step)


@asynccontextmanager
async def opened(url: str, connections: int) -> AsyncIterator[Sequence[Connection]]:
    """Open connections, and close them at the end of the block."""
    workers = [await Connection.open(url) for _ in range(connections)]
    try:
        yield workers
    finally:
        for connection in workers:
            connection.close()


async def loop(workers: Sequence[Connection], turns: int, step: Step) -> Load:
    """Run a step `turns` times on each connection."""
    latencies: list[float] = []

    async def work(number: int) -> int:
        done = 0
        for _ in range(turns):
            began = time.perf_counter()
            requests = await step(workers[number], number)
            latencies.append((time.perf_counter() - began) / max(requests, 1))
            done += requests
        return done

    began = time.perf_counter()
    requests = sum(await asyncio.gather(*(work(number) for number in range(len(workers)))))
    return Load(requests, time.perf_counter() - began, latencies)
