"""Full, failing and read-only disks, and damaged files: SQS errors, and recovery."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.api.raw_http import exchange, parse_error
from tests.api.server_process import ServerProcess, failed_start

KIB = 1024
BIG = "x" * 64 * KIB


def send(server: ServerProcess, body: str) -> bool:
    """Send a message, and return whether it was acknowledged; a rejection must be retryable."""
    answer = server.call("SendMessage", QueueUrl="q", MessageBody=body)
    if answer.status == 200:
        return True
    assert (answer.status, parse_error(answer).code) == (503, "ServiceUnavailable")
    return False


def receive_all(server: ServerProcess) -> list[str]:
    found: list[str] = []
    while True:
        answer = server.call("ReceiveMessage", QueueUrl="q", MaxNumberOfMessages=10)
        assert answer.status == 200, answer.body
        messages = json.loads(answer.body).get("Messages")
        if not messages:
            return found
        found += [message["Body"] for message in messages]


def fill_disk(server: ServerProcess, prefix: str) -> list[str]:
    """Send until the server rejects a message; return the acknowledged bodies."""
    sent: list[str] = []
    for number in range(1_000):
        body = f"{prefix} {number} {BIG}"
        if not send(server, body):
            return sent
        sent.append(body)
    raise AssertionError("the disk never became full")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Create a file system of 4 MiB; skip the test where that is not possible."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)


def test_full_disk_rejects_sends_answers_reads_and_loses_no_message(
    tmp_path: Path, small_disk: Path
) -> None:
    url = f"sqlite:///{small_disk}/q.db"
    (small_disk / "ballast").write_bytes(bytes(1024 * KIB))
    with ServerProcess("--database", url, directory=tmp_path) as server:
        assert server.call("CreateQueue", QueueName="q").status == 200
        sent = fill_disk(server, "before")
        assert sent
        for _ in range(3):
            assert not send(server, f"rejected {BIG}")
        names = ["ApproximateNumberOfMessages"]
        answer = server.call("GetQueueAttributes", QueueUrl="q", AttributeNames=names)
        assert json.loads(answer.body)["Attributes"] == {names[0]: str(len(sent))}
        assert exchange(server.url, "GET", "/health").status == 200
        assert server.stop()[0] == 0
    with ServerProcess("--database", url, directory=tmp_path) as server:
        answer = server.call("ListQueues")
        assert len(json.loads(answer.body)["QueueUrls"]) == 1
        (small_disk / "ballast").unlink()
        sent += fill_disk(server, "after")
        enlarge(small_disk)
        assert send(server, "recovered")
        assert sorted(receive_all(server)) == sorted([*sent, "recovered"])


def test_delete_on_full_disk_is_applied_or_rejected(tmp_path: Path, small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/q.db"
    with ServerProcess("--database", url, directory=tmp_path) as server:
        assert server.call("CreateQueue", QueueName="q").status == 200
        sent = [f"{number}" for number in range(50)]
        assert all(map(send, [server] * len(sent), sent))
        handles: dict[str, str] = {}
        while len(handles) < len(sent):
            answer = server.call("ReceiveMessage", QueueUrl="q", MaxNumberOfMessages=10)
            for message in json.loads(answer.body)["Messages"]:
                handles[message["Body"]] = message["ReceiptHandle"]
        fill_disk(server, "before")

        def delete(body: str) -> int:
            answer = server.call("DeleteMessage", QueueUrl="q", ReceiptHandle=handles[body])
            return answer.status

        outcomes = {body: delete(body) for body in sent}
        assert set(outcomes.values()) <= {200, 503}
        assert 503 in outcomes.values()
        enlarge(small_disk)
        rejected = [body for body, status in outcomes.items() if status == 503]
        assert delete(rejected[0]) == 200
        for body in rejected[1:]:
            answer = server.call(
                "ChangeMessageVisibility",
                QueueUrl="q",
                ReceiptHandle=handles[body],
                VisibilityTimeout=0,
            )
            assert answer.status == 200
        remaining = [body for body in receive_all(server) if body in sent]
        assert sorted(remaining) == sorted(rejected[1:])


def test_failing_writes_are_rejected_until_the_disk_recovers(tmp_path: Path) -> None:
    with ServerProcess("--database", "sqlite:///q.db", directory=tmp_path) as server:
        assert server.call("CreateQueue", QueueName="q").status == 200
        sent = [f"{number}" for number in range(20)]
        assert all(map(send, [server] * len(sent), sent))
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        largest = max(path.stat().st_size for path in tmp_path.glob("q.db*"))
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (largest, hard))
        sent += fill_disk(server, "failing")
        assert not send(server, f"rejected {BIG}")
        assert server.call("ListQueues").status == 200
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert send(server, "recovered")
        assert sorted(receive_all(server)) == sorted([*sent, "recovered"])
        assert server.stop()[0] == 0


def create_database(path: Path) -> None:
    """Create a database with messages, and stop the server."""
    with ServerProcess("--database", f"sqlite:///{path}", directory=path.parent) as server:
        assert server.call("CreateQueue", QueueName="q").status == 200
        for number in range(20):
            assert send(server, f"{number} {BIG}")
        assert server.stop()[0] == 0


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    """Fill with garbage the root page of every tree except the schema table."""
    connection = sqlite3.connect(path)
    roots = connection.execute("SELECT rootpage FROM sqlite_master WHERE rootpage > 1").fetchall()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        for (page,) in roots:
            file.seek((page - 1) * page_bytes)
            file.write(b"\xff" * page_bytes)


@pytest.mark.parametrize("damage", [truncate, overwrite])
def test_damaged_database_file_stops_the_start_with_its_name(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    create_database(tmp_path / "q.db")
    damage(tmp_path / "q.db")
    line = failed_start("--database", "sqlite:///q.db", directory=tmp_path)
    assert line.startswith("queueserver: error: q.db is damaged (database disk image is malformed)")


def test_read_only_database_file_stops_the_start_with_its_name(
    tmp_path: Path, small_disk: Path
) -> None:
    create_database(small_disk / "q.db")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    line = failed_start("--database", f"sqlite:///{small_disk}/q.db", directory=tmp_path)
    assert line == f"queueserver: error: cannot open {small_disk}/q.db: Read-only file system"
