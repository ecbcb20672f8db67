"""The page about encryption from its first to its last step, on one database with messages.

Turn encryption on for an existing database, rotate the key, back up, restore, turn it off.
"""

from __future__ import annotations

import shlex
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.api.server_process import ServerProcess
from tests.api.sqs_clients import Clients, Sqs, json_client, open_clients
from tests.encryption.documented_commands import (
    KEY_FILE,
    DocumentedCommands,
    shown,
    step,
    wait_for_line,
)
from tests.waiting import wait_until

HANDLED = "received in clear, deleted later by its receipt handle"
BEFORE, AFTER, LATER = "before " * 3_000, "after " * 50, "later"
NEW = "d20c4be1906f7a35"
"""The fingerprint of the new key on the page."""

CHECK = ("check", *KEY_FILE)
SOUND = "checked sqlite:///queueserver.db: no damage found"


@pytest.fixture(scope="module")
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    with open_clients(request.config) as clients:
        yield clients


class Sequence:
    """The steps, on the database in a directory.

    Attributes:
        handle: the receipt handle of the message `HANDLED`.
    """

    handle: str

    def __init__(self, directory: Path, clients: Clients) -> None:
        self.commands = DocumentedCommands(directory)
        self._database = directory / "queueserver.db"
        self._clients = clients

    def sqs(self, server: ServerProcess) -> Sqs:
        return json_client(self._clients, server.url)

    def send(self, server: ServerProcess, body: str) -> None:
        sqs = self.sqs(server)
        sqs.create_queue(QueueName="orders")
        sqs.send_message(QueueUrl="orders", MessageBody=body)

    def take(self, server: ServerProcess, *bodies: str) -> None:
        """Receive all messages, which must have these bodies, and delete them."""
        sqs = self.sqs(server)
        found = sqs.receive_message(QueueUrl="orders", MaxNumberOfMessages=10)["Messages"]
        assert sorted(message["Body"] for message in found) == sorted(bodies)
        for message in found:
            sqs.delete_message(QueueUrl="orders", ReceiptHandle=message["ReceiptHandle"])

    def stop(self, server: ServerProcess) -> None:
        assert server.stop()[0] == 0
        self._clients.close_those_of(server.url)

    def stores(self, text: str) -> bool:
        """Return whether the file of a server that has stopped has a part of a text in clear."""
        assert not Path(f"{self._database}-wal").exists()
        return text[:1_000].encode() in self._database.read_bytes()

    def execute(self, *statements: str) -> None:
        with closing(sqlite3.connect(self._database)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    def leave_in_free_pages(self, text: str) -> None:
        """Delete a row, as a SQLite does that does not overwrite deleted rows."""
        self.execute(
            "PRAGMA secure_delete = OFF", f"CREATE TABLE t AS SELECT '{text}'", "DROP TABLE t"
        )

    # The sections of the page

    def store_in_clear(self) -> None:
        with self.commands.start() as server:
            attributes = {"SqsManagedSseEnabled": "true"}
            self.sqs(server).create_queue(QueueName="orders", Attributes=attributes)
            self.send(server, HANDLED)
            (message,) = self.sqs(server).receive_message(QueueUrl="orders")["Messages"]
            self.handle = message["ReceiptHandle"]
            self.send(server, BEFORE)
            wait_for_line(server, shown("encryption is off: messages are stored in clear"))
            self.stop(server)
        assert self.stores(BEFORE)

    def turn_on(self) -> None:
        self.commands.run("--name key-2026")
        with self.commands.start_as(step("encryption is on: keys: 'key-2026'")) as server:
            self.send(server, AFTER)
            self.sqs(server).delete_message(QueueUrl="orders", ReceiptHandle=self.handle)
            self.commands.run("is stored in clear")
            self.take(server, BEFORE, AFTER)
            self.send(server, AFTER)
            assert not [line for line in self.commands.lines(*CHECK) if "in clear" in line]
            self.stop(server)
        assert self.commands.error() == shown("and no key is configured")
        self.leave_in_free_pages(BEFORE)
        assert self.stores(BEFORE)
        program, database, statements = shlex.split(step("VACUUM;").command)
        assert (program, database) == ("sqlite3", self._database.name)
        self.execute(*filter(None, statements.split(";")))
        assert not self.stores(BEFORE)
        assert not self.stores(AFTER)

    def rotate(self) -> None:
        commands = self.commands
        with commands.start(*KEY_FILE) as server:
            commands.run("--name key-2027")
            self.reload(server, step("kill -HUP PID").output)
            commands.run("queueserver rekey")
            commands.keep_keys("key-2026", "key-2027")
            copy = (commands.directory / "keys").read_text()
            commands.keep_keys("key-2026")
            self.reload(server, shown("reload 2 failed"))
            (commands.directory / "keys").write_text(copy)
            commands.keep_keys("key-2027")
            self.reload(server, "reload 3: encryption keys: 'key-2027' (fingerprint F)\n")
            commands.run(f"'key-2027' (fingerprint {NEW}) for 1 data key and the secret\n{SOUND}")
            self.stop(server)

    def reload(self, server: ServerProcess, line: str) -> None:
        server.send_signal(signal.SIGHUP)
        wait_for_line(server, line)

    def restore(self) -> None:
        with self.commands.start(*KEY_FILE) as server:
            self.commands.run("queueserver backup backup.db")
            self.take(server, AFTER)
            self.send(server, LATER)
            self.stop(server)
        self.commands.run("cp backup.db queueserver.db")
        with self.commands.start(*KEY_FILE) as server:
            self.take(server, AFTER)
            self.send(server, AFTER)
            self.stop(server)

    def turn_off(self) -> None:
        off = step("encryption is off: keys: 'key-2027'")
        with self.commands.start_as(off) as server:
            self.commands.run(f"'key-2027' (fingerprint {NEW}) for 1 data key\n{SOUND}")
            self.take(server, AFTER)
            self.stop(server)
        # As if 25 hours had passed.
        self.execute("UPDATE data_keys SET encrypts_until_ms = 0")
        with self.commands.start_as(off) as server:
            wait_until(lambda: self.commands.lines(*CHECK) == [SOUND])
            self.send(server, LATER)
            self.stop(server)
        with self.commands.start() as server:
            self.take(server, LATER)
            self.stop(server)


def test_documented_steps_succeed_one_after_the_other(tmp_path: Path, clients: Clients) -> None:
    sequence = Sequence(tmp_path, clients)
    sequence.store_in_clear()
    sequence.turn_on()
    sequence.rotate()
    sequence.restore()
    sequence.turn_off()
