"""A machine whose clock is set back an hour: under a server that runs, and before one starts."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.api.raw_http import Answer, exchange, json_headers
from tests.api.server_process import ROOT, ServerProcess

HOUR_SECONDS = 3_600

# Python runs this before anything else; what it is to add to the time may change meanwhile.
SET_CLOCK = """
import time
from pathlib import Path
step = Path(__file__).with_name("step")
machines = time.time_ns
time.time_ns = lambda: machines() + int(step.read_text()) * 10**9
"""


class Machine:
    """A machine with a clock of its own, and one server."""

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


def ask(server: ServerProcess, action: str, **parameters: object) -> Answer:
    body = json.dumps(parameters)
    answer = exchange(server.url, headers=json_headers(action), body=body)
    assert answer.status == 200, answer.body
    return answer


def received(server: ServerProcess) -> list[str]:
    answer = ask(server, "ReceiveMessage", QueueUrl="q", VisibilityTimeout=0)
    return [message["Body"] for message in json.loads(answer.body).get("Messages", ())]


def test_a_server_goes_on_when_its_machine_s_clock_is_set_back(machine: Machine) -> None:
    with machine.start() as server:
        ask(server, "CreateQueue", QueueName="q")
        before = ask(server, "SendMessage", QueueUrl="q", MessageBody="before")
        machine.set_clock(-HOUR_SECONDS)
        assert received(server) == ["before"]
        after = ask(server, "ListQueues")
        first, second = (parsedate_to_datetime(one.headers["date"]) for one in (before, after))
        assert first <= second
        assert server.stop()[2].count("clock set back, continuing from the latest time at ") == 1


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "stopped"])
def test_a_server_that_starts_beside_a_clock_that_is_behind_goes_on(
    machine: Machine, is_killed: bool
) -> None:
    with machine.start() as server:
        ask(server, "CreateQueue", QueueName="q")
        ask(server, "SendMessage", QueueUrl="q", MessageBody="before")
        if not is_killed:
            assert server.stop()[0] == 0
    machine.set_clock(-HOUR_SECONDS)
    with machine.start() as server:
        assert received(server) == ["before"]
