"""A root that is read-only, but for the data and /tmp, as `docker run --read-only` makes it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.api.raw_http import Answer, exchange, json_headers
from tests.api.server_process import ROOT, ServerProcess

_READ_ONLY = """
data=$0 source=$1; shift
mount --bind /tmp /tmp
mount --bind "$source" "$source"
mount --bind "$data" "$data"
mount -o remount,bind,ro /
mount -o remount,bind,ro "$source"
for place in /var "$source"; do
    if touch "$place/written" 2> "$data/refused"; then exit 1; fi
done
exec "$@"
"""
"""In a mount namespace of its own: no other process sees these mounts.

What is in /tmp stays visible, because the source and the interpreter may be there.
"""


def within(data: Path) -> list[str]:
    return ["unshare", "--mount", "sh", "-e", "-c", _READ_ONLY, str(data), str(ROOT)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Give a directory to be bound; only root may do so."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a root that is read-only")
    made = tmp_path / "data"
    made.mkdir()
    if subprocess.run([*within(made), "true"], check=False, capture_output=True).returncode:
        pytest.skip("no root that is read-only can be made here")
    return made


def ask(server: ServerProcess, action: str, **parameters: object) -> Answer:
    answer = exchange(server.url, headers=json_headers(action), body=json.dumps(parameters))
    assert answer.status == 200, answer
    return answer


def test_a_server_needs_to_write_nothing_but_its_data(tmp_path: Path, data: Path) -> None:
    database = f"sqlite:///{data / 'q.db'}"
    with ServerProcess("--database", database, directory=tmp_path, within=within(data)) as server:
        attributes = {"FifoQueue": "true"}
        ask(server, "CreateQueue", QueueName="q.fifo", Attributes=attributes)
        entries = [
            {
                "Id": str(number),
                "MessageBody": "x" * 100_000,
                "MessageGroupId": str(number),
                "MessageDeduplicationId": str(number),
            }
            for number in range(10)
        ]
        ask(server, "SendMessageBatch", QueueUrl="q.fifo", Entries=entries)
        found = ask(server, "ReceiveMessage", QueueUrl="q.fifo", MaxNumberOfMessages=10)
        receipts = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
            for number, message in enumerate(json.loads(found.body)["Messages"])
        ]
        assert len(receipts) == 10
        ask(server, "DeleteMessageBatch", QueueUrl="q.fifo", Entries=receipts)
        assert exchange(server.url, "GET", "/health").status == 200
        assert server.stop() == (0, "", "")
    assert (data / "q.db").stat().st_size > 0
