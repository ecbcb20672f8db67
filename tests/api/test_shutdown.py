"""Stops and starts under load: who was heard is answered, and what was acknowledged is there."""

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

from tests.api.live_server import PATIENCE_SECONDS
from tests.api.raw_http import open_socket, request_bytes
from tests.api.server_process import ServerProcess
from tests.api.sqs_clients import Clients
from tests.api.test_process import client, drain, make_queue

CLIENTS = 24
ENOUGH = 400
HEARD_SECONDS = 0.1
"""For so long a server that was told to stop hears what clients send that cannot know of it."""


def answer_of(connection: socket.socket) -> bytes:
    """Read one answer, or what there is of it before the server hangs up."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(65_536)
        if not piece:
            return answer
        answer += piece
    return answer


def was_too_late(connection: socket.socket) -> bool:
    """Tell if a request was sent to a server that had hung up already.

    Its system says so; of what had come before that, and was not read, it says something else.
    """
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EPIPE


class Senders:
    """Clients that send one message after the other on one connection each, until it is the last.

    `unanswered` are bodies whose request was sent, and whose connection ended without an answer.
    A client that gets no turn of its machine may send one when the connection has ended, long
    after the server was told to stop at `stopped_at`: that one was never heard.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.acknowledged: list[str] = []
        self.unanswered: list[str] = []
        self.enough = threading.Event()
        self.stopped_at = inf

    def send(self, number: int) -> None:
        with open_socket(self._url, b"") as connection:
            for count in range(100_000):
                body = f"{number} {count}"
                connection.sendall(request_bytes("SendMessage", QueueUrl="q", MessageBody=body))
                sent_at = perf_counter()
                answer = answer_of(connection)
                if not answer.startswith(b"HTTP/1.1 200 "):
                    is_late = sent_at > self.stopped_at + HEARD_SECONDS
                    if not (is_late and was_too_late(connection)):
                        self.unanswered.append(body)
                    return
                self.acknowledged.append(body)
                if len(self.acknowledged) >= ENOUGH:
                    self.enough.set()
                if b"Connection: close" in answer:
                    return


@pytest.mark.parametrize("stops", [3])
def test_stop_under_load_answers_received_requests_and_loses_no_message(
    tmp_path: Path, clients: Clients, own_database: str, stops: int
) -> None:
    acknowledged: list[str] = []
    for stop in range(stops):
        with ServerProcess("--database", own_database, directory=tmp_path) as server:
            make_queue(clients, server.url)
            senders = Senders(server.url)
            with ThreadPoolExecutor(CLIENTS) as threads:
                sending = [threads.submit(senders.send, stop * 100 + n) for n in range(CLIENTS)]
                assert senders.enough.wait(PATIENCE_SECONDS)
                senders.stopped_at = perf_counter()
                assert server.stop() == (0, "", "")
                for sender in sending:
                    sender.result(PATIENCE_SECONDS)
            assert senders.unanswered == []
            acknowledged += senders.acknowledged
    with ServerProcess("--database", own_database, directory=tmp_path) as server:
        assert sorted(drain(client(clients, server.url))) == sorted(acknowledged)


def test_answers_during_a_stop_have_connection_close(tmp_path: Path) -> None:
    create = request_bytes("CreateQueue", QueueName="q")
    receive = request_bytes("ReceiveMessage", QueueUrl="q", WaitTimeSeconds=20)
    with (
        ServerProcess("--database", "sqlite://", directory=tmp_path) as server,
        open_socket(server.url, create) as connection,
    ):
        assert b"Connection: close" not in answer_of(connection)
        connection.sendall(receive)
        with open_socket(server.url, request_bytes("ListQueues")) as other:
            assert json.loads(answer_of(other).partition(b"\r\n\r\n")[2])["QueueUrls"]
        assert server.stop()[0] == 0
        assert b"Connection: close" in answer_of(connection)
