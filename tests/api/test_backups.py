"""Backup and restore, by the commands in docs/backup.md."""

from __future__ import annotations

import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from tests.api.server_process import ServerProcess, command, environment
from tests.api.sqs_clients import Clients, json_client, receive_all, rejection
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


def test_documented_commands_back_up_and_restore_a_busy_database(
    tmp_path: Path, clients: Clients
) -> None:
    back_up, restore = commands()
    stop = Event()
    with ServerProcess(*DATABASE, directory=tmp_path) as server:
        sqs = json_client(clients, server.url)
        sqs.create_queue(QueueName="q")
        for number in range(100):
            sqs.send_message(QueueUrl="q", MessageBody=f"before {number}")
        in_flight = sqs.receive_message(QueueUrl="q", VisibilityTimeout=600)["Messages"][0]

        def send(sender: int) -> int:
            number = 0
            while not stop.is_set():
                sqs.send_message(QueueUrl="q", MessageBody=f"meanwhile {sender} {number}")
                number += 1
            return number

        with ThreadPoolExecutor(2) as threads:
            sending = [threads.submit(send, sender) for sender in range(2)]
            process = run(back_up, tmp_path)
            stop.set()
            assert all(sender.result(60) for sender in sending)
        assert (process.returncode, process.stderr) == (0, "")
        assert process.stdout.startswith("backed up sqlite:///queueserver.db to backup.db (")
        for number in range(50):
            sqs.send_message(QueueUrl="q", MessageBody=f"after {number}")
        assert server.stop()[0] == 0
    assert sorted(path.name for path in tmp_path.glob("backup*")) == ["backup.db"]
    assert (tmp_path / "backup.db").stat().st_mode & 0o777 == 0o600
    assert run(restore, tmp_path).returncode == 0
    with ServerProcess(*DATABASE, directory=tmp_path) as server:
        sqs = json_client(clients, server.url)
        sqs.delete_message(QueueUrl="q", ReceiptHandle=in_flight["ReceiptHandle"])
        found = list(receive_all(sqs))
        expected = {f"before {number}" for number in range(100)} - {in_flight["Body"]}
        assert expected <= set(found)
        assert len(found) == len(set(found))
        assert not [body for body in found if body.startswith("after")]


def test_receipt_handle_from_after_the_backup_deletes_no_new_message(
    tmp_path: Path, clients: Clients
) -> None:
    back_up, restore = commands()
    with ServerProcess(*DATABASE, directory=tmp_path) as server:
        sqs = json_client(clients, server.url)
        sqs.create_queue(QueueName="q")
        sqs.send_message(QueueUrl="q", MessageBody="before")
        list(receive_all(sqs))
        assert run(back_up, tmp_path).returncode == 0
        sqs.send_message(QueueUrl="q", MessageBody="after")
        (lost,) = sqs.receive_message(QueueUrl="q")["Messages"]
        assert server.stop()[0] == 0
    assert run(restore, tmp_path).returncode == 0
    with ServerProcess(*DATABASE, directory=tmp_path) as server:
        sqs = json_client(clients, server.url)
        sqs.send_message(QueueUrl="q", MessageBody="new")
        sqs.delete_message(QueueUrl="q", ReceiptHandle=lost["ReceiptHandle"])
        assert list(receive_all(sqs)) == ["new"]
        assert rejection(sqs.delete_message, QueueUrl="q", ReceiptHandle="x").status == 404


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(
            "--database sqlite:///none.db backup.db", "there is no file none.db", id="missing file"
        ),
        pytest.param(
            "--database sqlite:///foreign.db backup.db", "not queueserver's", id="foreign database"
        ),
        pytest.param(
            "--database sqlite:///text backup.db", "file is not a database", id="no database"
        ),
        pytest.param("--database sqlite:// backup.db", "only a SQLite file", id="in memory"),
        pytest.param("--database postgresql://u:secret@h/d b.db", "pg_dump", id="postgresql"),
        pytest.param(
            "--database sqlite:///foreign.db text", "text is there already", id="existing backup"
        ),
        pytest.param("--database sqlite:///foreign.db no/b.db", "no/b.db", id="missing directory"),
        pytest.param("--database sqlite:///foreign.db", "FILE", id="missing argument"),
        pytest.param("--port 1 b.db", "--port", id="server option"),
    ],
)
def test_failed_backup_command_prints_one_line(tmp_path: Path, arguments: str, text: str) -> None:
    (tmp_path / "text").write_text("This is no database, but long enough to be one. " * 100)
    connection = sqlite3.connect(tmp_path / "foreign.db")
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    before = sorted(path.name for path in tmp_path.iterdir())
    process = run(f"queueserver backup {arguments}", tmp_path)
    assert (process.returncode, process.stdout) == (2, "")
    (line,) = process.stderr.splitlines()
    assert line.startswith("queueserver: error: ")
    assert text in line
    assert "secret" not in line
    assert sorted(path.name for path in tmp_path.iterdir()) == before
