"""Tables and indexes of the current schema version.

State and content are kept apart: `messages` holds the few numbers that every receive rewrites,
`bodies` holds what the sender said and is written once. Every key begins with the queue.

To change the schema, see `storage.migrations`.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

metadata = sa.MetaData()

# SQLite makes a column an alias of its fast row id only if it is declared INTEGER, to the letter.
_Number = BigInteger().with_variant(Integer, "sqlite")
# Names sort by byte, as SQLite does anyway, whatever the language of the PostgreSQL database.
_Name = Text().with_variant(Text(collation="C"), "postgresql")

properties = Table(
    "properties",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""What the database knows of itself: `schema_version`, `secret`, `reserved_numbers`, and the latest
moment, `reached_ms`."""

queues = Table(
    "queues",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=False),
    Column("revision", _Number, nullable=False),
    Column("kind", Text, nullable=False),
    Column("account", _Name, nullable=False),
    Column("region", _Name, nullable=False),
    Column("name", _Name, nullable=False),
    Column("created_at_ms", _Number, nullable=False),
    Column("modified_at_ms", _Number, nullable=False),
    Column("purged_at_ms", _Number),
    Column("attributes", sa.JSON, nullable=False),
    Column("tags", sa.JSON, nullable=False),
    Column("retention_ms", _Number, nullable=False),
    Column("dead_letter_account", _Name),
    Column("dead_letter_region", _Name),
    Column("dead_letter_name", _Name),
    Column("max_receive_count", Integer),
    Index(
        "queues_by_dead_letter_queue",
        "dead_letter_account",
        "dead_letter_region",
        "dead_letter_name",
        "account",
        "region",
        "name",
    ),
    Index("queues_by_name", "account", "region", "name", unique=True),
)
"""A queue's `id` is new with every creation and every purge: what hangs on the old one is gone at
once, whatever its size. `revision` changes with every change, so that a copy can be verified.
`kind` is settled at creation: `standard`, `fifo`, or `fifo_by_group` (deduplication by group)."""

deletions = Table(
    "deletions",
    metadata,
    Column("account", _Name, primary_key=True),
    Column("region", _Name, primary_key=True),
    Column("name", _Name, primary_key=True),
    Column("deleted_at_ms", _Number, nullable=False),
)
"""When a name was last deleted, for SQS's rule that it is blocked for 60 seconds."""

messages = Table(
    "messages",
    metadata,
    Column("queue_id", _Number, primary_key=True, autoincrement=False),
    Column("id", _Number, primary_key=True, autoincrement=False),
    Column("visible_at_ms", _Number, nullable=False),
    Column("sent_at_ms", _Number, nullable=False),
    Column("receive_count", Integer, nullable=False),
    Column("first_received_at_ms", _Number),
    # A message's group is in one of two columns, by what it means for the queue's kind, so that
    # each has an index of its own and messages without a group are in neither.
    Column("group_id", Text),
    Column("tenant_id", Text),
    # Set by a redrive that keeps the time of sending: only then is that not in the order of ids.
    Column("redriven_at_ms", _Number),
    # The receive count is there so that in flight and delayed are told apart without the table.
    Index("messages_by_visibility", "queue_id", "visible_at_ms", "id", "receive_count"),
    sqlite_with_rowid=False,
)
"""A message's state. It is visible when `visible_at_ms <= now`; nothing has to happen for it."""

_is_ordered = messages.c.group_id.is_not(None)
Index(
    "messages_by_group",
    messages.c.queue_id,
    messages.c.group_id,
    messages.c.id,
    sqlite_where=_is_ordered,
    postgresql_where=_is_ordered,
)
_has_tenant = messages.c.tenant_id.is_not(None)
Index(
    "messages_by_tenant",
    messages.c.queue_id,
    messages.c.tenant_id,
    messages.c.visible_at_ms,
    messages.c.id,
    sqlite_where=_has_tenant,
    postgresql_where=_has_tenant,
)
_is_out_of_order = messages.c.redriven_at_ms.is_not(None)
Index(
    "messages_by_age",
    messages.c.queue_id,
    messages.c.sent_at_ms,
    messages.c.id,
    sqlite_where=_is_out_of_order,
    postgresql_where=_is_out_of_order,
)

groups = Table(
    "groups",
    metadata,
    Column("queue_id", _Number, primary_key=True, autoincrement=False),
    Column("group_id", Text, primary_key=True),
    Column("head_id", _Number, nullable=False),
    Column("available_at_ms", _Number, nullable=False),
    Index("groups_by_availability", "queue_id", "available_at_ms", "head_id"),
    sqlite_with_rowid=False,
)
"""The message groups of FIFO queues that have messages: the first message of each, and from when
on a receive may take from the group. A blocked group is one row, whatever waits behind it."""

queue_delays = Table(
    "queue_delays",
    metadata,
    Column("queue_id", _Number, primary_key=True, autoincrement=False),
    Column("delay_ms", _Number, nullable=False),
    Column("before_id", _Number, nullable=False),
)
"""New delays of FIFO queues that do not hold yet for what they have: for messages before that id.

It comes to hold from the newest back, in steps, whatever the backlog."""

deduplications = Table(
    "deduplications",
    metadata,
    Column("queue_id", _Number, primary_key=True, autoincrement=False),
    # The deduplication id, after the group and a space where each group has ids of its own.
    Column("key", Text, primary_key=True),
    Column("message_id", LargeBinary, nullable=False),
    Column("number", _Number, nullable=False),
    Column("sent_at_ms", _Number, nullable=False),
    Index("deduplications_by_age", "sent_at_ms"),
    sqlite_with_rowid=False,
)
"""What FIFO queues were sent in the last five minutes, also if it is deleted since."""

receive_attempts = Table(
    "receive_attempts",
    metadata,
    Column("queue_id", _Number, primary_key=True, autoincrement=False),
    Column("attempt_id", Text, primary_key=True),
    Column("made_at_ms", _Number, nullable=False),
    Column("parameters", sa.JSON, nullable=False),
    Column("claims", sa.JSON, nullable=False),
    Index("receive_attempts_by_age", "made_at_ms"),
    sqlite_with_rowid=False,
)
"""Receives of FIFO queues that named themselves, and what they were given, to be given again."""

move_tasks = Table(
    "move_tasks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", _Name, nullable=False),
    Column("region", _Name, nullable=False),
    Column("source", _Name, nullable=False),
    Column("destination", Text),
    Column("per_second", Integer),
    Column("status", Text, nullable=False),
    Column("moved", _Number, nullable=False),
    Column("to_move", _Number, nullable=False),
    Column("failure", Text),
    Column("number", _Number, nullable=False),
    Column("started_at_ms", _Number, nullable=False),
    Index("move_tasks_by_source", "account", "region", "source", "number"),
)
"""Message move tasks, as far as they have come; `number` is what was sent last when it began."""

bodies = Table(
    "bodies",
    metadata,
    Column("queue_id", _Number, nullable=False),
    Column("id", _Number, primary_key=True, autoincrement=False),
    Column("message_id", LargeBinary, nullable=False),
    Column("body", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("dead_letter_source", Text),
)
"""A message's content, written once; `envelope` is the rules' own, opaque here.

`dead_letter_source` is set when the message is moved to a dead-letter queue, and never before.

SQLite keys it by number alone: its row ids then keep large rows out of the inner pages, and
appending touches one page whatever the number of queues. PostgreSQL keys it by queue as well."""

_KEY_BY_QUEUE: sa.DDL = sa.DDL(  # type: ignore[no-untyped-call]
    "ALTER TABLE bodies DROP CONSTRAINT bodies_pkey, ADD PRIMARY KEY (queue_id, id)"
)
sa.event.listen(bodies, "after_create", _KEY_BY_QUEUE.execute_if(dialect="postgresql"))

backlogs = Table(
    "backlogs",
    metadata,
    Column("queue_id", _Number, primary_key=True, autoincrement=False),
    Column("messages", _Number, nullable=False),
)
"""How many rows of `messages` a queue has: counting them would cost what the backlog weighs."""

dropped_queues = Table(
    "dropped_queues",
    metadata,
    Column("queue_id", _Number, primary_key=True, autoincrement=False),
)
"""Ids of purged and deleted queues whose rows nobody can reach any more, to be freed in steps."""


def _without_statistics(table: sa.Table) -> sa.DDL:
    """Keep PostgreSQL from taking statistics of a table, which would mislead its planner.

    A queue fills and empties faster than they are taken, and every purge gives it an id that they
    have never seen: it is then thought to be empty, and any plan seems as good as any other.
    """
    columns = ", ".join(f"ALTER COLUMN {column.name} SET STATISTICS 0" for column in table.columns)
    return sa.DDL(f"ALTER TABLE {table.name} {columns}")  # type: ignore[no-untyped-call]


# A queue's rows come and go: by the thousand, whatever is in the table, and not by its share. What
# is dead is in the way of every claim, so it is cleared away as soon and as quickly as may be.
_IS_BUSY = (
    "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, "
    "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000, "
    "autovacuum_vacuum_cost_delay = 0"
)
# One row of a few bytes that is rewritten by every transaction: with room on its page, no index and
# no vacuum has anything to do with it.
_IS_COUNTER = "fillfactor = 10, autovacuum_vacuum_scale_factor = 0"


def _set(table: sa.Table, parameters: str) -> None:
    """Let PostgreSQL keep a table as its use demands."""
    statement = sa.DDL(  # type: ignore[no-untyped-call]
        f"ALTER TABLE {table.name} SET ({parameters})"
    )
    sa.event.listen(table, "after_create", statement.execute_if(dialect="postgresql"))


for _table in (messages, bodies, groups, deduplications, receive_attempts):
    _set(_table, _IS_BUSY)
_set(backlogs, _IS_COUNTER)

for _table in (messages, bodies, groups, deduplications, receive_attempts):
    sa.event.listen(
        _table, "after_create", _without_statistics(_table).execute_if(dialect="postgresql")
    )

numbers = sa.Sequence("numbers", metadata=metadata)
"""PostgreSQL's source of ids; SQLite, with one process, reserves blocks in `properties`."""
