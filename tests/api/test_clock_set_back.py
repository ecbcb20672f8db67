"""A system clock that is set back an hour, while a server runs and before it starts."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.api.raw_http import Answer
from tests.api.server_process import ROOT, ServerProcess

HOUR_SECONDS = 3_600

# Python runs this at its start. The file `step` holds the seconds to add to the time.
SET_CLOCK = """
import time
from pathlib import Path
step = Path(__file__).with_name("step")
real = time.time_ns
time.time_ns = lambda: real() + int(step.read_text()) * 10**9
"""


class Machine:
    """A machine with an adjustable clock and one server."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        (directory / "sitecustomize.py").write_text(SET_CLOCK)
        self.set_clock(0)

    def set_clock(self, step_seconds: int) -> None:
        (self._directory / "next").write_text(f"{step_seconds}")
        (self._directory / "next").rename(self._directory / "step")

    def start(self) -> ServerProcess:
        return ServerProcess(
            "--database",
            "sqlite:///q.db",
            directory=self._directory,
            settings={"PYTHONPATH": f"{self._directory}:{ROOT}"},
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def call(server: ServerProcess, action: str, **parameters: object) -> Answer:
    """Call an action that must succeed."""
    answer = server.call(action, **parameters)
    assert answer.status == 200, answer.body
    return answer


def receive_bodies(server: ServerProcess) -> list[str]:
    answer = call(server, "ReceiveMessage", QueueUrl="q", VisibilityTimeout=0)
    return [message["Body"] for message in json.loads(answer.body).get("Messages", ())]


def test_running_server_keeps_working_when_the_clock_is_set_back(machine: Machine) -> None:
    with machine.start() as server:
        call(server, "CreateQueue", QueueName="q")
        before = call(server, "SendMessage", QueueUrl="q", MessageBody="before")
        machine.set_clock(-HOUR_SECONDS)
        assert receive_bodies(server) == ["before"]
        after = call(server, "ListQueues")
        first, second = (parsedate_to_datetime(one.headers["date"]) for one in (before, after))
        assert first <= second
        assert server.stop()[2].count("clock set back, continuing from the latest time at ") == 1


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "stopped"])
def test_server_started_with_an_older_clock_keeps_messages_visible(
    machine: Machine, is_killed: bool
) -> None:
    with machine.start() as server:
        call(server, "CreateQueue", QueueName="q")
        call(server, "SendMessage", QueueUrl="q", MessageBody="before")
        if not is_killed:
            assert server.stop()[0] == 0
    machine.set_clock(-HOUR_SECONDS)
    with machine.start() as server:
        assert receive_bodies(server) == ["before"]
