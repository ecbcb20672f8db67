"""The replacement of an encryption key on several servers, without a restart."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.api.server_process import ServerProcess
from tests.encryption.key_commands import KeyCommands, id_of, new_key
from tests.encryption.key_configuration import FILE, write
from tests.waiting import wait_until

OLD, NEW = new_key("old"), new_key("new")


class Servers:
    """Two servers of one database, each with its own file of keys, and its number of reloads."""

    def __init__(self, url: str, directory: Path, stack: ExitStack) -> None:
        self._files: list[Path] = []
        self._servers: list[ServerProcess] = []
        self._reloads = 0
        for name in ("one", "two"):
            (directory / name).mkdir()
            file = write(directory / name / "keys", OLD)
            server = ServerProcess("--database", url, FILE, str(file), directory=directory / name)
            self._files.append(file)
            self._servers.append(stack.enter_context(server))

    def use(self, *keys: str) -> Sequence[str]:
        """Replace the keys of both servers, and reload; return what each has logged about it."""
        self._reloads += 1
        for file, server in zip(self._files, self._servers, strict=True):
            write(file, "\n".join(keys))
            server.send_signal(signal.SIGHUP)
        return [self._line(server) for server in self._servers]

    def _line(self, server: ServerProcess) -> str:
        marks = (f" reload {self._reloads}: encryption keys:", f" reload {self._reloads} failed,")

        def lines() -> list[str]:
            return [
                line for line in server.errors().splitlines() if any(mark in line for mark in marks)
            ]

        wait_until(lambda: bool(lines()))
        return lines()[0]

    def call(self, server: int, action: str, **parameters: object) -> dict[str, Any]:
        """Call an action of one server, which must succeed."""
        answer = self._servers[server].call(action, **parameters)
        assert answer.status == 200, answer.body
        result: dict[str, Any] = json.loads(answer.body or b"{}")
        return result

    def exchange(self, body: str) -> None:
        """Send a message to each server, and receive both through the other one."""
        for sender, receiver in ((0, 1), (1, 0)):
            self.call(sender, "SendMessage", QueueUrl="q", MessageBody=body)
            answer = self.call(receiver, "ReceiveMessage", QueueUrl="q", WaitTimeSeconds=5)
            (message,) = answer["Messages"]
            assert message["Body"] == body
            handle = message["ReceiptHandle"]
            self.call(sender, "DeleteMessage", QueueUrl="q", ReceiptHandle=handle)


@pytest.fixture
def servers(postgresql: str, tmp_path: Path) -> Iterator[Servers]:
    with ExitStack() as stack:
        servers = Servers(postgresql, tmp_path, stack)
        servers.call(0, "CreateQueue", QueueName="q")
        servers.exchange("before")
        yield servers


def test_key_is_replaced_on_two_servers_without_an_error(
    servers: Servers, postgresql: str, tmp_path: Path
) -> None:
    commands = KeyCommands(postgresql, tmp_path)
    servers.call(0, "SendMessage", QueueUrl="q", MessageBody="old")
    (waiting,) = servers.call(1, "ReceiveMessage", QueueUrl="q")["Messages"]
    servers.use(OLD, NEW)
    servers.exchange("both servers know the new key")
    servers.use(NEW, OLD)
    servers.exchange("both servers encrypt with the new key")
    assert commands.lines("rekey", NEW, OLD)[-1].endswith(": done")
    servers.exchange("nothing needs the old key")
    for line in servers.use(NEW):
        assert "failed" not in line
    servers.exchange("the old key is removed")
    # The secret has stayed the same, and so have receipt handles.
    handle = waiting["ReceiptHandle"]
    parameters = {"QueueUrl": "q", "ReceiptHandle": handle, "VisibilityTimeout": 0}
    servers.call(1, "ChangeMessageVisibility", **parameters)
    answer = servers.call(0, "ReceiveMessage", QueueUrl="q", WaitTimeSeconds=5)
    (message,) = answer["Messages"]
    assert message["Body"] == "old"


def test_key_that_is_still_needed_cannot_be_removed_by_a_reload(servers: Servers) -> None:
    servers.use(NEW, OLD)
    for line in servers.use(NEW):
        assert f"encrypted with the key {id_of(OLD)}" in line
        assert "failed, the server continues as before" in line
    servers.exchange("the servers have kept the old key")
