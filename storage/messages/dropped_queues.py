"""Free the rows of dropped queues: those that were purged or deleted."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from storage.messages.rows import STEP_ROWS, Step
from storage.messages.transitions import free_rows
from storage.schema import (
    backlogs,
    deduplications,
    dropped_queues,
    groups,
    messages,
    receive_attempts,
)
from storage.transaction import Transaction


def free_dropped(transaction: Transaction, limit: int = STEP_ROWS) -> bool:
    """Free up to `limit` messages of one dropped queue; return False if there was none.

    Frees fewer if their bodies are large (see `storage.messages.rows.Step`). With the last
    messages, also frees the queue's rows in other tables, up to `limit` of each.
    """
    connection = transaction.connection
    queue_id = connection.scalar(
        sa.select(dropped_queues.c.queue_id).order_by(dropped_queues.c.queue_id).limit(1)
    )
    if queue_id is None:
        return False
    found = connection.execute(
        sa.select(messages.c.id, messages.c.size)
        .where(messages.c.queue_id == queue_id)
        .order_by(messages.c.id)
        .limit(limit)
    ).all()
    step = Step(limit).deleted(found)
    free_rows(transaction, queue_id, [row.id for row in step])
    is_last = len(step) == len(found) < limit
    if is_last and all(_free_fifo_rows(connection, queue_id, limit)):
        for table in (dropped_queues, backlogs):
            connection.execute(table.delete().where(table.c.queue_id == queue_id))
    return True


def _free_fifo_rows(connection: sa.Connection, queue_id: int, limit: int) -> Iterator[bool]:
    """Free up to `limit` rows in each table of FIFO queues; yield whether none is left there."""
    for table in (groups, deduplications, receive_attempts):
        (key,) = (column for column in table.primary_key.columns if column.name != "queue_id")
        is_of_queue = table.c.queue_id == queue_id
        found = connection.scalars(
            sa.select(key).where(is_of_queue).order_by(key).limit(limit)
        ).all()
        if found:
            # One key per statement: PostgreSQL would compare every row of the queue with a list.
            connection.execute(
                table.delete().where(is_of_queue, key == sa.bindparam("found")),
                [{"found": value} for value in found],
            )
        yield len(found) < limit
