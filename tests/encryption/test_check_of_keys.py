"""The check of an encrypted database: the keys it needs, and contents that cannot be decrypted."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing

import pytest

from queueserver.encryption import reports
from queueserver.rules.envelope import Envelope
from storage.encryption.key_check import Report
from storage.encryption.keyring import Keyring
from storage.maintenance import Maintenance, check
from storage.schema import data_keys, properties
from tests.encryption.filled_databases import (
    change_data_keys,
    fill,
    master_key,
    ring,
    rows_of_data_keys,
    start_and_stop,
)
from tests.engine.earlier_versions import path_of


def examine(url: str, keyring: Keyring | None) -> Report:
    return check(url, Envelope.can_decode, keyring)


def lines(report: Report, keyring: Keyring | None) -> Sequence[str]:
    """Return the lines of a report without its advice, and the verdict."""
    shown = list(reports.check_lines(report._replace(advice=None), keyring))
    return [*shown, reports.verdict(report, keyring)]


def execute(url: str, statement: str, *parameters: object) -> None:
    with closing(sqlite3.connect(path_of(url))) as connection:
        assert connection.execute(statement, parameters).rowcount
        connection.commit()


def test_check_with_all_keys_finds_no_damage_and_shows_which_are_needed(database_url: str) -> None:
    old, new, spare = master_key("old"), master_key("new"), master_key("spare")
    fill(database_url, ring(old), 2)
    fill(database_url, ring(new, old), 1)
    keyring = ring(new, old, spare)
    assert lines(examine(database_url, keyring), keyring) == [
        f"the database needs the key {new.id} for 1 data key",
        f"the database needs the key {old.id} for 2 data keys and the secret",
        "no damage found",
    ]


@pytest.mark.parametrize(
    ("count", "line"), [(1, "1 message is stored in clear"), (2, "2 messages are stored in clear")]
)
def test_check_counts_the_messages_in_clear(database_url: str, count: int, line: str) -> None:
    key = master_key("main")
    keyring = ring(key)
    fill(database_url, None, count)
    in_clear = examine(database_url, None)
    assert lines(in_clear, None) == ["no damage found"]
    assert lines(in_clear, keyring) == [line, "no damage found"]
    fill(database_url, keyring, 1)
    assert lines(examine(database_url, None), None)[0] == line


def test_check_without_keys_shows_which_are_needed_and_what_is_not_examined(
    database_url: str,
) -> None:
    key = master_key("main")
    fill(database_url, ring(key), 2)
    report = examine(database_url, None)
    assert lines(report, None) == [
        f"the database needs the key {key.id} for 2 data keys and the secret",
        "encrypted contents were not examined, because no key is configured",
        "no damage found",
    ]
    assert reports.is_sound(report, None)


def test_check_shows_a_key_that_wraps_only_the_secret(sqlite: str) -> None:
    key = master_key("main")
    start_and_stop(sqlite, ring(key))
    expected = [f"the database needs the key {key.id} for the secret", "no damage found"]
    assert lines(examine(sqlite, ring(key)), ring(key)) == expected
    assert lines(examine(sqlite, None), None) == expected


def test_check_names_a_missing_key_and_examines_the_rest(database_url: str) -> None:
    lost, key = master_key("lost"), master_key("main")
    fill(database_url, ring(lost), 2)
    fill(database_url, ring(key, lost), 2)
    (*_, last) = rows_of_data_keys(database_url)
    change_data_keys(database_url, data_keys.c.id == last[0], wrapped=b"\x01" + bytes(60))
    report = examine(database_url, ring(key))
    assert report.missing(ring(key)) == [lost.id]
    assert not reports.is_sound(report, ring(key))
    assert lines(report, ring(key)) == [
        f"data key {last[0]} was changed",
        f"the database needs the key {lost.id} for 2 data keys and the secret",
        f"the database needs the key {key.id} for 2 data keys",
        f"the key {lost.id} is not among the configured keys",
        "damaged: put a backup in its place",
    ]


def test_missing_key_is_no_damage_but_a_finding(database_url: str) -> None:
    older, newer = master_key("main"), master_key("main")
    fill(database_url, ring(older), 1)
    report = examine(database_url, ring(newer))
    assert not reports.is_sound(report, ring(newer))
    other = f"the configured one has the fingerprint {newer.id.fingerprint}"
    assert lines(report, ring(newer)) == [
        f"the database needs the key {older.id} for 1 data key and the secret",
        f"the key {older.id} is missing, {other}",
        "keys are missing: configure them",
    ]


def test_check_finds_a_damaged_secret(database_url: str) -> None:
    key = master_key("main")
    fill(database_url, ring(key), 1)

    def change(value: str) -> None:
        is_secret = properties.c.name == "wrapped_secret"
        update = properties.update().where(is_secret).values(value=value)
        Maintenance(database_url).transact(lambda connection: connection.execute(update).rowcount)

    change(f"{key.id.name} {key.id.fingerprint} 01{'00' * 60}")
    assert examine(database_url, ring(key)).damage == ["the wrapped secret was changed"]


def test_check_finds_a_secret_that_cannot_be_read(sqlite: str) -> None:
    key = master_key("main")
    fill(sqlite, ring(key), 1)
    execute(sqlite, "UPDATE properties SET value = 'x' WHERE name = 'wrapped_secret'")
    report = examine(sqlite, ring(key))
    assert (report.usage, report.damage) == (
        None,
        ["the secret of the database cannot be read"],
    )
    assert not reports.is_sound(report, ring(key))


NAMES = r": queue=q message_id=[0-9a-f-]{36}"
"""The end of a finding: the queue and the message as the log of the server names them."""

FLIPPED = "x'01' || substr(envelope, 2, 20) || x'00' || substr(envelope, 23)"


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        pytest.param(
            f"UPDATE bodies SET envelope = {FLIPPED} WHERE id = ?",
            r"the content of message {} of queue \d+ cannot be decrypted{names}",
            id="changed byte",
        ),
        pytest.param(
            "UPDATE bodies SET envelope = x'' WHERE id = ?",
            r"the content of message {} of queue \d+ cannot be decrypted{names}",
            id="empty record",
        ),
        pytest.param(
            "UPDATE bodies SET message_id = zeroblob(16) WHERE id = ?",
            r"the content of message {} of queue \d+ cannot be decrypted{names}",
            id="other message id",
        ),
        pytest.param(
            "UPDATE bodies SET (data_key, envelope) = (SELECT data_key, envelope FROM bodies "
            "ORDER BY id LIMIT 1) WHERE id = ?",
            r"the content of message {} of queue \d+ cannot be decrypted{names}",
            id="copied content",
        ),
        pytest.param(
            "UPDATE bodies SET data_key = NULL WHERE id = ?",
            r"the envelope of message {} of queue \d+ cannot be read{names}",
            id="marked as clear",
        ),
        pytest.param(
            "UPDATE bodies SET data_key = 77 WHERE id = ?",
            r"the data key 77 of message {} of queue \d+ does not exist{names}",
            id="unknown data key",
        ),
        pytest.param(
            "DELETE FROM bodies WHERE id = ?",
            r"message {} of queue \d+ has no content",
            id="missing content",
        ),
    ],
)
def test_check_finds_a_content_that_cannot_be_decrypted(
    sqlite: str, statement: str, finding: str
) -> None:
    key = master_key("main")
    fill(sqlite, ring(key), 3)
    with closing(sqlite3.connect(path_of(sqlite))) as connection:
        (number,) = connection.execute("SELECT max(id) FROM bodies").fetchone()
    execute(sqlite, statement, number)
    (line,) = examine(sqlite, ring(key)).damage
    assert re.fullmatch(finding.format(number, names=NAMES), line)


def test_messages_of_one_damaged_data_key_are_one_finding(sqlite: str) -> None:
    key = master_key("main")
    fill(sqlite, ring(key), 3)
    (first, *_), *_ = rows_of_data_keys(sqlite)
    execute(sqlite, "UPDATE bodies SET data_key = ?", first)
    change_data_keys(sqlite, data_keys.c.id == first, wrapped=b"")
    assert examine(sqlite, ring(key)).damage == [f"data key {first} was changed"]


def test_unused_data_key_is_no_finding(sqlite: str) -> None:
    key = master_key("main")
    fill(sqlite, ring(key), 2)
    (first, *_), *_ = rows_of_data_keys(sqlite)
    execute(sqlite, "DELETE FROM bodies WHERE data_key = ?", first)
    execute(sqlite, "DELETE FROM messages WHERE body_id NOT IN (SELECT id FROM bodies)")
    report = examine(sqlite, ring(key))
    assert report.damage == []
    assert report.usage is not None
    assert report.usage.data_keys == {key.id: 2}


def test_check_of_postgresql_refers_to_its_own_program(postgresql: str) -> None:
    key = master_key("main")
    fill(postgresql, ring(key), 1)
    assert list(reports.check_lines(examine(postgresql, ring(key)), ring(key))) == [
        f"the database needs the key {key.id} for 1 data key and the secret",
        "only the keys were examined: for tables and indexes use pg_amcheck",
    ]


def test_check_changes_nothing(database_url: str) -> None:
    key, new = master_key("main"), master_key("new")
    fill(database_url, ring(key), 2)
    before = rows_of_data_keys(database_url)
    for keyring in (None, ring(key), ring(new), ring(new, key)):
        examine(database_url, keyring)
    assert rows_of_data_keys(database_url) == before
