"""Requests that make a server hold as much memory as possible, and the growth that they cause.

Each attack has a server of its own with a small `--buffer-mib`. The growth is that of the process's
peak, which Linux counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.api.raw_http import json_headers
from tests.api.server_process import ServerProcess
from tests.bench.client import ACCOUNT
from tests.waiting import TIMEOUT_SECONDS

MIB = 1024 * 1024
BUFFER_MIB = 32
URL = f"http://localhost/{ACCOUNT}/q"
WIDE = "\U0001f600"
WIDE_LETTER = "\U00010400"
"""Characters of four bytes: one makes all other characters of its text take four bytes, too."""


class Growth(NamedTuple):
    """A server's resident memory in bytes: before an attack, at its peak, and after it.

    `accepted` and `rejected` are the numbers of its requests that got 200, and another answer.
    """

    before: int
    peak: int
    after: int
    accepted: int
    rejected: int

    @property
    def bytes(self) -> int:
        """The growth up to the peak."""
        return self.peak - self.before


class Attack(NamedTuple):
    """An attack: what it does, and the most MiB that it may make the server grow."""

    run: Callable[[Target], Awaitable[Sequence[int]]]
    most_mib: int


class Target:
    """A server under attack, with its database."""

    def __init__(self, server: ServerProcess, database: Path) -> None:
        self._address = urlsplit(server.url)
        self._database = database
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self, count: int) -> list[Client]:
        """Open connections; the system buffers little of what their clients do not read."""
        return [await self._connect() for _ in range(count)]

    async def _connect(self) -> Client:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        client.setblocking(False)
        address = (self._address.hostname, self._address.port)
        await asyncio.get_running_loop().sock_connect(client, address)
        reader, writer = await asyncio.open_connection(sock=client)
        self._writers.append(writer)
        return Client(reader, writer)

    def close(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.transport.abort()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the database, so that every write of the server waits."""
        with contextlib.closing(sqlite3.connect(self._database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.rollback()


def measure(attack: Attack, directory: Path) -> Growth:
    """Start a server, attack it, and return how much its memory has grown."""
    settings = ("--database", "sqlite:///q.db", "--buffer-mib", str(BUFFER_MIB))
    with ServerProcess(*settings, directory=directory) as server:
        server.call("CreateQueue", QueueName="q")
        server.call("ReceiveMessage", QueueUrl=URL)
        target = Target(server, directory / "q.db")
        # Writing 5 resets the peak (Linux: proc(5)).
        Path(f"/proc/{server.pid}/clear_refs").write_text("5")
        before = _resident(server.pid, "VmRSS")
        statuses = asyncio.run(_run(attack, target))
        peak = _resident(server.pid, "VmHWM")
        server.call("ReceiveMessage", QueueUrl=URL)
        after = _resident(server.pid, "VmRSS")
        accepted = statuses.count(200)
        return Growth(before, peak, after, accepted, len(statuses) - accepted)


async def _run(attack: Attack, target: Target) -> Sequence[int]:
    with contextlib.closing(target):
        return await attack.run(target)


def _resident(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


class Client:
    """One connection of an attacker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, action: str, headers: str = "", **parameters: object) -> None:
        """Send a request without waiting for anything."""
        body = json.dumps(parameters, ensure_ascii=False).encode()
        usual = "".join(f"{name}: {value}\r\n" for name, value in json_headers(action).items())
        if "Host:" not in headers:
            usual += "Host: localhost\r\n"
        head = f"POST / HTTP/1.1\r\n{usual}{headers}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)

    async def read_head(self) -> tuple[int, int]:
        """Return the status and the length of the next answer; the status is 0 for none."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, 0
        fields = dict(line.split(b": ", 1) for line in head.splitlines()[1:] if line)
        return int(head.split()[1]), int(fields[b"Content-Length"])

    async def read_answer(self) -> int:
        """Read the next answer whole; return its status, or 0 if the server disconnects."""
        status, length = await self.read_head()
        while length:
            piece = await self._reader.read(length)
            if not piece:
                return 0
            length -= len(piece)
        return status

    async def call(self, action: str, headers: str = "", **parameters: object) -> int:
        """Send a request, and return the status of its answer."""
        self.send(action, headers, **parameters)
        return await self.read_answer()


async def fill(target: Target, bodies: int) -> None:
    """Send messages of 1 MiB to the queue."""
    (client,) = await target.connect(1)
    for _ in range(bodies):
        assert await client.call("SendMessage", QueueUrl=URL, MessageBody="x" * MIB) == 200


# Attacks


async def spell_urls(target: Target) -> Sequence[int]:
    """Use 2,000 URLs and 1,000 host names for one queue that has large tags."""
    (client,) = await target.connect(1)
    tags = {f"{number:03}" + "k" * 124: WIDE_LETTER * 250 for number in range(50)}
    statuses = [await client.call("TagQueue", QueueUrl=URL, Tags=tags)]
    for number in range(1_000):
        host = f"{number}.{'h' * 200}"
        headers = f"Host: {host}\r\nX-Forwarded-Host: {number}{'f' * 240}\r\n"
        url = f"http://{host}/{ACCOUNT}/q"
        statuses.append(await client.call("ReceiveMessage", headers, QueueUrl=url))
        url = f"http://{number}{WIDE * 250}/{ACCOUNT}/q"
        statuses.append(await client.call("ReceiveMessage", headers, QueueUrl=url))
    return statuses


async def wait_with_parameters(target: Target) -> Sequence[int]:
    """Wait for messages with 1,000 requests of 25 KB each, which take 100 KB when decoded."""
    clients = await target.connect(1_000)
    names = [f"{number}{WIDE}{'n' * 240}" for number in range(100)]
    for client in clients:
        client.send("ReceiveMessage", QueueUrl=URL, WaitTimeSeconds=2, MessageAttributeNames=names)
    return await asyncio.gather(*(client.read_answer() for client in clients))


async def wait_with_headers(target: Target) -> Sequence[int]:
    """Wait for messages with 300 requests whose headers have 56 KB each; then stay connected."""
    clients = await target.connect(300)
    headers = "".join(f"X-{number}: {'x' * 8_000}\r\n" for number in range(7))
    for client in clients:
        client.send("ReceiveMessage", headers, QueueUrl=URL, WaitTimeSeconds=2)
    return await asyncio.gather(*(client.read_answer() for client in clients))


async def send_wide_bodies(target: Target) -> Sequence[int]:
    """Send 80 bodies of 1 MiB, each of which takes 4 MiB when decoded, while writes wait."""
    clients = await target.connect(80)
    body = WIDE + "x" * (MIB - 4)
    with target.locked():
        for client in clients:
            client.send("SendMessage", QueueUrl=URL, MessageBody=body)
        answers = [asyncio.create_task(client.read_answer()) for client in clients]
        await asyncio.wait(answers, timeout=1)  # those that wait get no answer yet
    return await asyncio.gather(*answers)


async def send_many_values(target: Target) -> Sequence[int]:
    """Send 20 requests of 60,000 attributes each for queues that the server must look up."""
    clients = await target.connect(20)
    values: dict[str, object] = {str(number): {} for number in range(60_000)}
    for number, client in enumerate(clients):
        client.send("SendMessage", QueueUrl=f"q{number}", MessageBody="x", MessageAttributes=values)
    return await asyncio.gather(*(client.read_answer() for client in clients))


async def change_tags(target: Target) -> Sequence[int]:
    """Change 400 queues, each with the longest tags, while writes wait."""
    clients = await target.connect(400)
    tags = {f"{number:03}" + "k" * 124: WIDE_LETTER * 250 for number in range(50)}
    for number, client in enumerate(clients):
        assert await client.call("CreateQueue", QueueName=f"q{number}", tags=tags) == 200
    with target.locked():
        for number, client in enumerate(clients):
            client.send("UntagQueue", QueueUrl=f"q{number}", TagKeys=["none"])
        answers = [asyncio.create_task(client.read_answer()) for client in clients]
        await asyncio.wait(answers, timeout=1)  # those that wait get no answer yet
    return await asyncio.gather(*answers)


async def read_attributes(target: Target) -> Sequence[int]:
    """Read the attributes of a queue by 1,000 requests of 16 KB at once."""
    clients = await target.connect(1_000)
    names = ["ApproximateNumberOfMessages"] * 500
    for client in clients:
        client.send("GetQueueAttributes", QueueUrl=URL, AttributeNames=names)
    return await asyncio.gather(*(client.read_answer() for client in clients))


async def read_slowly(target: Target) -> Sequence[int]:
    """Receive ten messages of 1 MiB with each of 40 clients that read only half of the answer."""
    await fill(target, 10)
    clients = await target.connect(40)
    receive = {"QueueUrl": URL, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0}
    for client in clients:
        client.send("ReceiveMessage", "", **receive)
    heads = await asyncio.gather(*(client.read_head() for client in clients))
    return [status for status, _ in heads]


async def keep_connections(target: Target) -> Sequence[int]:
    """Receive ten messages of 1 MiB with each of 20 clients, one by one; then stay connected."""
    await fill(target, 10)
    clients = await target.connect(20)
    receive = {"QueueUrl": URL, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0}
    return [await client.call("ReceiveMessage", "", **receive) for client in clients]


async def send_ahead(target: Target) -> Sequence[int]:
    """Send 4 MB of requests behind each of 25 that wait for a message."""
    clients = await target.connect(25)
    for client in clients:
        client.send("ReceiveMessage", QueueUrl=URL, WaitTimeSeconds=2)
        for _ in range(40):
            client.send("ReceiveMessage", QueueUrl="x" * 100_000)
    statuses = []
    for client in clients:
        statuses += [await client.read_answer() for _ in range(41)]
    return statuses


ATTACKS = {
    "spellings of a URL": Attack(spell_urls, 20),
    "waiting, with large parameters": Attack(wait_with_parameters, 100),
    "waiting, with large headers": Attack(wait_with_headers, 100),
    "bodies of wide characters": Attack(send_wide_bodies, 100),
    "many values in a request": Attack(send_many_values, 100),
    "changes of tags": Attack(change_tags, 100),
    "reads of attributes": Attack(read_attributes, 100),
    "answers that are half read": Attack(read_slowly, 100),
    "idle after large answers": Attack(keep_connections, 100),
    "requests behind a waiting one": Attack(send_ahead, 100),
}
