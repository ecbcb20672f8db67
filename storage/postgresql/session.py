"""A session of PostgreSQL: what is said in it, and how its transactions begin and end.

SQLAlchemy's cursor on asyncpg costs several times what asyncpg does; here, each statement costs one
wait. Refuses to be used outside of the greenlet that SQLAlchemy runs functions in.
"""

from __future__ import annotations

import re
from collections.abc import Coroutine, Sequence
from time import perf_counter
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState
from sqlalchemy.util import await_only

from storage.postgresql.connection import AsyncpgConnection
from storage.sql.driver import as_sqlalchemy, driver_of, use_driver

T = TypeVar("T")

_LONGEST_CHAIN_SECONDS = 1.0
"""How long there may be no moment between transactions; PostgreSQL counts no more often."""


def install_sessions(engine: sa.Engine) -> None:
    """Speak by a session on every connection of an engine that is in autocommit."""

    def begin(adapted: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401 (it has no type)
        use_driver(Session(engine.dialect, adapted), record.info)

    sa.event.listen(engine, "connect", begin)
    sa.event.listen(engine, "checkout", _refuse_closed)
    sa.event.listen(engine, "reset", _end_transaction)


def session_of(connection: sa.Connection) -> Session:
    """Give the session of a connection of such an engine."""
    return cast("Session", driver_of(connection))


def _refuse_closed(adapted: Any, *_: object) -> None:  # noqa: ANN401
    """Let the pool connect anew instead of giving a connection that was lost."""
    if adapted.driver_connection.is_closed():
        raise sa.exc.DisconnectionError


def _end_transaction(adapted: Any, _: object, state: PoolResetState) -> None:  # noqa: ANN401
    """Leave no transaction behind in the pool, however a read has ended."""
    own: AsyncpgConnection = adapted.driver_connection
    if state.asyncio_safe and not own.is_closed() and own.is_in_transaction():
        await_only(own.execute("ROLLBACK"))


class Session:
    """A connection of asyncpg, by the one that SQLAlchemy has made of it.

    Transactions are begun and ended here: SQLAlchemy has the connection in autocommit. What is to
    be done at last is said together with the COMMIT, so that rows which every transaction changes
    are held for no longer than that takes.
    """

    def __init__(self, dialect: sa.Dialect, adapted: Any) -> None:  # noqa: ANN401 (it has no type)
        self._dialect = dialect
        self._adapted = adapted
        self._own: AsyncpgConnection = adapted.driver_connection
        self._last_words: list[str] = []
        self._is_begun = False
        self._rested_at = 0.0

    def rows(self, text: str, parameters: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Give all rows."""
        rows: Sequence[Any] = self._await(text, self._own.fetch(text, *parameters))
        return rows

    def change(self, text: str, parameters: Sequence[Any]) -> int:
        """Change rows, and tell how many."""
        status = self._await(text, self._own.execute(text, *parameters))
        return int(status.rpartition(" ")[2])  # of "DELETE 5", say

    def change_each(self, text: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Do it for each set of parameters, in their order."""
        self._await(text, self._own.executemany(text, parameters))

    def change_at_last(self, text: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Do it for each set of parameters together with the COMMIT."""
        self._last_words.extend(_in_words(text, values) for values in parameters)

    def begin(self, text: str) -> None:
        """Begin a transaction, in the words given, unless the last COMMIT has begun it."""
        self._last_words.clear()
        if self._is_begun:
            self._is_begun = False
        else:
            self._await(text, self._own.execute(text))

    def commit(self, *, goes_on: bool) -> None:
        """Do what is left to be done, and commit, in one go.

        If it `goes_on`, the next transaction, which is like this one, is begun by the same word;
        but not always, because PostgreSQL tells only between transactions how many rows were
        changed, and vacuums by that.
        """
        now = perf_counter()
        is_chained = goes_on and now - self._rested_at < _LONGEST_CHAIN_SECONDS
        text = "; ".join([*self._last_words, "COMMIT AND CHAIN" if is_chained else "COMMIT"])
        self._await(text, self._own.execute(text))
        self._is_begun = is_chained
        if not is_chained:
            self._rested_at = now

    def roll_back(self) -> None:
        """Undo a transaction, if there is one; one that was lost is undone already."""
        if not self._own.is_closed() and self._own.is_in_transaction():
            self._await("ROLLBACK", self._own.execute("ROLLBACK"))

    def _await(self, text: str, asked: Coroutine[Any, Any, T]) -> T:
        try:
            return await_only(asked)
        except Exception as error:
            raise as_sqlalchemy(
                self._dialect, self._adapted, text, self._as_dbapi(error)
            ) from error

    def _as_dbapi(self, error: Exception) -> Exception:
        """Give an error the kind that it has in the DBAPI, as SQLAlchemy's own cursor does."""
        try:
            self._adapted._handle_exception(error)
        except Exception as translated:
            return translated
        return error


def _in_words(text: str, parameters: Sequence[Any]) -> str:
    """Write parameters into a statement, since those that are said together cannot have any."""
    return re.sub(r"\$([0-9]+)", lambda found: _literal(parameters[int(found[1]) - 1]), text)


def _literal(value: object) -> str:
    if isinstance(value, int):
        return f"({value})"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(_literal, value))}]"
    raise TypeError(f"{type(value).__name__} cannot be written into a statement")
