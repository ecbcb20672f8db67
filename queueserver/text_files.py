"""Reading the small files that the configuration names: secrets, keys and policies."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_text(path: Path, limit: int, *, is_private: bool) -> str:
    """Return the text of a file of at most `limit` bytes.

    The path is opened at each call, so a symbolic link is followed to its present target. A private
    file must not be accessible to its group or to others.

    Raises:
        ValueError: the file cannot be read, or is not private. The error does not contain the path:
            an operator may have written a secret instead of a path.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            _check_status(os.fstat(file.fileno()), is_private=is_private)
            content = file.read(limit + 1)
    except OSError as error:
        reason = error.strerror or "input/output error"
        raise ValueError(f"cannot read the file: {reason}") from None
    if len(content) > limit:
        raise ValueError(f"the file has more than {limit} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8") from None


def _open(path: str, flags: int) -> int:
    # A named pipe without a writer would block the start.
    return os.open(path, flags | os.O_NONBLOCK)


def _check_status(status: os.stat_result, *, is_private: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    if is_private and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(
            f"the file has mode {stat.S_IMODE(status.st_mode):04o}, which gives its group or "
            "others access: change it to 0600 or 0400, or set --loose-secret-files"
        )
