"""Keys in a real process: errors at the start, and core dumps."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import pytest

from queueserver.cli import main
from tests.api.server_process import STOP_SECONDS, ServerProcess, command, environment
from tests.encryption.key_configuration import OLD, VARIABLE, check_no_secrets, write
from tests.waiting import wait_until


def run(
    folder: Path, words: Sequence[str], text: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with a text as its input."""
    return subprocess.run(
        words,
        cwd=folder,
        env=environment(**settings),
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "settings", "line"),
    [
        pytest.param(
            ["--encryption", "always"],
            {},
            "--encryption: 'always' needs a key: set --encryption-key-file, "
            f"--encryption-key-command or {VARIABLE}",
            id="mode without a key",
        ),
        pytest.param(
            [],
            {VARIABLE: f"{OLD},{OLD}"},
            f"{VARIABLE}: key 2: the key is the same as key 1, remove one of them",
            id="variable",
        ),
        pytest.param(
            ["--encryption-key-file", "keys"],
            {},
            "--encryption-key-file: the file has mode 0644, which gives its group or others "
            "access: change it to 0600 or 0400, or set --loose-secret-files",
            id="file",
        ),
        pytest.param(
            ["--encryption-key-command", "sh -c 'cat keys >&2; exit 2'"],
            {},
            "--encryption-key-command: the command ended with exit status 2; run it by hand, its "
            "error output is not shown here",
            id="command",
        ),
        pytest.param(
            ["--encryption-key-command", "cat"],
            {},
            "--encryption-key-command: there is no key, `queueserver keys new --encryption` makes "
            "one",
            id="command without input",
        ),
        pytest.param(
            [f"--encryption-key={OLD}"],
            {},
            "--encryption-key is not a flag, because other users can see the flags of a process: "
            f"set --encryption-key-file, --encryption-key-command or {VARIABLE}",
            id="flag",
        ),
    ],
)
def test_mistake_stops_the_start_with_one_line(
    arguments: list[str], settings: dict[str, str], line: str, tmp_path: Path
) -> None:
    write(tmp_path / "keys", OLD, 0o644)
    ended = run(tmp_path, command("--port", "0", *arguments), f"{OLD}\n", **settings)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"queueserver: error: {line}\n"
    check_no_secrets(ended.stderr)


WITHOUT_PACKAGE = """
import sys
sys.modules["cryptography"] = None
from queueserver.entry_point import main
sys.exit(main())
"""


def test_missing_package_stops_the_start_with_one_line(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WITHOUT_PACKAGE, "--port", "0"]
    ended = run(tmp_path, words, **{VARIABLE: OLD})
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"queueserver: error: {VARIABLE}: encryption needs the package cryptography: "
        "pip install cryptography\n"
    )


# Stop


SLOW = "#!/bin/sh\necho $$ > pid\nexec sleep 60\n"
"""A command that writes its process ID to a file and then prints nothing."""


def wait_for_command(folder: Path) -> Path:
    """Wait until the command runs; return the file with its state."""
    path = folder / "pid"
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
    return Path(f"/proc/{path.read_text().strip()}/stat")


def has_ended(state: Path) -> bool:
    """Return whether a process has ended; its parent need not have read its exit status."""
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_stop_while_the_command_runs_at_the_start_kills_it(tmp_path: Path) -> None:
    write(tmp_path / "vault", SLOW, 0o700)
    words = command("--port", "0", "--encryption-key-command", "./vault")
    with subprocess.Popen(words, cwd=tmp_path, env=environment()) as process:
        state = wait_for_command(tmp_path)
        process.terminate()
        assert process.wait(STOP_SECONDS / 2) == 0
    assert has_ended(state)


def test_stop_while_the_command_runs_at_a_reload_kills_it(tmp_path: Path) -> None:
    vault = write(tmp_path / "vault", f"#!/bin/sh\necho '{OLD}'\n", 0o700)
    arguments = ("--encryption-key-command", "./vault")
    with ServerProcess(*arguments, directory=tmp_path) as server:
        write(tmp_path / "slow", SLOW, 0o700).rename(vault)
        server.send_signal(signal.SIGHUP)
        state = wait_for_command(tmp_path)
        started = perf_counter()
        status, output, errors = server.stop()
        assert (status, output) == (0, "")
        assert "ERROR" not in errors
        assert "Traceback" not in errors
        assert perf_counter() - started < STOP_SECONDS / 2
    assert has_ended(state)


# Core dumps

POSSIBLE = pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_CORE)[1] == 0, reason="no process can write core dumps"
)
WITH_CORE_DUMPS = ("sh", "-c", 'ulimit -Sc "$(ulimit -Hc)" && exec "$@"', "sh")
"""A command that executes its arguments, with the highest possible limit of core dumps."""


def writes_core_dumps(server: ServerProcess) -> bool:
    """Return whether the system writes a core dump if a process crashes."""
    limits = Path(f"/proc/{server.pid}/limits").read_text()
    (limit,) = re.findall(r"^Max core file size +(\S+)", limits, re.MULTILINE)
    return bool(limit != "0")


@POSSIBLE
@pytest.mark.parametrize("settings", [{}, {VARIABLE: OLD}], ids=["no keys", "keys"])
def test_process_with_keys_writes_no_core_dumps(settings: dict[str, str], tmp_path: Path) -> None:
    with ServerProcess(directory=tmp_path, settings=settings, within=WITH_CORE_DUMPS) as server:
        assert writes_core_dumps(server) != bool(settings)
        check_no_secrets(server.errors() + server.line)


@POSSIBLE
def test_process_with_keys_of_a_reload_writes_no_core_dumps(tmp_path: Path) -> None:
    file = write(tmp_path / "queueserver.toml", "encryption = 'off'")
    write(tmp_path / "keys", OLD)
    arguments = ("--config", str(file))
    with ServerProcess(*arguments, directory=tmp_path, within=WITH_CORE_DUMPS) as server:
        assert writes_core_dumps(server)
        write(file, "encryption = 'off'\nencryption-key-file = 'keys'")
        server.send_signal(signal.SIGHUP)
        wait_until(lambda: "reload 1" in server.errors())
        assert not writes_core_dumps(server)
        check_no_secrets(server.errors())


@POSSIBLE
@pytest.mark.parametrize("name", ["check", "rekey"])
def test_command_with_keys_writes_no_core_dumps(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, OLD)
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        assert main([name, "--database", f"sqlite:///{tmp_path}/none"]) == 2
        assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
