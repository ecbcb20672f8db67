"""Attacks on encryption: failovers, reloads at the wrong time, and damage that must stay alone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from storage.encryption.data_keys import DataKeyRule
from storage.encryption.keyring import Keyring
from storage.errors import DatabaseDamaged, DatabaseUnusable, MasterKeyMissing
from storage.messages.contents import Unreadable
from storage.schema import bodies
from storage.transaction import Transaction
from tests.clock import ManualClock
from tests.encryption.encrypted_client import MAIN, OTHER, REUSE_S, EncryptedClient
from tests.encryption.encrypting_server import VISIBILITY_SECONDS, Start, starting
from tests.encryption.encrypting_server import bodies as bodies_of
from tests.encryption.stored_rows import StoredRows, stored_rows


@pytest_asyncio.fixture
async def client(database_url: str) -> AsyncIterator[EncryptedClient]:
    """Yield a client of an empty standard queue, on each kind of database."""
    client = await EncryptedClient.with_keys(database_url, MAIN, OTHER)
    yield client
    await client.database.close()


@pytest.fixture
def collect_by_hand() -> Iterator[None]:
    """Keep cycles of objects: the garbage collector is off."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# Data keys that the database has lost


def fail_over(rows: StoredRows) -> None:
    """Close all connections and lose the data keys, as a standby that lags behind does."""
    rows.run("DELETE FROM data_keys")
    rows.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )


async def test_server_encrypts_with_no_data_key_that_was_lost_in_a_failover(
    postgresql: str,
) -> None:
    client = await EncryptedClient.with_keys(postgresql)
    await client.send("before")
    with contextlib.ExitStack() as stack:
        rows = await asyncio.to_thread(stack.enter_context, stored_rows(postgresql))
        await asyncio.to_thread(fail_over, rows)
        await client.send("after")
        await asyncio.to_thread(stack.close)
    lost, after = await client.keys_of_contents()
    assert await client.data_keys() == [after] != [lost]
    await client.database.close()
    client = await EncryptedClient.with_keys(postgresql, clock=client.clock)
    assert await client.bodies() == ["after"]
    await client.database.close()


# Other master keys while messages are sent


async def test_no_message_is_encrypted_with_a_master_key_that_a_reload_removes(
    client: EncryptedClient,
) -> None:
    for number in range(20):
        queue = await client.another_encrypted(f"q{number}")
        queue.rule = DataKeyRule("other", REUSE_S * 1000)
        reload = asyncio.create_task(client.database.use_keyring(Keyring([MAIN])))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        is_sent = True
        try:
            await queue.send("x")
        except MasterKeyMissing:
            is_sent = False
        if is_sent:
            with pytest.raises(DatabaseUnusable, match="'other'"):
                await reload
            assert await queue.bodies() == ["x"]
        else:
            await reload
            assert await client.data_keys() == []
            await client.database.use_keyring(Keyring([MAIN, OTHER]))
        await client.database.write(_delete_data_keys)


def _delete_data_keys(transaction: Transaction) -> None:
    transaction.connection.exec_driver_sql("DELETE FROM data_keys")


# Damage


def test_message_with_a_damaged_id_is_rejected_alone(
    start: Start, rows: StoredRows, caplog: pytest.LogCaptureFixture
) -> None:
    server = start()
    server.create("q")
    server.send("q", "damaged", "sound")
    content = rows.contents()[0]
    rows.restore(content._replace(message_id=content.message_id[:-1]))
    assert bodies_of(server.receive("q")) == ["sound"]
    assert f"message_id={content.message_id[:-1].hex()} " in caplog.text


def test_message_whose_record_is_a_number_is_rejected_alone(
    sqlite: str, clock: ManualClock
) -> None:
    # SQLite stores values of any type in any column.
    with starting(sqlite, clock) as start:
        server = start()
        server.create("q")
        server.send("q", "damaged", "sound")
        with stored_rows(sqlite) as rows:
            rows.run("UPDATE bodies SET envelope = 5 WHERE id = $1", rows.contents()[0].id)
        assert bodies_of(server.receive("q")) == ["sound"]


@pytest.mark.parametrize("timeout_s", [0, VISIBILITY_SECONDS])
def test_damaged_messages_go_to_the_back_of_a_standard_queue(
    start: Start, rows: StoredRows, clock: ManualClock, timeout_s: int
) -> None:
    server = start()
    server.create("q")
    server.send("q", *("damaged" for _ in range(12)))
    rows.run("UPDATE bodies SET envelope = $1", b"")
    server.send("q", "sound")
    assert server.receive_error("q", VisibilityTimeout=timeout_s).status == 500
    clock.advance(timeout_s + 1)
    assert bodies_of(server.receive("q", VisibilityTimeout=timeout_s)) == ["sound"]


async def test_failed_receive_leaves_no_contents_to_the_garbage_collector(
    client: EncryptedClient, collect_by_hand: None
) -> None:
    await client.send("x" * 1000)

    def damage(transaction: Transaction) -> None:
        transaction.connection.execute(bodies.update().values(message_id=uuid.uuid4().bytes))

    await client.database.write(damage)
    with pytest.raises(DatabaseDamaged) as raised:
        await client.receive(timeout_s=0)
    del raised
    assert [kept for kept in gc.get_objects() if isinstance(kept, Unreadable)] == []
