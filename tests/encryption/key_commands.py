"""The commands `rekey` and `check` as child processes, and the files of keys that they read."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from queueserver.encryption.key_texts import parse_keys, text_of
from storage.encryption.keyring import KeyId, Keyring
from tests.api.server_process import command, environment
from tests.encryption.key_configuration import FILE, write
from tests.waiting import TIMEOUT_SECONDS


def new_key(name: str) -> str:
    """Return the text of a new key."""
    return text_of(name, os.urandom(32))


def id_of(key: str) -> KeyId:
    """Return the id of a key, given its text."""
    return ring_of(key).first.id


def ring_of(*keys: str) -> Keyring:
    """Return the keyring of keys, given their texts."""
    return Keyring(parse_keys("\n".join(keys)))


class KeyCommands:
    """Runs commands on one database, with files of keys in a directory."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self._directory = directory

    def arguments(self, *keys: str) -> tuple[str, ...]:
        """Return the arguments for the database and for a new file of these keys, if any."""
        database = ("--database", self.url)
        if not keys:
            return database
        name = "-".join(str(id_of(key).fingerprint) for key in keys)
        file = write(self._directory / f"keys-{name}", "\n".join(keys))
        return (*database, FILE, str(file))

    def run(self, name: str, *keys: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            command(name, *self.arguments(*keys)),
            cwd=self._directory,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS * 2,
            check=False,
        )

    def lines(self, name: str, *keys: str, status: int = 0) -> list[str]:
        """Run a command that must end with a status and no error; return its lines."""
        process = self.run(name, *keys)
        assert (process.returncode, process.stderr) == (status, ""), process
        return process.stdout.splitlines()

    def start(self, name: str, *keys: str) -> subprocess.Popen[bytes]:
        """Start a command."""
        return subprocess.Popen(
            command(name, *self.arguments(*keys)), env=environment(), stdout=subprocess.DEVNULL
        )
