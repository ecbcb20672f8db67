"""Configuration files with users, and the files that they name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from queueserver.config import Config, load
from queueserver.logs import one_line
from queueserver.start_errors import ConfigError

SECRET = "THE-SECRET-OF-THESE-TESTS"
"""The secret in all files and variables; no error and no output may contain it."""

SECOND, THIRD = f"{SECRET}-2", f"{SECRET}-3"

KEY_PAIR = {
    "QUEUESERVER_ACCESS_KEY_ID": "AKPAIR",
    "QUEUESERVER_SECRET_ACCESS_KEY": SECRET,
}
NOW = 1_800_000_000.0
"""A time in January 2027, in seconds since the epoch."""


class UserFiles:
    """A folder with a configuration file and three private files of secrets.

    They are `secret`, `second` and `third`, and each has another secret.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "queueserver.toml"
        for name, secret in (("secret", SECRET), ("second", SECOND), ("third", THIRD)):
            self.write(name, secret)

    def write(self, name: str, content: str | bytes, mode: int = 0o600) -> Path:
        """Write a file with a mode into the folder."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def load(self, document: str, environment: Mapping[str, str] | None = None) -> Config:
        """Load a configuration file with this content."""
        self.path.write_text(document)
        return load({"config": str(self.path)}, environment or {}, NOW)

    def error(self, document: str, environment: Mapping[str, str] | None = None) -> str:
        """Return the line that the command prints for a file, without the path of the file."""
        with pytest.raises(ConfigError) as caught:
            self.load(document, environment)
        line = one_line(str(caught.value))
        assert SECRET not in line
        return line.removeprefix(f"{self.path}: ")


def key(name: str = "AKONE", source: str = "secret_file = 'secret'", more: str = "") -> str:
    """Return an access key as a TOML table; `more` begins with a comma."""
    return f"{{ id = '{name}', {source}{more} }}"


def user(name: str, *lines: str, keys: str | None = None) -> str:
    """Return a user as a TOML table. Without `keys`, it has the key AK<NAME>."""
    items = key(f"AK{name.upper()}") if keys is None else keys
    return "\n".join([f"[users.{name}]", *lines, f"keys = [{items}]", ""])
