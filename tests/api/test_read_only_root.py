"""A read-only root except the data directory and /tmp, as in `docker run --read-only`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.api.raw_http import Answer, exchange
from tests.api.server_process import ROOT, ServerProcess

_READ_ONLY = """
data=$0 source=$1; shift
mount --bind /tmp /tmp
mount --bind "$source" "$source"
mount --bind "$data" "$data"
mount -o remount,bind,ro /
mount -o remount,bind,ro "$source"
for directory in /var "$source"; do
    if touch "$directory/written" 2> "$data/rejected"; then exit 1; fi
done
exec "$@"
"""
"""Runs in its own mount namespace, so no other process sees these mounts.

The files in /tmp stay visible, because the source and the interpreter may be there.
"""


def within(data: Path) -> list[str]:
    """Return the command that runs its arguments with a read-only root."""
    return ["unshare", "--mount", "sh", "-e", "-c", _READ_ONLY, str(data), str(ROOT)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Create the data directory; skip the test where no read-only root can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a read-only root")
    directory = tmp_path / "data"
    directory.mkdir()
    if subprocess.run([*within(directory), "true"], check=False, capture_output=True).returncode:
        pytest.skip("a read-only root cannot be mounted here")
    return directory


def call(server: ServerProcess, action: str, **parameters: object) -> Answer:
    """Call an action that must succeed."""
    answer = server.call(action, **parameters)
    assert answer.status == 200, answer
    return answer


def test_server_writes_only_to_its_data_directory(tmp_path: Path, data: Path) -> None:
    database = f"sqlite:///{data / 'q.db'}"
    with ServerProcess("--database", database, directory=tmp_path, within=within(data)) as server:
        attributes = {"FifoQueue": "true"}
        call(server, "CreateQueue", QueueName="q.fifo", Attributes=attributes)
        entries = [
            {
                "Id": str(number),
                "MessageBody": "x" * 100_000,
                "MessageGroupId": str(number),
                "MessageDeduplicationId": str(number),
            }
            for number in range(10)
        ]
        call(server, "SendMessageBatch", QueueUrl="q.fifo", Entries=entries)
        received = call(server, "ReceiveMessage", QueueUrl="q.fifo", MaxNumberOfMessages=10)
        receipts = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
            for number, message in enumerate(json.loads(received.body)["Messages"])
        ]
        assert len(receipts) == 10
        call(server, "DeleteMessageBatch", QueueUrl="q.fifo", Entries=receipts)
        assert exchange(server.url, "GET", "/health").status == 200
        assert server.stop() == (0, "", "")
    assert (data / "q.db").stat().st_size > 0
