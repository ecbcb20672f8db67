"""The command that prints the keys: how it is run, and that it cannot delay a start for long."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from queueserver.config import load
from queueserver.encryption import key_command
from tests.encryption.key_configuration import COMMAND, OLD, error, key_id, write
from tests.waiting import wait_until

BY_HAND = "; run it by hand, its error output is not shown here"


def python(program: str) -> str:
    """Return a command that runs a Python program."""
    return shlex.join([sys.executable, "-S", "-c", program])


def failure(command: str) -> str:
    """Return the reason for which a command is rejected."""
    return error({"encryption_key_command": command}).removeprefix(f"{COMMAND}: ")


MISTAKES = [
    pytest.param("false", f"the command ended with exit status 1{BY_HAND}", id="failure"),
    pytest.param(
        python(f"import sys; print('{OLD}'); sys.exit('PASSPHRASE')"),
        f"the command ended with exit status 1{BY_HAND}",
        id="failure after output",
    ),
    pytest.param("sh -c 'exit 3'", f"the command ended with exit status 3{BY_HAND}", id="status"),
    pytest.param(
        "sh -c 'kill -9 $$'", f"the command ended with signal 9{BY_HAND}", id="killed by another"
    ),
    pytest.param(
        f"/nowhere/vault {OLD}", "cannot start the command: No such file or directory", id="missing"
    ),
    pytest.param("/", "cannot start the command: Permission denied", id="folder"),
    pytest.param(
        f"echo '{OLD}", "cannot split the command into words: No closing quotation", id="quotation"
    ),
    pytest.param("echo \\", "cannot split the command into words: No escaped character", id="end"),
    pytest.param("echo \0", "embedded null byte", id="null character"),
    pytest.param(" ", "the command has no words", id="space"),
    pytest.param("'' x", "the command has no words", id="empty word"),
    pytest.param("printf '\\377'", "the output of the command is not UTF-8", id="not UTF-8"),
    pytest.param(
        "cat /dev/zero", "the command printed more than 65536 bytes", id="output without an end"
    ),
    pytest.param(
        "true", "there is no key, `queueserver keys new --encryption` makes one", id="no output"
    ),
]


@pytest.mark.parametrize(("command", "reason"), MISTAKES)
def test_command_that_fails_is_rejected_in_one_line(command: str, reason: str) -> None:
    assert failure(command) == reason


def test_output_may_be_as_long_as_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "keys", f"{OLD}\n#".ljust(65_536, "#"))
    keyring = load({"encryption_key_command": f"cat {path}"}, {}).keyring
    assert keyring is not None
    assert keyring.ids == [key_id("main", 1)]
    write(path, f"{OLD}\n#".ljust(65_537, "#"))
    assert failure(f"cat {path}") == "the command printed more than 65536 bytes"


def test_command_is_not_run_by_a_shell() -> None:
    keyring = load({"encryption_key_command": f"printf '%s' '{OLD}'"}, {}).keyring
    assert keyring is not None
    # A shell would print the key alone.
    assert "the key is not base64" in failure(f"echo '{OLD}' ; true")


def test_command_has_the_environment_of_the_server(tmp_path: Path) -> None:
    write(tmp_path / "vault", f"#!/bin/sh\necho {OLD[:5]}$REST\n", 0o700)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "REST": OLD[5:]}
    assert load({"encryption_key_command": "vault"}, environment).keyring is not None


BACKGROUND = "(echo started >&3; exec sleep 60) 3>fifo"
"""A process that has the pipe to the test open as long as it runs, and the command's stdout."""

SLOW = "the command was killed after 0.5 s"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        pytest.param(f"{BACKGROUND} & wait", SLOW, id="runs"),
        pytest.param(f"{BACKGROUND} >&- & exec >&-; wait", SLOW, id="closes its stdout"),
        pytest.param(f"{BACKGROUND} &", SLOW, id="leaves a process that has its stdout open"),
        pytest.param(f"trap '' TERM; {BACKGROUND} & wait", SLOW, id="ignores SIGTERM"),
        pytest.param(
            f"{BACKGROUND} & read line <fifo; cat /dev/zero",
            "the command printed more than 65536 bytes",
            id="prints without an end",
        ),
    ],
)
def test_slow_command_is_killed_with_its_processes(
    command: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert key_command.TIMEOUT_SECONDS == 10
    monkeypatch.setattr(key_command, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    reader = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert failure(shlex.join(["sh", "-c", command])) == reason
        assert "read" in command or os.read(reader, 100) == b"started\n"
        # The pipe has ended when no process has it open.
        wait_until(lambda: _has_ended(reader), "a process of the command still runs")
    finally:
        os.close(reader)


def _has_ended(reader: int) -> bool:
    try:
        return os.read(reader, 1) == b""
    except BlockingIOError:
        return False


def test_command_leaves_no_open_files() -> None:
    folder = Path("/dev/fd")
    before = len(list(folder.iterdir()))
    for command in ("true", "false", "cat /dev/zero", "/nowhere"):
        failure(command)
    assert len(list(folder.iterdir())) == before
