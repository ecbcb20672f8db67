"""The errors of the database as the rest of the process sees them.

Each engine classifies what its driver raises: `storage.postgresql.errors` knows SQLSTATEs,
`storage.sqlite.errors` knows SQLite's codes and texts.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError


class DatabaseUnusable(Exception):
    """The database cannot be opened; the text is one line without passwords."""


class DatabaseUnavailable(Exception):
    """The database does not answer now; a retry may help."""


class DiskFull(DatabaseUnavailable):
    """The database cannot grow: its disk is full, or its size is limited."""


class DatabaseDamaged(Exception):
    """The rows asked for are damaged in the database; a retry does not help."""


class DatabaseBusy(DatabaseUnavailable):
    """Too many writes, or too many reads, are pending; a retry after a pause helps."""


class WriteConflict(Exception):
    """Two transactions changed the same rows, or deadlocked; a retry at once helps."""


class MasterKeyMissing(Exception):
    """The keyring of this server does not have a master key.

    `name` is the name of the key; the text also says which key of that name.
    """

    def __init__(self, name: str, text: str = "") -> None:
        super().__init__(f"the key {text or repr(name)} is not configured")
        self.name = name


class UnsuitableKeyring(Exception):
    """The configured master keys are not those that the database needs; the text says why."""


class ForeignDatabase(Exception):
    """The database holds tables, and they are not queueserver's."""


class NoTables(Exception):
    """The database is empty."""


class NewerSchema(Exception):
    """The database was written by a later queueserver than this one."""


class OlderSchema(Exception):
    """The database has an earlier schema version, which only a start of the server migrates."""


ClassifiedError: TypeAlias = DatabaseDamaged | DatabaseUnavailable | WriteConflict
"""The error for the process that an engine makes of an error of its driver."""


def is_transient(error: BaseException) -> bool:
    """Return whether an error of any driver says nothing about the work that was running.

    This includes a connection lost in mid-operation: COMMIT may have succeeded, so a retry might do
    the work twice.
    """
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        if error.statement is None:
            return True  # raised while connecting
    if isinstance(error, sa.exc.TimeoutError):
        return True  # all pooled connections stayed in use
    return isinstance(error, OperationalError | InterfaceError | OSError)


def driver_error(error: BaseException) -> BaseException:
    """Return the driver's own error that SQLAlchemy wrapped, or the error itself."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig
    return error


def summarize(error: BaseException) -> str:
    """Return the first line of an error; what follows may quote the contents of rows."""
    driver = driver_error(error)
    return str(driver).partition("\n")[0] or type(error).__name__


def mask_password(url: str) -> str:
    """Return a database URL in which passwords are replaced by `***`.

    Everything up to the last `@` is masked, because a password may contain an unescaped `@`.
    """
    url = re.sub(r"(://[^:@/?#]*):.*@", r"\1:***@", url, count=1, flags=re.DOTALL)
    return re.sub(r"([?&]\w*password=)[^&#]*", r"\1***", url, flags=re.IGNORECASE)


def explain(error: Exception, where: str, classified: Exception | None) -> str:
    """Return one line for the operator that says why a database cannot be used.

    `classified` is what the engine makes of the error.
    """
    if isinstance(error, ForeignDatabase):
        return f"{where} holds tables that are not queueserver's: give it a database of its own"
    if isinstance(error, NoTables):
        return f"{where} has no tables: no server has used it"
    if isinstance(error, NewerSchema):
        return f"{where} was written by a newer queueserver (schema {error}): upgrade this one"
    if isinstance(error, OlderSchema):
        return (
            f"{where} was written by an older queueserver (schema {error}): start a server of this "
            "version, which migrates it"
        )
    if isinstance(error, UnsuitableKeyring):
        return f"cannot use {where}: {error}"
    if isinstance(error, TimeoutError):
        return f"cannot reach {where}: no answer"
    if isinstance(error, OSError):
        return f"cannot reach {where}: {error.strerror or error}"
    if isinstance(classified, DatabaseDamaged):
        return f"{where} is damaged ({classified}): put a backup in its place"
    return f"cannot use {where}: {' '.join(str(driver_error(error)).split())}"
