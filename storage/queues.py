"""Queues: what is known of them, and their creation, change, purge and end.

Refuses to interpret attributes and tags: they are text that the rules wrote and read again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage import queue_delays
from storage.messages import fifo_groups
from storage.schema import (
    attempts,
    backlogs,
    bodies,
    deduplications,
    deletions,
    groups,
    leftovers,
    messages,
    queues,
)
from storage.sql.arrays import among, in_order
from storage.sql.statement import Both, Statement
from storage.transaction import Transaction

STANDARD = "standard"
FIFO = "fifo"
FIFO_BY_GROUP = "fifo_by_group"
"""The kinds of queues; the last deduplicates within each message group."""


class QueueChanged(Exception):
    """The queue is gone, was purged, or has changed since the caller read it: read it again."""


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue as it was when it was read. Times are epoch milliseconds."""

    id: int
    revision: int
    kind: str
    account: str
    region: str
    name: str
    created_at_ms: int
    modified_at_ms: int
    purged_at_ms: int | None
    attributes: Mapping[str, str]
    tags: Mapping[str, str]
    dead_letter_target: str | None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages a queue has, by what can be done with them now."""

    visible: int
    in_flight: int
    delayed: int


def _named(account: str, region: str, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(queues.c.account == account, queues.c.region == region, queues.c.name == name)


def find(connection: sa.Connection, account: str, region: str, name: str) -> Queue | None:
    """Give the queue of that name, or None."""
    row = connection.execute(sa.select(queues).where(_named(account, region, name))).first()
    return Queue(**row._mapping) if row else None


def hold(
    transaction: Transaction, account: str, region: str, name: str, *, alone: bool = False
) -> Queue | None:
    """Give the queue of that name; it is neither purged nor deleted before the COMMIT.

    Who holds it `alone` waits for others who do, but not for those who send and receive.
    """
    statement = sa.select(queues).where(_named(account, region, name))
    row = transaction.connection.execute(
        statement.with_for_update(read=not alone, key_share=True)
    ).first()
    return Queue(**row._mapping) if row else None


def page(
    connection: sa.Connection, account: str, region: str, prefix: str, after: str, limit: int
) -> Sequence[str]:
    """Give up to `limit` names that begin with `prefix` and sort after `after`, by byte."""
    statement = (
        sa.select(queues.c.name)
        .where(queues.c.account == account, queues.c.region == region)
        .where(queues.c.name >= prefix, queues.c.name > after)
        .order_by(queues.c.name)
        .limit(limit)
    )
    if prefix:
        # Names are ASCII, so nothing that begins with the prefix sorts after prefix + DEL.
        statement = statement.where(queues.c.name < prefix + "\x7f")
    return connection.scalars(statement).all()


def sources(
    connection: sa.Connection, target: str, account: str, region: str, after: str, limit: int
) -> Sequence[str]:
    """Give up to `limit` names of queues whose dead-letter queue is `target`, by byte."""
    statement = (
        sa.select(queues.c.name)
        .where(queues.c.dead_letter_target == target)
        .where(queues.c.account == account, queues.c.region == region, queues.c.name > after)
        .order_by(queues.c.name)
        .limit(limit)
    )
    return connection.scalars(statement).all()


def every(connection: sa.Connection, after_id: int, limit: int) -> Sequence[Queue]:
    """Give up to `limit` queues of all accounts whose id is greater, by id."""
    statement = sa.select(queues).where(queues.c.id > after_id).order_by(queues.c.id).limit(limit)
    return [Queue(**row._mapping) for row in connection.execute(statement)]


def deleted_at_ms(connection: sa.Connection, account: str, region: str, name: str) -> int | None:
    """Tell when a queue of that name was last deleted, if that is still remembered."""
    return connection.scalar(
        sa.select(deletions.c.deleted_at_ms).where(
            deletions.c.account == account,
            deletions.c.region == region,
            deletions.c.name == name,
        )
    )


def create(
    transaction: Transaction,
    account: str,
    region: str,
    name: str,
    kind: str,
    attributes: Mapping[str, str],
    tags: Mapping[str, str],
    dead_letter_target: str | None = None,
) -> Queue:
    """Make the queue, or give the one that has the name already, unchanged."""
    existing = find(transaction.connection, account, region, name)
    if existing is not None:
        return existing
    (queue_id,) = transaction.take_numbers(1)
    now_ms = transaction.now_ms
    row: dict[str, Any] = {
        "id": queue_id,
        "revision": 1,
        "kind": kind,
        "account": account,
        "region": region,
        "name": name,
        "created_at_ms": now_ms,
        "modified_at_ms": now_ms,
        "purged_at_ms": None,
        "attributes": dict(attributes),
        "tags": dict(tags),
        "dead_letter_target": dead_letter_target,
    }
    transaction.connection.execute(queues.insert(), row)
    transaction.connection.execute(backlogs.insert(), {"queue_id": queue_id, "messages": 0})
    return Queue(**row)


def change_attributes(
    transaction: Transaction,
    queue: Queue,
    attributes: Mapping[str, str],
    dead_letter_target: str | None = None,
    delay_ms: int | None = None,
) -> None:
    """Replace all attributes, and with them the dead-letter queue, as the rules name it.

    A FIFO queue's delay holds for the messages that it has already, too; where they are many, that
    is left to `delays.go_on`.

    Raises:
        QueueChanged: `queue` is no longer what the database has.
    """
    _change(
        transaction,
        queue,
        attributes=dict(attributes),
        dead_letter_target=dead_letter_target,
        modified_at_ms=transaction.now_ms,
    )
    if queue.kind != STANDARD and delay_ms is not None:
        queue_delays.change(transaction, queue.id, delay_ms)
        transaction.leave_work()


def change_tags(transaction: Transaction, queue: Queue, tags: Mapping[str, str]) -> None:
    """Replace all tags, which does not count as a modification of the queue.

    Raises:
        QueueChanged: `queue` is no longer what the database has.
    """
    _change(transaction, queue, tags=dict(tags))


def purge(transaction: Transaction, queue: Queue) -> None:
    """Let go of all messages at once, in constant time: the queue goes on under a new id.

    Raises:
        QueueChanged: `queue` is no longer what the database has.
    """
    (new_id,) = transaction.take_numbers(1)
    _change(transaction, queue, id=new_id, purged_at_ms=transaction.now_ms)
    transaction.connection.execute(backlogs.insert(), {"queue_id": new_id, "messages": 0})
    _abandon(transaction, queue.id)


def delete(transaction: Transaction, queue: Queue) -> None:
    """End the queue and all its messages, in constant time.

    Raises:
        QueueChanged: `queue` is no longer what the database has.
    """
    connection = transaction.connection
    gone = connection.execute(queues.delete().where(_unchanged(queue)))
    if gone.rowcount != 1:
        raise QueueChanged
    key = {"account": queue.account, "region": queue.region, "name": queue.name}
    connection.execute(deletions.delete().filter_by(**key))
    connection.execute(deletions.insert(), {**key, "deleted_at_ms": transaction.now_ms})
    _abandon(transaction, queue.id)


def _unchanged(queue: Queue) -> sa.ColumnElement[bool]:
    return sa.and_(queues.c.id == queue.id, queues.c.revision == queue.revision)


def _change(transaction: Transaction, queue: Queue, **values: object) -> None:
    changed = transaction.connection.execute(
        queues.update().where(_unchanged(queue)).values(revision=queue.revision + 1, **values)
    )
    if changed.rowcount != 1:
        raise QueueChanged


def _abandon(transaction: Transaction, queue_id: int) -> None:
    transaction.connection.execute(leftovers.insert(), {"queue_id": queue_id})
    queue_delays.forget(transaction, queue_id)
    transaction.estimates.forget(queue_id)
    transaction.let_go(queue_id)
    transaction.leave_work()


def count(connection: sa.Connection, queue_id: int, now_ms: int, expired_ms: int) -> Counts:
    """Count a queue's messages, at a cost that does not depend on how many are visible.

    All rows are counted as they come and go; what is hidden is counted in the index. What was sent
    at or before `expired_ms` and is not yet freed stands before the first that is alive: whatever
    comes after that one was sent later than it came, but for messages that a redrive brought.
    """
    state = messages.c
    is_its = state.queue_id == queue_id
    total = connection.scalar(sa.select(backlogs.c.messages).where(backlogs.c.queue_id == queue_id))
    hidden = connection.execute(_tally(now_ms).where(is_its, state.visible_at_ms > now_ms)).one()
    first_alive = connection.scalar(
        sa.select(state.id).where(is_its, state.sent_at_ms > expired_ms).order_by(state.id).limit(1)
    )
    dead = [_tally(now_ms).where(is_its)]
    if first_alive is not None:
        dead = [
            _tally(now_ms).where(is_its, state.id < first_alive),
            _tally(now_ms, state.id > first_alive).where(is_its, *_redriven_and(expired_ms)),
        ]
    gone = [connection.execute(tally).one() for tally in dead]
    dead_rows, dead_hidden, dead_delayed = (sum(parts) for parts in zip(*gone, strict=True))
    delayed = hidden.delayed - dead_delayed
    in_flight = hidden.hidden - dead_hidden - delayed
    visible = (total or 0) - dead_rows - (hidden.hidden - dead_hidden)
    return Counts(visible=visible, in_flight=in_flight, delayed=delayed)


def _tally(now_ms: int, only: sa.ColumnElement[bool] | None = None) -> sa.Select[int, int, int]:
    """Count rows, those that are hidden, and those that are hidden and were never received.

    Of the rows that the statement finds, `only` says which count: no index is chosen for it.
    """
    counts = sa.true() if only is None else only
    is_hidden = sa.and_(counts, messages.c.visible_at_ms > now_ms)
    is_delayed = sa.and_(is_hidden, messages.c.receive_count == 0)
    return sa.select(
        sa.func.count(sa.case((counts, 1))),
        sa.func.count(sa.case((is_hidden, 1))).label("hidden"),
        sa.func.count(sa.case((is_delayed, 1))).label("delayed"),
    ).select_from(messages)


def _redriven_and(expired_ms: int) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """Find what a redrive brought and has expired, wherever it stands."""
    return messages.c.redriven_at_ms.is_not(None), messages.c.sent_at_ms <= expired_ms


def with_expired(connection: sa.Connection, limits: Iterable[tuple[int, int]]) -> Sequence[int]:
    """Of (queue id, expired_ms) pairs, give the queues that have messages to be freed."""
    is_its = messages.c.queue_id == sa.bindparam("queue")
    oldest = sa.select(messages.c.sent_at_ms).where(is_its).order_by(messages.c.id).limit(1)
    oldest_redriven = (
        sa.select(messages.c.sent_at_ms)
        .where(is_its, messages.c.redriven_at_ms.is_not(None))
        .order_by(messages.c.sent_at_ms, messages.c.id)
        .limit(1)
    )
    found = []
    for queue_id, expired_ms in limits:
        sent_at_ms = connection.scalar(oldest, {"queue": queue_id})
        if sent_at_ms is not None and sent_at_ms > expired_ms:
            sent_at_ms = connection.scalar(oldest_redriven, {"queue": queue_id})
        if sent_at_ms is not None and sent_at_ms <= expired_ms:
            found.append(queue_id)
    return found


_STILL_THERE = Statement(
    sa.select(messages.c.id, messages.c.group_id)
    .where(messages.c.queue_id == sa.bindparam("queue"), among(messages.c.id, "numbers"))
    .order_by(in_order(messages.c.id))
    # What another server is just freeing or deleting must not be counted as gone twice.
    .with_for_update(skip_locked=True)
)


def free_expired(transaction: Transaction, queue_id: int, expired_ms: int, limit: int) -> int:
    """Free up to `limit` of a queue's messages of those sent at or before `expired_ms`.

    Their groups are held before they are, as a receive does: so the two never wait for each other.
    """
    state = messages.c
    rows = sa.select(state.id, state.group_id, state.sent_at_ms).where(state.queue_id == queue_id)
    freed = 0
    for statement in (
        rows.order_by(state.id).limit(limit),
        rows.where(*_redriven_and(expired_ms)).order_by(state.sent_at_ms).limit(limit),
    ):
        expired = [
            row for row in transaction.connection.execute(statement) if row.sent_at_ms <= expired_ms
        ][: limit - freed]
        fifo_groups.hold(transaction, {(queue_id, row.group_id) for row in expired if row.group_id})
        numbers = {"queue": queue_id, "numbers": [row.id for row in expired]}
        found = _STILL_THERE.rows(transaction.connection, numbers) if expired else []
        erase(transaction, [(queue_id, row) for row in found])
        freed += len(found)
    return freed


def free_leftovers(transaction: Transaction, limit: int) -> bool:
    """Free up to `limit` messages that purges and deletions left; False when nothing was left."""
    connection = transaction.connection
    queue_id = connection.scalar(
        sa.select(leftovers.c.queue_id).order_by(leftovers.c.queue_id).limit(1)
    )
    if queue_id is None:
        return False
    found = connection.scalars(
        sa.select(messages.c.id)
        .where(messages.c.queue_id == queue_id)
        .order_by(messages.c.id)
        .limit(limit)
    ).all()
    _erase_rows(transaction, queue_id, found)
    if len(found) < limit and all(_free_keys(connection, queue_id, limit)):
        for table in (leftovers, backlogs):
            connection.execute(table.delete().where(table.c.queue_id == queue_id))
    return True


def _free_keys(connection: sa.Connection, queue_id: int, limit: int) -> Iterator[bool]:
    """Free what a FIFO queue's id leaves beside messages; tell of each table if that was all."""
    for table in (groups, deduplications, attempts):
        (key,) = (column for column in table.primary_key.columns if column.name != "queue_id")
        is_its = table.c.queue_id == queue_id
        found = connection.scalars(sa.select(key).where(is_its).order_by(key).limit(limit)).all()
        if found:
            # By one key at a time: PostgreSQL would hold every key against all that were found.
            connection.execute(
                table.delete().where(is_its, key == sa.bindparam("found")),
                [{"found": value} for value in found],
            )
        yield len(found) < limit


def forget_deletions(transaction: Transaction, before_ms: int) -> None:
    """Forget deletions that lie so far back that no rule asks for them."""
    transaction.connection.execute(deletions.delete().where(deletions.c.deleted_at_ms < before_ms))


def _deletion(table: sa.Table) -> Statement:
    return Statement(
        table.delete().where(
            table.c.queue_id == sa.bindparam("queue"), among(table.c.id, "numbers")
        )
    )


# The state first, as claims hold it first: so no two servers wait for each other.
_ERASE = Both(_deletion(messages), _deletion(bodies))


def erase(transaction: Transaction, found: Sequence[tuple[int, sa.Row[*tuple[Any, ...]]]]) -> None:
    """Erase messages that are known to exist, given as queue id and state.

    Who waits because too many are in flight hears that there may be room.
    """
    by_queue: dict[int, list[int]] = defaultdict(list)
    for queue_id, row in found:
        by_queue[queue_id].append(row.id)
        if row.group_id is not None:
            transaction.touched.add((queue_id, row.group_id))
    for queue_id, numbers in by_queue.items():
        erase_numbers(transaction, queue_id, numbers)


def erase_numbers(transaction: Transaction, queue_id: int, numbers: Sequence[int]) -> None:
    """Erase those of the messages named that exist, whatever else there is to know of them."""
    erased = _erase_rows(transaction, queue_id, numbers)
    transaction.count(queue_id, -erased)
    if transaction.estimates.of(queue_id).is_full:
        transaction.announce(queue_id, transaction.now_ms, erased)


def _erase_rows(transaction: Transaction, queue_id: int, numbers: Sequence[int]) -> int:
    if not numbers:
        return 0
    return _ERASE.change(transaction.connection, {"queue": queue_id, "numbers": numbers})
