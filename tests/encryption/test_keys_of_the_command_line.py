"""Keys in a real process: errors at the start, and core dumps."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.api.server_process import ServerProcess, command, environment
from tests.encryption.key_configuration import OLD, VARIABLE, check_no_secrets, write


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
        "pip install 'queueserver[encryption]'\n"
    )


# Core dumps


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_CORE)[1] == 0, reason="no process can write core dumps"
)
@pytest.mark.parametrize("settings", [{}, {VARIABLE: OLD}], ids=["no keys", "keys"])
def test_process_with_keys_writes_no_core_dumps(settings: dict[str, str], tmp_path: Path) -> None:
    unlimited = ("sh", "-c", 'ulimit -Sc "$(ulimit -Hc)" && exec "$@"', "sh")
    with ServerProcess(directory=tmp_path, settings=settings, within=unlimited) as server:
        limits = Path(f"/proc/{server.pid}/limits").read_text()
        check_no_secrets(server.errors() + server.line)
    (limit,) = re.findall(r"^Max core file size +(\S+) +(\S+)", limits, re.MULTILINE)
    assert (limit == ("0", "0")) == bool(settings)
