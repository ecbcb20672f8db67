"""A database of version 3 keeps its rows when opening migrates it, and serves what they say.

test_schema_versions.py describes the dump, and has the rules that hold for all earlier versions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing

import asyncpg
import pytest
import pytest_asyncio
import sqlalchemy as sa

from protocol import actions
from protocol.actions import Message, MessageAttributeValue
from storage import migrations
from storage.database import Database
from storage.schema import bodies, messages
from tests.clock import ManualClock
from tests.engine.earlier_versions import all_rows, path_of, restore
from tests.engine.migrated_server import DUMPED_AT_MS, HOME, Server, arn, migrated

LONG_BODIES = (
    "INSERT INTO bodies (queue_id, id, message_id, body, envelope) "
    "WITH RECURSIVE n(x) AS (SELECT 100001 UNION ALL SELECT x + 1 FROM n WHERE x < 100500) "
    "SELECT 1, x, randomblob(16), hex(randomblob(3000)), x'00' FROM n"
)
PAGES_OF_THE_SCHEMA = 10


@pytest_asyncio.fixture
async def server(database_url: str) -> AsyncIterator[Server]:
    """Yield a server on a database of each kind that was migrated from version 3."""
    async with migrated(database_url, 3) as server:
        yield server


async def open_and_close(url: str) -> None:
    """Migrate a database of version 3."""
    database = await Database.open(url, ManualClock(DUMPED_AT_MS[3]))
    await database.close()


def attributes_of(message: Message) -> dict[str, str]:
    """Return the system attributes of a message, without those that the sender determines."""
    attributes = dict(message.attributes or {})
    attributes.pop("SenderId")
    return attributes


async def id_when_sent(server: Server, body: str) -> str:
    """Return the id that a message got when it was sent."""
    statement = sa.select(bodies.c.message_id).where(bodies.c.body == body)
    found = await server.database.read(lambda connection: connection.scalar(statement))
    assert isinstance(found, bytes)
    return found.hex()


# The rows


async def test_every_row_is_kept(database_url: str) -> None:
    await restore(database_url, 3)
    before = await all_rows(database_url)
    assert len(before["messages"]) > 30
    await open_and_close(database_url)
    after = await all_rows(database_url)
    expected: dict[str, list[Mapping[str, object]]] = {**before, "data_keys": []}
    expected["bodies"] = [{**row, "data_key": None} for row in before["bodies"]]
    expected["properties"] = [
        {**row, "value": str(migrations.VERSION)} if row["name"] == "schema_version" else row
        for row in before["properties"]
    ]
    assert after == expected


async def test_sqlite_file_is_not_rewritten(sqlite: str) -> None:
    await restore(sqlite, 3)
    with closing(sqlite3.connect(path_of(sqlite))) as connection:
        connection.execute(LONG_BODIES)
        connection.commit()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    before = path_of(sqlite).read_bytes()
    assert len(before) > 500 * size
    await open_and_close(sqlite)
    after = path_of(sqlite).read_bytes()
    written = [at for at in range(0, len(after), size) if after[at:][:size] != before[at:][:size]]
    assert 0 < len(written) <= PAGES_OF_THE_SCHEMA


async def places_of_rows(url: str) -> tuple[Sequence[object], Sequence[object]]:
    """Return the files of PostgreSQL's tables, and the version and the place of every body."""
    tables = "SELECT pg_relation_filenode('bodies'), pg_relation_filenode('messages')"
    rows = "SELECT id, xmin::text, ctid::text FROM bodies ORDER BY id"
    session = await asyncpg.connect(url)
    found = await session.fetch(tables), await session.fetch(rows)
    await session.close()
    return found


async def test_postgresql_tables_are_not_rewritten(postgresql: str) -> None:
    await restore(postgresql, 3)
    before = await places_of_rows(postgresql)
    await open_and_close(postgresql)
    assert await places_of_rows(postgresql) == before


# Answers to clients


async def test_message_that_went_to_the_back_stays_there(server: Server) -> None:
    received = await server.receive("ordered")
    assert [message.body for message in received] == [
        "received once",
        "never received",
        "received three times",
    ]
    receives = [attributes_of(message)["ApproximateReceiveCount"] for message in received]
    assert receives == ["2", "1", "4"]


async def test_body_and_attributes_of_every_type_are_kept(server: Server) -> None:
    (received,) = await server.receive("contents")
    assert received.body == "größer 漢字 🙂"
    assert received.message_attributes == {
        "text": MessageAttributeValue("String", string_value="Straße"),
        "number": MessageAttributeValue("Number.int", string_value="42"),
        "bytes": MessageAttributeValue("Binary", binary_value=b"\x00\xff"),
    }
    assert attributes_of(received) == {
        "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793",
        "ApproximateFirstReceiveTimestamp": "1700000064001",
        "ApproximateReceiveCount": "2",
        "SentTimestamp": "1700000063001",
    }


async def test_receipt_handle_of_a_message_in_flight_is_valid(server: Server) -> None:
    assert "held" not in await server.bodies("contents", timeout_s=0)
    await server.make_visible("contents", server.handles["held"])
    assert await server.bodies("contents", timeout_s=0) == ["größer 漢字 🙂", "held"]
    server.clock.advance(1)
    await server.messages.delete_message(
        HOME, actions.DeleteMessage("contents", server.handles["held"])
    )
    assert await server.bodies("contents") == ["größer 漢字 🙂"]


async def test_dead_letter_keeps_its_id_source_and_receives(server: Server) -> None:
    (received,) = await server.receive("invoices-dlq")
    assert received.body == "invoice 2"
    assert received.message_id.replace("-", "") == await id_when_sent(server, "invoice 2")
    assert attributes_of(received) == {
        "ApproximateFirstReceiveTimestamp": "1700000064001",
        "ApproximateReceiveCount": "2",
        "DeadLetterQueueSourceArn": arn("invoices"),
        "SentTimestamp": "1700000063001",
    }
    queue = await server.queue("invoices-dlq")
    earlier = sa.select(messages.c.earlier_receives).where(messages.c.queue_id == queue.id)
    assert await server.database.read(lambda connection: connection.scalar(earlier)) == 1


async def test_message_of_a_move_task_keeps_its_new_id(server: Server) -> None:
    (received,) = await server.receive("archive")
    assert received.body == "invoice 1"
    assert received.message_id.replace("-", "") != await id_when_sent(server, "invoice 1")
    queue = await server.queue("archive")
    moved = sa.select(messages.c.message_id).where(messages.c.queue_id == queue.id)
    message_id = await server.database.read(lambda connection: connection.scalar(moved))
    assert isinstance(message_id, bytes)
    assert received.message_id.replace("-", "") == message_id.hex()
    assert attributes_of(received) == {
        "ApproximateFirstReceiveTimestamp": "1700000065001",
        "ApproximateReceiveCount": "1",
        "SentTimestamp": "1700000065001",
    }


async def test_cancelled_move_task_is_listed(server: Server) -> None:
    listed = await server.tasks.list_message_move_tasks(
        HOME, actions.ListMessageMoveTasks(arn("invoices-dlq"))
    )
    (task,) = listed.results or []
    assert (task.status, task.approximate_number_of_messages_moved) == ("CANCELLED", 1)


async def test_contents_and_ids_are_deduplicated_for_five_minutes(server: Server) -> None:
    before = await server.rows("messages")
    await server.send("hashed.fifo", "letter", "a")
    await server.send("hashed.fifo", "something else", "b", "own")
    assert await server.rows("messages") == before
    server.clock.advance(300)
    await server.send("hashed.fifo", "letter", "c")
    await server.send("hashed.fifo", "something else", "d", "own")
    received = await server.bodies("hashed.fifo")
    assert sorted(received) == ["letter", "letter", "letter 2", "other", "something else"]


async def test_receive_attempt_is_repeated_and_its_group_stays_in_order(server: Server) -> None:
    (again,) = await server.receive("hashed.fifo", 300, attempt="attempt-of-a-letter")
    assert (again.body, again.receipt_handle) == ("letter", server.handles["letter"])
    assert await server.bodies("hashed.fifo") == ["other"]
    await server.messages.delete_message(
        HOME, actions.DeleteMessage("hashed.fifo", server.handles["letter"])
    )
    assert await server.bodies("hashed.fifo") == ["letter 2"]


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        pytest.param(
            "with-key",
            "of a queue with a key",
            {
                "KmsMasterKeyId": "alias/orders",
                "KmsDataKeyReusePeriodSeconds": "600",
                "SqsManagedSseEnabled": "false",
            },
            id="key",
        ),
        pytest.param(
            "without-sse",
            "of a queue without encryption",
            {"SqsManagedSseEnabled": "false"},
            id="none",
        ),
        pytest.param(
            "archive",
            "invoice 1",
            {"SqsManagedSseEnabled": "true"},
            id="default",
        ),
    ],
)
async def test_settings_of_encryption_are_kept_and_messages_are_readable(
    server: Server, name: str, body: str, expected: dict[str, str]
) -> None:
    found = await server.queues.get_queue_attributes(
        HOME, actions.GetQueueAttributes(name, ["All"])
    )
    shown = {
        key: value
        for key, value in (found.attributes or {}).items()
        if key.startswith(("Kms", "SqsManaged"))
    }
    assert shown == expected
    assert await server.bodies(name) == [body]
