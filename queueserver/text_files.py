"""The small files that the configuration names: secrets, keys and policies."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from queueserver.start_errors import StartError


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


def create_private_file(path: str, text: str, flag: str) -> None:
    """Create a file that only its owner can access; `flag` names it in the error.

    Raises:
        StartError: the file exists already, or cannot be written.
    """
    try:
        # O_EXCL fails on an existing file, also on a symbolic link.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StartError(f"{flag}: cannot create {path!r}: {reason}") from error


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
