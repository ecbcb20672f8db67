"""Opening a database: what is made, what is kept, what is refused, and how the refusal reads."""

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
from storage.errors import DatabaseUnusable
from tests.clock import ManualClock
from tests.engine.recorder import recorded
from tests.engine.stage import Stage


async def refusal(url: str) -> str:
    """Open what must not be opened; give the reason, which must be fit for a terminal."""
    with pytest.raises(DatabaseUnusable) as refused:
        await Database.open(url, ManualClock(), engine_settings=recorded())
    text = str(refused.value)
    assert text
    assert "\n" not in text
    return text


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def make_foreign(path: Path, journal: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode={journal}")
    connection.execute("CREATE TABLE notes (text)")
    connection.execute("INSERT INTO notes VALUES ('mine')")
    connection.commit()
    connection.close()


async def set_version(stage: Stage, version: int) -> None:
    def change(transaction: object) -> None:
        connection: sa.Connection = transaction.connection  # type: ignore[attr-defined]
        properties = schema.properties
        connection.execute(
            properties.update()
            .where(properties.c.name == "schema_version")
            .values(value=str(version))
        )

    await stage.database.write(change)


async def test_an_empty_database_is_made_ready(stage: Stage) -> None:
    assert len(stage.database.secret) == 32
    assert await stage.rows() == {"messages": 0, "bodies": 0, "backlogs": 1, "dropped_queues": 0}


async def test_an_empty_file_is_as_good_as_none(sqlite: str) -> None:
    path_of(sqlite).touch()
    stage = await Stage.open(sqlite)
    await stage.send("a")
    assert await stage.bodies() == ["a"]
    await stage.database.close()


async def test_everything_is_kept_over_a_restart(stage: Stage) -> None:
    secret, queue = stage.database.secret, await stage.find()
    await stage.send("in flight", "deleted", "visible")
    await stage.send("delayed", delay_s=10)
    received = await stage.receive(2, timeout_s=0)
    in_flight = await stage.receive_one()
    await stage.delete(received[1].receipt)
    before = await stage.counts()
    await stage.reopen()
    assert stage.database.secret == secret
    assert await stage.find() == queue
    assert await stage.counts() == before == (1, 1, 1)
    assert await stage.change(in_flight.receipt, 0)
    stage.clock.advance(10)
    again = await stage.receive()
    assert sorted(message.body for message in again) == ["delayed", "in flight", "visible"]


async def test_each_database_has_a_secret_of_its_own(sqlite: str, tmp_path: Path) -> None:
    one = await Stage.open(sqlite)
    other = await Stage.open(f"sqlite:///{tmp_path / 'other.db'}")
    assert one.database.secret != other.database.secret
    await one.database.close()
    await other.database.close()


async def test_a_database_is_on_the_disk_before_it_answers(sqlite: str) -> None:
    stage = await Stage.open(sqlite)

    def settings(connection: sa.Connection) -> tuple[str, int]:
        return (
            connection.exec_driver_sql("PRAGMA journal_mode").scalar_one(),
            connection.exec_driver_sql("PRAGMA synchronous").scalar_one(),
        )

    assert await stage.database.write(lambda tx: settings(tx.connection)) == ("wal", 2)
    assert await stage.database.read(settings) == ("wal", 2)
    await stage.database.close()


async def test_a_closed_file_is_all_there_is(sqlite: str, tmp_path: Path) -> None:
    stage = await Stage.open(sqlite)
    await stage.send("a")
    await stage.database.close()
    assert list(files(tmp_path)) == ["queueserver.db"]


async def test_a_file_that_is_no_database_is_refused_and_left_alone(
    sqlite: str, tmp_path: Path
) -> None:
    path_of(sqlite).write_bytes(b"My holiday in Norway. " * 500)
    before = files(tmp_path)
    assert "not a database" in await refusal(sqlite)
    assert files(tmp_path) == before


async def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert str(tmp_path) in await refusal(f"sqlite:///{tmp_path}")


async def test_a_path_without_a_directory_is_refused(tmp_path: Path) -> None:
    text = await refusal(f"sqlite:///{tmp_path}/missing/queueserver.db")
    assert text == f"cannot open {tmp_path}/missing/queueserver.db: No such file or directory"
    assert files(tmp_path) == {}


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
async def test_another_applications_file_is_refused_and_left_alone(
    sqlite: str, tmp_path: Path, journal: str
) -> None:
    make_foreign(path_of(sqlite), journal)
    before = files(tmp_path)
    assert "not queueserver's" in await refusal(sqlite)
    assert files(tmp_path) == before


async def test_a_file_of_a_newer_schema_is_refused_and_left_alone(
    sqlite: str, tmp_path: Path
) -> None:
    stage = await Stage.open(sqlite)
    await set_version(stage, migrations.VERSION + 1)
    await stage.database.close()
    before = files(tmp_path)
    assert f"newer queueserver (schema {migrations.VERSION + 1})" in await refusal(sqlite)
    assert files(tmp_path) == before


@pytest.mark.parametrize("link", ["same", "symlink", "hard-link", "other-spelling"])
async def test_a_second_server_on_one_file_is_refused_until_the_first_is_closed(
    sqlite: str, tmp_path: Path, link: str
) -> None:
    stage = await Stage.open(sqlite)
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
    assert await refusal(f"sqlite:///{other}") == f"{other} is in use by another queueserver"
    await stage.send("a")
    assert await stage.counts() == (1, 0, 0)
    await stage.database.close()
    second = await Stage.open(f"sqlite:///{path}", stage.clock)
    assert await second.bodies() == ["a"]
    await second.database.close()


async def test_a_refused_opening_leaves_the_file_free(sqlite: str) -> None:
    path_of(sqlite).write_bytes(b"no database" * 500)
    await refusal(sqlite)
    path_of(sqlite).unlink()
    stage = await Stage.open(sqlite)
    await stage.database.close()


async def test_a_port_where_nobody_listens_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not recording: nobody else can be there
        port = taken.getsockname()[1]
        text = await refusal(f"postgresql://user:sekret@127.0.0.1:{port}/queues")
    assert f"127.0.0.1:{port}" in text
    assert "sekret" not in text


async def test_a_host_that_is_unknown_is_refused() -> None:
    assert "sekret" not in await refusal("postgresql://user:sekret@host.invalid/queues")


async def test_a_database_that_does_not_exist_is_refused(postgres_url: str) -> None:
    parts = urlsplit(postgres_url)._replace(path="/no_such_database")
    assert '"no_such_database" does not exist' in await refusal(parts.geturl())


@pytest.mark.parametrize("place", ["user", "query"])
async def test_a_refusal_does_not_tell_the_password(postgres_url: str, place: str) -> None:
    parts = urlsplit(postgres_url)
    query = f"{parts.query}&password=sekret" if place == "query" else parts.query
    user = "stranger" if place == "query" else "stranger:sekret"
    netloc = f"{user}@{parts.netloc.rpartition('@')[2]}"
    text = await refusal(parts._replace(netloc=netloc, query=query).geturl())
    assert "stranger" in text
    assert "sekret" not in text


async def test_another_applications_postgresql_is_refused_and_left_alone(postgresql: str) -> None:
    connection = await asyncpg.connect(postgresql)
    await connection.execute("CREATE TABLE notes (text text)")
    assert "not queueserver's" in await refusal(postgresql)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert [row[0] for row in tables] == ["notes"]


async def test_a_postgresql_of_a_newer_schema_is_refused(postgresql: str) -> None:
    stage = await Stage.open(postgresql)
    await set_version(stage, migrations.VERSION + 1)
    await stage.database.close()
    assert f"newer queueserver (schema {migrations.VERSION + 1})" in await refusal(postgresql)


async def test_servers_that_start_at_once_on_one_postgresql_all_start(postgresql: str) -> None:
    clock = ManualClock()
    settings = recorded()
    opened = await asyncio.gather(
        *(Database.open(postgresql, clock, engine_settings=settings) for _ in range(10))
    )
    assert len({database.secret for database in opened}) == 1
    await asyncio.gather(*(database.close() for database in opened))
