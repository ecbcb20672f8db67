"""The `queueserver` command as a child process."""

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

from tests.api.raw_http import Answer, call_action
from tests.waiting import TIMEOUT_SECONDS

STOP_SECONDS = 10
ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "queueserver")
_LISTENING = re.compile(
    r"queueserver listening on (https?://\S+(?: https?://\S+)*) \((.*)\)(, access .*)?\n"
)


def command(*arguments: str) -> list[str]:
    return [*PROGRAM, *arguments]


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment, with the given queueserver settings and no others."""
    inherited = {name: value for name, value in os.environ.items() if "QUEUESERVER" not in name}
    return {**inherited, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **settings}


def failed_start(*arguments: str, directory: Path) -> str:
    """Run a server that must fail to start; check exit status and output, return its error line."""
    process = subprocess.run(
        command(*arguments),
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert (process.returncode, process.stdout) == (2, ""), process.stderr
    assert process.stderr.endswith("\n")
    (line,) = process.stderr.splitlines()
    return line


class ServerProcess:
    """A running server; the end of the `with` block kills it if it still runs.

    `within` is a command that executes the command in its arguments. `program` is the command that
    starts a server.
    """

    def __init__(
        self,
        *arguments: str,
        directory: Path,
        settings: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._errors = directory / "stderr"
        self._errors.write_text("")
        # A read through the descriptor of the process would begin where that has just written.
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(
                [*within, *program, "--port", "0", *arguments],
                cwd=directory,
                env=environment(**(settings or {})),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self._output: IO[str] = self._process.stdout
        try:
            self.line = self._first_line()
            found = _LISTENING.fullmatch(self.line)
            assert found, f"the server did not start: {self.line}{self.errors()}"
        except BaseException:
            self.__exit__()  # an unclosed file is a warning, which fails a later test
            raise
        self.urls = found[1].split()
        self.url, self.database = self.urls[0], found[2]

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()

    def _first_line(self) -> str:
        ready, _, _ = select.select([self._output], [], [], TIMEOUT_SECONDS)
        return self._output.readline() if ready else ""

    def call(self, action: str, **parameters: object) -> Answer:
        """Call an action in the JSON protocol."""
        return call_action(self.url, "json", action, parameters)

    def errors(self) -> str:
        """Return the error output so far."""
        return self._errors.read_text()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal; return the exit status, further output, and the error output."""
        self._process.send_signal(number)
        status = self._process.wait(STOP_SECONDS)
        return status, self._output.read(), self.errors()
