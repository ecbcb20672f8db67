"""FIFO queues: which messages may be received now.

A group delivers the messages at its head up to the first that is in flight or delayed. `groups`
has one row for each group: its first message, and from when on the group delivers. So a receive
meets only groups that deliver, in the order in which they became able to, and a group that was
just served stands behind those that were not. Refuses to take anything: that is `receives`' part.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage.messages.rows import STATE, Row
from storage.schema import groups, messages
from storage.sql.arrays import among, by_queue, in_order, insert_or_lock
from storage.sql.statement import Statement
from storage.transaction import Transaction

_HOLD = Statement(
    sa.select(groups.c.group_id)
    .where(groups.c.queue_id == bindparam("queue"), among(groups.c.group_id, "groups"))
    .order_by(in_order(groups.c.group_id))
    .with_for_update()
)


def hold(transaction: Transaction, keys: Collection[tuple[int, str]]) -> set[tuple[int, str]]:
    """Tell which of these groups, given as queue id and group, have messages.

    No other server adds to them, receives from them or ends them before the COMMIT. A message's
    number is taken while its group is held, so that numbers and order never differ.
    """
    held = {
        (queue_id, group_id)
        for queue_id, group_ids in by_queue(keys)
        for (group_id,) in _HOLD.rows(
            transaction.connection, {"queue": queue_id, "groups": group_ids}
        )
    }
    transaction.locked_groups |= held
    return held


_BEGIN_OR_HOLD = Statement(
    insert_or_lock(groups, ["queue_id", "group_id"], {"head_id": 0, "available_at_ms": 0})
)


def hold_to_send(
    transaction: Transaction, keys: Collection[tuple[int, str]]
) -> set[tuple[int, str]]:
    """Do as `hold` does for groups that are about to be sent to.

    `hold` does not see what another server begins while it waits; servers that begin the same
    groups all the time would collide over and over. So where that has just come about, groups
    without messages are begun at once, at the cost of writing them twice; those that get no message
    are ended. All servers hold first and begin then, so that no two wait in a circle.
    """
    missing = set(keys) - hold(transaction, keys)
    if not missing or not transaction.is_contended:
        return set(keys) - missing
    queue_ids, group_ids = zip(*missing, strict=True)
    lists = {"queue_id": queue_ids, "group_id": group_ids}
    begun = {(row[0], row[1]) for row in _BEGIN_OR_HOLD.rows(transaction.connection, lists)}
    transaction.locked_groups |= missing
    transaction.dirty_groups |= begun
    return set(keys) - begun


_BEGIN = Statement(groups.insert())


def join(
    transaction: Transaction,
    arrived: Sequence[tuple[int, str, int, int]],
    held: Collection[tuple[int, str]],
) -> None:
    """Note new messages, given as (queue id, group, number, visible_at_ms) in their order.

    A message of a group that has messages already is behind its head and changes nothing: these
    are `held`.
    """
    first: dict[tuple[int, str], tuple[int, int]] = {}
    for queue_id, group_id, number, visible_at_ms in arrived:
        if (queue_id, group_id) not in held:
            first.setdefault((queue_id, group_id), (number, visible_at_ms))
    if first and transaction.is_contended:  # `hold_to_send` has begun them
        transaction.dirty_groups.difference_update(first)
        _MOVE_HEAD.change_all(
            transaction.connection,
            [
                {"queue": key[0], "group": key[1], "head": head, "at": at_ms}
                for key, (head, at_ms) in first.items()
            ],
        )
    elif first:
        _BEGIN.change_each(
            transaction.connection,
            [
                {"queue_id": key[0], "group_id": key[1], "head_id": head, "available_at_ms": at_ms}
                # One order for all servers: so no two that begin the same wait in a circle.
                for key, (head, at_ms) in sorted(first.items())
            ],
        )


_AVAILABLE = Statement(
    sa.select(groups.c.group_id, groups.c.head_id, groups.c.available_at_ms)
    .where(
        groups.c.queue_id == bindparam("queue"),
        groups.c.available_at_ms <= bindparam("now"),
        groups.c.head_id <= bindparam("newest"),
        sa.tuple_(groups.c.available_at_ms, groups.c.head_id)
        > sa.tuple_(bindparam("last_at"), bindparam("last_head")),
    )
    .order_by(groups.c.available_at_ms, groups.c.head_id)
    .limit(bindparam("wanted", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)


def _following() -> sa.Select[*tuple[Any, ...]]:
    """Read the first messages of groups, so many of each, one step in the index for each."""
    queue_id: sa.BindParameter[int] = bindparam("queue")
    walk = (
        sa.select(groups.c.group_id, groups.c.head_id.label("id"), sa.literal(1).label("depth"))
        .where(groups.c.queue_id == queue_id, among(groups.c.group_id, "groups"))
        .cte("walk", recursive=True)
    )
    after = messages.alias("after")
    successor = (
        sa.select(after.c.id)
        .where(
            after.c.queue_id == queue_id,
            after.c.group_id == walk.c.group_id,
            after.c.id > walk.c.id,
        )
        .order_by(after.c.id)
        .limit(1)
        .correlate(walk)
        .scalar_subquery()
    )
    walk = walk.union_all(
        sa.select(walk.c.group_id, successor, walk.c.depth + 1).where(
            walk.c.depth < bindparam("depth", type_=sa.Integer), walk.c.id.is_not(None)
        )
    )
    # An outer join, so that PostgreSQL cannot turn it around and read the queue to find the walk.
    return sa.select(*STATE).join_from(
        walk,
        messages,
        sa.and_(messages.c.queue_id == queue_id, messages.c.id == walk.c.id),
        isouter=True,
    )


_FOLLOWING = Statement(_following())

_FURTHER = 100
"""How many groups, and messages of each, are looked at together when some are not to be received.

Groups that one server looks at cannot be seen by another, so otherwise it is as few as will do."""
_ANY_NUMBER = 2**63 - 1
_MET_AT_MOST = 2_000
"""How many messages that are not to be received one look goes through."""


def choose(
    transaction: Transaction,
    queue_id: int,
    maxima: Sequence[int],
    keep: Callable[[Row], bool],
    least_depth: int = 1,
    newest: int = _ANY_NUMBER,
) -> tuple[list[list[Row]], list[Row]]:
    """Choose for each receiver, by how many it takes, which messages it may have.

    A receiver takes what the first group delivers, then what the next does; a group serves one
    receiver, because what that one takes blocks it. `keep` says whether a message is still one to
    be received; one that is not makes way for the next. These are the second part of the result.
    Most receives are filled by one group for each, so no more are looked at before they must be;
    `least_depth` is how many messages of each are, where many are known to be in the way. Groups
    that begin with a message after `newest` are passed over.
    """
    met: list[Row] = []
    chosen: list[list[Row]] = [[] for _ in maxima]
    receivers = [place for place, maximum in enumerate(maxima) if maximum]
    last = (-1, -1)
    wanted = len(receivers)
    while receivers and len(met) < _MET_AT_MOST:
        found = _AVAILABLE.rows(
            transaction.connection,
            {
                "queue": queue_id,
                "now": transaction.now_ms,
                "newest": newest,
                "last_at": last[0],
                "last_head": last[1],
                "wanted": wanted,
            },
        )
        if not found:
            break
        transaction.locked_groups.update((queue_id, group.group_id) for group in found)
        last = (found[-1].available_at_ms, found[-1].head_id)
        rooms = [maxima[place] - len(chosen[place]) for place in receivers]
        depth = _FURTHER if met else max(least_depth, *rooms)
        by_group = _read(transaction, queue_id, found, depth)
        for group in found:
            if not receivers:
                break
            place = receivers[0]
            room = maxima[place] - len(chosen[place])
            delivered = list(_deliverable(transaction, by_group[group.group_id], room, keep))
            for row in delivered:
                (chosen[place] if keep(row) else met).append(row)
            if not delivered:
                # It is not what its row says, which would bring receivers back again and again.
                transaction.dirty_groups.add((queue_id, group.group_id))
            if len(chosen[place]) >= maxima[place]:
                receivers.pop(0)
        if len(found) < wanted:
            break
        wanted = _FURTHER if met else sum(rooms)
    return chosen, met


_FIRST_ONES = Statement(
    sa.select(*STATE).where(
        messages.c.queue_id == bindparam("queue"), among(messages.c.id, "numbers")
    )
)


def _read(
    transaction: Transaction, queue_id: int, found: Sequence[Row], depth: int
) -> dict[str, list[Row]]:
    """Read the first messages of groups, up to `depth` of each."""
    by_group: dict[str, list[Row]] = {group.group_id: [] for group in found}
    parameters: dict[str, Any] = {"queue": queue_id}
    if depth == 1:
        parameters["numbers"] = [group.head_id for group in found]
        rows = _FIRST_ONES.rows(transaction.connection, parameters)
    else:
        parameters |= {"groups": list(by_group), "depth": depth}
        rows = _FOLLOWING.rows(transaction.connection, parameters)
    for row in rows:
        if row.id is not None:
            by_group[row.group_id].append(row)
    for members in by_group.values():
        members.sort(key=lambda row: row.id)
    return by_group


def _deliverable(
    transaction: Transaction, rows: Iterable[Row], room: int, keep: Callable[[Row], bool]
) -> Iterator[Row]:
    """Go from the head to the first message that is hidden, or until `room` is full.

    What is not kept takes no room, and hides nothing.
    """
    for row in rows:
        if keep(row):
            if row.visible_at_ms > transaction.now_ms or not room:
                break
            room -= 1
        yield row


_FIRST = messages.alias("first")
_HEADS = Statement(
    sa.select(
        groups.c.queue_id,
        groups.c.group_id,
        groups.c.head_id,
        groups.c.available_at_ms,
        messages.c.id,
        messages.c.visible_at_ms,
        messages.c.sent_at_ms,
    )
    .join_from(
        groups,
        messages,
        sa.and_(
            messages.c.queue_id == groups.c.queue_id,
            messages.c.id
            == sa.select(_FIRST.c.id)
            .where(_FIRST.c.queue_id == groups.c.queue_id, _FIRST.c.group_id == groups.c.group_id)
            .order_by(_FIRST.c.id)
            .limit(1)
            .correlate(groups)
            .scalar_subquery(),
        ),
        isouter=True,
    )
    .where(groups.c.queue_id == bindparam("queue"), among(groups.c.group_id, "groups"))
)

_MOVE_HEAD = Statement(
    groups.update()
    .where(groups.c.queue_id == bindparam("queue"), groups.c.group_id == bindparam("group"))
    .values(head_id=bindparam("head"), available_at_ms=bindparam("at"))
)

_END = Statement(
    groups.delete().where(
        groups.c.queue_id == bindparam("queue"), groups.c.group_id == bindparam("group")
    )
)


def settle(transaction: Transaction, *, by_receive: bool = False) -> None:
    """Bring the rows of touched groups to what has become of their messages.

    They are held first and read then: what other servers, if there are any, did to their messages
    meanwhile is seen.
    What becomes of a group `by_receive` is no news to those who have looked, only to the line here.
    """
    if not transaction.dirty_groups:
        return
    if transaction.is_shared:
        hold(transaction, transaction.dirty_groups - transaction.locked_groups)
    touched = list(by_queue(transaction.dirty_groups))
    transaction.dirty_groups.clear()
    tell = transaction.wake_local if by_receive else transaction.notify_visible
    moved, ended = [], []
    for row in chain.from_iterable(
        _HEADS.rows(transaction.connection, {"queue": queue_id, "groups": group_ids})
        for queue_id, group_ids in touched
    ):
        key = {"queue": row.queue_id, "group": row.group_id}
        if row.id is None:
            ended.append(key)
            continue
        at_ms = _available_at_ms(transaction, row)
        if (row.id, at_ms) != (row.head_id, row.available_at_ms):
            moved.append({**key, "head": row.id, "at": at_ms})
            tell(row.queue_id, at_ms)
    if moved:
        _MOVE_HEAD.change_all(transaction.connection, moved)
    if ended:
        _END.change_all(transaction.connection, ended)


def _available_at_ms(transaction: Transaction, row: Row) -> int:
    """Tell from when on a group delivers, which also settles its turn among the others.

    A hidden head blocks the group until it is visible again, or has expired. A group that can
    deliver now goes behind those that could before: it has just been served.
    """
    now_ms = transaction.now_ms
    if row.visible_at_ms > now_ms:
        retention_ms = transaction.hints.of(row.queue_id).retention_ms
        if retention_ms is None:
            return int(row.visible_at_ms)
        return min(int(row.visible_at_ms), int(row.sent_at_ms) + retention_ms)
    if row.id != row.head_id:
        return now_ms
    before_ms = int(row.available_at_ms)
    return max(int(row.visible_at_ms), before_ms if before_ms <= now_ms else 0)


_NEXT = Statement(
    sa.select(groups.c.available_at_ms)
    .where(groups.c.queue_id == bindparam("queue"))
    .order_by(groups.c.available_at_ms, groups.c.head_id)
    .limit(1)
)


def next_at_ms(transaction: Transaction, queue_id: int) -> int | None:
    """Tell when the next group delivers, or did; None if the queue is empty."""
    at_ms: int | None = _NEXT.value(transaction.connection, {"queue": queue_id})
    return at_ms
