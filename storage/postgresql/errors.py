"""PostgreSQL's SQLSTATEs, and what each means for the work that met it."""

from __future__ import annotations

import asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError

from storage import errors
from storage.errors import (
    ClassifiedError,
    DatabaseDamaged,
    DatabaseUnavailable,
    DiskFull,
    WriteConflict,
    driver_error,
)

_DAMAGED = ("XX001", "XX002")
"""data_corrupted, index_corrupted."""

_CONFLICTS = ("40001", "40P01")
"""serialization_failure, deadlock_detected."""

_DISK_FULL = "53100"

_LOST = ("08", "57P", "25006")
"""Connection exceptions, server shutdown, read_only_sql_transaction (after a failover).

The connection is of no further use. These, and those below, are prefixes of SQLSTATEs."""

_TRANSIENT = (*_LOST, "53", "55P03", "57014", "58")
"""Also insufficient resources, lock_not_available, query_canceled, and system errors."""


def classify(error: BaseException) -> ClassifiedError | None:
    """Return what an error means for the process, or None if the work itself is at fault."""
    state = _state(error)
    if state.startswith(_DAMAGED):
        return DatabaseDamaged(str(driver_error(error)))
    if state == _DISK_FULL:
        return DiskFull(str(driver_error(error)))
    if is_transient(error):
        return DatabaseUnavailable(str(error) or "no answer")
    # A unique violation too: another server has inserted the same row.
    if isinstance(error, IntegrityError) or (isinstance(error, DBAPIError) and state in _CONFLICTS):
        return WriteConflict(str(driver_error(error)))
    return None


def is_connection_loss(error: BaseException) -> bool:
    """Return whether the SQLSTATE says that the connection is of no further use."""
    return _state(error).startswith(_LOST)


def is_transient(error: BaseException) -> bool:
    """Return whether an error says nothing about the work that was running."""
    return (
        _state(error).startswith(_TRANSIENT)
        or errors.is_transient(error)
        or _is_unusable_connection(error)
    )


def _is_unusable_connection(error: BaseException) -> bool:
    """Return whether asyncpg reports a lost connection or an unexpected answer, without SQLSTATE.

    Those of its errors that are also a ValueError are about parameters or about the URL.
    """
    is_asyncpgs = isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError)
    return is_asyncpgs and not isinstance(error, ValueError)


def _state(error: BaseException) -> str:
    return getattr(driver_error(error), "sqlstate", None) or ""
