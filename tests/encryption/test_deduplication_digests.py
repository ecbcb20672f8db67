"""Deduplication in a database with encrypted messages: its ids are keyed digests."""

from __future__ import annotations

import hashlib

import pytest

from storage.queues import FIFO, FIFO_BY_GROUP
from tests.encryption.encrypted_client import MAIN, EncryptedClient
from tests.engine.queue_client import fifo_message

BODY = "a body that is easy to guess"
DIGEST = hashlib.sha256(BODY.encode()).hexdigest()
KINDS = pytest.mark.parametrize("kind", [FIFO, FIFO_BY_GROUP])


async def send(client: EncryptedClient, deduplication_id: str, group_id: str = "g") -> int:
    """Send a message with a deduplication id; return the number of the message sent first."""
    command = client.send_command(fifo_message(BODY, group_id, deduplication_id))
    (sent,) = await client.database.submit(command)
    return sent.number


async def stored_keys(client: EncryptedClient) -> list[object]:
    return [row[0] for row in await client.query("SELECT key FROM deduplications")]


@KINDS
async def test_ids_are_stored_as_keyed_digests(kind: str, database_url: str) -> None:
    client = await EncryptedClient.with_keys(database_url, kind=kind)
    await send(client, DIGEST)
    (key,) = await stored_keys(client)
    assert isinstance(key, str)
    assert DIGEST not in key
    assert len(key) == 64
    await client.database.close()


async def test_digests_of_two_databases_differ(sqlite: str, postgresql: str) -> None:
    keys = []
    for url in (sqlite, postgresql):
        client = await EncryptedClient.with_keys(url, kind=FIFO)
        await send(client, DIGEST)
        keys += await stored_keys(client)
        await client.database.close()
    assert keys[0] != keys[1]


async def test_digests_of_equal_bodies_in_two_queues_differ(database_url: str) -> None:
    client = await EncryptedClient.with_keys(database_url, kind=FIFO)
    other = await client.another_encrypted("invoices")
    await send(client, DIGEST)
    await send(other, DIGEST)
    first, second = await stored_keys(client)
    assert first != second
    await client.database.close()


@KINDS
async def test_duplicates_are_detected_until_five_minutes_have_passed(
    kind: str, database_url: str
) -> None:
    client = await EncryptedClient.with_keys(database_url, kind=kind)
    first = await send(client, DIGEST)
    client.clock.advance(299)
    assert await send(client, DIGEST) == first
    assert (await send(client, DIGEST, "other") == first) is (kind == FIFO)
    client.clock.advance(1)
    assert await send(client, DIGEST) != first
    await client.database.close()


@KINDS
@pytest.mark.parametrize("rows", [1, 2_500])
async def test_ids_from_before_the_encryption_are_replaced_and_detect_duplicates(
    kind: str, rows: int, database_url: str
) -> None:
    client = await EncryptedClient.with_keys(database_url, kind=kind, encrypts=False)
    client.rule = None
    first = await send(client, DIGEST)
    others = [fifo_message("x", "g", f"id-{number}") for number in range(rows - 1)]
    for start in range(0, len(others), 500):
        await client.database.submit(client.send_command(*others[start : start + 500]))
    before = await stored_keys(client)
    await client.database.close()

    client = await EncryptedClient.with_keys(database_url, clock=client.clock)
    after = await stored_keys(client)
    assert len(after) == len(before) == rows
    assert not {*before} & {*after}
    assert await send(client, DIGEST) == first
    await client.database.close()


async def test_ids_stay_keyed_when_encryption_is_turned_off(database_url: str) -> None:
    client = await EncryptedClient.with_keys(database_url, kind=FIFO)
    first = await send(client, DIGEST)
    await client.database.close()
    client = await EncryptedClient.with_keys(database_url, MAIN, clock=client.clock, encrypts=False)
    assert await send(client, DIGEST) == first
    await client.database.close()


async def test_ids_stay_in_clear_without_keys(database_url: str) -> None:
    client = await EncryptedClient.with_keys(database_url, kind=FIFO, encrypts=False)
    client.rule = None
    await send(client, DIGEST)
    assert await stored_keys(client) == [DIGEST]
    await client.database.close()
