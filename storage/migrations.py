"""The version of a database's schema, and the migrations from one version to the next.

To change the schema: (1) change the tables in `storage.schema`; (2) append a function to
`MIGRATIONS` that changes a database of the version before, on both databases; (3) add a database
of the version before to tests/engine/schema_versions, and test what must be true after opening it.

A migration spells out its statements and does not use the tables of `storage.schema`, which
describe a later schema as soon as the next migration exists. All migrations of an opening run in
one transaction: if one fails, the database keeps the version that it had.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from storage.encryption import secret
from storage.errors import ForeignDatabase, NewerSchema, NoTables, OlderSchema
from storage.queue_settings import REDRIVE_COLUMNS, QueueName
from storage.schema import metadata, properties, queues

log = logging.getLogger(__name__)

_PAGE = 1_000
"""Queues that a migration reads at a time."""

_DEFAULT_RETENTION_MS = 345_600_000
"""AWS: four days. Version 1 never stored the default."""

_LONGEST_DELAY_S = 900
"""AWS: 15 minutes."""


def _run(connection: sa.Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


def _store_settings_in_columns(connection: sa.Connection) -> None:
    """Migrate version 1 to 2: settings that storage applies become columns of `queues`.

    Retention and redrive were only in the JSON of `attributes`. Three tables get the names of what
    they hold.
    """
    if connection.dialect.name == "sqlite":
        _add_columns_on_sqlite(connection)
    else:
        _add_columns_on_postgresql(connection)
    _fill_columns(connection)
    _run(
        connection,
        "CREATE INDEX queues_by_dead_letter_queue ON queues "
        "(dead_letter_account, dead_letter_region, dead_letter_name, account, region, name)",
        "ALTER TABLE leftovers RENAME TO dropped_queues",
        "ALTER TABLE delays RENAME TO queue_delays",
        "ALTER TABLE attempts RENAME TO receive_attempts",
        "DROP INDEX attempts_by_age",
        "CREATE INDEX receive_attempts_by_age ON receive_attempts (made_at_ms)",
    )


def _add_columns_on_sqlite(connection: sa.Connection) -> None:
    """Rebuild `queues`: SQLite cannot add a column that is NOT NULL and has no default."""
    _run(
        connection,
        "CREATE TABLE new_queues ("
        "id INTEGER NOT NULL, revision INTEGER NOT NULL, kind TEXT NOT NULL, "
        "account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, "
        "created_at_ms INTEGER NOT NULL, modified_at_ms INTEGER NOT NULL, purged_at_ms INTEGER, "
        "attributes JSON NOT NULL, tags JSON NOT NULL, retention_ms INTEGER NOT NULL, "
        "dead_letter_account TEXT, dead_letter_region TEXT, dead_letter_name TEXT, "
        "max_receive_count INTEGER, PRIMARY KEY (id))",
        "INSERT INTO new_queues SELECT id, revision, kind, account, region, name, created_at_ms, "
        "modified_at_ms, purged_at_ms, attributes, tags, 0, NULL, NULL, NULL, NULL FROM queues",
        "DROP TABLE queues",
        "ALTER TABLE new_queues RENAME TO queues",
        "CREATE UNIQUE INDEX queues_by_name ON queues (account, region, name)",
    )


def _add_columns_on_postgresql(connection: sa.Connection) -> None:
    """Change the tables in place, which keeps their owners, grants and storage parameters."""
    _run(
        connection,
        "ALTER TABLE queues DROP COLUMN dead_letter_target, "  # and its index with it
        "ADD COLUMN retention_ms BIGINT NOT NULL DEFAULT 0, "
        'ADD COLUMN dead_letter_account TEXT COLLATE "C", '
        'ADD COLUMN dead_letter_region TEXT COLLATE "C", '
        'ADD COLUMN dead_letter_name TEXT COLLATE "C", '
        "ADD COLUMN max_receive_count INTEGER",
        "ALTER TABLE queues ALTER COLUMN retention_ms DROP DEFAULT",
        "ALTER TABLE leftovers RENAME CONSTRAINT leftovers_pkey TO dropped_queues_pkey",
        "ALTER TABLE delays RENAME CONSTRAINT delays_pkey TO queue_delays_pkey",
        "ALTER TABLE attempts RENAME CONSTRAINT attempts_pkey TO receive_attempts_pkey",
    )


def _fill_columns(connection: sa.Connection) -> None:
    """Read retention and redrive of every queue from its attributes."""
    _fill_from_attributes(
        connection,
        [
            sa.column("retention_ms", sa.BigInteger),
            *(sa.column(name, sa.Text) for name in REDRIVE_COLUMNS[:3]),
            sa.column("max_receive_count", sa.Integer),
        ],
        _columns_of,
    )


def _fill_from_attributes(
    connection: sa.Connection,
    columns: Sequence[sa.ColumnClause[Any]],
    values_of: Callable[[str, dict[str, str]], dict[str, str | int | None]],
) -> None:
    """Set columns of every queue to the values that a function returns for name and attributes."""
    table = sa.table(
        "queues",
        sa.column("id", sa.BigInteger),
        sa.column("name", sa.Text),
        sa.column("attributes", sa.JSON),
        *columns,
    )
    # As text: SQLite may have text that is not JSON, on which only that queue should fail.
    attributes = sa.cast(table.c.attributes, sa.Text).label("attributes")
    page = sa.select(table.c.id, table.c.name, attributes).order_by(table.c.id).limit(_PAGE)
    change = table.update().where(table.c.id == sa.bindparam("queue"))
    after_id = -1
    while rows := connection.execute(page.where(table.c.id > after_id)).all():
        connection.execute(
            change,
            [{"queue": row.id, **values_of(row.name, _decode(row.attributes))} for row in rows],
        )
        after_id = rows[-1].id


def _decode(attributes: str) -> Any:  # noqa: ANN401 (a mapping, unless it is damaged)
    """Decode the attributes of a queue; return None if they are not JSON."""
    try:
        return json.loads(attributes)
    except ValueError:
        return None


def _columns_of(name: str, attributes: dict[str, str]) -> dict[str, str | int | None]:
    """Return the new columns of a queue; damaged attributes become the defaults of AWS."""
    retention_ms = _DEFAULT_RETENTION_MS
    redrive: tuple[str | int | None, ...] = (None, None, None, None)
    try:
        if "MessageRetentionPeriod" in attributes:
            retention_ms = int(attributes["MessageRetentionPeriod"]) * 1000
        if "RedrivePolicy" in attributes:
            policy = json.loads(attributes["RedrivePolicy"])
            target = QueueName.parse(policy["deadLetterTargetArn"])
            redrive = (*target, int(policy["maxReceiveCount"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("damaged attributes of a queue, using defaults: queue=%s error=%r", name, error)
    return {"retention_ms": retention_ms, **dict(zip(REDRIVE_COLUMNS, redrive, strict=True))}


_MESSAGES_OF_VERSION_3 = (
    "queue_id, id, visible_at_ms, sent_at_ms, receive_count, first_received_at_ms, group_id, "
    "tenant_id, queued_at_ms, body_id, size, earlier_receives, dead_letter_source, message_id"
)

_IS_DEAD_LETTER = "m.redriven_at_ms IS NOT NULL OR b.dead_letter_source IS NOT NULL"
_VALUES_OF_VERSION_3 = {
    # A message of a standard queue that was sent without a delay and never received is ready.
    "visible_at_ms": "CASE WHEN m.group_id IS NULL AND m.receive_count = 0 "
    "AND m.visible_at_ms = m.sent_at_ms THEN 0 ELSE m.visible_at_ms END",
    "queued_at_ms": "COALESCE(m.redriven_at_ms, m.sent_at_ms)",
    "body_id": "m.id",
    # Version 2 did not record in which queue a message was received.
    "earlier_receives": f"CASE WHEN {_IS_DEAD_LETTER} THEN m.receive_count ELSE 0 END",
    "dead_letter_source": "b.dead_letter_source",
}


def _separate_bodies(connection: sa.Connection) -> None:
    """Migrate version 2 to 3: a move does not change a body, and messages keep their order.

    The columns that a move changes go from `bodies` to `messages`, which refers to its body by
    `body_id`. Queues get a column with their delay.
    """
    if connection.dialect.name == "sqlite":
        _rebuild_messages_on_sqlite(connection)
    else:
        _change_messages_on_postgresql(connection)
    _run(
        connection,
        "ALTER TABLE bodies DROP COLUMN dead_letter_source",
        "CREATE INDEX messages_by_visibility ON messages "
        "(queue_id, visible_at_ms, queued_at_ms, id, receive_count)",
        "CREATE INDEX messages_by_tenant ON messages "
        "(queue_id, tenant_id, visible_at_ms, queued_at_ms, id) WHERE tenant_id IS NOT NULL",
        "CREATE INDEX messages_by_age ON messages (queue_id, sent_at_ms, id) "
        "WHERE earlier_receives > 0",
    )
    _fill_from_attributes(connection, [sa.column("delay_ms", sa.BigInteger)], _delay_of)


def _rebuild_messages_on_sqlite(connection: sa.Connection) -> None:
    """Write messages to a new table, and add a column to queues by rebuilding them, too."""
    size = "COALESCE(LENGTH(CAST(b.body AS BLOB)) + LENGTH(b.envelope), 0)"
    values = {**_VALUES_OF_VERSION_3, "size": size, "message_id": "NULL"}
    names = _MESSAGES_OF_VERSION_3.split(", ")
    selected = ", ".join(values.get(name, f"m.{name}") for name in names)
    _run(
        connection,
        "CREATE TABLE new_messages ("
        "queue_id INTEGER NOT NULL, id INTEGER NOT NULL, visible_at_ms INTEGER NOT NULL, "
        "sent_at_ms INTEGER NOT NULL, receive_count INTEGER NOT NULL, "
        "first_received_at_ms INTEGER, group_id TEXT, tenant_id TEXT, "
        "queued_at_ms INTEGER NOT NULL, body_id INTEGER NOT NULL, size INTEGER NOT NULL, "
        "earlier_receives INTEGER NOT NULL, dead_letter_source TEXT, message_id BLOB, "
        "PRIMARY KEY (queue_id, id)) WITHOUT ROWID",
        f"INSERT INTO new_messages ({_MESSAGES_OF_VERSION_3}) SELECT {selected} "  # noqa: S608
        "FROM messages m LEFT JOIN bodies b ON b.id = m.id ORDER BY m.queue_id, m.id",
        "DROP TABLE messages",
        "ALTER TABLE new_messages RENAME TO messages",
        "CREATE INDEX messages_by_group ON messages (queue_id, group_id, id) "
        "WHERE group_id IS NOT NULL",
        "CREATE TABLE new_queues ("
        "id INTEGER NOT NULL, revision INTEGER NOT NULL, kind TEXT NOT NULL, "
        "account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, "
        "created_at_ms INTEGER NOT NULL, modified_at_ms INTEGER NOT NULL, purged_at_ms INTEGER, "
        "attributes JSON NOT NULL, tags JSON NOT NULL, retention_ms INTEGER NOT NULL, "
        "dead_letter_account TEXT, dead_letter_region TEXT, dead_letter_name TEXT, "
        "max_receive_count INTEGER, delay_ms INTEGER NOT NULL, PRIMARY KEY (id))",
        "INSERT INTO new_queues SELECT *, 0 FROM queues",
        "DROP TABLE queues",
        "ALTER TABLE new_queues RENAME TO queues",
        "CREATE UNIQUE INDEX queues_by_name ON queues (account, region, name)",
        "CREATE INDEX queues_by_dead_letter_queue ON queues "
        "(dead_letter_account, dead_letter_region, dead_letter_name, account, region, name)",
    )


def _change_messages_on_postgresql(connection: sa.Connection) -> None:
    """Add and fill the columns in place."""
    size = "COALESCE(OCTET_LENGTH(b.body) + OCTET_LENGTH(b.envelope), 0)"
    values = {**_VALUES_OF_VERSION_3, "size": size}
    assignments = ", ".join(f"{name} = {value}" for name, value in values.items())
    without_default = ("queued_at_ms", "body_id", "size", "earlier_receives")
    _run(
        connection,
        "DROP INDEX messages_by_visibility, messages_by_tenant, messages_by_age",
        "ALTER TABLE messages ADD COLUMN queued_at_ms BIGINT NOT NULL DEFAULT 0, "
        "ADD COLUMN body_id BIGINT NOT NULL DEFAULT 0, "
        "ADD COLUMN size INTEGER NOT NULL DEFAULT 0, "
        "ADD COLUMN earlier_receives INTEGER NOT NULL DEFAULT 0, "
        "ADD COLUMN dead_letter_source TEXT, ADD COLUMN message_id BYTEA",
        f"UPDATE messages SET {assignments} FROM messages m "  # noqa: S608
        "LEFT JOIN bodies b ON b.queue_id = m.queue_id AND b.id = m.id "
        "WHERE messages.queue_id = m.queue_id AND messages.id = m.id",
        "ALTER TABLE messages DROP COLUMN redriven_at_ms, "
        + ", ".join(f"ALTER COLUMN {name} DROP DEFAULT" for name in without_default),
        "ALTER TABLE messages "
        + ", ".join(
            f"ALTER COLUMN {name} SET STATISTICS 0"
            for name in (*without_default, "dead_letter_source", "message_id")
        ),
        "ALTER TABLE bodies DROP CONSTRAINT bodies_pkey, ADD PRIMARY KEY (id)",
        "ALTER TABLE queues ADD COLUMN delay_ms BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE queues ALTER COLUMN delay_ms DROP DEFAULT",
    )


def _valid_delay_s(attributes: dict[str, str]) -> int:
    delay_s = int(attributes.get("DelaySeconds", "0"))
    if not 0 <= delay_s <= _LONGEST_DELAY_S:
        raise ValueError(delay_s)
    return delay_s


def _delay_of(name: str, attributes: dict[str, str]) -> dict[str, str | int | None]:
    """Return `delay_ms` of a queue; for a damaged attribute, AWS's default of 0."""
    try:
        return {"delay_ms": _valid_delay_s(attributes) * 1000}
    except (ArithmeticError, ValueError, TypeError, AttributeError) as error:
        log.warning("damaged attributes of a queue, using defaults: queue=%s error=%r", name, error)
        return {"delay_ms": 0}


def _add_data_keys(connection: sa.Connection) -> None:
    """Migrate version 3 to 4: contents may be encrypted with data keys. All contents stay clear."""
    is_sqlite = connection.dialect.name == "sqlite"
    number, binary = ("INTEGER", "BLOB") if is_sqlite else ("BIGINT", "BYTEA")
    name = "TEXT" if is_sqlite else 'TEXT COLLATE "C"'
    _run(
        connection,
        f"ALTER TABLE bodies ADD COLUMN data_key {number}",
        f"CREATE TABLE data_keys (id {number} NOT NULL, master_key {name} NOT NULL, "
        f"fingerprint TEXT NOT NULL, wrapped {binary} NOT NULL, named_key {name}, "
        f"created_at_ms {number} NOT NULL, encrypts_until_ms {number} NOT NULL, PRIMARY KEY (id))",
        "CREATE INDEX data_keys_by_master_key ON data_keys (master_key, fingerprint)",
    )
    if not is_sqlite:
        _run(connection, "ALTER TABLE bodies ALTER COLUMN data_key SET STATISTICS 0")


MIGRATIONS: tuple[Callable[[sa.Connection], None], ...] = (
    _store_settings_in_columns,
    _separate_bodies,
    _add_data_keys,
)
"""The migration from version 1 to 2, from 2 to 3, and so on."""

VERSION = len(MIGRATIONS) + 1
"""The version of the tables in `storage.schema`."""


def version(connection: sa.Connection) -> int:
    """Return the schema's version, 0 for an empty database.

    Raises:
        ForeignDatabase: there are tables, but no schema version of queueserver.
        NewerSchema: the version is later than `VERSION`.
    """
    names = set(sa.inspect(connection).get_table_names())
    if not names:
        return 0
    if not {properties.name, queues.name} <= names:
        raise ForeignDatabase
    found = connection.scalar(
        sa.select(properties.c.value).where(properties.c.name == "schema_version")
    )
    if found is None:
        raise ForeignDatabase
    if int(found) > VERSION:
        raise NewerSchema(found)
    return int(found)


def require_version(connection: sa.Connection) -> None:
    """Reject a database whose tables are not those of `storage.schema`.

    Raises:
        NoTables: the database is empty.
        ForeignDatabase, NewerSchema: as `version` does.
        OlderSchema: the version is earlier than `VERSION`.
    """
    found = version(connection)
    if found == 0:
        raise NoTables
    if found < VERSION:
        raise OlderSchema(found)


def migrate(connection: sa.Connection) -> None:
    """Create the tables in an empty database, or migrate an older one, in the transaction.

    A database of the current version is not written to, so that a server can start on a full disk.

    Raises:
        ForeignDatabase, NewerSchema: as `version` does.
    """
    found = version(connection)
    if found == 0:
        metadata.create_all(connection)
        row = {"name": "schema_version", "value": str(VERSION)}
        connection.execute(properties.insert(), row)
        # The secret signs receipt handles. It is stored so that they stay valid after a restart.
        secret.create(connection)
        return
    if found == VERSION:
        return
    for migration in MIGRATIONS[found - 1 :]:
        migration(connection)
    connection.execute(
        properties.update().where(properties.c.name == "schema_version").values(value=str(VERSION))
    )


def probe(connection: sa.Connection) -> None:
    """Read both ends of every table, to find damage that many requests would meet.

    The cost does not grow with the tables. Most damage inside a table is not found.
    """
    names = set(sa.inspect(connection).get_table_names())
    for table in metadata.sorted_tables:
        key = table.primary_key.columns
        if table.name in names and len(key):
            for order in (sa.asc, sa.desc):
                row = sa.select(*key).order_by(*map(order, key)).limit(1)
                connection.execute(row).all()
