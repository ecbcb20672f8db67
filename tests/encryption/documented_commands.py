"""The commands of the page about encryption, run as the page has them, and their outputs.

Times, fingerprints, IDs, sizes and paths are masked in both: they differ between two runs.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.api.server_process import ServerProcess, environment, failed_start
from tests.markdown import marked_code_blocks, text_of
from tests.waiting import TIMEOUT_SECONDS, wait_until

PAGE = text_of("docs/encryption.md")
BLOCKS = marked_code_blocks(PAGE)
KEY_FILE = ("--encryption-key-file", "keys")

_MASKS = {
    r"\d{4}-\d\d-\d\dT[0-9:.]+Z": "TIME",
    r"fingerprint [0-9a-f]{16}": "fingerprint F",
    r"message_id=[0-9a-f-]{36}": "message_id=ID",
    r"\b\d+ data keys?": "N data keys",
    r"\(\d+ bytes\)": "(N bytes)",
    r"KEY_FILE=\S+/keys": "KEY_FILE=/keys",
}


def masked(text: str) -> str:
    """Return a text without what differs between two runs."""
    for pattern, word in _MASKS.items():
        text = re.sub(pattern, word, text)
    return text


def shown(part: str) -> str:
    """Return the only text of the page with a part in it, masked."""
    (block,) = (block for language, block in BLOCKS if language == "text" and part in block)
    return masked(block)


class Step(NamedTuple):
    """A command of the page, and the text that the page shows behind it, if any."""

    command: str
    output: str


def steps() -> list[Step]:
    """Return all commands of the page, in their order."""
    after = [*BLOCKS[1:], ("", "")]
    return [
        Step(block, masked(next_block) if next_language == "text" else "")
        for (language, block), (next_language, next_block) in zip(BLOCKS, after, strict=True)
        if language == "sh"
    ]


def step(part: str) -> Step:
    """Return the only step with a part of its command or of its output."""
    (found,) = (each for each in steps() if part in each.command or masked(part) in each.output)
    return found


class DocumentedCommands:
    """Runs commands of the page in a directory, in which `queueserver` is a program."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        programs = directory / "programs"
        programs.mkdir()
        self.add_program("queueserver", f'exec {shlex.quote(sys.executable)} -m queueserver "$@"')

    def add_program(self, name: str, script: str) -> None:
        """Make a program of a shell script."""
        program = self.directory / "programs" / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    @property
    def settings(self) -> dict[str, str]:
        """The variables with which the programs are found."""
        inherited = environment()
        return {"PATH": f"{self.directory / 'programs'}:{inherited['PATH']}"}

    def run(self, part: str) -> None:
        """Run a step; it must succeed, and print the text that the page shows, if any."""
        documented = step(part)
        process = subprocess.run(
            ["sh", "-e", "-c", documented.command],
            cwd=self.directory,
            env=environment(**self.settings),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS * 2,
            check=False,
        )
        assert (process.returncode, process.stderr) == (0, ""), process
        if documented.output:
            assert masked(process.stdout) == documented.output

    def start(self, *arguments: str) -> ServerProcess:
        """Start a server in the directory."""
        return ServerProcess(*arguments, directory=self.directory, settings=self.settings)

    def start_as(self, documented: Step) -> ServerProcess:
        """Start a server with the flags of the page; its log must have the line of the page."""
        program, *flags = shlex.split(documented.command)
        assert program == "queueserver"
        server = self.start(*flags)
        try:
            wait_for_line(server, documented.output)
        except BaseException:
            server.__exit__()
            raise
        return server

    def error(self, *arguments: str) -> str:
        """Start a server that must fail; return its line, masked."""
        return masked(failed_start(*arguments, directory=self.directory) + "\n")

    def lines(self, *arguments: str) -> list[str]:
        """Run a command of the server; return its lines, masked."""
        process = subprocess.run(
            ["queueserver", *arguments],
            cwd=self.directory,
            env=environment(**self.settings),
            stdout=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_SECONDS * 2,
            check=True,
        )
        return masked(process.stdout).splitlines()

    def keep_keys(self, *names: str) -> None:
        """Write the file of keys again, with the keys of these names in this order."""
        path = self.directory / "keys"
        by_name = {line.partition(":")[0]: line for line in path.read_text().splitlines()}
        path.write_text("".join(f"{by_name[name]}\n" for name in names))


def wait_for_line(server: ServerProcess, line: str) -> None:
    """Wait until the log has a line, masked."""
    wait_until(lambda: line in masked(server.errors()), f"the log has no such line: {line}")
