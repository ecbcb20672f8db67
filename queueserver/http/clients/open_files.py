"""The system's limit of open files: each client connection takes one."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

_MOST_EXCESS_CONNECTIONS = 1_000
"""Number of connections beyond the limit that the server answers with 503."""

_EXCESS_SHARE = 10
"""If open files are too few, the limit divided by this is how many are answered with 503."""

_OWN_FILES = 100
"""Number of open files reserved for the database and for libraries, not for clients."""

_WANTED_FILES = 1_048_576
"""Number of open files that the process requests if the system has no limit."""


def raise_limit() -> None:
    """Raise the process's limit of open files to the highest that the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            log.warning(
                "cannot raise the limit of open files, so fewer connections are accepted; "
                "raise it with `ulimit -n`: open_files=%d reason=%s",
                soft,
                error,
            )


def possible_connections(limit: int) -> tuple[int, int]:
    """Return how many client connections can be open, and how many beyond them are answered 503.

    The first is `limit`, or less if files are too few.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return limit, _MOST_EXCESS_CONNECTIONS
    usable = max(files - _OWN_FILES, 2)
    possible = max(int(usable / (1 + 1 / _EXCESS_SHARE)), 1)
    if possible < limit:
        log.warning(
            "the limit of open files is too low for connection_limit, so fewer connections are "
            "accepted; raise it with `ulimit -n`: connections=%d connection_limit=%d open_files=%d",
            possible,
            limit,
            files,
        )
    limit = min(limit, possible)
    return limit, min(_MOST_EXCESS_CONNECTIONS, usable - limit)
