"""The command `rekey`: beside servers and their clients, after SIGKILL, and its output."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from queueserver.cli import main
from queueserver.rules.envelope import Envelope
from storage.maintenance import check
from tests.api.server_process import ServerProcess, failed_start
from tests.api.sqs_clients import Clients, Sqs, json_client, open_clients, receive_all
from tests.encryption.filled_databases import (
    add_unused_data_keys,
    count_wrapped_by,
    fill,
    read_all,
    rows_of_data_keys,
    start_and_stop,
    usage,
)
from tests.encryption.key_commands import KeyCommands, id_of, new_key, ring_of
from tests.waiting import poll_until_timeout

OLD, NEW, LOST = new_key("old"), new_key("new"), new_key("lost")
DATA_KEYS = 2_000
NOTHING = "nothing to do: the keys that wrap the data keys and the secret are current"
_KILLS = 3


@pytest.fixture(scope="session")
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    with open_clients(request.config) as clients:
        yield clients


@pytest.fixture
def commands(database_url: str, tmp_path: Path) -> KeyCommands:
    """Return the commands on each kind of database."""
    return KeyCommands(database_url, tmp_path)


class Traffic:
    """Clients that send, receive and delete until they are stopped; every error is raised."""

    def __init__(self, sqs: Sqs) -> None:
        self._sqs = sqs
        self._stop = threading.Event()
        self.sent: list[str] = []
        self.received: list[str] = []

    def send(self, sender: int) -> None:
        """Send messages, each with its own body."""
        number = 0
        while not self._stop.is_set():
            body = f"sender {sender} message {number}"
            self._sqs.send_message(QueueUrl="q", MessageBody=body)
            self.sent.append(body)
            number += 1

    def receive(self) -> None:
        """Receive and delete messages."""
        while not self._stop.is_set():
            answer = self._sqs.receive_message(QueueUrl="q", MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                self.received.append(message["Body"])
                self._sqs.delete_message(QueueUrl="q", ReceiptHandle=message["ReceiptHandle"])

    def stop(self) -> None:
        """End the clients after their current calls."""
        self._stop.set()


def test_rekey_while_clients_send_and_receive_loses_no_message(
    commands: KeyCommands, clients: Clients, tmp_path: Path
) -> None:
    bodies = fill(commands.url, ring_of(OLD), DATA_KEYS)
    with ServerProcess(*commands.arguments(NEW, OLD), directory=tmp_path) as server:
        traffic = Traffic(json_client(clients, server.url))
        with ThreadPoolExecutor(4) as threads:
            running = [threads.submit(traffic.send, sender) for sender in range(2)]
            running += [threads.submit(traffic.receive) for _ in range(2)]
            try:
                lines = commands.lines("rekey", NEW, OLD)
            finally:
                traffic.stop()
            for client in running:
                client.result(30)
        assert server.stop()[0] == 0
        assert "ERROR" not in server.errors()
    assert lines[0] == f"wrapped {DATA_KEYS} data keys with the key {id_of(NEW)}"
    assert lines[-1].endswith(": done")
    assert traffic.sent
    assert traffic.received
    with ServerProcess(*commands.arguments(NEW), directory=tmp_path) as server:
        rest = list(receive_all(json_client(clients, server.url)))
        assert server.stop()[0] == 0
    assert Counter(traffic.received + rest) == Counter([*bodies, *traffic.sent])


def test_rekey_that_is_killed_several_times_can_be_finished(
    commands: KeyCommands, tmp_path: Path
) -> None:
    url, old_ring, both = commands.url, ring_of(OLD), ring_of(NEW, OLD)
    bodies = fill(url, old_ring, 500)
    add_unused_data_keys(url, old_ring, 4_500)
    partial = 0
    for _ in range(_KILLS):
        before = count_wrapped_by(url, "new")
        threshold = before + random.randint(1, 1_000)
        process = commands.start("rekey", NEW, OLD)
        for _ in poll_until_timeout():
            if count_wrapped_by(url, "new") >= threshold or process.poll() is not None:
                break
        process.kill()
        process.wait()
        partial += before < count_wrapped_by(url, "new") < 5_000
        assert check(url, Envelope.can_decode, both).damage == []
    assert partial >= 2
    assert commands.lines("rekey", NEW, OLD)[-1] == f"rekeyed {url}: done"
    assert usage(url) == ({"new": 5_000}, "new")
    rows = rows_of_data_keys(url)
    assert commands.lines("rekey", NEW, OLD)[0] == NOTHING
    assert rows_of_data_keys(url) == rows
    assert f"encrypted with the key {id_of(NEW)}" in failed_start(
        *commands.arguments(OLD), directory=tmp_path
    )
    assert read_all(url, ring_of(NEW)) == bodies


def test_rekey_names_a_missing_key_and_wraps_the_others(sqlite: str, tmp_path: Path) -> None:
    commands = KeyCommands(sqlite, tmp_path)
    fill(sqlite, ring_of(LOST), 2)
    fill(sqlite, ring_of(OLD, LOST), 1)
    missing = f"the key {id_of(LOST)} is not among the configured keys"
    assert commands.lines("rekey", NEW, OLD, status=1) == [
        f"wrapped 1 data key with the key {id_of(NEW)}",
        f"cannot wrap 2 data keys: {missing}",
        f"cannot wrap the secret: {missing}",
        f"the database needs the key {id_of(LOST)} for 2 data keys and the secret",
        f"the database needs the key {id_of(NEW)} for 1 data key",
        removable(OLD),
        f"rekeyed {sqlite}: not complete",
    ]
    assert commands.lines("rekey", NEW, LOST, OLD) == [
        f"wrapped 2 data keys with the key {id_of(NEW)}",
        f"wrapped the secret with the key {id_of(NEW)}",
        f"the database needs the key {id_of(NEW)} for 3 data keys and the secret",
        removable(LOST),
        removable(OLD),
        f"rekeyed {sqlite}: done",
    ]


def removable(key: str) -> str:
    return (
        f"the database does not need the key {id_of(key)}: unless a queue names it as its "
        "KmsMasterKeyId, it can be removed once no server encrypts with it, and no backup that "
        "needs it is kept"
    )


def test_older_key_of_a_name_can_be_removed_whatever_queues_name(
    sqlite: str, tmp_path: Path
) -> None:
    commands, older, newer = KeyCommands(sqlite, tmp_path), new_key("main"), new_key("main")
    fill(sqlite, ring_of(older), 1)
    line = commands.lines("rekey", newer, older)[-2]
    assert line.startswith(f"the database does not need the key {id_of(older)}: it can be removed")
    other = f"the configured one has the fingerprint {id_of(older).fingerprint}"
    assert commands.lines("rekey", older, status=1)[:1] == [
        f"cannot wrap 1 data key: the key {id_of(newer)} is missing, {other}"
    ]


def test_rekey_of_a_database_that_encrypts_nothing_changes_nothing(
    commands: KeyCommands,
) -> None:
    start_and_stop(commands.url, None)
    assert commands.lines("rekey", NEW)[:-1] == [NOTHING]
    assert usage(commands.url) == ({}, None)


@pytest.mark.parametrize(
    ("keys", "url", "words"),
    [
        pytest.param([], "", "there are no encryption keys: set --encryption-key-file", id="keys"),
        pytest.param([NEW], "sqlite:///none.db", "there is no file none.db", id="missing file"),
        pytest.param([NEW], "sqlite://", "a database in memory belongs", id="in memory"),
        pytest.param(
            [NEW], "postgresql://u:sekret@127.0.0.1:1/d", "cannot reach", id="no PostgreSQL"
        ),
    ],
)
def test_failed_rekey_prints_one_line(
    sqlite: str, tmp_path: Path, keys: list[str], url: str, words: str
) -> None:
    process = KeyCommands(url or sqlite, tmp_path).run("rekey", *keys)
    assert (process.returncode, process.stdout) == (2, "")
    (line,) = process.stderr.splitlines()
    assert line.startswith("queueserver: error: ")
    assert words in line
    assert "sekret" not in line
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("command", ["rekey", "check"])
def test_key_after_a_wrong_flag_is_not_shown(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--encryption-key", NEW]) == 2
    error = capfd.readouterr().err
    assert error.startswith("queueserver: error: --encryption-key is not a flag")
    assert NEW.partition(":")[2] not in error
