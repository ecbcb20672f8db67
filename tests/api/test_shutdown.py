"""Stops under load: received requests are answered, and acknowledged messages are stored."""

from __future__ import annotations

import errno
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path
from time import perf_counter

import pytest

from tests.api.raw_http import open_socket, request_bytes
from tests.api.server_process import ServerProcess
from tests.api.sqs_clients import Clients, json_client, receive_all
from tests.waiting import TIMEOUT_SECONDS

CLIENTS = 24
ACKNOWLEDGED = 400
"""Acknowledged messages before the stop."""
ACCEPT_SECONDS = 0.1
"""Time after SIGTERM for which the server still reads new requests."""


def read_answer(connection: socket.socket) -> bytes:
    """Read one answer, or its part before the server closes the connection."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(65_536)
        if not piece:
            return answer
        answer += piece
    return answer


def arrived_after_close(connection: socket.socket) -> bool:
    """Return whether the server had closed the connection before the request arrived.

    The kernel then reports EPIPE. It reports another error for a request that arrived before the
    close and was not read.
    """
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EPIPE


class Senders:
    """Clients that send messages on one connection each, until the server closes it.

    `unanswered` has the bodies of requests without an answer. It excludes requests that a delayed
    client sent to a closed connection, long after SIGTERM at `stopped_at`: the server never
    received them.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.acknowledged: list[str] = []
        self.unanswered: list[str] = []
        self.is_loaded = threading.Event()
        self.stopped_at = inf

    def send(self, number: int) -> None:
        with open_socket(self._url, b"") as connection:
            for count in range(100_000):
                body = f"{number} {count}"
                connection.sendall(request_bytes("SendMessage", QueueUrl="q", MessageBody=body))
                sent_at = perf_counter()
                answer = read_answer(connection)
                if not answer.startswith(b"HTTP/1.1 200 "):
                    is_late = sent_at > self.stopped_at + ACCEPT_SECONDS
                    if not (is_late and arrived_after_close(connection)):
                        self.unanswered.append(body)
                    return
                self.acknowledged.append(body)
                if len(self.acknowledged) >= ACKNOWLEDGED:
                    self.is_loaded.set()
                if b"Connection: close" in answer:
                    return


@pytest.mark.parametrize("stops", [3])
def test_stop_under_load_answers_received_requests_and_loses_no_message(
    tmp_path: Path, clients: Clients, own_database: str, stops: int
) -> None:
    acknowledged: list[str] = []
    for stop in range(stops):
        with ServerProcess("--database", own_database, directory=tmp_path) as server:
            json_client(clients, server.url).create_queue(QueueName="q")
            senders = Senders(server.url)
            with ThreadPoolExecutor(CLIENTS) as threads:
                sending = [threads.submit(senders.send, stop * 100 + n) for n in range(CLIENTS)]
                assert senders.is_loaded.wait(TIMEOUT_SECONDS)
                senders.stopped_at = perf_counter()
                assert server.stop() == (0, "", "")
                for sender in sending:
                    sender.result(TIMEOUT_SECONDS)
            assert senders.unanswered == []
            acknowledged += senders.acknowledged
    with ServerProcess("--database", own_database, directory=tmp_path) as server:
        assert sorted(receive_all(json_client(clients, server.url))) == sorted(acknowledged)


def test_answers_during_a_stop_have_connection_close(tmp_path: Path) -> None:
    create = request_bytes("CreateQueue", QueueName="q")
    receive = request_bytes("ReceiveMessage", QueueUrl="q", WaitTimeSeconds=20)
    with (
        ServerProcess("--database", "sqlite://", directory=tmp_path) as server,
        open_socket(server.url, create) as connection,
    ):
        assert b"Connection: close" not in read_answer(connection)
        connection.sendall(receive)
        with open_socket(server.url, request_bytes("ListQueues")) as other:
            assert json.loads(read_answer(other).partition(b"\r\n\r\n")[2])["QueueUrls"]
        assert server.stop()[0] == 0
        assert b"Connection: close" in read_answer(connection)
