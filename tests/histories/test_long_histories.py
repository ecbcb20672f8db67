"""Long histories: the checker is fast, needs bounded memory, and finds one violation in many."""

from __future__ import annotations

import hashlib
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf

import pytest

from tests.histories.checker import Checker, Rule
from tests.histories.history import Delete, Message, Operation, Receive, Send
from tests.histories.stories import FIFO, SETTING

CALL_SECONDS = 60.0
MESSAGES = 50_000
GROUPS = 500
BROKEN = 1_000
"""Number of the message that is mutated; enough follow for the checker to drop its record."""

Mutation = Callable[[int, Operation], Iterator[Operation]]


def correct(messages: int, queue: str) -> Iterator[tuple[int, Operation]]:
    """Yield each operation with its message's number, as they return: ten messages a second."""
    for number in range(messages):
        at = number / 10
        body, message_id = f"message {number}", f"id of {number}"
        group = f"g{number % GROUPS}" if queue == FIFO else None
        order = number // GROUPS if queue == FIFO else None
        sequence_number = str(number) if queue == FIFO else ""
        digest = hashlib.md5(body.encode()).hexdigest()
        received = [Message(body, message_id, digest, f"receipt {number}")]
        yield (
            number,
            Send(queue, body, at, at + 0.01, "done", message_id, group, order, sequence_number),
        )
        yield number, Receive(queue, at + 0.02, at + 0.03, received, 30.0)
        yield (
            number,
            Delete(queue, body, at + 0.04, at + 0.05, "done", message_id, f"receipt {number}"),
        )


def later(operation: Operation, seconds: float) -> Operation:
    return operation._replace(
        called=operation.called + seconds, returned=operation.returned + seconds
    )


def lost(number: int, operation: Operation) -> Iterator[Operation]:
    """Drop all operations of the message except its send."""
    if number != BROKEN or isinstance(operation, Send):
        yield operation


def ghost(number: int, operation: Operation) -> Iterator[Operation]:
    """Drop the send of the message."""
    if number != BROKEN or not isinstance(operation, Send):
        yield operation


def again_after_delete(number: int, operation: Operation) -> Iterator[Operation]:
    yield operation
    if number == BROKEN and isinstance(operation, Receive):
        yield later(operation, 1)


def again_long_after_delete(number: int, operation: Operation) -> Iterator[Operation]:
    yield operation
    if number == BROKEN and isinstance(operation, Receive):
        yield later(operation, 1_000)


def again_in_flight(number: int, operation: Operation) -> Iterator[Operation]:
    if number == BROKEN and isinstance(operation, Receive):
        yield operation
        yield later(operation, 1)
    elif number == BROKEN and isinstance(operation, Delete):
        yield later(operation, 2)
    else:
        yield operation


def overtaken(number: int, operation: Operation) -> Iterator[Operation]:
    """Delay the receive until after that of the successor, which is sent 50 s later."""
    is_send = isinstance(operation, Send)
    yield operation if number != BROKEN or is_send else later(operation, GROUPS / 10 + 1)


def misnumbered(number: int, operation: Operation) -> Iterator[Operation]:
    """Replace the sequence number by that of a later message of the group."""
    if number == BROKEN and isinstance(operation, Send):
        operation = operation._replace(sequence_number=str(number + GROUPS + 1))
    yield operation


def stored_twice(number: int, operation: Operation) -> Iterator[Operation]:
    yield operation
    if number == BROKEN and isinstance(operation, Send):
        yield later(operation._replace(message_id="another"), 0.005)


MUTATIONS = [
    (lost, "q", {Rule.LOST}),
    # Its successors are received although it was never deleted.
    (lost, FIFO, {Rule.LOST, Rule.OUT_OF_ORDER}),
    (overtaken, FIFO, {Rule.OUT_OF_ORDER}),
    (misnumbered, FIFO, {Rule.SEQUENCE_NUMBERS}),
    *(
        (mutation, queue, {rule})
        for queue in ("q", FIFO)
        for mutation, rule in (
            (ghost, Rule.NEVER_SENT),
            (again_after_delete, Rule.DELIVERED_AFTER_DELETE),
            (again_in_flight, Rule.DELIVERED_IN_FLIGHT),
            (stored_twice, Rule.STORED_TWICE),
        )
    ),
]


def rules(messages: int, queue: str, mutation: Mutation, longest_call_seconds: float) -> list[str]:
    """Return the rules that a mutated history breaks, in alphabetical order."""
    operations = [
        one for number, operation in correct(messages, queue) for one in mutation(number, operation)
    ]
    checker = Checker(replace(SETTING, longest_call_seconds=longest_call_seconds))
    for operation in sorted(operations, key=lambda operation: operation.returned):
        checker.add(operation)
    return sorted(finding.rule for finding in checker.finish())


@pytest.mark.parametrize("longest_call_seconds", [inf, CALL_SECONDS])
@pytest.mark.parametrize(("mutation", "queue", "broken"), MUTATIONS)
def test_violation_of_one_message_among_many_is_found(
    mutation: Mutation, queue: str, broken: set[str], longest_call_seconds: float
) -> None:
    assert rules(5_000, queue, mutation, longest_call_seconds) == sorted(broken)


def test_message_delivered_long_after_delete_is_found_without_its_record() -> None:
    assert rules(15_000, "q", again_long_after_delete, CALL_SECONDS) == [Rule.NEVER_SENT]
    assert rules(15_000, "q", again_long_after_delete, inf) == [Rule.DELIVERED_AFTER_DELETE]


def memory_bytes(messages: int, queue: str) -> int:
    """Return the memory, in bytes, that a checker uses after a correct history."""
    checker = Checker(replace(SETTING, longest_call_seconds=CALL_SECONDS))
    tracemalloc.start()
    for _, operation in correct(messages, queue):
        checker.add(operation)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert checker.finish() == []
    return size


@pytest.mark.parametrize("queue", ["q", FIFO])
def test_memory_does_not_grow_with_the_history(queue: str) -> None:
    assert memory_bytes(9_000, queue) < 1.2 * memory_bytes(3_000, queue)


@pytest.mark.parametrize("queue", ["q", FIFO])
def test_50_000_messages_are_checked_in_seconds(queue: str) -> None:
    checker = Checker(SETTING)
    began = time.perf_counter()
    for _, operation in correct(MESSAGES, queue):
        checker.add(operation)
    assert checker.finish() == []
    # About 2 s; a checker that compares all messages with each other takes hours.
    assert time.perf_counter() - began < 60
