"""Deletion of message rows, with the counts and wake-ups that it entails."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from storage.schema import bodies, messages
from storage.sql.arrays import among
from storage.sql.statement import Statement, StatementPair
from storage.transaction import Transaction


def _deletion(table: sa.Table) -> Statement:
    return Statement(
        table.delete().where(
            table.c.queue_id == sa.bindparam("queue"), among(table.c.id, "numbers")
        )
    )


# The state first, as claims hold it first: so no two servers wait for each other.
_ERASE = StatementPair(_deletion(messages), _deletion(bodies))


def delete_messages(
    transaction: Transaction, found: Sequence[tuple[int, sa.Row[*tuple[Any, ...]]]]
) -> None:
    """Erase messages that are known to exist, given as queue id and state.

    Who waits because too many are in flight hears that there may be room.
    """
    by_queue: dict[int, list[int]] = defaultdict(list)
    for queue_id, row in found:
        by_queue[queue_id].append(row.id)
        if row.group_id is not None:
            transaction.dirty_groups.add((queue_id, row.group_id))
    for queue_id, numbers in by_queue.items():
        delete_by_number(transaction, queue_id, numbers)


def delete_by_number(transaction: Transaction, queue_id: int, numbers: Sequence[int]) -> None:
    """Erase those of the messages named that exist, whatever else there is to know of them."""
    erased = delete_rows(transaction, queue_id, numbers)
    transaction.add_to_count(queue_id, -erased)
    if transaction.hints.of(queue_id).is_full:
        transaction.notify_visible(queue_id, transaction.now_ms, erased)


def delete_rows(transaction: Transaction, queue_id: int, numbers: Sequence[int]) -> int:
    """Delete the rows of messages, state and body; return how many there were."""
    if not numbers:
        return 0
    return _ERASE.change(transaction.connection, {"queue": queue_id, "numbers": numbers})
