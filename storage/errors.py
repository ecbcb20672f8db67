"""What can be wrong with the database itself, as the process is told of it."""

from __future__ import annotations

import re

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

from storage import migrations

_COLLISION_STATES = ("40001", "40P01")
"""What SQL calls a serialization failure and a deadlock."""

_LOST_STATES = ("08", "57P", "25006")
"""What SQL calls a connection that is lost or of no use any more: the server goes, or only reads.

These and those below are beginnings of codes."""

_PASSING_STATES = (*_LOST_STATES, "53", "55P03", "57014", "58")
"""What else says nothing about the work: no room, or it took too long."""


_DAMAGED_STATES = ("XX001", "XX002")
"""What SQL databases call data, and an index, that is damaged."""

_DAMAGED_TEXTS = ("malformed", "Could not decode to UTF-8")


class DatabaseUnusable(Exception):
    """The database cannot be opened; the text is one clear line, without passwords."""


class DatabaseUnavailable(Exception):
    """The database does not answer now, or not any more; trying again may help."""


class DatabaseDamaged(Exception):
    """What is asked for lies where the database is damaged; trying again does not help."""


class DatabaseBusy(DatabaseUnavailable):
    """So much waits for the database that no more is taken; trying again in a while helps."""


def _state(error: BaseException) -> str:
    orig = error.orig if isinstance(error, DBAPIError) else error
    return getattr(orig, "sqlstate", None) or ""


def is_damage(error: BaseException) -> bool:
    """Tell whether an error means that the database is not what was written to it."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    if _state(error).startswith(_DAMAGED_STATES):
        return True
    # Drivers of databases all call their errors so, and some tell no more than a text.
    is_databases = any(kind.__name__ == "DatabaseError" for kind in type(orig).__mro__)
    return is_databases and any(text in str(orig) for text in _DAMAGED_TEXTS)


def describe_damage(error: BaseException) -> str:
    """Say what the database says of damage, without what is stored there, which SQLite quotes."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    return str(orig).partition(" with text ")[0]


def is_connection_loss(error: BaseException) -> bool:
    """Tell whether an error means that the connection is of no use any more, by what it says."""
    return _state(error).startswith(_LOST_STATES)


def is_transient(error: BaseException) -> bool:
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
    if _state(error).startswith(_PASSING_STATES):
        return True
    return isinstance(error, OperationalError | InterfaceError | OSError)


def is_write_conflict(error: DBAPIError) -> bool:
    """Tell whether work met another server's at the same rows, and may simply be done again."""
    return isinstance(error, IntegrityError) or _state(error) in _COLLISION_STATES


def translate(error: Exception) -> Exception | None:
    """Return the error that callers get for an error of the database; None for any other error."""
    if is_damage(error):
        return DatabaseDamaged(describe_damage(error))
    if is_transient(error):
        return DatabaseUnavailable(str(error) or "no answer")
    return None


def summarize(error: BaseException) -> str:
    """Return the first line of an error; what follows may quote the contents of rows."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    return str(orig).partition("\n")[0] or type(error).__name__


def mask_password(url: str) -> str:
    """Return a database URL that may be printed: any password in it is three stars.

    Masks up to the last `@`, as an unescaped one inside a password must not show its second half.
    """
    url = re.sub(r"(://[^:@/?#]*):.*@", r"\1:***@", url, count=1, flags=re.DOTALL)
    return re.sub(r"([?&]\w*password=)[^&#]*", r"\1***", url, flags=re.IGNORECASE)


def explain(error: Exception, where: str) -> str:
    """Word in one line why a database cannot be used."""
    if isinstance(error, migrations.ForeignDatabase):
        return f"{where} holds tables that are not queueserver's: give it a database of its own"
    if isinstance(error, migrations.NewerSchema):
        return f"{where} was written by a newer queueserver (schema {error}): upgrade this one"
    if isinstance(error, TimeoutError):
        return f"cannot reach {where}: no answer"
    if isinstance(error, OSError):
        return f"cannot reach {where}: {error.strerror or error}"
    if is_damage(error):
        return f"{where} is damaged ({describe_damage(error)}): put a backup in its place"
    reason = error.orig if isinstance(error, DBAPIError) else error
    return f"cannot use {where}: {' '.join(str(reason).split())}"
