"""Find the violations of SQS's promises in a history.

Every operation took effect at an unknown time between its call and its return. The checker reports
a violation only if no such times would make the history correct.
"""

from __future__ import annotations

import hashlib
import heapq
from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count, pairwise
from math import inf
from typing import NamedTuple

from tests.histories.history import (
    Delete,
    History,
    Message,
    Operation,
    Receive,
    Removal,
    Send,
    VisibilityChange,
)

Routes = Mapping[str, frozenset[str]]
"""For each queue, the queues in which a message that was sent to it may be received."""

_LABEL_CHARACTERS = 60


class Rule(StrEnum):
    """The rules, each named by its violation."""

    LOST = "acknowledged and lost"
    DELIVERED_AFTER_DELETE = "delivered after its deletion"
    NEVER_SENT = "not sent until then, or altered"
    REJECTED = "delivered although rejected"
    WRONG_QUEUE = "in a wrong queue"
    DUPLICATED = "received more than once by the final receives"
    DELIVERED_AFTER_REMOVAL = "delivered after its queue was purged or deleted"
    OUT_OF_ORDER = "out of order"
    STORED_TWICE = "one message stored as two"
    SEQUENCE_NUMBERS = "sequence numbers out of order"
    DELIVERED_IN_FLIGHT = "delivered while in flight"
    ANSWERED_LATE = "answered too late"


class Finding(NamedTuple):
    """A violation: the rule's name and the message, queue or group that it concerns."""

    rule: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The facts about a run that the checker needs, and the rules that hold in some runs only.

    Attributes:
        routes: for each queue, where its messages may be received.
        ordered_queues: FIFO queues whose order holds to the end. A queue with a dead-letter queue
            is not among them: moving a message away lets its successors pass.
        is_sent_once: whether no client repeats a send without a deduplication ID. If one does, one
            body may become several messages, which differ only in their message IDs.
        answer_limit_seconds: limit of the time until an answer, beyond a receive's wait time.
        longest_call_seconds: time in which every call returns. The checker checks a receive when
            all calls that concern it have returned, and drops the record of a deleted message when
            no receive can correctly deliver it any more. Its memory does not grow with the number
            of messages. If it is infinite, the checker checks receives at the end, and drops
            nothing.
    """

    routes: Routes
    ordered_queues: Collection[str] = ()
    is_sent_once: bool = True
    answer_limit_seconds: float = inf
    longest_call_seconds: float = inf


class _Release(NamedTuple):
    """A call that may have ended the time for which a message is in flight.

    A delete ends that of its own receive; a visibility change (`receipt_handle` is None) may end
    that of any receive.
    """

    receipt_handle: str | None
    called: float
    returned: float


class _Flight(NamedTuple):
    """The time for which a received message is in flight, if no call ends it earlier."""

    message_id: str
    receipt_handle: str
    called: float
    returned: float
    until: float


class _Range(NamedTuple):
    """The range of sequence numbers that the acknowledgements of one message had; should be one."""

    lowest: int
    highest: int


@dataclass(slots=True, eq=False)
class _Record:
    """The state of one message, which its body identifies."""

    label: str
    queue: str = ""
    group: str | None = None
    position: int | None = None
    sends: int = 0
    rejected_sends: int = 0
    first_send_called: float = inf
    last_send_returned: float = -inf
    is_acknowledged: bool = False
    is_received: bool = False
    is_stored_twice: bool = False
    is_overtaken: bool = False
    final_receives: int = 0
    delete_called: float = inf
    deleted: dict[str, float] = field(default_factory=dict)
    message_id: str = ""
    sequence_number: str = ""
    releases: list[_Release] = field(default_factory=list)
    flights: list[_Flight] = field(default_factory=list)

    def may_be_deleted(self, time: float) -> bool:
        """Return whether a delete that was not rejected was called before `time`."""
        return self.delete_called < time

    def is_certainly_stored(self) -> bool:
        """Return whether a send was acknowledged, or the message received."""
        return self.is_acknowledged or self.is_received


class _Group:
    """The messages of one message group, by position, without the deleted ones at its head."""

    def __init__(self) -> None:
        self._positions: list[int] = []
        self._records: dict[int, _Record] = {}

    def add(self, position: int, record: _Record) -> bool:
        """Insert a message; return False if another message has its position."""
        if position in self._records:
            return False
        insort(self._positions, position)
        self._records[position] = record
        return True

    def overtaken(
        self, record: _Record, time: float, same_receive: Collection[_Record]
    ) -> _Record | None:
        """Return a message that must have come before this one, which was received by `time`.

        Receives must be checked in the order in which they returned: this method removes messages
        that may be deleted from the head of the group.
        """
        while self._positions and self._records[self._positions[0]].may_be_deleted(time):
            del self._records[self._positions.pop(0)]
        assert record.position is not None
        for position in self._positions[: bisect_left(self._positions, record.position)]:
            other = self._records[position]
            if (
                other.is_certainly_stored()
                and not other.may_be_deleted(time)
                and other not in same_receive
            ):
                return other
        return None


class Checker:
    """Checks operations that are added when they return.

    Attributes:
        findings: the violations found so far; complete after `finish`.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._records: dict[bytes, _Record] = {}
        self._groups: dict[tuple[str, str], _Group] = defaultdict(_Group)
        self._sequence_numbers: dict[tuple[str, str], dict[int, _Range]] = defaultdict(dict)
        self._removals: dict[str, list[Removal]] = defaultdict(list)
        self._receives: list[tuple[float, int, Receive, Sequence[_Record]]] = []
        self._serials = count()
        self._deletions: deque[tuple[float, bytes]] = deque()
        self.findings: list[Finding] = []

    def add(self, operation: Operation) -> None:
        """Add an operation that has returned."""
        match operation:
            case Send():
                self._add_send(operation)
            case Receive():
                records = [self._record(message.body) for message in operation.messages]
                for record in records:
                    record.is_received = True
                entry = (operation.returned, next(self._serials), operation, records)
                heapq.heappush(self._receives, entry)
            case Delete():
                self._add_delete(operation)
            case VisibilityChange():
                if operation.outcome != "rejected":
                    release = _Release(None, operation.called, operation.returned)
                    self._record(operation.body).releases.append(release)
            case Removal():
                if operation.outcome != "rejected":
                    self._removals[operation.queue].append(operation)
        settled = operation.returned - self._setting.longest_call_seconds
        if settled > -inf:
            self._check_receives(settled)
            self._drop_deleted(settled - self._setting.longest_call_seconds)

    def finish(self, longest_answer_seconds: float = 0.0) -> list[Finding]:
        """Run the checks that need the whole history, and return all findings.

        Args:
            longest_answer_seconds: the longest time that a client waited for an answer, beyond the
                wait time of a receive.
        """
        self._check_receives(inf)
        for record in self._records.values():
            if self._is_lost(record):
                self._find(Rule.LOST, f"{record.queue}: {record.label}")
            if record.final_receives > 1:
                self._find(Rule.DUPLICATED, f"{record.final_receives} times {record.label}")
        for group, numbers in self._sequence_numbers.items():
            self._check_sequence_numbers(group, sorted(numbers))
        limit = self._setting.answer_limit_seconds
        if longest_answer_seconds > limit:
            detail = f"after {longest_answer_seconds:.2f} s; the limit is {limit:.2f} s"
            self._find(Rule.ANSWERED_LATE, detail)
        return self.findings

    def _find(self, rule: Rule, detail: str) -> None:
        self.findings.append(Finding(rule, detail))

    def _record(self, body: str) -> _Record:
        key = _key(body)
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = _Record(repr(body[:_LABEL_CHARACTERS]))
        return record

    # Operations that are added

    def _add_send(self, send: Send) -> None:
        record = self._record(send.body)
        if not record.sends:
            record.queue, record.group = send.queue, send.group
        record.sends += 1
        record.rejected_sends += send.outcome == "rejected"
        record.first_send_called = min(record.first_send_called, send.called)
        record.last_send_returned = max(record.last_send_returned, send.returned)
        if send.outcome == "done":
            record.is_acknowledged = True
            self._identify(record, send.message_id, send.sequence_number)
        if send.group is not None and send.outcome != "rejected":
            self._add_to_group(record, send, (send.queue, send.group))

    def _add_to_group(self, record: _Record, send: Send, group: tuple[str, str]) -> None:
        number = int(send.sequence_number) if send.sequence_number else None
        if send.order is not None and number is not None:
            lowest, highest = self._sequence_numbers[group].get(send.order, (number, number))
            both = _Range(min(lowest, number), max(highest, number))
            self._sequence_numbers[group][send.order] = both
        position = number if send.order is None else send.order
        if position is None or record.position is not None:
            return
        record.position = position
        is_ordered = send.queue in self._setting.ordered_queues
        if is_ordered and not self._groups[group].add(position, record):
            self._find(Rule.SEQUENCE_NUMBERS, f"group {group}: {position} is used twice")

    def _add_delete(self, delete: Delete) -> None:
        if delete.outcome == "rejected":
            return
        record = self._record(delete.body)
        record.delete_called = min(record.delete_called, delete.called)
        record.releases.append(_Release(delete.receipt_handle, delete.called, delete.returned))
        if delete.outcome == "done":
            identity = self._identity(delete.message_id)
            earliest = record.deleted.get(identity, inf)
            record.deleted[identity] = min(earliest, delete.returned)
            if self._setting.longest_call_seconds < inf:
                self._deletions.append((delete.returned, _key(delete.body)))

    def _identity(self, message_id: str) -> str:
        """Return the message ID if several messages may have this body, else an empty string."""
        return "" if self._setting.is_sent_once else message_id

    def _identify(self, record: _Record, message_id: str, sequence_number: str = "") -> None:
        """Compare the IDs of two answers about one message."""
        if not self._setting.is_sent_once:
            return
        record.message_id = record.message_id or message_id
        record.sequence_number = record.sequence_number or sequence_number
        is_other = message_id != record.message_id
        if sequence_number and sequence_number != record.sequence_number:
            is_other = True
        if is_other and not record.is_stored_twice:
            record.is_stored_twice = True
            self._find(Rule.STORED_TWICE, f"{record.label}: {record.message_id}, {message_id}")

    # Receives, in the order in which they returned

    def _check_receives(self, settled: float) -> None:
        """Check the receives that returned until `settled`.

        All operations that were called until then must have returned, and have been added.
        """
        while self._receives and self._receives[0][0] <= settled:
            _, _, receive, records = heapq.heappop(self._receives)
            purged = self._last_removal(receive)
            checked: list[_Record] = []
            for record, message in zip(records, receive.messages, strict=True):
                record.final_receives += receive.is_final
                self._check_origin(receive, record, message)
                self._check_deletion(receive, record, message, purged)
                self._check_order(receive, record, checked)
                self._check_flight(receive, record, message)
                checked.append(record)

    def _last_removal(self, receive: Receive) -> float:
        """Return when the last removal that returned before the receive's call was called."""
        calls = (
            removal.called
            for removal in self._removals.get(receive.queue, ())
            if removal.outcome == "done" and removal.returned < receive.called
        )
        return max(calls, default=-inf)

    def _check_origin(self, receive: Receive, record: _Record, message: Message) -> None:
        """Check that the message was sent with this body, to this queue or one that leads to it."""
        where = f"{record.label} in {receive.queue}"
        if not record.sends or message.md5 != _key(message.body).hex():
            if self._setting.longest_call_seconds < inf:
                where += f", or deleted over {self._setting.longest_call_seconds:.0f} s before"
            self._find(Rule.NEVER_SENT, where)
        elif receive.queue not in self._setting.routes[record.queue]:
            self._find(Rule.WRONG_QUEUE, where)
        elif record.rejected_sends == record.sends:
            self._find(Rule.REJECTED, where)
        elif receive.returned < record.first_send_called:
            self._find(Rule.NEVER_SENT, f"{where}, {receive.returned:.3f}")
        # A message move task assigns new message IDs, as in SQS.
        if self._setting.routes.get(receive.queue) == frozenset({receive.queue}):
            self._identify(record, message.message_id)

    def _check_deletion(
        self, receive: Receive, record: _Record, message: Message, purged: float
    ) -> None:
        """Check that no delete of the message, and no purge of its queue, returned earlier."""
        deleted = record.deleted.get(self._identity(message.message_id), inf)
        if receive.called > deleted:
            detail = f"{record.label}, {receive.called - deleted:.3f} s later"
            self._find(Rule.DELIVERED_AFTER_DELETE, detail)
        if record.sends and record.last_send_returned < purged:
            self._find(Rule.DELIVERED_AFTER_REMOVAL, record.label)

    def _check_order(
        self, receive: Receive, record: _Record, same_receive: Collection[_Record]
    ) -> None:
        """Check that no earlier message of the group still exists."""
        if record.position is None or record.group is None or record.queue != receive.queue:
            return
        if record.queue not in self._setting.ordered_queues:
            return
        group = self._groups[record.queue, record.group]
        overtaken = group.overtaken(record, receive.returned, same_receive)
        if overtaken is not None and not overtaken.is_overtaken:
            overtaken.is_overtaken = True
            self._find(Rule.OUT_OF_ORDER, f"{record.label} before {overtaken.label}")

    def _check_flight(self, receive: Receive, record: _Record, message: Message) -> None:
        """Check that the message was not in flight from an earlier receive.

        It is in flight from its receive's return until its visibility timeout ends. A receive that
        was called and returned within this time must not deliver it.
        """
        record.flights = [one for one in record.flights if one.until > receive.returned]
        for flight in record.flights:
            if (
                flight.message_id == message.message_id
                and flight.returned < receive.called
                and receive.returned < _end(flight, record.releases)
            ):
                detail = f"{record.label}, received at {flight.returned:.3f}"
                self._find(Rule.DELIVERED_IN_FLIGHT, f"{detail} and {receive.returned:.3f}")
                break
        if receive.visibility_seconds is not None:
            record.flights.append(
                _Flight(
                    message.message_id,
                    message.receipt_handle,
                    receive.called,
                    receive.returned,
                    receive.called + receive.visibility_seconds,
                )
            )

    # Deleted messages, and messages that remain at the end

    def _is_lost(self, record: _Record) -> bool:
        """Return whether an acknowledged message is missing that no client deleted or purged."""
        if not record.is_acknowledged or record.delete_called < inf or record.final_receives:
            return False
        return all(
            removal.returned < record.first_send_called
            for removal in self._removals.get(record.queue, ())
        )

    def _drop_deleted(self, time: float) -> None:
        """Drop the records of messages whose deletes returned before `time`.

        All receives that could correctly deliver them must have been checked.
        """
        while self._deletions and self._deletions[0][0] < time:
            record = self._records.pop(self._deletions.popleft()[1], None)
            if record is not None and record.group is not None and record.position is not None:
                self._drop_sequence_number((record.queue, record.group), record.position)

    def _drop_sequence_number(self, group: tuple[str, str], order: int) -> None:
        numbers = self._sequence_numbers[group]
        if order in numbers:
            before = max((other for other in numbers if other < order), default=order)
            after = min((other for other in numbers if other > order), default=order)
            self._check_sequence_numbers(group, sorted({before, order, after}))
            del numbers[order]

    def _check_sequence_numbers(self, group: tuple[str, str], orders: Sequence[int]) -> None:
        """Check that the sequence numbers of a group ascend in the order of sending."""
        numbers = self._sequence_numbers[group]
        for order, following in pairwise(orders):
            if numbers[order].highest >= numbers[following].lowest:
                self._find(Rule.SEQUENCE_NUMBERS, f"group {group}: {order} and {following}")
                return


def check(history: History, setting: Setting, longest_answer_seconds: float = 0.0) -> list[Finding]:
    """Return the violations in a history; see `Checker.finish` for the last argument."""
    checker = Checker(setting)
    for operation in sorted(history.operations(), key=lambda operation: operation.returned):
        checker.add(operation)
    return checker.finish(longest_answer_seconds)


def _key(body: str) -> bytes:
    return hashlib.md5(body.encode()).digest()


def _end(flight: _Flight, releases: Sequence[_Release]) -> float:
    """Return the time until which a message was certainly in flight."""
    ends = (
        release.called
        for release in releases
        if release.receipt_handle == flight.receipt_handle
        or (release.receipt_handle is None and release.returned >= flight.called)
    )
    return min([flight.until, *ends])
