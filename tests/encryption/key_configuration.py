"""Texts of keys, the settings that name them, and the errors of a configuration with them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest

from queueserver.config import load
from queueserver.logs import one_line
from queueserver.start_errors import ConfigError
from storage.encryption.keyring import KeyId, MasterKey

FILE, COMMAND = "--encryption-key-file", "--encryption-key-command"
VARIABLE = "QUEUESERVER_ENCRYPTION_KEY"


def encoded(number: int) -> str:
    """Return a key as base64; each number has another one."""
    return base64.b64encode(bytes([number]) * 16 + bytes(range(16))).decode()


def line_of(name: str, number: int) -> str:
    """Return the text form of a key."""
    return f"{name}:{encoded(number)}"


def key_id(name: str, number: int) -> KeyId:
    """Return the ID of a key."""
    return MasterKey(name, base64.b64decode(encoded(number))).id


OLD, NEW = line_of("main", 1), line_of("main", 2)
SECRETS = [encoded(number)[:20] for number in range(1, 5)]
"""The beginnings of all keys; no error and no output may contain them."""


def write(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    """Write a file with a mode."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def check_no_secrets(text: str) -> None:
    """Assert that a text has nothing of a key or a passphrase."""
    assert [secret for secret in [*SECRETS, "PASSPHRASE"] if secret in text] == []


def error(flags: Mapping[str, str], environment: Mapping[str, str] | None = None) -> str:
    """Return the line that the command prints for a configuration."""
    with pytest.raises(ConfigError) as caught:
        load(flags, environment or {})
    line = one_line(str(caught.value))
    check_no_secrets(line)
    return line
