"""Backups of an encrypted database: with the keys of their time they can be read, else not."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.sqlite.backup import back_up
from tests.api.server_process import failed_start
from tests.encryption.filled_databases import fill, read_all
from tests.encryption.key_commands import KeyCommands, id_of, new_key, ring_of
from tests.encryption.key_configuration import FILE
from tests.markdown import text_of

OLD, NEW = new_key("old"), new_key("new")


def test_documentation_shows_how_to_check_with_keys_and_which_a_backup_needs() -> None:
    page = text_of("docs/backup.md")
    assert f"queueserver check --database sqlite:///queueserver.db {FILE} keys" in page
    assert "`queueserver check --database sqlite:///backup.db`" in page


@pytest.fixture
def commands(sqlite: str, tmp_path: Path) -> KeyCommands:
    return KeyCommands(sqlite, tmp_path)


@pytest.fixture
def bodies(commands: KeyCommands) -> set[str]:
    """Fill the database, and return the bodies of its messages."""
    return fill(commands.url, ring_of(OLD), 3)


@pytest.fixture
def backup(commands: KeyCommands, bodies: set[str], tmp_path: Path) -> KeyCommands:
    """Back up the database before it is rekeyed; return the commands on the backup."""
    file = tmp_path / "backup.db"
    back_up(commands.url, file)
    assert commands.lines("rekey", NEW, OLD)[-1].endswith(": done")
    assert bodies
    return KeyCommands(f"sqlite:///{file}", tmp_path)


def test_backup_needs_no_keys_to_be_made_and_has_no_body_in_clear(
    backup: KeyCommands, bodies: set[str], tmp_path: Path
) -> None:
    content = (tmp_path / "backup.db").read_bytes()
    assert not [body for body in bodies if body.encode() in content]


def test_backup_from_before_a_rekey_is_readable_with_the_old_key(
    backup: KeyCommands, bodies: set[str]
) -> None:
    assert read_all(backup.url, ring_of(NEW, OLD)) == bodies


def test_backup_from_before_a_rekey_is_rejected_without_the_old_key(
    backup: KeyCommands, tmp_path: Path
) -> None:
    line = failed_start(*backup.arguments(NEW), directory=tmp_path)
    assert f"encrypted with the key {id_of(OLD)}, which is not among the configured keys" in line
    assert backup.lines("check", NEW, status=1) == [
        f"the database needs the key {id_of(OLD)} for 3 data keys and the secret",
        f"the key {id_of(OLD)} is not among the configured keys",
        f"checked {backup.url}: keys are missing: configure them",
    ]


def test_check_says_of_a_backup_which_key_it_needs(backup: KeyCommands) -> None:
    needed = f"the database needs the key {id_of(OLD)} for 3 data keys and the secret"
    sound = f"checked {backup.url}: no damage found"
    assert backup.lines("check", OLD) == [needed, sound]
    not_examined = "encrypted contents were not examined, because no key is configured"
    assert backup.lines("check") == [needed, not_examined, sound]


def test_backup_can_be_rekeyed_before_it_is_restored(
    backup: KeyCommands, bodies: set[str], tmp_path: Path
) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    assert backup.lines("rekey", NEW, OLD)[-1] == f"rekeyed {backup.url}: done"
    assert {path.name for path in tmp_path.iterdir()} == before
    assert read_all(backup.url, ring_of(NEW)) == bodies


def test_database_after_a_rekey_needs_only_the_new_key(
    backup: KeyCommands, commands: KeyCommands, bodies: set[str]
) -> None:
    assert backup.url != commands.url
    assert commands.lines("check", NEW)[-1].endswith(": no damage found")
    assert read_all(commands.url, ring_of(NEW)) == bodies


def test_check_of_postgresql_exits_with_0_only_if_the_keys_suffice(
    postgresql: str, tmp_path: Path
) -> None:
    commands = KeyCommands(postgresql, tmp_path)
    fill(postgresql, ring_of(OLD), 1)
    advice = "only the keys were examined: for tables and indexes use pg_amcheck"
    needed = f"the database needs the key {id_of(OLD)} for 1 data key and the secret"
    assert commands.lines("check", NEW, OLD)[:-1] == [needed, advice]
    missing = f"the key {id_of(OLD)} is not among the configured keys"
    assert commands.lines("check", NEW, status=1)[:-1] == [needed, missing, advice]
