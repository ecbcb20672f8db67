"""Data keys: when a new one is made, where it is valid, and what a failed transaction leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from queueserver.background.upkeep import Upkeep
from storage import move_tasks, queues
from storage.encryption import data_keys
from storage.encryption.data_keys import DataKeyRule
from storage.encryption.keyring import Keyring
from storage.errors import DatabaseUnusable, MasterKeyMissing
from storage.messages.commands import NewMessage
from storage.queues import FIFO
from tests.encryption.encrypted_client import MAIN, OTHER, REUSE_S, EncryptedClient
from tests.engine.queue_client import bodies_of, new_message, queue_name

HOUR_S = 3_600


@pytest_asyncio.fixture
async def client(database_url: str) -> AsyncIterator[EncryptedClient]:
    """Yield a client of an empty standard queue, on each kind of database."""
    client = await EncryptedClient.with_keys(database_url, MAIN, OTHER)
    yield client
    await client.database.close()


async def test_messages_of_a_queue_share_a_data_key(client: EncryptedClient) -> None:
    await client.send("one", "two")
    await client.send("three")
    assert await client.keys_of_contents() == 3 * await client.data_keys()
    assert await client.bodies() == ["one", "two", "three"]


async def test_each_queue_has_a_data_key_of_its_own(client: EncryptedClient) -> None:
    other = await client.another_encrypted("invoices")
    await client.send("order")
    await other.send("invoice")
    first, second = await client.keys_of_contents()
    assert first != second
    assert [first, second] == await client.data_keys()


async def test_each_server_has_data_keys_of_its_own(postgresql: str) -> None:
    one = await EncryptedClient.with_keys(postgresql)
    other = await EncryptedClient.with_keys(postgresql, clock=one.clock)
    await one.send("one")
    await other.send("two")
    first, second = await one.keys_of_contents()
    assert first != second
    assert await one.bodies(1) == ["one"]
    assert await one.bodies(1) == ["two"]
    await other.database.close()
    await one.database.close()


async def test_data_key_is_renewed_when_its_reuse_period_is_over(client: EncryptedClient) -> None:
    await client.send("first")
    client.clock.advance(REUSE_S - 1)
    await client.send("within")
    client.clock.advance(1)
    await client.send("after")
    first, within, after = await client.keys_of_contents()
    assert first == within != after
    assert await client.bodies() == ["first", "within", "after"]


async def test_shorter_reuse_period_renews_the_data_key_at_once(client: EncryptedClient) -> None:
    await client.send("first")
    client.clock.advance(60)
    client.rule = DataKeyRule(None, 60_000)
    await client.send("second")
    first, second = await client.keys_of_contents()
    assert first != second


async def test_longer_reuse_period_does_not_prolong_the_use_of_a_data_key(
    client: EncryptedClient,
) -> None:
    # Upkeep trusts the time that is stored with the data key.
    await client.send("first")
    client.rule = DataKeyRule(None, 10 * REUSE_S * 1000)
    client.clock.advance(REUSE_S)
    await client.send("second")
    first, second = await client.keys_of_contents()
    assert first != second


async def test_data_key_is_renewed_after_its_number_of_messages(
    client: EncryptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_keys, "_MESSAGES_OF_A_KEY", 3)
    for body in "abcdef":
        await client.send(body)
    keys = await client.keys_of_contents()
    assert [keys.count(key) for key in await client.data_keys()] == [3, 3]
    assert await client.bodies() == list("abcdef")


async def test_queues_beyond_the_limit_of_the_cache_share_data_keys(
    client: EncryptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_keys, "_CACHED_KEYS", 2)
    queues = [client, *[await client.another_encrypted(f"q{number}") for number in range(4)]]
    queues[-1].rule = DataKeyRule("other", REUSE_S * 1000)
    for _ in range(3):
        for queue in queues:
            await queue.send("x")
    of_queues = await client.query("SELECT DISTINCT queue_id, data_key FROM bodies ORDER BY 1")
    first, second, third, fourth, named = [key for _, key in of_queues]
    assert third == fourth
    assert await client.data_keys() == [first, second, third, named]
    client.clock.advance(REUSE_S)
    for queue in (queues[2], queues[2], queues[3]):
        await queue.send("x")
    # The first send has made room, so the second one has a data key of its own queue.
    shared, own, shared_too = (await client.keys_of_contents())[-3:]
    assert shared == shared_too != own
    for queue in queues:
        assert set(await queue.bodies()) == {"x"}


async def test_restart_makes_a_new_data_key_and_reads_with_the_old_one(
    database_url: str,
) -> None:
    client = await EncryptedClient.with_keys(database_url)
    await client.send("before")
    await client.database.close()
    client = await EncryptedClient.with_keys(database_url, clock=client.clock)
    await client.send("after")
    before, after = await client.keys_of_contents()
    assert before != after
    assert await client.bodies() == ["before", "after"]
    await client.database.close()


async def test_failed_transaction_leaves_no_data_key_and_the_next_send_makes_one(
    client: EncryptedClient,
) -> None:
    damaged = NewMessage(b"", "x", b"", 1, None, 0)._replace(size=None)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(Exception):  # noqa: B017, PT011 - each driver has its own error
            await client.database.submit(client.send_command(new_message("a"), damaged))
        assert await client.data_keys() == []
    await client.send("sent")
    assert await client.keys_of_contents() == await client.data_keys()
    await client.database.close()
    client.database = (await EncryptedClient.with_keys(client.url, MAIN, OTHER)).database
    assert await client.bodies() == ["sent"]


async def test_named_key_wraps_the_data_keys_of_its_queue(client: EncryptedClient) -> None:
    client.rule = DataKeyRule("other", REUSE_S * 1000)
    await client.send("named")
    client.rule = DataKeyRule(None, REUSE_S * 1000)
    await client.send("first")
    rows = await client.query(
        "SELECT master_key, fingerprint, named_key FROM data_keys ORDER BY id"
    )
    assert rows == [(*OTHER.id, "other"), (*MAIN.id, None)]
    assert await client.bodies() == ["named", "first"]


async def test_send_with_an_unknown_key_fails_and_stores_nothing(client: EncryptedClient) -> None:
    client.rule = DataKeyRule("unknown", REUSE_S * 1000)
    with pytest.raises(MasterKeyMissing, match="'unknown' is not configured"):
        await client.send("x")
    assert await client.rows() == {"messages": 0, "bodies": 0, "backlogs": 1, "dropped_queues": 0}


async def test_fifo_send_with_an_unknown_key_leaves_no_deduplication_id(database_url: str) -> None:
    client = await EncryptedClient.with_keys(database_url, kind=FIFO)
    client.rule = DataKeyRule("unknown", REUSE_S * 1000)
    with pytest.raises(MasterKeyMissing):
        await client.send_to("g", "x")
    assert await client.fifo_rows() == {"groups": 0, "deduplications": 0, "receive_attempts": 0}
    await client.database.close()


async def test_clear_and_encrypted_messages_are_received_together(client: EncryptedClient) -> None:
    rule = client.rule
    client.rule = None
    await client.send("clear")
    client.rule = rule
    await client.send("encrypted")
    first, second = await client.keys_of_contents()
    assert first is None
    assert second is not None
    assert await client.bodies() == ["clear", "encrypted"]


@pytest.mark.parametrize("kind", [queues.STANDARD, FIFO])
async def test_dead_lettered_and_redriven_messages_stay_readable(
    kind: str, database_url: str
) -> None:
    client = await EncryptedClient.with_keys(database_url, kind=kind)
    dead = await client.another_encrypted("dead")
    await client.redrive_to("dead", 1)
    body = "moved ü"
    await (client.send(body) if kind == queues.STANDARD else client.send_to("g", body))
    assert await client.bodies(timeout_s=1) == [body]
    client.clock.advance(1)
    assert await client.bodies() == []
    (received,) = await dead.receive(timeout_s=1)
    assert received.body == body
    dead.clock.advance(1)
    await client.database.write(
        move_tasks.start, "task", dead.queue, queue_name("orders"), None, to_move=1
    )
    while await client.database.write(move_tasks.step, "task", 10):
        pass
    (moved,) = await client.receive()
    assert (moved.body, moved.envelope) == (body, b"envelope")
    await client.database.close()


async def test_purged_queue_gets_a_new_data_key(client: EncryptedClient) -> None:
    await client.send("before")
    await client.purge()
    await client.send("after")
    assert len(await client.data_keys()) == 2
    assert await client.bodies() == ["after"]


# Unused data keys


async def run_upkeep(client: EncryptedClient) -> None:
    await Upkeep(client.database, client.clock).run_round()


async def test_upkeep_frees_a_data_key_without_messages(client: EncryptedClient) -> None:
    await client.send("x")
    received = await client.receive_one()
    await client.delete(received.receipt)
    client.clock.advance(REUSE_S + HOUR_S - 1)
    await run_upkeep(client)
    assert len(await client.data_keys()) == 1
    client.clock.advance(1)
    await run_upkeep(client)
    assert await client.data_keys() == []


async def test_upkeep_keeps_a_data_key_that_a_moved_message_needs(client: EncryptedClient) -> None:
    dead = await client.another_encrypted("dead")
    await client.redrive_to("dead", 1)
    await client.send("moved")
    await client.bodies(timeout_s=1)
    client.clock.advance(1)
    assert await client.bodies() == []
    client.clock.advance(REUSE_S + HOUR_S)
    await run_upkeep(client)
    assert await dead.bodies() == ["moved"]


async def test_upkeep_reads_the_contents_page_by_page(
    client: EncryptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queueserver.background.upkeep._PAGE_CONTENTS", 2)
    monkeypatch.setattr("queueserver.background.upkeep._CANDIDATE_DATA_KEYS", 2)
    for body in "abcde":
        await client.send(body)
        client.clock.advance(REUSE_S)
    first, *_ = await client.receive(1)
    await client.delete(first.receipt)
    client.clock.advance(HOUR_S)
    before = await client.data_keys()
    await run_upkeep(client)
    assert await client.data_keys() == before[1:]
    assert await client.bodies() == list("bcde")


# Other master keys while the server runs


async def test_other_keyring_decrypts_and_encrypts_with_its_first_key(
    client: EncryptedClient,
) -> None:
    await client.send("one")
    await client.database.use_keyring(Keyring([OTHER, MAIN]))
    await client.send("two")
    assert await client.bodies() == ["one", "two"]
    assert await client.query("SELECT master_key FROM data_keys ORDER BY id") == [
        ("main",),
        ("other",),
    ]


async def test_keyring_without_a_needed_key_is_rejected_and_the_old_one_stays(
    client: EncryptedClient,
) -> None:
    await client.send("one")
    with pytest.raises(DatabaseUnusable, match=r"'main' .* is not among the configured keys"):
        await client.database.use_keyring(Keyring([OTHER]))
    assert bodies_of(await client.receive()) == ["one"]
