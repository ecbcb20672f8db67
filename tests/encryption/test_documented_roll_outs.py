"""The documented roll-outs to several servers on one PostgreSQL: no request fails meanwhile."""

from __future__ import annotations

import contextlib
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.server_process import ServerProcess
from tests.api.sqs_clients import Clients, Sqs, json_client, open_clients
from tests.databases import execute
from tests.encryption.documented_commands import KEY_FILE, shown, step, wait_for_line
from tests.encryption.key_commands import KeyCommands, id_of, new_key
from tests.encryption.key_configuration import write
from tests.waiting import wait_until

OLD, NEW = new_key("key-2026"), new_key("key-2027")
FIFO = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
OFF = ("--encryption", "off")


@pytest.fixture(scope="module")
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    with open_clients(request.config) as clients:
        yield clients


class Cluster:
    """Two servers on one database, each with a file of keys of its own."""

    def __init__(self, url: str, directory: Path, clients: Clients) -> None:
        self._url = url
        self._clients = clients
        self._running: dict[str, ServerProcess] = {}
        self._directories = {name: directory / name for name in ("one", "two")}
        for path in self._directories.values():
            path.mkdir()
        self._sent = 0

    def close(self) -> None:
        for server in self._running.values():
            self._close(server)

    def _close(self, server: ServerProcess) -> None:
        self._clients.close_those_of(server.url)
        server.__exit__()

    def start(self, name: str, *arguments: str) -> None:
        """Start a server, or restart it with other arguments."""
        if name in self._running:
            server = self._running.pop(name)
            assert server.stop()[0] == 0
            self._close(server)
        flags = ("--database", self._url, *arguments)
        self._running[name] = ServerProcess(*flags, directory=self._directories[name])

    def write_keys(self, name: str, *keys: str) -> None:
        write(self._directories[name] / "keys", "\n".join(keys))

    def reload(self, name: str, *keys: str) -> ServerProcess:
        """Write other keys and reload a server; wait until its log names them."""
        self.write_keys(name, *keys)
        server = self._running[name]
        server.send_signal(signal.SIGHUP)
        ids = ", ".join(str(id_of(key)) for key in keys)
        wait_for_line_as_it_is(server, f"encryption keys: {ids}\n")
        return server

    def sqs(self, name: str) -> Sqs:
        return json_client(self._clients, self._running[name].url)

    def check_messages(self) -> None:
        """Send a message to each server; both must deliver those of both."""
        for receiver in self._running:
            sqs = self.sqs(receiver)
            sqs.create_queue(QueueName="q")
            for sender in self._running:
                self._sent += 1
                self.sqs(sender).send_message(QueueUrl="q", MessageBody=str(self._sent))
            found = sqs.receive_message(QueueUrl="q", MaxNumberOfMessages=10)["Messages"]
            assert {message["Body"] for message in found} == {
                str(self._sent - number) for number in range(len(self._running))
            }
            for message in found:
                sqs.delete_message(QueueUrl="q", ReceiptHandle=message["ReceiptHandle"])


def wait_for_line_as_it_is(server: ServerProcess, line: str) -> None:
    """Wait until the log has a line, with the fingerprints of its keys."""
    wait_until(lambda: line in server.errors(), f"the log has no such line: {line}")


@pytest.fixture
def cluster(postgresql: str, tmp_path: Path, clients: Clients) -> Iterator[Cluster]:
    with contextlib.closing(Cluster(postgresql, tmp_path, clients)) as cluster:
        yield cluster


def test_key_is_rotated_in_two_steps_without_an_error(
    cluster: Cluster, postgresql: str, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        cluster.write_keys(name, OLD)
        cluster.start(name, *KEY_FILE)
    cluster.check_messages()
    for keys in ((OLD, NEW), (NEW, OLD)):
        for name in ("one", "two"):
            server = cluster.reload(name, *keys)
            cluster.check_messages()
        if keys == (OLD, NEW):
            wait_for_line(server, shown("reload 1: encryption keys: 'key-2026'"))
    commands = KeyCommands(postgresql, tmp_path)
    assert commands.lines("rekey", NEW, OLD)[-1].endswith(": done")
    for name in ("one", "two"):
        cluster.reload(name, NEW)
        cluster.check_messages()
    assert id_of(OLD).fingerprint not in "\n".join(commands.lines("check", NEW))


def test_server_that_still_encrypts_with_the_old_key_makes_check_name_it(
    cluster: Cluster, postgresql: str, tmp_path: Path
) -> None:
    cluster.write_keys("one", OLD)
    cluster.start("one", *KEY_FILE)
    cluster.reload("one", OLD, NEW)
    commands = KeyCommands(postgresql, tmp_path)
    commands.lines("rekey", NEW, OLD)
    needed = f"the database needs the key {id_of(OLD)} for 1 data key"
    assert needed not in commands.lines("check", NEW, OLD)
    cluster.check_messages()
    assert needed in commands.lines("check", NEW, OLD)


def test_encryption_is_turned_on_in_two_steps_without_an_error(cluster: Cluster) -> None:
    for name in ("one", "two"):
        cluster.write_keys(name, OLD)
        cluster.start(name)
    cluster.check_messages()
    for mode in (OFF, ()):
        for name in ("one", "two"):
            cluster.start(name, *KEY_FILE, *mode)
            cluster.check_messages()


def test_server_without_the_key_answers_the_documented_error(cluster: Cluster) -> None:
    cluster.start("one")
    cluster.write_keys("two", OLD)
    cluster.start("two", *KEY_FILE)
    cluster.sqs("two").create_queue(QueueName="q")
    cluster.sqs("two").send_message(QueueUrl="q", MessageBody="x")
    sqs = cluster.sqs("one")
    with pytest.raises(sqs.exceptions.KmsNotFound):
        sqs.receive_message(QueueUrl="q")


def test_duplicate_is_accepted_only_while_one_server_encrypts_and_the_other_does_not(
    cluster: Cluster,
) -> None:
    for name in ("one", "two"):
        cluster.write_keys(name, OLD)
        cluster.start(name, *KEY_FILE, *OFF)
    assert count_sent(cluster, "off.fifo") == 1
    cluster.start("one", *KEY_FILE)
    assert count_sent(cluster, "mixed.fifo") == 2
    cluster.start("two", *KEY_FILE)
    assert count_sent(cluster, "on.fifo") == 1


def count_sent(cluster: Cluster, queue: str) -> int:
    """Send the same message to both servers; return how many the queue has."""
    cluster.sqs("one").create_queue(QueueName=queue, Attributes=FIFO)
    for name in ("one", "two"):
        cluster.sqs(name).send_message(QueueUrl=queue, MessageBody="x", MessageGroupId="g")
    attributes = ["ApproximateNumberOfMessages"]
    answer = cluster.sqs("one").get_queue_attributes(QueueUrl=queue, AttributeNames=attributes)
    return int(answer["Attributes"][attributes[0]])


def test_tables_of_postgresql_can_be_written_again_as_documented(
    cluster: Cluster, postgresql: str
) -> None:
    cluster.write_keys("one", OLD)
    cluster.start("one", *KEY_FILE)
    cluster.check_messages()
    *_, statement = shlex.split(step("psql ").command)
    execute(postgresql, statement)
    cluster.check_messages()
