"""FIFO groups: which messages of a FIFO queue may be received, and in which order.

AWS: a group delivers its messages in order, from the first one up to the first that is in flight or
delayed. The table `groups` has one row for each group that has messages: its first message, and the
time from which the group delivers. A receive reads the groups that deliver, in the order of these
times. A group that was just served comes after the others.

A transaction uses its groups in this order: `lock` or `lock_all` before it locks or changes
their messages, `mark_dirty` for each group whose messages change, and `write_back` to bring the
rows of dirty groups up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage import locking
from storage.engine import Capabilities
from storage.locking import GroupKey, GroupNotLocked
from storage.messages.rows import (
    STATE,
    STEP_ROWS,
    GroupHead,
    GroupRow,
    MessageState,
    NewInGroup,
)
from storage.queue_settings import LockedQueue
from storage.schema import groups, messages, queues
from storage.sql.arrays import among, by_queue
from storage.sql.statement import Statement

_INSERT = Statement(groups.insert(), ["queue_id", "group_id", "head_id", "available_at_ms"])

_is_the_group = sa.and_(
    groups.c.queue_id == bindparam("queue"), groups.c.group_id == bindparam("group")
)
_UPDATE = Statement(
    groups.update()
    .where(_is_the_group)
    .values(head_id=bindparam("head"), available_at_ms=bindparam("at")),
    ["head", "at", "queue", "group"],
)
_DELETE = Statement(groups.delete().where(_is_the_group), ["queue", "group"])

_available = (
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
)
_AVAILABLE = Statement(locking.with_locks_if_free(_available))

_FIRST_MESSAGES = Statement(
    sa.select(*STATE).where(
        messages.c.queue_id == bindparam("queue"), among(messages.c.id, "numbers")
    )
)


def _following() -> sa.Select[*tuple[Any, ...]]:
    """Read the first messages of groups, `depth` of each, with one index search for each."""
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
    # An outer join: PostgreSQL could reverse an inner join, and read the whole queue.
    return sa.select(*STATE).join_from(
        walk,
        messages,
        sa.and_(messages.c.queue_id == queue_id, messages.c.id == walk.c.id),
        isouter=True,
    )


_FOLLOWING = Statement(_following())

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
        sa.select(queues.c.retention_ms)
        .where(queues.c.id == bindparam("queue"))
        .scalar_subquery()
        .label("retention_ms"),
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

_NEXT = Statement(
    sa.select(groups.c.available_at_ms)
    .where(groups.c.queue_id == bindparam("queue"))
    .order_by(groups.c.available_at_ms, groups.c.head_id)
    .limit(1)
)

_READ_AHEAD = 20
"""How many groups, and messages of each, are read at once after an unwanted message was met.

Otherwise read only what is needed, since each locked group is hidden from other servers.
"""
_ANY_NUMBER = 2**63 - 1


class Selection(NamedTuple):
    """The messages that were selected for receivers.

    Attributes:
        chosen: for each receiver, its messages, in the order of their groups.
        unwanted: expired or exhausted messages at the front of a group, up to `STEP_ROWS`; the
            caller removes them.
    """

    chosen: list[list[MessageState]]
    unwanted: list[MessageState]


class FifoGroups:
    """The groups of FIFO queues that one transaction locks and changes.

    `visible` and `local_wakeups` collect wake-ups of receivers, as (queue id, visible_at_ms,
    messages): for all servers, and for this server only.
    """

    __slots__ = (
        "_blocked",
        "_capabilities",
        "_connection",
        "_dirty",
        "_heads",
        "_is_conflict_likely",
        "_local_wakeups",
        "_locked",
        "_now_ms",
        "_visible",
    )

    def __init__(
        self,
        connection: sa.Connection,
        now_ms: int,
        visible: list[tuple[int, int, int]],
        local_wakeups: list[tuple[int, int, int]],
        capabilities: Capabilities,
        *,
        is_conflict_likely: bool,
    ) -> None:
        self._connection = connection
        self._now_ms = now_ms
        self._visible = visible
        self._local_wakeups = local_wakeups
        self._capabilities = capabilities
        self._is_conflict_likely = is_conflict_likely
        # Locked groups. False: the group has no row, because it has no messages.
        self._locked: dict[GroupKey, bool] = {}
        self._dirty: set[GroupKey] = set()
        # Selected groups, and groups that a receive blocks: with the first message, and the time
        # from which the group delivers again.
        self._heads: dict[GroupKey, int] = {}
        self._blocked: dict[GroupKey, tuple[int, int]] = {}

    def lock(self, keys: Collection[GroupKey]) -> None:
        """Lock groups, in key order, before their messages are locked or changed.

        Does nothing on a database with one writer.
        """
        if self._capabilities.has_concurrent_writers:
            self._lock(keys)

    def lock_all(
        self, sent_to: Collection[GroupKey], changed: Collection[GroupKey] = ()
    ) -> LockedGroups:
        """Lock groups that messages are sent or moved to, and others whose messages change.

        All are locked together, in key order. Messages must take their numbers after this, so that
        a group's numbers have the order of COMMITs.

        A group without messages has no row to lock. If two servers send to it at the same time,
        both insert the row, and one meets a write conflict. For some seconds after such a conflict,
        missing rows are inserted now with ON CONFLICT, so servers wait instead of failing.
        """
        keys = {*sent_to, *changed}
        if not keys or self._capabilities.insert_new_groups is not None:
            return LockedGroups(self, set(), keys, set())
        existing = self._lock(keys)
        missing = set(sent_to) - existing
        inserted: set[GroupKey] = set()
        statement = self._capabilities.insert_or_lock_groups
        if missing and self._is_conflict_likely and statement is not None:
            queue_ids, group_ids = zip(*missing, strict=True)
            lists = {"queue_id": queue_ids, "group_id": group_ids}
            inserted = {(row[0], row[1]) for row in statement.rows(self._connection, lists)}
            existing |= missing - inserted
            self._locked.update((key, True) for key in missing)
            # If a group gets no message, for example only a duplicate, `write_back` deletes it.
            self._dirty |= inserted
        return LockedGroups(self, existing, keys - existing, inserted)

    def _lock(self, keys: Collection[GroupKey]) -> set[GroupKey]:
        existing = locking.lock_groups(self._connection, keys)
        for key in keys:
            self._locked[key] = key in existing
        return existing

    def _write_first_messages(
        self, first: Mapping[GroupKey, NewInGroup], inserted: Collection[GroupKey]
    ) -> None:
        """Write the rows of groups that get their first messages; some are `inserted` already."""
        self._locked.update((key, True) for key in first)
        self._dirty.difference_update(first.keys() & inserted)
        # In key order: two servers that insert the same groups wait for each other.
        ordered = sorted(first.items())
        rows = [message for key, message in ordered if key not in inserted]
        insert = self._capabilities.insert_new_groups or _INSERT
        insert.change_each(self._connection, rows)
        updated = [
            (message.number, message.visible_at_ms, *key)
            for key, message in ordered
            if key in inserted
        ]
        _UPDATE.change_all(self._connection, updated)

    def mark_dirty(self, queue_id: int, group_id: str | None) -> None:
        """Record that messages of a group change; do nothing if `group_id` is None.

        Raises:
            GroupNotLocked: the transaction has not locked the group.
        """
        if group_id is None:
            return
        key = queue_id, group_id
        if self._capabilities.has_concurrent_writers:
            has_row = self._locked.get(key)
            if has_row is None:
                raise GroupNotLocked(f"queue {queue_id}, group {group_id}")
            if not has_row:
                return  # the group had no messages, so none can have changed
        self._dirty.add(key)

    def mark_in_flight(
        self, queue: LockedQueue, rows: Sequence[MessageState], until_ms: int
    ) -> None:
        """Record that selected messages are in flight until a time, and block their groups."""
        for row in rows:
            key = queue.id, row.group_id or ""
            if self._heads.get(key) == row.id and until_ms > self._now_ms:
                at_ms = min(until_ms, row.sent_at_ms + queue.retention_ms)
                self._blocked[key] = row.id, at_ms
            elif key not in self._blocked:
                self.mark_dirty(*key)

    def write_back(self, *, wake_only_here: bool = False) -> None:
        """Update the rows of dirty groups, and notify receivers of groups that deliver.

        With `wake_only_here`, wakes only receivers on this server. For a receive: it makes nothing
        visible that other servers do not know.
        """
        self._heads.clear()
        if not self._dirty and not self._blocked:
            return
        wake = self._local_wakeups if wake_only_here else self._visible
        deleted = []
        updated = [
            (head_id, at_ms, *key)
            for key, (head_id, at_ms) in self._blocked.items()
            if key not in self._dirty
        ]
        wake += [(queue_id, at_ms, 1) for _, at_ms, queue_id, _ in updated]
        dirty = list(by_queue(self._dirty))
        self._blocked.clear()
        self._dirty.clear()
        for row in chain.from_iterable(
            _HEADS.rows(self._connection, {"queue": queue_id, "groups": group_ids})
            for queue_id, group_ids in dirty
        ):
            if row.id is None:
                deleted.append((row.queue_id, row.group_id))
                continue
            at_ms = self._available_at_ms(row)
            if (row.id, at_ms) != (row.head_id, row.available_at_ms):
                updated.append((row.id, at_ms, row.queue_id, row.group_id))
                wake.append((row.queue_id, at_ms, 1))
        _UPDATE.change_all(self._connection, updated)
        _DELETE.change_all(self._connection, deleted)

    def _available_at_ms(self, row: GroupHead) -> int:
        """Return the time from which a group delivers.

        Receives serve groups in the order of this time: a later time is a place further back.
        """
        if row.visible_at_ms > self._now_ms:
            # Blocked: until the first message is visible, or is older than the retention.
            if row.retention_ms is None:  # the queue was dropped
                return row.visible_at_ms
            return min(row.visible_at_ms, row.sent_at_ms + row.retention_ms)
        if row.id != row.head_id:
            # The first message changed, so the group was served: go to the end.
            return self._now_ms
        # The first message is unchanged: keep the place.
        before_ms = row.available_at_ms
        return max(row.visible_at_ms, before_ms if before_ms <= self._now_ms else 0)

    def next_available_at_ms(self, queue_id: int) -> int | None:
        """Return the time from which the next group delivers, None if the queue is empty."""
        at_ms: int | None = _NEXT.value(self._connection, {"queue": queue_id})
        return at_ms

    def select(
        self,
        queue_id: int,
        maxima: Sequence[int],
        is_wanted: Callable[[MessageState], bool],
        depth: int = 1,
        newest: int = _ANY_NUMBER,
    ) -> Selection:
        """Select and lock groups that deliver, and choose messages of them for receivers.

        A receiver gets the messages of the first group, then those of the next. A group serves one
        receiver, because the messages that the receiver gets block the group.

        Args:
            queue_id: the queue.
            maxima: how many messages each receiver takes.
            is_wanted: whether to deliver a message. False: skip this message and look at the next
                of its group.
            depth: how many messages of each group to read at first; more than 1 if many are known
                to be unwanted.
            newest: skip groups whose first message has a greater number.
        """
        unwanted: list[MessageState] = []
        chosen: list[list[MessageState]] = [[] for _ in maxima]
        receivers = [receiver for receiver, maximum in enumerate(maxima) if maximum]
        last = (-1, -1)
        wanted = len(receivers)
        while receivers and len(unwanted) < STEP_ROWS:
            found = self._next_groups(queue_id, newest, last, wanted)
            if not found:
                break
            last = (found[-1].available_at_ms, found[-1].head_id)
            remaining = [maxima[receiver] - len(chosen[receiver]) for receiver in receivers]
            to_read = _READ_AHEAD if unwanted else max(depth, *remaining)
            by_group = self._first_messages(queue_id, found, to_read)
            for group in found:
                if not receivers:
                    break
                receiver = receivers[0]
                left = maxima[receiver] - len(chosen[receiver])
                is_outdated = True
                for row in by_group[group.group_id]:
                    if not is_wanted(row):
                        # It does not block its group, whether it is visible or not.
                        unwanted.append(row)
                    elif row.visible_at_ms > self._now_ms or not left:
                        break
                    else:
                        chosen[receiver].append(row)
                        left -= 1
                    is_outdated = False
                if is_outdated:
                    # The `groups` row would wake receivers for nothing.
                    self.mark_dirty(queue_id, group.group_id)
                if not left:
                    receivers.pop(0)
            if len(found) < wanted:
                break
            wanted = _READ_AHEAD if unwanted else sum(remaining)
        return Selection(chosen, unwanted[:STEP_ROWS])

    def _next_groups(
        self, queue_id: int, newest: int, last: tuple[int, int], wanted: int
    ) -> list[GroupRow]:
        """Lock the next groups that deliver, after `last`; skip those locked by others."""
        last_at_ms, last_head = last
        parameters = {
            "queue": queue_id,
            "now": self._now_ms,
            "newest": newest,
            "last_at": last_at_ms,
            "last_head": last_head,
            "wanted": wanted,
        }
        found: list[GroupRow] = _AVAILABLE.rows(self._connection, parameters)
        for group in found:
            key = queue_id, group.group_id
            self._locked[key] = True
            self._heads[key] = group.head_id
        return found

    def _first_messages(
        self, queue_id: int, found: Sequence[GroupRow], depth: int
    ) -> dict[str, list[MessageState]]:
        """Read the first messages of groups, up to `depth` of each, in their order."""
        by_group: dict[str, list[MessageState]] = {group.group_id: [] for group in found}
        if depth == 1:
            numbers = [group.head_id for group in found]
            rows = _FIRST_MESSAGES.rows(self._connection, {"queue": queue_id, "numbers": numbers})
        else:
            named = {"queue": queue_id, "groups": list(by_group), "depth": depth}
            rows = _FOLLOWING.rows(self._connection, named)
        for row in rows:
            if row.id is not None:
                by_group[row.group_id].append(row)
        if depth > 1:
            for members in by_group.values():
                members.sort(key=attrgetter("id"))
        return by_group


class LockedGroups:
    """Groups that `FifoGroups.lock_all` has locked. Messages can be added only to these."""

    __slots__ = ("_empty", "_existing", "_groups", "_inserted")

    def __init__(
        self,
        groups: FifoGroups,
        existing: set[GroupKey],
        empty: set[GroupKey],
        inserted: set[GroupKey],
    ) -> None:
        self._groups = groups
        self._existing = existing
        self._empty = empty
        self._inserted = inserted

    def append(self, added: Iterable[NewInGroup]) -> None:
        """Add messages to their groups, in the order in which they were numbered.

        If a group has messages already, its first message stays the first, so the group's row does
        not change.

        Raises:
            GroupNotLocked: `lock_all` did not lock a group.
        """
        first: dict[GroupKey, NewInGroup] = {}
        for new in added:
            key = new.queue_id, new.group_id
            if key not in self._existing:
                first.setdefault(key, new)
        if not first:
            return
        if not first.keys() <= self._empty:
            raise GroupNotLocked(str(first.keys() - self._empty))
        self._groups._write_first_messages(first, self._inserted)
        self._existing |= first.keys()
        self._empty -= first.keys()
