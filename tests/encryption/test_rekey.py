"""Rekeying in the storage engine: which keys are wrapped by which master key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import sqlalchemy as sa

from storage.encryption import rekey
from storage.encryption.keyring import Keyring
from storage.encryption.rekey import Rekeyed
from storage.errors import DatabaseUnusable
from storage.maintenance import Maintenance
from storage.schema import data_keys, properties
from tests.encryption.filled_databases import (
    change_data_keys,
    fill,
    master_key,
    read_all,
    ring,
    rows_of_data_keys,
    start_and_stop,
    usage,
)


def run(url: str, keyring: Keyring) -> Rekeyed:
    return rekey.rekey(Maintenance(url).transact, keyring)[0]


def test_rekeyed_database_needs_only_the_new_key(database_url: str) -> None:
    old, new = master_key("old"), master_key("new")
    bodies = fill(database_url, ring(old), 20)
    assert usage(database_url) == ({"old": 20}, "old")
    done = run(database_url, ring(new, old))
    assert (done.wrapped, done.secret, done.is_complete) == ({new.id: 20}, new.id, True)
    assert usage(database_url) == ({"new": 20}, "new")
    with pytest.raises(DatabaseUnusable, match="encrypted with the key 'new'"):
        read_all(database_url, ring(old))
    assert read_all(database_url, ring(new)) == bodies


def test_rekey_keeps_the_secret(sqlite: str) -> None:
    old, new = master_key("old"), master_key("new")
    before = start_and_stop(sqlite, ring(old))
    run(sqlite, ring(new, old))
    assert start_and_stop(sqlite, ring(new)) == before


def test_second_rekey_changes_nothing(database_url: str) -> None:
    old, new = master_key("old"), master_key("new")
    fill(database_url, ring(old), 5)
    run(database_url, ring(new, old))
    before = rows_of_data_keys(database_url)
    assert run(database_url, ring(new, old)) == Rekeyed()
    assert rows_of_data_keys(database_url) == before


def test_data_keys_whose_master_key_is_missing_do_not_stop_the_others(database_url: str) -> None:
    lost, old, new = master_key("lost"), master_key("old"), master_key("new")
    bodies = fill(database_url, ring(lost), 600)
    bodies |= fill(database_url, ring(old, lost), 30)
    done = run(database_url, ring(new, old))
    assert (done.wrapped, done.missing) == ({new.id: 30}, {lost.id: 600})
    assert (done.secret, done.missing_for_secret) == (None, lost.id)
    assert not done.is_complete
    assert usage(database_url) == ({"lost": 600, "new": 30}, "lost")
    assert read_all(database_url, ring(new, lost)) == bodies


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_every_step_continues_after_the_last_data_key(sqlite: str, limit: int) -> None:
    lost, old, new = master_key("lost"), master_key("old"), master_key("new")
    fill(sqlite, ring(lost), 3)
    fill(sqlite, ring(old, lost), 3)
    transact, steps = Maintenance(sqlite).transact, []
    next_id: int | None = -1
    wrap = partial(rekey.wrap_data_keys, keyring=ring(new, old), limit=limit)
    while next_id is not None:
        step, next_id = transact(partial(wrap, after_id=next_id))
        steps.append(step.wrapped.total() + step.missing.total())
    assert sum(steps) == 6
    assert max(steps) == min(limit, 6)
    assert usage(sqlite)[0] == {"lost": 3, "new": 3}


def test_damaged_data_key_is_reported_and_does_not_stop_the_others(sqlite: str) -> None:
    old, new = master_key("old"), master_key("new")
    fill(sqlite, ring(old), 4)
    rows = rows_of_data_keys(sqlite)
    first = rows[0][0]
    change_data_keys(sqlite, data_keys.c.id == first, wrapped=b"\x01" + bytes(60))
    done = run(sqlite, ring(new, old))
    assert (done.wrapped, done.damaged) == ({new.id: 3}, [(first, old.id)])
    assert not done.is_complete
    assert rows_of_data_keys(sqlite)[0][1] == "old"


def test_data_key_of_another_row_is_damaged(sqlite: str) -> None:
    old, new = master_key("old"), master_key("new")
    fill(sqlite, ring(old), 2)
    (first, *_), (second, _, _, wrapped, *_) = rows_of_data_keys(sqlite)
    change_data_keys(sqlite, data_keys.c.id == first, wrapped=wrapped)
    done = run(sqlite, ring(new, old))
    assert (done.wrapped, done.damaged) == ({new.id: 1}, [(first, old.id)])
    assert second != first


def test_damaged_secret_is_reported(sqlite: str) -> None:
    old, new = master_key("old"), master_key("new")
    fill(sqlite, ring(old), 1)
    value = f"{old.id.name} {old.id.fingerprint} 01{'00' * 60}"
    change = properties.update().where(properties.c.name == "wrapped_secret").values(value=value)
    Maintenance(sqlite).transact(lambda connection: connection.execute(change).rowcount)
    done = run(sqlite, ring(new, old))
    assert (done.wrapped, done.secret_is_damaged) == ({new.id: 1}, True)
    assert not done.is_complete


def test_newer_key_of_the_same_name_replaces_the_older(sqlite: str) -> None:
    older, newer = master_key("main"), master_key("main")
    bodies = fill(sqlite, ring(older), 3)
    done = run(sqlite, ring(newer, older))
    assert (done.wrapped, done.secret) == ({newer.id: 3}, newer.id)
    assert read_all(sqlite, ring(newer)) == bodies


def test_older_key_of_the_same_name_is_missing_if_only_the_newer_is_known(
    sqlite: str,
) -> None:
    older, newer = master_key("main"), master_key("main")
    fill(sqlite, ring(older), 3)
    done = run(sqlite, ring(newer))
    assert (done.wrapped, done.missing, done.missing_for_secret) == ({}, {older.id: 3}, older.id)


def test_data_keys_of_a_named_key_stay_with_its_name(sqlite: str) -> None:
    old, new, named = master_key("old"), master_key("new"), master_key("payroll")
    bodies = fill(sqlite, ring(old, named), 2, named_key="payroll")
    bodies |= fill(sqlite, ring(old, named), 3)
    assert run(sqlite, ring(new, old, named)).wrapped == {new.id: 3}
    assert usage(sqlite) == ({"payroll": 2, "new": 3}, "new")
    newer = master_key("payroll")
    assert run(sqlite, ring(new, newer, named)).wrapped == {newer.id: 2}
    assert read_all(sqlite, ring(new, newer)) == bodies


def test_data_key_whose_named_key_is_gone_stays_with_its_master_key(sqlite: str) -> None:
    old, new = master_key("old"), master_key("new")
    fill(sqlite, ring(old), 2)
    change_data_keys(sqlite, sa.true(), named_key="payroll")
    done = run(sqlite, ring(new, old))
    assert (done.wrapped, done.missing, done.is_complete) == ({}, {}, True)
    assert usage(sqlite) == ({"old": 2, "new": 0}, "new")


def test_data_key_that_another_key_wraps_gets_the_key_that_its_queue_names(
    sqlite: str,
) -> None:
    old, named = master_key("old"), master_key("payroll")
    bodies = fill(sqlite, ring(old), 2)
    change_data_keys(sqlite, sa.true(), named_key="payroll")
    assert run(sqlite, ring(old, named)).wrapped == {named.id: 2}
    assert read_all(sqlite, ring(old, named)) == bodies


def test_secret_in_clear_stays_in_clear(sqlite: str) -> None:
    old, new = master_key("old"), master_key("new")
    fill(sqlite, ring(old), 1)
    start_and_stop(sqlite, ring(old), encrypts=False)
    assert run(sqlite, ring(new, old)).secret is None
    assert usage(sqlite) == ({"new": 1}, None)


def test_concurrent_rekeys_to_different_keys_leave_every_data_key_readable(
    database_url: str,
) -> None:
    old, one, other = master_key("old"), master_key("one"), master_key("other")
    bodies = fill(database_url, ring(old), 600)
    rings = [ring(one, old, other), ring(other, old, one)] * 2
    with ThreadPoolExecutor(len(rings)) as threads:
        for done in threads.map(lambda keyring: run(database_url, keyring), rings):
            assert done.is_complete
    assert read_all(database_url, ring(one, other)) == bodies


def test_step_that_fails_changes_no_key(database_url: str) -> None:
    old, new = master_key("old"), master_key("new")
    fill(database_url, ring(old), 3)
    before = rows_of_data_keys(database_url)

    def fail(connection: sa.Connection) -> None:
        assert rekey.wrap_data_keys(connection, ring(new, old), -1)[0].wrapped == {new.id: 3}
        raise OSError(5, "Input/output error")

    with pytest.raises(DatabaseUnusable, match="Input/output error"):
        Maintenance(database_url).transact(fail)
    assert rows_of_data_keys(database_url) == before


def test_keys_that_wrap_nothing_are_not_needed_except_the_first(sqlite: str) -> None:
    old, new, spare = master_key("old"), master_key("new"), master_key("spare")
    fill(sqlite, ring(old), 1)
    keyring = ring(new, old, spare)
    _, after = rekey.rekey(Maintenance(sqlite).transact, keyring)
    assert rekey.unneeded(keyring, after) == [old.id, spare.id]
    assert rekey.unneeded(ring(spare, new), after) == []
