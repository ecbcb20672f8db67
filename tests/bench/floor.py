"""The floor: the least work with which Python answers SQS calls durably.

A protocol of asyncio parses requests with httptools and decodes bodies with msgspec. One thread
commits all waiting commands to a SQLite file in one synced transaction, and the answers follow.
There are seven actions of the JSON protocol, and no rules: no errors, no FIFO queues, no limits.
Start it with `python -m tests.bench.floor FILE`, where no file may exist yet.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import sys
import threading
import time
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict, deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeAlias, cast

import httptools
import msgspec
import uvloop

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: %b\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: floor\r\nContent-Length: %d\r\n\r\n%b"
)
_TABLE = "number INTEGER PRIMARY KEY, id, queue, body, sent, visible_at, receives DEFAULT 0"
_SCHEMA = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA wal_autocheckpoint=10000",
    f"CREATE TABLE messages ({_TABLE})",
    "CREATE INDEX visible ON messages (queue, visible_at, number)",
)
_INSERT = "INSERT INTO messages (id, queue, body, sent, visible_at) VALUES (?, ?, ?, ?, ?)"
_FIND = (
    "SELECT number, id, body FROM messages WHERE queue = ? AND visible_at <= ? "
    "ORDER BY visible_at, number LIMIT ?"
)
_HIDE = "UPDATE messages SET visible_at = ?, receives = receives + 1 WHERE number = ?"
_DELETE = "DELETE FROM messages WHERE number = ?"

Found: TypeAlias = tuple[int, str, str]
"""A message that a receive found: its number, id and body."""


class Entry(msgspec.Struct, rename="pascal"):
    """An entry of a batch."""

    id: str
    message_body: str = ""
    receipt_handle: str = ""


class Parameters(msgspec.Struct, rename="pascal"):
    """The parameters of all seven actions."""

    queue_name: str = ""
    queue_url: str = ""
    message_body: str = ""
    receipt_handle: str = ""
    entries: list[Entry] = []
    max_number_of_messages: int = 1
    visibility_timeout: int = 30
    wait_time_seconds: int = 0


_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(Parameters).decode


class Send(msgspec.Struct):
    """Messages to insert, and the answer after COMMIT."""

    connection: Connection
    queue: int
    rows: list[tuple[str, int, str, float, float]]
    answer: bytes


class Receive(msgspec.Struct):
    """A claim; `timer` runs while it waits for a message."""

    connection: Connection
    queue: int
    limit: int
    visibility_timeout: int
    wait_seconds: int
    found: list[Found] = []
    timer: asyncio.TimerHandle | None = None


class Delete(msgspec.Struct):
    """Messages to delete, and the answer after COMMIT."""

    connection: Connection
    rows: list[tuple[int]]
    answer: bytes


Command: TypeAlias = Send | Receive | Delete


class Connection(asyncio.Protocol):
    """A client's connection, with one request at a time."""

    def __init__(self, floor: Floor) -> None:
        self._actions = floor.actions
        self._parser = httptools.HttpRequestParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name] = value

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body, target = b"".join(self._body), self._headers[b"X-Amz-Target"]
        self._body, self._headers = [], {}
        self._actions[target](self, _decode(body))

    def answer(self, body: bytes) -> None:
        """Write a response with this body."""
        request_id = str(uuid.uuid4()).encode()
        self._transport.write(_HEAD % (request_id, len(body), body))


class Floor:
    """The seven actions; their commands are committed in groups by the store's thread."""

    def __init__(self, file: str) -> None:
        self.actions: dict[bytes, Callable[[Connection, Parameters], None]] = {
            b"AmazonSQS.CreateQueue": self._create_queue,
            b"AmazonSQS.DeleteQueue": self._delete_queue,
            b"AmazonSQS.SendMessage": self._send,
            b"AmazonSQS.SendMessageBatch": self._send_batch,
            b"AmazonSQS.ReceiveMessage": self._receive,
            b"AmazonSQS.DeleteMessage": self._delete,
            b"AmazonSQS.DeleteMessageBatch": self._delete_batch,
        }
        self._store = Store(file)
        self._loop = asyncio.get_running_loop()
        self._queues: dict[str, int] = {}
        self._waiting: defaultdict[int, deque[Receive]] = defaultdict(deque)
        self._pending: list[Command] = []
        self._is_committing = False
        self._batches: SimpleQueue[list[Command]] = SimpleQueue()
        threading.Thread(target=self._commit_batches, daemon=True).start()

    def _create_queue(self, connection: Connection, parameters: Parameters) -> None:
        url = f"http://floor/000000000000/{parameters.queue_name}"
        self._queue(url)
        connection.answer(_encode({"QueueUrl": url}))

    def _delete_queue(self, connection: Connection, _: Parameters) -> None:
        connection.answer(b"{}")

    def _send(self, connection: Connection, parameters: Parameters) -> None:
        message_id, body, now = str(uuid.uuid4()), parameters.message_body, time.time()
        queue = self._queue(parameters.queue_url)
        answer = _encode({"MessageId": message_id, "MD5OfMessageBody": _md5(body)})
        self._submit(Send(connection, queue, [(message_id, queue, body, now, now)], answer))

    def _send_batch(self, connection: Connection, parameters: Parameters) -> None:
        queue, now = self._queue(parameters.queue_url), time.time()
        rows, successful = [], []
        for entry in parameters.entries:
            message_id, body = str(uuid.uuid4()), entry.message_body
            rows.append((message_id, queue, body, now, now))
            successful.append(
                {"Id": entry.id, "MessageId": message_id, "MD5OfMessageBody": _md5(body)}
            )
        self._submit(Send(connection, queue, rows, _encode({"Successful": successful})))

    def _receive(self, connection: Connection, parameters: Parameters) -> None:
        self._submit(
            Receive(
                connection,
                self._queue(parameters.queue_url),
                parameters.max_number_of_messages,
                parameters.visibility_timeout,
                parameters.wait_time_seconds,
            )
        )

    def _delete(self, connection: Connection, parameters: Parameters) -> None:
        self._submit(Delete(connection, [(_number(parameters.receipt_handle),)], b"{}"))

    def _delete_batch(self, connection: Connection, parameters: Parameters) -> None:
        rows = [(_number(entry.receipt_handle),) for entry in parameters.entries]
        successful = [{"Id": entry.id} for entry in parameters.entries]
        self._submit(Delete(connection, rows, _encode({"Successful": successful})))

    def _queue(self, url: str) -> int:
        """Return the number of a queue, a new one for the first request that names it."""
        return self._queues.setdefault(url.rpartition("/")[2], len(self._queues))

    def _submit(self, command: Command) -> None:
        self._pending.append(command)
        if not self._is_committing:
            # The other requests of this turn of the event loop join the batch.
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        if self._pending and not self._is_committing:
            self._is_committing = True
            batch, self._pending = self._pending, []
            self._batches.put(batch)

    def _commit_batches(self) -> None:
        """Commit one batch after the other, on the store's thread."""
        while True:
            batch = self._batches.get()
            self._store.commit(batch)
            self._loop.call_soon_threadsafe(self._answer, batch)

    def _answer(self, batch: list[Command]) -> None:
        """Answer the commands of a batch, which is committed."""
        for command in batch:
            if not isinstance(command, Receive):
                command.connection.answer(command.answer)
                if self._waiting and isinstance(command, Send):
                    self._wake(command.queue, len(command.rows))
            elif command.wait_seconds and not command.found:
                self._wait(command)
            else:
                command.connection.answer(_received(command.found))
        self._is_committing = False
        self._commit()

    def _wait(self, receive: Receive) -> None:
        """Keep a receive until a message is sent to its queue, or its time is over."""
        waiting = self._waiting[receive.queue]
        waiting.append(receive)

        def give_up() -> None:
            waiting.remove(receive)
            receive.connection.answer(_received([]))

        receive.timer = self._loop.call_later(receive.wait_seconds, give_up)

    def _wake(self, queue: int, messages: int) -> None:
        """Claim again for as many waiting receives as there are new messages."""
        waiting = self._waiting.get(queue)
        for _ in range(min(messages, len(waiting)) if waiting else 0):
            assert waiting is not None
            receive = waiting.popleft()
            assert receive.timer is not None
            receive.timer.cancel()
            self._submit(receive)


class Store:
    """The SQLite file."""

    def __init__(self, file: str) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        for statement in _SCHEMA:
            self._connection.execute(statement)

    def commit(self, batch: list[Command]) -> None:
        """Run commands in one transaction, and set what receives have found."""
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        sent: list[tuple[str, int, str, float, float]] = []
        deleted: list[tuple[int]] = []
        claims: defaultdict[tuple[int, int], list[Receive]] = defaultdict(list)
        for command in batch:
            if isinstance(command, Send):
                sent += command.rows
            elif isinstance(command, Delete):
                deleted += command.rows
            else:
                claims[command.queue, command.visibility_timeout].append(command)
        if sent:
            cursor.executemany(_INSERT, sent)
        now = time.time()
        for (queue, visibility_timeout), receives in claims.items():
            limit = sum(receive.limit for receive in receives)
            found = cursor.execute(_FIND, (queue, now, limit)).fetchall()
            visible_at = now + visibility_timeout
            cursor.executemany(_HIDE, [(visible_at, number) for number, _, _ in found])
            first = 0
            for receive in receives:
                receive.found = found[first : first + receive.limit]
                first += receive.limit
        if deleted:
            cursor.executemany(_DELETE, deleted)
        cursor.execute("COMMIT")


def _received(found: list[Found]) -> bytes:
    """Return the body of a response to ReceiveMessage."""
    messages = [
        {
            "MessageId": message_id,
            "ReceiptHandle": urlsafe_b64encode(b"%d:%b" % (number, os.urandom(12))).decode(),
            "MD5OfBody": _md5(body),
            "Body": body,
        }
        for number, message_id, body in found
    ]
    return _encode({"Messages": messages})


def _number(receipt_handle: str) -> int:
    return int(urlsafe_b64decode(receipt_handle).partition(b":")[0])


def _md5(body: str) -> str:
    return hashlib.md5(body.encode()).hexdigest()


async def _serve(file: str) -> None:
    floor = Floor(file)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(floor), "127.0.0.1", 0)
    sys.stdout.write(f"floor on http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
