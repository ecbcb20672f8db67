"""Transactions of commands on a database that servers may be using."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage import migrations
from storage.database import Database
from storage.errors import DatabaseUnusable
from storage.maintenance import Maintenance
from storage.schema import properties
from storage.sqlite.backup import back_up
from tests.clock import ManualClock
from tests.databases import execute
from tests.engine.earlier_versions import path_of, restore
from tests.engine.recorder import recording_settings
from tests.engine.rejections import rejection


def create(url: str) -> None:
    """Create the tables."""

    async def run() -> None:
        database = await Database.open(url, ManualClock(), engine_settings=recording_settings())
        await database.close()

    asyncio.run(run())


@contextmanager
def server(url: str) -> Iterator[Database]:
    """Keep the database open as a server does."""
    with asyncio.Runner() as runner:
        opening = Database.open(url, ManualClock(), engine_settings=recording_settings())
        database = runner.run(opening)
        try:
            yield database
        finally:
            runner.run(database.close())


def insert(connection: sa.Connection) -> str:
    connection.execute(properties.insert(), {"name": "note", "value": "here"})
    return "inserted"


def read_note(connection: sa.Connection) -> str | None:
    return connection.scalar(sa.select(properties.c.value).where(properties.c.name == "note"))


def set_version(url: str, version: int) -> None:
    change = properties.update().where(properties.c.name == "schema_version")
    change = change.values(value=str(version))
    Maintenance(url).transact(lambda connection: connection.execute(change).rowcount)


def failure(url: str) -> str:
    """Return the one line of a transaction that must fail."""
    with pytest.raises(DatabaseUnusable) as failed:
        Maintenance(url).transact(insert)
    text = str(failed.value)
    assert "\n" not in text
    return text


def files(directory: Path) -> dict[str, bytes]:
    """Return the contents of all files by name."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_transaction_commits_while_a_server_has_the_database_open(database_url: str) -> None:
    with server(database_url):
        assert Maintenance(database_url).transact(insert) == "inserted"
        assert Maintenance(database_url).transact(read_note) == "here"
    assert Maintenance(database_url).transact(read_note) == "here"


def test_transaction_that_raises_is_rolled_back(database_url: str) -> None:
    create(database_url)

    def fail(connection: sa.Connection) -> None:
        insert(connection)
        raise OSError(5, "Input/output error")

    with pytest.raises(DatabaseUnusable):
        Maintenance(database_url).transact(fail)
    assert Maintenance(database_url).transact(read_note) is None


def test_transaction_is_retried_after_a_write_conflict(database_url: str) -> None:
    create(database_url)
    attempts = []

    def run(connection: sa.Connection) -> str:
        attempts.append(1)
        insert(connection)
        return insert(connection) if len(attempts) < 3 else "third"

    assert Maintenance(database_url).transact(run) == "third"
    assert Maintenance(database_url).transact(read_note) == "here"


def test_transaction_that_always_conflicts_fails_with_one_line(database_url: str) -> None:
    create(database_url)
    Maintenance(database_url).transact(insert)
    assert failure(database_url).startswith("cannot use ")


def test_transaction_waits_for_the_write_lock_of_a_server(sqlite: str) -> None:
    create(sqlite)
    with (
        closing(sqlite3.connect(path_of(sqlite), isolation_level=None)) as other,
        ThreadPoolExecutor(1) as thread,
    ):
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO properties VALUES ('note', 'of the server')")
        waiting = thread.submit(Maintenance(sqlite).transact, read_note)
        with pytest.raises(TimeoutError):
            waiting.result(0.2)  # the real time for which SQLite waits
        other.execute("COMMIT")
        assert waiting.result(10) == "of the server"


def test_foreign_and_newer_databases_are_rejected_as_by_a_server(database_url: str) -> None:
    create(database_url)
    set_version(database_url, migrations.VERSION + 1)
    assert failure(database_url) == asyncio.run(rejection(database_url))
    drop = "DROP TABLE queues"
    if database_url.startswith("sqlite:"):
        with closing(sqlite3.connect(path_of(database_url))) as connection:
            connection.execute(drop)
    else:
        execute(database_url, drop)
    assert "not queueserver's" in failure(database_url)
    assert failure(database_url) == asyncio.run(rejection(database_url))


def test_older_schema_is_rejected_and_not_migrated(database_url: str) -> None:
    asyncio.run(restore(database_url, 2))
    text = "was written by an older queueserver (schema 2): start a server of this version"
    assert text in failure(database_url)
    assert text in failure(database_url)


def test_empty_database_is_rejected_and_stays_empty(database_url: str) -> None:
    if database_url.startswith("sqlite:"):
        path_of(database_url).touch()
    assert "has no tables" in failure(database_url)
    create(database_url)


def test_missing_file_is_rejected_and_not_created(sqlite: str, tmp_path: Path) -> None:
    assert failure(sqlite) == f"there is no file {path_of(sqlite)}"
    assert failure("sqlite://") == "a database in memory belongs to its server alone"
    assert files(tmp_path) == {}


def test_file_that_is_not_a_database_is_rejected_and_not_changed(
    sqlite: str, tmp_path: Path
) -> None:
    path_of(sqlite).write_bytes(b"My holiday in Norway. " * 500)
    before = files(tmp_path)
    assert failure(sqlite) == f"cannot use {path_of(sqlite)}: file is not a database"
    assert files(tmp_path) == before


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_journal_mode_is_kept_and_no_file_is_left(
    sqlite: str, tmp_path: Path, journal: str
) -> None:
    create(sqlite)
    url = sqlite
    if journal == "delete":
        back_up(sqlite, tmp_path / "backup.db")
        url = f"sqlite:///{tmp_path / 'backup.db'}"
    before = set(files(tmp_path))
    Maintenance(url).transact(insert)
    assert set(files(tmp_path)) == before
    with closing(sqlite3.connect(path_of(url))) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == (journal,)


def test_unreachable_server_is_reported_without_the_password() -> None:
    text = failure("postgresql://user:sekret@127.0.0.1:1/queues")
    assert text.startswith("cannot reach postgresql://user:***@127.0.0.1:1/queues: ")


def test_transaction_changes_no_settings_of_a_session_that_a_pooler_shares(
    postgresql: str,
) -> None:
    create(postgresql)
    shown = sa.text("SELECT setting || ' ' || source FROM pg_settings WHERE name = 'enable_sort'")
    assert Maintenance(postgresql).transact(lambda c: c.scalar(shown)) == "off session"
    reset = sa.text("SELECT current_setting('enable_sort')")

    def after_commit(connection: sa.Connection) -> object:
        connection.exec_driver_sql("COMMIT")
        return connection.scalar(reset)

    assert Maintenance(postgresql).transact(after_commit) == "on"
