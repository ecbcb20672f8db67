"""SQLite's error codes and texts, and what each means for the work that met it."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import IntegrityError

from storage.errors import (
    ClassifiedError,
    DatabaseDamaged,
    DatabaseUnavailable,
    DiskFull,
    WriteConflict,
    driver_error,
    is_transient,
)

_DAMAGED = ("malformed", "Could not decode to UTF-8")
"""Texts, because sqlite3 raises the second without an error code."""


def classify(error: BaseException) -> ClassifiedError | None:
    """Return what an error means for the process, or None if the work itself is at fault."""
    if is_damage(error):
        # SQLite quotes the stored text: it may be a message body, which must not reach a log.
        return DatabaseDamaged(str(driver_error(error)).partition(" with text ")[0])
    if _code(error) == sqlite3.SQLITE_FULL:
        return DiskFull(str(driver_error(error)))
    if is_transient(error):
        return DatabaseUnavailable(str(error) or "no answer")
    if isinstance(error, IntegrityError):
        return WriteConflict(str(driver_error(error)))
    return None


def is_damage(error: BaseException) -> bool:
    """Return whether an error means that the file is not what was written to it."""
    driver = driver_error(error)
    return isinstance(driver, sqlite3.DatabaseError) and any(
        text in str(driver) for text in _DAMAGED
    )


def is_busy(error: BaseException) -> bool:
    """Return whether another program holds the file's write lock (SQLITE_BUSY)."""
    return _code(error) == sqlite3.SQLITE_BUSY


def _code(error: BaseException) -> int | None:
    return getattr(driver_error(error), "sqlite_errorcode", None)
