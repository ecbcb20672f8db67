"""A new master key, and the lines that the operator pastes."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from queueserver.encryption.key_sources import KEY_VARIABLE
from queueserver.encryption.key_texts import check_name, text_of
from queueserver.start_errors import ConfigError
from queueserver.text_files import create_private_file
from storage.encryption.aead import KEY_BYTES

DEFAULT_NAME = "main"


def make(name: str | None, key_file: Path | None) -> str:
    """Make a key from random bytes; return the lines to paste, and how to use them.

    `key_file` is created with the key as its content, and then the lines do not contain it.

    Raises:
        ConfigError: the name is not allowed.
        StartError: the file exists already, or cannot be written.
    """
    try:
        line = text_of(check_name(DEFAULT_NAME if name is None else name), os.urandom(KEY_BYTES))
    except ValueError as error:
        raise ConfigError(f"--name: {error}") from None
    if key_file is None:
        lines = [
            "# For the server: a line of the file of --encryption-key-file, which has mode 0600",
            line,
            "",
            "# Instead of a file: an environment variable",
            f"{KEY_VARIABLE}={line}",
        ]
    else:
        path = str(key_file.absolute())
        create_private_file(path, f"{line}\n", "--key-file")
        lines = [
            "# For the server: an environment variable; the new file has mode 0600",
            f"{KEY_VARIABLE}_FILE={shlex.quote(path)}",
        ]
    return "\n".join([*lines, "", *_ADVICE, ""])


_ADVICE = (
    "# Keep a copy of the key elsewhere, not beside the backups of the database: without the key,",
    "# the stored messages are lost.",
    "# To rotate: put the new key above the old ones, which still decrypt; reload or restart the",
    "# server. With several servers, first add the new key below the old ones on all of them.",
)
