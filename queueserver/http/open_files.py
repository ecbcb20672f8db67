"""The system's limit of open files: each client connection uses one."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

SPARE_CONNECTIONS = 10
"""For every 10 connections of the limit, one more is accepted and answered with 503."""

_OWN_FILES = 100
"""Open files that are not connections of clients: of the database, and of libraries."""

_WANTED_FILES = 1_048_576
"""The limit that the process sets if the system allows any."""


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


def possible_connections(limit: int) -> int:
    """Return how many client connections can be open: `limit`, or what open files allow."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return limit
    possible = max(int((files - _OWN_FILES) / (1 + 1 / SPARE_CONNECTIONS)), 1)
    if possible < limit:
        log.warning(
            "the limit of open files is too low for connection_limit, so fewer connections are "
            "accepted; raise it with `ulimit -n`: connections=%d connection_limit=%d open_files=%d",
            possible,
            limit,
            files,
        )
    return min(limit, possible)
