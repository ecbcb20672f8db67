"""What can be wrong with the database itself, as the process is told of it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

from storage import schema

_COLLISION_STATES = ("40001", "40P01")
"""What SQL calls a serialization failure and a deadlock."""


class DatabaseUnusable(Exception):
    """The database cannot be opened; the text is one clear line, without passwords."""


class DatabaseUnavailable(Exception):
    """The database does not answer now, or not any more; trying again may help."""


class DatabaseBusy(DatabaseUnavailable):
    """So much waits for the database that no more is taken; trying again in a while helps."""


def is_passing(error: BaseException) -> bool:
    """Tell whether an error says nothing about the work that met it.

    A connection that was lost in mid-operation must not be taken for the work's fault: the COMMIT
    may have been done, and work that is run again would then be done twice.
    """
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, DBAPIError) and error.statement is None:
        return True  # there was no connection to say anything on
    if isinstance(error, sa.exc.TimeoutError):
        return True  # all connections were in use for too long
    return isinstance(error, OperationalError | InterfaceError | OSError)


def is_collision(error: DBAPIError) -> bool:
    """Tell whether work met another server's at the same rows, and may simply be done again."""
    state = getattr(error.orig, "sqlstate", None)
    return isinstance(error, IntegrityError) or state in _COLLISION_STATES


def explain(error: Exception, where: str) -> str:
    """Word in one line why a database cannot be used."""
    if isinstance(error, schema.ForeignDatabase):
        return f"{where} holds tables that are not queueserver's: give it a database of its own"
    if isinstance(error, schema.NewerSchema):
        return f"{where} was written by a newer queueserver (schema {error}): upgrade this one"
    if isinstance(error, OSError):
        return f"cannot reach {where}: {error.strerror or error}"
    reason = error.orig if isinstance(error, DBAPIError) else error
    if "malformed" in str(reason):
        return f"{where} is damaged ({reason}): put a backup in its place"
    return f"cannot use {where}: {' '.join(str(reason).split())}"
