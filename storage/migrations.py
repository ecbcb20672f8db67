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
import secrets
from collections.abc import Callable

import sqlalchemy as sa

from storage.errors import ForeignDatabase, NewerSchema
from storage.queue_settings import REDRIVE_COLUMNS, QueueName
from storage.schema import metadata, properties, queues

log = logging.getLogger(__name__)

_PAGE = 1_000
"""Queues that a migration reads at a time."""

_DEFAULT_RETENTION_MS = 345_600_000
"""AWS: four days. Version 1 never stored the default."""


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
    table = sa.table(
        "queues",
        sa.column("id", sa.BigInteger),
        sa.column("name", sa.Text),
        sa.column("attributes", sa.JSON),
        sa.column("retention_ms", sa.BigInteger),
        *(sa.column(name, sa.Text) for name in REDRIVE_COLUMNS[:3]),
        sa.column("max_receive_count", sa.Integer),
    )
    page = sa.select(table.c.id, table.c.name, table.c.attributes).order_by(table.c.id).limit(_PAGE)
    change = table.update().where(table.c.id == sa.bindparam("queue"))
    after_id = -1
    while rows := connection.execute(page.where(table.c.id > after_id)).all():
        connection.execute(
            change, [{"queue": row.id, **_columns_of(row.name, row.attributes)} for row in rows]
        )
        after_id = rows[-1].id


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


MIGRATIONS: tuple[Callable[[sa.Connection], None], ...] = (_store_settings_in_columns,)
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


def migrate(connection: sa.Connection) -> None:
    """Create the tables in an empty database, or migrate an older one, in the transaction.

    A database of the current version is not written to, so that a server can start on a full disk.

    Raises:
        ForeignDatabase, NewerSchema: as `version` does.
    """
    found = version(connection)
    if found == 0:
        metadata.create_all(connection)
        # The secret signs receipt handles. It is stored so that they stay valid after a restart.
        rows = {"schema_version": str(VERSION), "secret": secrets.token_hex(32)}
        connection.execute(
            properties.insert(), [{"name": name, "value": value} for name, value in rows.items()]
        )
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


def secret(connection: sa.Connection) -> bytes:
    """Return the 32 random bytes that were generated when the database was created."""
    value = connection.execute(
        sa.select(properties.c.value).where(properties.c.name == "secret")
    ).scalar_one()
    return bytes.fromhex(value)
