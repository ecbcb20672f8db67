"""Backup and restore, by the commands in docs/backup.md."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from tests.api.server_process import ServerProcess, command, environment
from tests.api.sqs_clients import Clients, Sqs, bodies, refusal
from tests.markdown import code_blocks, text_of

DATABASE = ("--database", "sqlite:///queueserver.db")


def commands() -> tuple[str, str]:
    """Return the commands in docs/backup.md that back up and restore."""
    blocks = code_blocks(text_of("docs/backup.md"), "sh")
    back_up, restore = (block.strip() for block in blocks if "backup.db" in block)
    assert back_up.startswith("queueserver backup ")
    return back_up, restore


def run(line: str, directory: Path) -> subprocess.CompletedProcess[str]:
    words = line.split()
    arguments = command(*words[1:]) if words[0] == "queueserver" else ["sh", "-c", line]
    return subprocess.run(
        arguments,
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def client(clients: Clients, url: str) -> Sqs:
    return clients.get("json", url, "test", "us-east-1")


def drain(sqs: Sqs) -> Iterator[str]:
    while received := bodies(sqs.receive_message(QueueUrl="q", MaxNumberOfMessages=10)):
        yield from received


def test_documented_commands_bring_a_busy_database_back(tmp_path: Path, clients: Clients) -> None:
    back_up, restore = commands()
    stop = Event()
    with ServerProcess(*DATABASE, directory=tmp_path) as server:
        sqs = client(clients, server.url)
        sqs.create_queue(QueueName="q")
        for number in range(100):
            sqs.send_message(QueueUrl="q", MessageBody=f"before {number}")
        held = sqs.receive_message(QueueUrl="q", VisibilityTimeout=600)["Messages"][0]

        def send(sender: int) -> int:
            number = 0
            while not stop.is_set():
                sqs.send_message(QueueUrl="q", MessageBody=f"meanwhile {sender} {number}")
                number += 1
            return number

        with ThreadPoolExecutor(2) as threads:
            sending = [threads.submit(send, sender) for sender in range(2)]
            ended = run(back_up, tmp_path)
            stop.set()
            assert all(done.result(60) for done in sending)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.startswith("backed up sqlite:///queueserver.db to backup.db (")
        for number in range(50):
            sqs.send_message(QueueUrl="q", MessageBody=f"after {number}")
        assert server.stop()[0] == 0
    assert sorted(path.name for path in tmp_path.glob("backup*")) == ["backup.db"]
    assert run(restore, tmp_path).returncode == 0
    with ServerProcess(*DATABASE, directory=tmp_path) as server:
        sqs = client(clients, server.url)
        sqs.delete_message(QueueUrl="q", ReceiptHandle=held["ReceiptHandle"])
        found = list(drain(sqs))
        left = {f"before {number}" for number in range(100)} - {held["Body"]}
        assert left <= set(found)
        assert len(found) == len(set(found))
        assert not [body for body in found if body.startswith("after")]


def test_receipts_of_messages_sent_after_the_backup_name_no_later_message(
    tmp_path: Path, clients: Clients
) -> None:
    back_up, restore = commands()
    with ServerProcess(*DATABASE, directory=tmp_path) as server:
        sqs = client(clients, server.url)
        sqs.create_queue(QueueName="q")
        sqs.send_message(QueueUrl="q", MessageBody="before")
        list(drain(sqs))
        assert run(back_up, tmp_path).returncode == 0
        sqs.send_message(QueueUrl="q", MessageBody="forgotten")
        (forgotten,) = sqs.receive_message(QueueUrl="q")["Messages"]
        assert server.stop()[0] == 0
    assert run(restore, tmp_path).returncode == 0
    with ServerProcess(*DATABASE, directory=tmp_path) as server:
        sqs = client(clients, server.url)
        sqs.send_message(QueueUrl="q", MessageBody="new")
        sqs.delete_message(QueueUrl="q", ReceiptHandle=forgotten["ReceiptHandle"])
        assert list(drain(sqs)) == ["new"]
        assert refusal(sqs.delete_message, QueueUrl="q", ReceiptHandle="x").status == 404


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param("--database sqlite:///none.db backup.db", "there is no file none.db", id="no"),
        pytest.param(
            "--database sqlite:///foreign.db backup.db", "not queueserver's", id="foreign"
        ),
        pytest.param("--database sqlite:///text backup.db", "file is not a database", id="no db"),
        pytest.param("--database sqlite:// backup.db", "only a SQLite file", id="memory"),
        pytest.param("--database postgresql://u:hidden@h/d b.db", "pg_dump", id="postgresql"),
        pytest.param("--database sqlite:///foreign.db text", "text is there already", id="there"),
        pytest.param("--database sqlite:///foreign.db no/b.db", "no/b.db", id="no directory"),
        pytest.param("--database sqlite:///foreign.db", "FILE", id="no file"),
        pytest.param("--port 1 b.db", "--port", id="a setting of the server"),
    ],
)
def test_what_keeps_it_from_backing_up_is_said_in_one_line(
    tmp_path: Path, arguments: str, words: str
) -> None:
    (tmp_path / "text").write_text("This is no database, but long enough to be one. " * 100)
    connection = sqlite3.connect(tmp_path / "foreign.db")
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    before = sorted(path.name for path in tmp_path.iterdir())
    ended = run(f"queueserver backup {arguments}", tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("queueserver: error: ")
    assert words in line
    assert "hidden" not in line
    assert sorted(path.name for path in tmp_path.iterdir()) == before
