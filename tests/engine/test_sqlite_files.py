"""The file of a SQLite database: its names, its lock, and its permissions."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import DatabaseUnusable
from storage.sqlite.backup import back_up
from storage.sqlite.integrity import check
from tests.engine.queue_client import QueueClient

NAMES = [
    pytest.param("sqlite:///q.db", id="relative path"),
    pytest.param("sqlite:///{here}/q.db", id="absolute path"),
    pytest.param("sqlite:///./folder/../q.db", id="detour"),
    pytest.param("sqlite:///%71%2Edb", id="percent-encoded path"),
    pytest.param("sqlite:///file:q.db", id="file URI"),
    pytest.param("sqlite:///file:q.db?mode=rwc&uri=true&cache=private", id="file URI with options"),
    pytest.param("sqlite:///file:///{here}/q.db?uri=true", id="absolute file URI"),
    pytest.param("sqlite:///file://localhost{here}/%2571.db", id="percent-encoded file URI"),
    pytest.param("sqlite:///symbolic.db", id="symbolic link"),
    pytest.param("sqlite:///folder/hard.db", id="hard link"),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, which has a database file and links to it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "q.db").touch()
    (tmp_path / "symbolic.db").symlink_to("q.db")
    (tmp_path / "folder" / "hard.db").hardlink_to(tmp_path / "q.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def permissions(directory: Path, pattern: str = "q.db*") -> dict[str, int]:
    """Return the permissions of files by name."""
    return {path.name: path.stat().st_mode & 0o777 for path in directory.glob(pattern)}


@pytest.mark.parametrize("name", NAMES)
async def test_file_that_a_server_uses_is_locked_under_each_of_its_names(
    name: str, here: Path
) -> None:
    client = await QueueClient.open("sqlite:///q.db")
    try:
        with pytest.raises(DatabaseUnusable, match=r"db is in use by another queueserver$"):
            await QueueClient.open(name.format(here=here))
    finally:
        await client.database.close()


@pytest.mark.parametrize("name", NAMES[:-1])
async def test_each_path_to_a_file_leads_to_one_log(name: str, here: Path) -> None:
    client = await QueueClient.open(name.format(here=here))
    await client.send("a")
    assert {*permissions(here, "*")} == {"folder", "q.db", "q.db-shm", "q.db-wal", "symbolic.db"}
    assert check(name.format(here=here), lambda _: True, None).damage == []
    back_up(name.format(here=here), here / "backup.db")
    await client.database.close()
    for database in ("sqlite:///q.db", "sqlite:///backup.db"):
        client = await QueueClient.open(database)
        assert await client.bodies() == ["a"]
        await client.database.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///file:q.db?mode=memory&uri=true", "cannot be opened with mode=memory"),
        ("sqlite:///file:q.db?mode=ro&uri=true", "cannot be opened with mode=ro"),
        ("sqlite:///file:q.db?mode=rw&mode=ro", r"cannot be opened with mode=\('rw', 'ro'\)"),
        ("sqlite:///file:q.db?nolock=1&uri=true", "cannot be opened with nolock=1"),
        ("sqlite:///file:q.db?vfs=unix-none&uri=true", "cannot be opened with vfs=unix-none"),
        ("sqlite:///q.db?timeout=5", "cannot be opened with timeout=5"),
        ("sqlite:///file://host/q.db", "file://host/q.db is not a file URI with a path"),
        ("sqlite:///file:", "file: is not a file URI with a path"),
        ("sqlite:///cycle.db", "cannot open cycle.db"),
        ("sqlite:///a%00b.db", "cannot open a\0b.db: .*embedded null"),
    ],
)
async def test_url_that_names_no_file_to_share_is_rejected(
    url: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cycle.db").symlink_to("cycle.db")
    with pytest.raises(DatabaseUnusable, match=words):
        await QueueClient.open(url)
    assert not permissions(tmp_path, "[!c]*")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:"])
async def test_database_in_memory_has_no_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    client = await QueueClient.open(url)
    await client.send("a")
    assert not permissions(tmp_path, "*")
    await client.database.close()


async def test_new_database_and_its_backup_are_readable_by_their_owner_alone(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/q.db"
    client = await QueueClient.open(url)
    await client.send("a")
    back_up(url, tmp_path / "backup.db")
    assert permissions(tmp_path) == {"q.db": 0o600, "q.db-shm": 0o600, "q.db-wal": 0o600}
    assert permissions(tmp_path, "backup*") == {"backup.db": 0o600}
    await client.database.close()


async def test_existing_database_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "q.db").touch()
    (tmp_path / "q.db").chmod(0o640)
    client = await QueueClient.open(f"sqlite:///{tmp_path}/q.db")
    await client.send("a")
    assert permissions(tmp_path) == {"q.db": 0o640, "q.db-shm": 0o640, "q.db-wal": 0o640}
    await client.database.close()
    assert permissions(tmp_path) == {"q.db": 0o640}
