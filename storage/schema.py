"""Tables and indexes of the current schema version.

A message has two rows: `messages` has the state, which every receive rewrites and a move between
queues too; `bodies` has the content, which is written once.

To change the schema, see `storage.migrations`.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

metadata = sa.MetaData()

# SQLite makes a column an alias of its row id only if its type is exactly INTEGER.
_Number = BigInteger().with_variant(Integer, "sqlite")
# Names sort by byte in PostgreSQL too, whatever the locale of the database.
_Name = Text().with_variant(Text(collation="C"), "postgresql")

properties = Table(
    "properties",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Single values of the whole database, as text.

- `schema_version`: the version of these tables.
- `secret`: 32 random bytes in hexadecimal, which sign receipt handles and page tokens.
- `wrapped_secret`: in place of `secret` if it is encrypted: the name and the fingerprint of the
  master key, and the wrapped secret in hexadecimal.
- `deduplication`: `keyed` if the keys of `deduplications` are keyed digests.
- `reserved_numbers`: the first number that SQLite has not reserved for ids.
- `reached_ms`: the time floor, in epoch milliseconds.
"""

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
    Column("delay_ms", _Number, nullable=False),
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
"""The queues of all accounts and regions.

A queue gets a new `id` with every creation and every purge, so that a purge or deletion takes the
same time for any number of messages. `revision` increases with every change, so that a cached
entry can be verified. `kind` never changes: `standard`, `fifo`, or `fifo_by_group` (deduplication
within each message group).

`attributes` and `tags` are JSON objects that only the rules read. `retention_ms`, `delay_ms` and
the redrive (the `dead_letter_...` columns and `max_receive_count`, all null without one) follow
from the attributes; storage applies them.
"""

deletions = Table(
    "deletions",
    metadata,
    Column("account", _Name, primary_key=True),
    Column("region", _Name, primary_key=True),
    Column("name", _Name, primary_key=True),
    Column("deleted_at_ms", _Number, nullable=False),
)
"""When a queue of a name was last deleted. AWS: the name cannot be used again for 60 seconds."""

messages = Table(
    "messages",
    metadata,
    Column("queue_id", _Number, primary_key=True, autoincrement=False),
    Column("id", _Number, primary_key=True, autoincrement=False),
    Column("visible_at_ms", _Number, nullable=False),
    Column("sent_at_ms", _Number, nullable=False),
    Column("receive_count", Integer, nullable=False),
    Column("first_received_at_ms", _Number),
    # The message group is in `group_id` in FIFO queues and in `tenant_id` in standard queues. Each
    # column has a partial index of its own, and messages without a group are in neither.
    Column("group_id", Text),
    Column("tenant_id", Text),
    Column("queued_at_ms", _Number, nullable=False),
    Column("body_id", _Number, nullable=False),
    Column("size", Integer, nullable=False),
    Column("earlier_receives", Integer, nullable=False),
    Column("dead_letter_source", Text),
    Column("message_id", LargeBinary),
    # With the receive count, in flight and delayed messages are counted from the index alone.
    Index(
        "messages_by_visibility", "queue_id", "visible_at_ms", "queued_at_ms", "id", "receive_count"
    ),
    sqlite_with_rowid=False,
)
"""The state of each message.

A message is visible when `visible_at_ms <= now`. Otherwise it is in flight, or delayed if it was
never received. It has expired when `sent_at_ms <= now - retention_ms`, and its rows are deleted
some time after that.

In a standard queue, a message that was sent without a delay has `visible_at_ms` 0: it is *ready*. A
claim marks messages ready whose time has come, and then takes the ready ones in the order of
`queued_at_ms` and `id`. So the one sent first comes first, also if it was received before, and the
cost depends neither on the backlog nor on the messages in flight.

- `queued_at_ms`: when the message joined the end of the queue. That is when it was sent, moved to
  the queue, or became visible again after three or more receives.
- `body_id`: the `id` of its row in `bodies`. It stays the same when the message moves; `id` does
  not.
- `size`: bytes of the body and the envelope.
- `earlier_receives`: how many of the `receive_count` receives were in the queues that it was moved
  from. A redrive policy does not count them. More than 0 only if the message was dead-lettered. A
  dead-lettered message of a standard queue keeps `sent_at_ms`, which then is not in the order of
  ids.
- `dead_letter_source`: the full name of the queue, as `queue_settings.QueueName` writes it, from
  which the message was moved to a dead-letter queue, or null.
- `message_id`: the id that a move task gave the message, or null: `bodies` has the id then.
"""

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
    messages.c.queued_at_ms,
    messages.c.id,
    sqlite_where=_has_tenant,
    postgresql_where=_has_tenant,
)
# A parameter in place of the literal would keep statements from using the partial index.
is_dead_letter = messages.c.earlier_receives > sa.literal_column("0", sa.Integer)
"""The condition that a message was dead-lettered to its queue."""
Index(
    "messages_by_age",
    messages.c.queue_id,
    messages.c.sent_at_ms,
    messages.c.id,
    sqlite_where=is_dead_letter,
    postgresql_where=is_dead_letter,
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
"""The message groups of FIFO queues that have messages.

`head_id` is the group's first message. A receive may take from the group from `available_at_ms`
on. A blocked group costs a receive at most one row, however many messages the group has.
"""

queue_delays = Table(
    "queue_delays",
    metadata,
    Column("queue_id", _Number, primary_key=True, autoincrement=False),
    Column("delay_ms", _Number, nullable=False),
    Column("before_id", _Number, nullable=False),
)
"""Changed delays of FIFO queues that are not applied to all messages yet.

They are applied in steps, from the newest message to the oldest: the messages before `before_id`
are left to do.
"""

deduplications = Table(
    "deduplications",
    metadata,
    Column("queue_id", _Number, primary_key=True, autoincrement=False),
    # The deduplication id; in queues that deduplicate by group, the group, a space, and the id.
    # Once messages are encrypted, it is a keyed digest of that: an id may be one of the body.
    Column("key", Text, primary_key=True),
    Column("message_id", LargeBinary, nullable=False),
    Column("number", _Number, nullable=False),
    Column("sent_at_ms", _Number, nullable=False),
    Index("deduplications_by_age", "sent_at_ms"),
    sqlite_with_rowid=False,
)
"""The deduplication ids that FIFO queues were sent in the last five minutes.

A row stays when its message is deleted. `number` is the message's id at the time it was sent.
"""

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
"""Receives from FIFO queues with a ReceiveRequestAttemptId, and the messages they returned.

A receive with the same id within five minutes returns the same messages. `claims` is a JSON list
of [message id, receive count, visible_at_ms].
"""

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
"""Message move tasks and their progress.

`source` is the name of a queue of the same account and region. `destination` is a full name as
`queue_settings.QueueName` writes it, or null to move each message to its own source. The task
moves messages with ids up to `number`, the last id when it started.
"""

bodies = Table(
    "bodies",
    metadata,
    Column("queue_id", _Number, nullable=False),
    Column("id", _Number, primary_key=True, autoincrement=False),
    Column("message_id", LargeBinary, nullable=False),
    # Before the content: SQLite then reads it without the pages of a long content.
    Column("data_key", _Number),
    Column("body", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
)
"""The content of each message, which is never changed. `envelope` is opaque: the rules write it.

`id` and `queue_id` are those of the message when it was sent; `messages.body_id` refers to `id`.

If `data_key` is not null, the content is encrypted with the row of `data_keys` that has this
id: body and envelope are one encrypted record in `envelope`, and `body` is empty. A body in clear
is never empty, so a lost `data_key` is detected.

On SQLite the id is the row id, which keeps large rows out of the inner pages of the tree, and
appending writes to one page for any number of queues.
"""

data_keys = Table(
    "data_keys",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=False),
    Column("master_key", _Name, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("named_key", _Name),
    Column("created_at_ms", _Number, nullable=False),
    Column("encrypts_until_ms", _Number, nullable=False),
    Index("data_keys_by_master_key", "master_key", "fingerprint"),
)
"""The keys that encrypt the contents of messages, each wrapped by a master key.

Each server encrypts with data keys of its own, one for each queue at a time. A row stays as long
as a message refers to it, in whatever queue.

- `master_key`, `fingerprint`: the name and the fingerprint of the master key that wraps it.
- `named_key`: the name of the master key that the queue has asked for, or null for the first one.
- `encrypts_until_ms`: from this time on, no server encrypts with it.
"""

backlogs = Table(
    "backlogs",
    metadata,
    Column("queue_id", _Number, primary_key=True, autoincrement=False),
    Column("messages", _Number, nullable=False),
)
"""The number of rows in `messages` of each queue id. Counting them would take too long."""

dropped_queues = Table(
    "dropped_queues",
    metadata,
    Column("queue_id", _Number, primary_key=True, autoincrement=False),
)
"""Ids of purged and deleted queues, whose rows in other tables are freed in steps."""


def _without_statistics(table: sa.Table) -> sa.DDL:
    """Keep PostgreSQL from collecting statistics of a table, which would mislead its planner.

    A queue fills and empties faster than statistics are collected, and every purge gives it an id
    that they do not contain. The planner then takes the queue for empty, so that all plans seem
    equally cheap.
    """
    columns = ", ".join(f"ALTER COLUMN {column.name} SET STATISTICS 0" for column in table.columns)
    return sa.DDL(f"ALTER TABLE {table.name} {columns}")  # type: ignore[no-untyped-call]


# Dead rows slow down every claim, so vacuum often and without pauses: after a number of changed
# rows, not after a share of the table.
_VACUUM_OFTEN = (
    "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, "
    "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000, "
    "autovacuum_vacuum_cost_delay = 0"
)
# Every transaction rewrites a small row here. With free space on its page, PostgreSQL writes the
# new version there (HOT): it changes no index, and removes the old version without vacuum.
_REWRITE_IN_PLACE = "fillfactor = 10, autovacuum_vacuum_scale_factor = 0"


def _set(table: sa.Table, parameters: str) -> None:
    """Set storage parameters of a table on PostgreSQL."""
    statement = sa.DDL(  # type: ignore[no-untyped-call]
        f"ALTER TABLE {table.name} SET ({parameters})"
    )
    sa.event.listen(table, "after_create", statement.execute_if(dialect="postgresql"))


for _table in (messages, bodies, groups, deduplications, receive_attempts):
    _set(_table, _VACUUM_OFTEN)
_set(backlogs, _REWRITE_IN_PLACE)

for _table in (messages, bodies, groups, deduplications, receive_attempts):
    sa.event.listen(
        _table, "after_create", _without_statistics(_table).execute_if(dialect="postgresql")
    )

numbers = sa.Sequence("numbers", metadata=metadata)
"""PostgreSQL's source of ids. On SQLite, the one process reserves blocks in `properties`."""
