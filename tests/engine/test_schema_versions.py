"""Databases of earlier schema versions: opening migrates them and loses nothing.

`schema_versions/` has one dump for each kind of database. A script wrote both with the code of the
last commit with that version: it ran the requests below through the actions, on a manual clock,
without background work, and dumped the database (`iterdump` of SQLite; `pg_dump --inserts
--no-owner --no-acl`, without its SET lines). The first line has the receipt handles, as JSON.

Version 3 has what version 2 has, migrated, and further queues: `ordered`, where a message went to
the back after three receives and is followed by one that is ready; `contents` with a body of
several scripts, message attributes and a trace header, and a message in flight; `invoices-dlq` with
a dead letter of `invoices`, and `archive` with another, which a cancelled move task moved there and
gave a new id; `hashed.fifo` with content-based deduplication, a deduplication id and a named
receive attempt; `with-key` with a KMS key, and `without-sse` without encryption.

Version 2 has what version 1 has, migrated, and further queues: `letters` with a body that is longer
in bytes than in characters, `chained` with two dead-letter queues one after the other and a message
in the first, received twice in `chained`, and `slow` with a delay of 60 seconds.

Version 1: queues of every kind, in two accounts and regions, with a policy, tags and redrive
policies of one receive; messages that are visible, in flight, delayed, expired, of a tenant, and
moved to dead-letter queues; a named receive attempt; deduplications for a queue and for a group;
the delay of a FIFO queue, changed for the newest message only, because the script lowered the size
of the first step; one purged and two deleted queues whose rows are not freed; a completed task, a
running one that has moved one of three messages, and one back to the sources that has moved none.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
import sqlalchemy as sa

from protocol import actions
from queueserver.context import RequestContext
from storage import migrations, queue_delays, queues
from storage.database import Database
from storage.errors import DatabaseUnusable
from storage.messages import dropped_queues, expiry
from storage.queue_settings import QueueName, Redrive
from tests.clock import ManualClock
from tests.engine.earlier_versions import path_of, restore
from tests.engine.migrated_server import AWAY, DUMPED_AT_MS, HOME, Server, arn, migrated
from tests.markdown import text_of

DAYS_MS = 86_400_000
VERSIONS = pytest.mark.parametrize("version", [1, 2, 3])


@pytest_asyncio.fixture(params=[1, 2, 3], ids=["from-1", "from-2", "from-3"])
async def server(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """Yield a server on a database of each kind that was migrated from each version."""
    async with migrated(database_url, request.param) as server:
        yield server


@pytest_asyncio.fixture
async def server_from_2(database_url: str) -> AsyncIterator[Server]:
    """Yield a server on a database of each kind that was migrated from version 2."""
    async with migrated(database_url, 2) as server:
        yield server


async def test_migration_fills_the_columns_of_queue_settings(server: Server) -> None:
    found = await server.queue("orders")
    dead = QueueName(HOME.account, HOME.region, "orders-dlq")
    assert (found.retention_ms, found.redrive) == (3_600_000, Redrive(dead, 1))
    assert (await server.queue("orders-dlq")).redrive is None
    assert (await server.queue("orders-dlq")).retention_ms == 4 * DAYS_MS
    assert (await server.queue("short")).retention_ms == 60_000
    abroad = await server.queue("abroad", AWAY)
    dead = QueueName(AWAY.account, AWAY.region, "abroad-dlq")
    assert (abroad.retention_ms, abroad.redrive) == (4 * DAYS_MS, Redrive(dead, 1))


async def test_migrated_queues_keep_attributes_and_tags(server: Server) -> None:
    listed = await server.queues.list_queues(HOME, actions.ListQueues())
    names = [url.rpartition("/")[2] for url in listed.queue_urls or []]
    expected = [
        *("by-group.fifo", "delays.fifo", "events-dlq.fifo", "events.fifo", "orders"),
        *("orders-dlq", "purged", "short", "target"),
    ]
    if server.version >= 2:
        expected += ["letters", "second-dlq", "first-dlq", "chained", "slow"]
    if server.version >= 3:
        expected += ["ordered", "contents", "invoices-dlq", "invoices", "archive", "hashed.fifo"]
        expected += ["with-key", "without-sse"]
    assert names == sorted(expected)
    shown = await server.queues.get_queue_attributes(
        HOME, actions.GetQueueAttributes("orders", ["All"])
    )
    found = shown.attributes or {}
    assert json.loads(found["RedrivePolicy"]) == {
        "deadLetterTargetArn": arn("orders-dlq"),
        "maxReceiveCount": 1,
    }
    assert (found["MessageRetentionPeriod"], found["VisibilityTimeout"]) == ("3600", "7")
    assert '"Sid":"label"' in found["Policy"]
    assert found["CreatedTimestamp"] == found["LastModifiedTimestamp"] == "1700000000"
    tags = await server.queues.list_queue_tags(HOME, actions.ListQueueTags("orders"))
    assert tags.tags == {"team": "sales"}


@pytest.mark.parametrize(
    ("name", "source", "context"),
    [("orders-dlq", "orders", HOME), ("abroad-dlq", "abroad", AWAY)],
    ids=["home", "abroad"],
)
async def test_migrated_dead_letter_queue_lists_its_sources(
    server: Server, name: str, source: str, context: RequestContext
) -> None:
    listed = await server.queues.list_dead_letter_source_queues(
        context, actions.ListDeadLetterSourceQueues(name)
    )
    assert listed.queue_urls == [f"http://localhost/{context.account}/{source}"]


async def test_migrated_queues_have_exact_counts(server: Server) -> None:
    assert await server.counts("orders") == ["2", "1", "1"]
    assert await server.counts("short") == ["1", "0", "0"]


async def test_migrated_messages_keep_order_and_visibility(server: Server) -> None:
    received = await server.receive("orders", timeout_s=3_000)
    assert [message.body for message in received] == ["visible", "of a tenant"]
    attributes = [message.attributes or {} for message in received]
    assert [found.get("MessageGroupId") for found in attributes] == [None, "tenant"]
    server.clock.advance(900)
    # The message that was in flight is visible again; it was received once, so it is moved.
    assert await server.bodies("orders") == ["delayed"]
    assert "in flight" in await server.bodies("orders-dlq")


async def test_migrated_receipt_handles_and_redrive_policies_work(server: Server) -> None:
    await server.make_visible("orders", server.handles["in flight"])
    assert await server.bodies("orders") == ["visible", "of a tenant"]
    received = await server.receive("orders-dlq")
    assert [message.body for message in received] == ["dead 2", "dead 3", "in flight"]
    sources = [(found.attributes or {})["DeadLetterQueueSourceArn"] for found in received]
    assert sources == [arn("orders")] * 3


async def test_migrated_message_groups_keep_order_and_receive_attempts(server: Server) -> None:
    assert await server.bodies("events.fifo") == ["h 1"]
    (again,) = await server.receive("events.fifo", 300, attempt="attempt")
    assert (again.body, again.receipt_handle) == ("g 1", server.handles["g 1"])
    await server.messages.delete_message(
        HOME, actions.DeleteMessage("events.fifo", again.receipt_handle)
    )
    assert await server.bodies("events.fifo") == ["g 2"]
    received = await server.receive("events-dlq.fifo")
    assert [message.body for message in received] == ["fifo dead 1", "fifo dead 2"]
    sources = [(found.attributes or {})["DeadLetterQueueSourceArn"] for found in received]
    assert sources == [arn("events.fifo")] * 2


async def test_migrated_deduplication_ids_are_used(server: Server) -> None:
    before = await server.rows("messages")
    await server.send("events.fifo", "other", "g", "g-2")
    assert await server.rows("messages") == before
    for group_id in "xz":
        await server.send("by-group.fifo", f"{group_id} 2", group_id, "same")
    assert sorted(await server.bodies("by-group.fifo")) == ["x 1", "y 1", "z 2"]


async def test_migrated_change_of_a_delay_is_completed(server: Server) -> None:
    assert await server.counts("delays.fifo") == ["2", "0", "1"]
    while await server.database.write(queue_delays.apply_pending, 1):
        pass
    assert await server.counts("delays.fifo") == ["0", "0", "3"]
    server.clock.advance(900)
    assert await server.bodies("delays.fifo") == ["a", "b", "c"]


async def test_migrated_expired_messages_are_freed(server: Server) -> None:
    short = await server.queue("short")
    everything = await server.database.read(queues.list_after, 0, 100)
    found = await server.database.read(
        expiry.queues_with_expired, everything, server.clock.now_ms()
    )
    assert found == [short.id]
    assert await server.database.write(expiry.free_expired, short.id, 100) == 2
    assert await server.bodies("short") == ["alive"]


async def test_migrated_move_tasks_are_listed_and_completed(server: Server) -> None:
    listed = await server.tasks.list_message_move_tasks(
        HOME, actions.ListMessageMoveTasks(arn("orders-dlq"), 10)
    )
    shown = [
        (task.status, task.destination_arn, task.approximate_number_of_messages_moved)
        for task in listed.results or []
    ]
    assert shown == [("RUNNING", arn("target"), 1), ("COMPLETED", arn("target"), 0)]
    await server.run_task("orders-dlq")
    assert await server.bodies("target") == ["dead 1", "dead 2", "dead 3"]
    await server.run_task("events-dlq.fifo")
    assert await server.bodies("events.fifo") == ["h 1"]
    await server.make_visible("events.fifo", server.handles["g 1"])
    assert await server.bodies("events.fifo") == ["g 2", "fifo dead 1", "fifo dead 2"]
    assert await server.bodies("events-dlq.fifo") == ["g 1"]


async def test_migrated_rows_of_dropped_queues_are_freed(server: Server) -> None:
    assert await server.bodies("purged") == ["after the purge"]
    before = await server.rows("messages", "bodies", "backlogs")
    while await server.database.write(dropped_queues.free_dropped, 1):
        pass
    assert await server.rows("messages", "bodies", "backlogs") == [
        before[0] - 4,
        before[1] - 4,
        before[2] - 3,
    ]
    assert await server.rows("dropped_queues") == [0]
    assert await server.rows("receive_attempts") == [2 if server.version >= 3 else 1]


async def test_migrated_messages_have_the_size_of_their_content(server_from_2: Server) -> None:
    queue = await server_from_2.queue("letters")

    def read(connection: sa.Connection) -> list[tuple[object, ...]]:
        found = connection.exec_driver_sql(
            "SELECT size, envelope, body FROM messages JOIN bodies ON bodies.id = body_id "
            f"WHERE messages.queue_id = {queue.id}"
        )
        return [tuple(row) for row in found]

    ((size, envelope, body),) = await server_from_2.database.read(read)
    assert isinstance(envelope, bytes)
    assert body == "größer"
    assert size == len("größer".encode()) + len(envelope) == 8 + len(envelope)


async def test_migrated_contents_stay_in_clear(server: Server) -> None:
    in_clear, encrypted, data_keys = await server.rows(
        "bodies WHERE data_key IS NULL", "bodies WHERE data_key IS NOT NULL", "data_keys"
    )
    assert in_clear > 0
    assert (encrypted, data_keys) == (0, 0)


async def test_migrated_dead_letters_are_delivered_by_a_queue_with_a_redrive_policy(
    server_from_2: Server,
) -> None:
    assert await server_from_2.bodies("first-dlq", timeout_s=0) == ["chained"]
    assert await server_from_2.bodies("first-dlq", timeout_s=0) == ["chained"]
    assert await server_from_2.bodies("first-dlq", timeout_s=0) == []
    assert await server_from_2.bodies("second-dlq") == ["chained"]


async def test_migrated_queues_keep_their_delays(server: Server) -> None:
    assert (await server.queue("delays.fifo")).delay_ms == 900_000
    assert (await server.queue("orders")).delay_ms == 0
    if server.version >= 2:
        assert (await server.queue("slow")).delay_ms == 60_000


async def test_migrated_deletion_times_are_kept(server: Server) -> None:
    deleted = (HOME.account, HOME.region, "deleted")
    assert await server.database.read(queues.deleted_at_ms, *deleted) == 1_700_000_002_001


async def test_queues_are_created_and_changed_after_migration(server: Server) -> None:
    await server.queues.create_queue(HOME, actions.CreateQueue("new", {}))
    policy = {"deadLetterTargetArn": arn("orders-dlq"), "maxReceiveCount": 2}
    changed = {"RedrivePolicy": json.dumps(policy)}
    await server.queues.set_queue_attributes(HOME, actions.SetQueueAttributes("new", changed))
    listed = await server.queues.list_dead_letter_source_queues(
        HOME, actions.ListDeadLetterSourceQueues("orders-dlq")
    )
    names = [url.rpartition("/")[2] for url in listed.queue_urls or []]
    assert names == ["new", "orders"]
    await server.queues.set_queue_attributes(
        HOME, actions.SetQueueAttributes("orders", {"RedrivePolicy": ""})
    )
    assert (await server.queue("orders")).redrive is None


BODIES_COLUMNS = ["queue_id", "id", "message_id", "data_key", "body", "envelope"]
MIGRATED_BODIES_COLUMNS = ["queue_id", "id", "message_id", "body", "envelope", "data_key"]
"""To give the new column its place among the others, the migration would write every body again."""

_POSTGRESQL_CATALOGUE = {
    "columns": "SELECT attrelid::regclass::text, CASE relname WHEN 'bodies' THEN 0 ELSE "
    "attnum - (SELECT count(*) FROM pg_attribute gone WHERE gone.attrelid = a.attrelid "
    "AND gone.attisdropped AND gone.attnum < a.attnum) END, attname, "
    "format_type(atttypid, atttypmod), attnotnull, attstattarget, collname, "
    "pg_get_expr(adbin, adrelid) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid "
    "LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum "
    "LEFT JOIN pg_collation o ON o.oid = attcollation "
    "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i', 'S') "
    "AND attnum > 0 AND NOT attisdropped ORDER BY 1, 2, 3",
    "tables": "SELECT relname, relkind, reloptions, relpersistence FROM pg_class "
    "WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) "
    "FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n' "
    "ORDER BY 1, 2",
}


def schema_of(connection: sa.Connection) -> dict[str, object]:
    """Return tables, columns, indexes and constraints in a form that can be compared.

    The columns of `bodies` are without their order, those of all other tables in their order.
    """
    if connection.dialect.name == "postgresql":
        return {
            name: [tuple(row) for row in connection.exec_driver_sql(text)]
            for name, text in _POSTGRESQL_CATALOGUE.items()
        }
    found: dict[str, object] = {}
    for name, kind, table in connection.exec_driver_sql(
        "SELECT name, type, tbl_name FROM sqlite_schema ORDER BY name"
    ).all():
        columns = f"PRAGMA {'table_xinfo' if kind == 'table' else 'index_xinfo'}({name})"
        rows = connection.exec_driver_sql(columns).all()
        described = [tuple(row) for row in rows]
        if name == "bodies":
            described = sorted(row[1:] for row in described)
        found[name] = (kind, table, described)
    tables = sorted(map(tuple, connection.exec_driver_sql("PRAGMA table_list")))
    found["tables"] = tables
    for name in [row[1] for row in tables]:
        rows = connection.exec_driver_sql(f"PRAGMA index_list({name})").all()
        found[f"indexes of {name}"] = sorted(tuple(row[1:]) for row in rows)
    partial = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql LIKE '% WHERE %'"
    found["partial indexes"] = sorted(map(tuple, connection.exec_driver_sql(partial)))
    return found


def columns_of_bodies(connection: sa.Connection) -> list[str]:
    return [column["name"] for column in sa.inspect(connection).get_columns("bodies")]


async def delete_everything(url: str) -> None:
    """Remove all tables of a database."""
    if url.startswith("sqlite"):
        path_of(url).unlink()
        return
    session = await asyncpg.connect(url)
    await session.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await session.close()


@VERSIONS
async def test_migrated_database_has_the_schema_of_a_new_one(
    database_url: str, version: int
) -> None:
    schemas = []
    orders = []
    for is_migrated in (False, True):
        if is_migrated:
            await delete_everything(database_url)
            await restore(database_url, version)
        database = await Database.open(database_url, ManualClock(DUMPED_AT_MS[version]))
        schemas.append(await database.read(schema_of))
        orders.append(await database.read(columns_of_bodies))
        await database.close()
    new, migrated = schemas
    assert migrated == new
    assert orders == [BODIES_COLUMNS, MIGRATED_BODIES_COLUMNS]


def test_page_about_upgrades_lists_every_version_up_to_the_current_one() -> None:
    text = text_of("docs/several-servers.md")
    assert f"The current schema is version {migrations.VERSION}:" in text
    listed = [int(version) for version in re.findall(r"^\| (\d+) \|", text, flags=re.MULTILINE)]
    assert listed == list(range(2, migrations.VERSION + 1))


async def test_failed_migration_is_rolled_back(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await restore(database_url, 1)

    def fail(connection: sa.Connection) -> None:
        connection.exec_driver_sql("DELETE FROM messages")
        raise LookupError

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, fail))
        with pytest.raises(DatabaseUnusable):
            await Database.open(database_url, ManualClock())
    clock = ManualClock(DUMPED_AT_MS[1])
    database = await Database.open(database_url, clock)
    assert await Server(database, clock, {}, 1).counts("orders") == ["2", "1", "1"]
    await database.close()


async def test_servers_that_start_together_migrate_once(postgresql: str) -> None:
    await restore(postgresql, 1)
    clock = ManualClock(DUMPED_AT_MS[1])
    opened = await asyncio.gather(*(Database.open(postgresql, clock) for _ in range(5)))
    for database in opened:
        assert await Server(database, clock, {}, 1).counts("orders") == ["2", "1", "1"]
    await asyncio.gather(*(database.close() for database in opened))
