"""The command itself, as a process of its own."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.api.live_server import PATIENCE_SECONDS

STOP_SECONDS = 10
ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "queueserver")
_LISTENING = re.compile(r"queueserver listening on (http://\S+) \((.*)\)\n")


def command(*arguments: str) -> list[str]:
    return [*PROGRAM, *arguments]


def environment(**settings: str) -> dict[str, str]:
    """Give this process's environment, without any setting but those given."""
    kept = {name: value for name, value in os.environ.items() if "QUEUESERVER" not in name}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **settings}


def failed_start(*arguments: str, directory: Path) -> str:
    """Run a server that must not start; see that it fails as it should, and give its last words."""
    ended = subprocess.run(
        command(*arguments),
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    assert ended.stderr.endswith("\n")
    (line,) = ended.stderr.splitlines()
    return line


class ServerProcess:
    """A running server; leaving the `with` block kills it if it still runs.

    `within` is a command that becomes the one that it is given, `program` the command that starts
    a server.
    """

    def __init__(
        self,
        *arguments: str,
        directory: Path,
        settings: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._errors = (directory / "stderr").open("w+")
        self._process = subprocess.Popen(
            [*within, *program, "--port", "0", *arguments],
            cwd=directory,
            env=environment(**(settings or {})),
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self._output: IO[str] = self._process.stdout
        try:
            self.line = self._first_line()
            found = _LISTENING.fullmatch(self.line)
            assert found, f"it did not start: {self.line}{self.errors()}"
        except BaseException:
            self.__exit__()  # an open file would be a warning, and fail a later test
            raise
        self.url, self.database = found.groups()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()
        self._errors.close()

    def _first_line(self) -> str:
        ready, _, _ = select.select([self._output], [], [], PATIENCE_SECONDS)
        return self._output.readline() if ready else ""

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal; give the exit status, and what was printed after the first line."""
        self._process.send_signal(number)
        status = self._process.wait(STOP_SECONDS)
        return status, self._output.read(), self.errors()
