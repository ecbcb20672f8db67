"""Opening a database: tables that are created, data that is kept, databases that are rejected."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import sqlalchemy as sa

from storage import migrations, schema
from storage.database import Database
from tests.clock import ManualClock
from tests.engine.queue_client import QueueClient
from tests.engine.recorder import recording_settings
from tests.engine.rejections import rejection


def path_of(url: str) -> Path:
    """Return the path of a SQLite database."""
    return Path(url.removeprefix("sqlite:///"))


def files(directory: Path) -> dict[str, bytes]:
    """Return the contents of all files by name."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def create_foreign(path: Path, journal: str) -> None:
    """Create the SQLite file of another application."""
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode={journal}")
    connection.execute("CREATE TABLE notes (text)")
    connection.execute("INSERT INTO notes VALUES ('mine')")
    connection.commit()
    connection.close()


async def set_version(client: QueueClient, version: int) -> None:
    """Store another schema version in the database."""

    def change(transaction: object) -> None:
        connection: sa.Connection = transaction.connection  # type: ignore[attr-defined]
        properties = schema.properties
        connection.execute(
            properties.update()
            .where(properties.c.name == "schema_version")
            .values(value=str(version))
        )

    await client.database.write(change)


async def test_open_creates_the_tables_of_an_empty_database(client: QueueClient) -> None:
    assert len(client.database.secret) == 32
    assert await client.rows() == {"messages": 0, "bodies": 0, "backlogs": 1, "dropped_queues": 0}


async def test_empty_file_is_opened_as_a_new_database(sqlite: str) -> None:
    path_of(sqlite).touch()
    client = await QueueClient.open(sqlite)
    await client.send("a")
    assert await client.bodies() == ["a"]
    await client.database.close()


async def test_restart_keeps_queues_messages_and_secret(client: QueueClient) -> None:
    secret, queue = client.database.secret, await client.find()
    await client.send("in flight", "deleted", "visible")
    await client.send("delayed", delay_s=10)
    received = await client.receive(2, timeout_s=0)
    in_flight = await client.receive_one()
    await client.delete(received[1].receipt)
    before = await client.counts()
    await client.reopen()
    assert client.database.secret == secret
    assert await client.find() == queue
    assert await client.counts() == before == (1, 1, 1)
    assert await client.change(in_flight.receipt, 0)
    client.clock.advance(10)
    again = await client.receive()
    assert sorted(message.body for message in again) == ["delayed", "in flight", "visible"]


async def test_each_database_has_its_own_secret(sqlite: str, tmp_path: Path) -> None:
    one = await QueueClient.open(sqlite)
    other = await QueueClient.open(f"sqlite:///{tmp_path / 'other.db'}")
    assert one.database.secret != other.database.secret
    await one.database.close()
    await other.database.close()


async def test_sqlite_syncs_every_commit_of_its_wal(sqlite: str) -> None:
    client = await QueueClient.open(sqlite)

    def settings(connection: sa.Connection) -> tuple[str, int]:
        return (
            connection.exec_driver_sql("PRAGMA journal_mode").scalar_one(),
            connection.exec_driver_sql("PRAGMA synchronous").scalar_one(),
        )

    assert await client.database.write(lambda tx: settings(tx.connection)) == ("wal", 2)
    assert await client.database.read(settings) == ("wal", 2)
    await client.database.close()


async def test_close_leaves_the_database_file_only(sqlite: str, tmp_path: Path) -> None:
    client = await QueueClient.open(sqlite)
    await client.send("a")
    await client.database.close()
    assert list(files(tmp_path)) == ["queueserver.db"]


async def test_file_that_is_not_a_database_is_rejected_and_not_changed(
    sqlite: str, tmp_path: Path
) -> None:
    path_of(sqlite).write_bytes(b"My holiday in Norway. " * 500)
    before = files(tmp_path)
    assert "not a database" in await rejection(sqlite)
    assert files(tmp_path) == before


async def test_directory_is_rejected(tmp_path: Path) -> None:
    assert str(tmp_path) in await rejection(f"sqlite:///{tmp_path}")


async def test_path_in_missing_directory_is_rejected(tmp_path: Path) -> None:
    text = await rejection(f"sqlite:///{tmp_path}/missing/queueserver.db")
    assert text == f"cannot open {tmp_path}/missing/queueserver.db: No such file or directory"
    assert files(tmp_path) == {}


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
async def test_sqlite_file_of_another_application_is_rejected_and_not_changed(
    sqlite: str, tmp_path: Path, journal: str
) -> None:
    create_foreign(path_of(sqlite), journal)
    before = files(tmp_path)
    assert "not queueserver's" in await rejection(sqlite)
    assert files(tmp_path) == before


async def test_sqlite_file_of_a_newer_schema_is_rejected_and_not_changed(
    sqlite: str, tmp_path: Path
) -> None:
    client = await QueueClient.open(sqlite)
    await set_version(client, migrations.VERSION + 1)
    await client.database.close()
    before = files(tmp_path)
    assert f"newer queueserver (schema {migrations.VERSION + 1})" in await rejection(sqlite)
    assert files(tmp_path) == before


@pytest.mark.parametrize("link", ["same", "symlink", "hard-link", "other-spelling"])
async def test_second_server_on_one_file_is_rejected_until_the_first_closes(
    sqlite: str, tmp_path: Path, link: str
) -> None:
    client = await QueueClient.open(sqlite)
    path = path_of(sqlite)
    other = {
        "same": path,
        "symlink": tmp_path / "link.db",
        "hard-link": tmp_path / "hard.db",
        "other-spelling": Path(f"{tmp_path}/../{tmp_path.name}/queueserver.db"),
    }[link]
    if link == "symlink":
        other.symlink_to(path)
    if link == "hard-link":
        os.link(path, other)
    assert await rejection(f"sqlite:///{other}") == f"{other} is in use by another queueserver"
    await client.send("a")
    assert await client.counts() == (1, 0, 0)
    await client.database.close()
    second = await QueueClient.open(f"sqlite:///{path}", client.clock)
    assert await second.bodies() == ["a"]
    await second.database.close()


async def test_rejected_open_releases_the_file_lock(sqlite: str) -> None:
    path_of(sqlite).write_bytes(b"no database" * 500)
    await rejection(sqlite)
    path_of(sqlite).unlink()
    client = await QueueClient.open(sqlite)
    await client.database.close()


async def test_port_without_server_is_rejected() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening, so no server can use it
        port = taken.getsockname()[1]
        text = await rejection(f"postgresql://user:sekret@127.0.0.1:{port}/queues")
    assert f"127.0.0.1:{port}" in text
    assert "sekret" not in text


async def test_unknown_host_is_rejected() -> None:
    assert "sekret" not in await rejection("postgresql://user:sekret@host.invalid/queues")


async def test_missing_postgresql_database_is_rejected(postgres_url: str) -> None:
    parts = urlsplit(postgres_url)._replace(path="/no_such_database")
    assert '"no_such_database" does not exist' in await rejection(parts.geturl())


@pytest.mark.parametrize("part", ["user", "query"])
async def test_rejection_does_not_show_the_password(postgres_url: str, part: str) -> None:
    parts = urlsplit(postgres_url)
    query = f"{parts.query}&password=sekret" if part == "query" else parts.query
    user = "stranger" if part == "query" else "stranger:sekret"
    netloc = f"{user}@{parts.netloc.rpartition('@')[2]}"
    text = await rejection(parts._replace(netloc=netloc, query=query).geturl())
    assert "stranger" in text
    assert "sekret" not in text


async def test_postgresql_database_of_another_application_is_rejected_and_not_changed(
    postgresql: str,
) -> None:
    connection = await asyncpg.connect(postgresql)
    await connection.execute("CREATE TABLE notes (text text)")
    assert "not queueserver's" in await rejection(postgresql)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert [row[0] for row in tables] == ["notes"]


async def test_postgresql_database_of_a_newer_schema_is_rejected(postgresql: str) -> None:
    client = await QueueClient.open(postgresql)
    await set_version(client, migrations.VERSION + 1)
    await client.database.close()
    assert f"newer queueserver (schema {migrations.VERSION + 1})" in await rejection(postgresql)


async def test_ten_servers_can_open_one_empty_postgresql_database_together(postgresql: str) -> None:
    clock = ManualClock()
    settings = recording_settings()
    opened = await asyncio.gather(
        *(Database.open(postgresql, clock, engine_settings=settings) for _ in range(10))
    )
    assert len({database.secret for database in opened}) == 1
    await asyncio.gather(*(database.close() for database in opened))
