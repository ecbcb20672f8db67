"""Recordings of the statements, commits and rollbacks that drivers of open databases run.

`EngineSettings.wrap_driver` puts a `RecordedDriver` before the driver of each connection. A
statement that SQLAlchemy runs itself does not pass a driver; SQLAlchemy's own events report it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa

from storage.settings import EngineSettings, PostgresqlTimeouts, SqliteLimits
from storage.sql.driver import Change, Driver, RunWithCommit
from tests.databases import LONG_TIMEOUTS

T = TypeVar("T")


def recording_settings(
    postgresql: PostgresqlTimeouts = LONG_TIMEOUTS, sqlite: SqliteLimits | None = None
) -> EngineSettings:
    """Return settings for a database whose statements tests can record."""
    return EngineSettings(
        postgresql=postgresql, sqlite=sqlite or SqliteLimits(), wrap_driver=RecordedDriver
    )


def ignore(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, eq=False)
class Watcher:
    """Functions that are called before each statement, COMMIT and ROLLBACK.

    `statement` gets the driver, the text, the parameters, and whether these are many sets.
    """

    statement: Callable[[Driver, str, Sequence[Any], bool], None] = ignore
    commit: Callable[[], None] = ignore
    rollback: Callable[[], None] = ignore


_watchers: list[Watcher] = []


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Call the watcher's functions for every database until the block ends."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


class RecordedDriver:
    """A driver that calls the watchers."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.prefers_ranges = driver.prefers_ranges

    def rows(self, text: str, parameters: Sequence[Any]) -> Sequence[Sequence[Any]]:
        return self._run(self._driver.rows, text, parameters)

    def first_rows(
        self, text: str, parameters: Sequence[Any], column: int, limit: int
    ) -> Sequence[Sequence[Any]]:
        for watcher in tuple(_watchers):
            watcher.statement(self._driver, text, parameters, False)
        return self._driver.first_rows(text, parameters, column, limit)

    def change(self, text: str, parameters: Sequence[Any]) -> int:
        return self._run(self._driver.change, text, parameters)

    def change_each(self, text: str, parameters: Sequence[Sequence[Any]]) -> None:
        self._run(self._driver.change_each, text, parameters, is_many=True)

    def insert_each(self, text: str, rows: Sequence[Sequence[Any]]) -> int:
        return self._run(self._driver.insert_each, text, rows, is_many=True)

    def for_lists(self, change: Change, columns: Sequence[str]) -> Change | None:
        return self._driver.for_lists(change, columns)

    def as_one(self, first: Change, second: Change) -> Change | None:
        return self._driver.as_one(first, second)

    def with_commit(self, change: Change) -> RunWithCommit | None:
        inner = self._driver.with_commit(change)
        if inner is None:
            return None
        run = inner
        compiled = change.compile(dialect=sa.make_url("postgresql+asyncpg://").get_dialect()())

        def run_recorded(parameters: Sequence[Mapping[str, int]]) -> None:
            each = [[one[name] for name in compiled.positiontup or ()] for one in parameters]
            for watcher in tuple(_watchers):
                watcher.statement(self._driver, str(compiled), each, True)
            run(parameters)

        return run_recorded

    def notify_with_commit(self, channel: str, payload: str) -> None:
        for watcher in tuple(_watchers):
            watcher.statement(self._driver, f"NOTIFY {channel}, '{payload}'", (), False)
        self._driver.notify_with_commit(channel, payload)

    def begin(self, text: str) -> None:
        self._driver.begin(text)

    def commit(self) -> None:
        for watcher in tuple(_watchers):
            watcher.commit()
        self._driver.commit()

    def roll_back(self) -> None:
        for watcher in tuple(_watchers):
            watcher.rollback()
        self._driver.roll_back()

    def _run(
        self,
        run: Callable[[str, Sequence[Any]], T],
        text: str,
        parameters: Sequence[Any],
        *,
        is_many: bool = False,
    ) -> T:
        for watcher in tuple(_watchers):
            watcher.statement(self._driver, text, parameters, is_many)
        return run(text, parameters)


@sa.event.listens_for(sa.Engine, "before_cursor_execute")
def _statement(
    connection: sa.Connection,
    _cursor: object,
    text: str,
    parameters: Sequence[Any],
    _context: object,
    is_many: bool,
) -> None:
    driver = connection.info.get("driver")
    if isinstance(driver, RecordedDriver):
        for watcher in tuple(_watchers):
            watcher.statement(driver._driver, text, parameters, is_many)


@dataclass
class Recording:
    """Statements with their parameters, and ends of transactions."""

    statements: list[tuple[str, Any]] = field(default_factory=list)
    commits: int = 0
    rollbacks: int = 0

    def texts(self) -> list[str]:
        """Return the texts of the statements, without parameters."""
        return [text for text, _ in self.statements]


@contextmanager
def recording() -> Iterator[Recording]:
    """Record the statements of all databases until the block ends.

    A statement that runs with many sets of parameters is recorded with the first.
    """
    found = Recording()

    def note(_driver: Driver, text: str, parameters: Sequence[Any], is_many: bool) -> None:
        found.statements.append((text, parameters[0] if is_many else parameters))

    def commit() -> None:
        found.commits += 1

    def roll_back() -> None:
        found.rollbacks += 1

    with watching(Watcher(statement=note, commit=commit, rollback=roll_back)):
        yield found
