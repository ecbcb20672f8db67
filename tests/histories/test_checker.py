"""The checker finds each violation in a history that has it, and nothing in correct histories."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from tests.histories.checker import Rule
from tests.histories.stories import FIFO, SETTING, Story

LIMITED = replace(SETTING, answer_limit_seconds=5.0)
REPEATED = replace(SETTING, is_sent_once=False)


def two_receives(
    first: tuple[float, float],
    second: tuple[float, float],
    deleted: tuple[float, float] | None = None,
) -> Story:
    """Receive one message twice with a visibility timeout of 10 s; delete it by the first."""
    story = Story().send_ordered(-1, "a", 0)
    for receipt, (at, until) in (("r", first), ("s", second)):
        story.receive(at, "a", queue=FIFO, until=until, receipt=receipt, visibility_seconds=10)
    if deleted is not None:
        return story.delete(deleted[0], "a", until=deleted[1], queue=FIFO, receipt="r")
    return story.delete(100, "a", queue=FIFO, receipt="s")


BROKEN = [
    pytest.param(Story().send(1, "a"), Rule.LOST, id="lost"),
    pytest.param(
        Story().send(1, "a").receive(3, "a"), Rule.LOST, id="lost after it was received once"
    ),
    pytest.param(
        Story().send(1, "a").delete(5, "a", "rejected"),
        Rule.LOST,
        id="lost although the delete was rejected",
    ),
    pytest.param(Story().remove(1).send(5, "a"), Rule.LOST, id="lost, sent after a purge"),
    pytest.param(
        Story().send(1, "a").receive(3, "a").delete(5, "a").receive(7, "a"),
        Rule.DELIVERED_AFTER_DELETE,
        id="delivered after its deletion",
    ),
    pytest.param(
        two_receives((0, 1), (20, 21), deleted=(2, 3)),
        Rule.DELIVERED_AFTER_DELETE,
        id="delivered again long after its deletion",
    ),
    pytest.param(Story().receive(1, "a"), Rule.NEVER_SENT, id="never sent"),
    pytest.param(
        Story().receive(1, "a", final=True).send(5, "a"),
        Rule.NEVER_SENT,
        id="received before it was sent",
    ),
    pytest.param(
        Story().send(1, "a").receive(3, "a", final=True, altered=True),
        Rule.NEVER_SENT,
        id="another digest",
    ),
    pytest.param(
        Story().send(1, "a").receive(3, "ax").delete(5, "a"), Rule.NEVER_SENT, id="another body"
    ),
    pytest.param(
        Story().send(1, "a", outcome="rejected").receive(3, "a"), Rule.REJECTED, id="rejected"
    ),
    pytest.param(
        Story().send(1, "a").receive(3, "a", final=True, queue="dead"),
        Rule.WRONG_QUEUE,
        id="wrong queue",
    ),
    pytest.param(
        Story().send(1, "a").receive(3, "a", queue=FIFO).delete(5, "a"),
        Rule.WRONG_QUEUE,
        id="a standard queue's message in a FIFO queue",
    ),
    pytest.param(
        Story()
        .send(1, "a", "source")
        .receive(3, "a", final=True, queue="dead")
        .receive(5, "a", final=True, queue="source"),
        Rule.DUPLICATED,
        id="two queues",
    ),
    pytest.param(
        Story().send(1, "a").remove(3).receive(5, "a", final=True),
        Rule.DELIVERED_AFTER_REMOVAL,
        id="purged",
    ),
    pytest.param(
        Story()
        .send_ordered(1, "a", 1)
        .send_ordered(3, "b", 2)
        .receive(5, "b", queue=FIFO, final=True)
        .receive(7, "a", queue=FIFO, final=True),
        Rule.OUT_OF_ORDER,
        id="order",
    ),
    pytest.param(
        Story()
        .send_ordered(1, "a", 1)
        .send_ordered(3, "b", 2)
        .receive(5, "b", "a", queue=FIFO, final=True),
        Rule.OUT_OF_ORDER,
        id="order in one receive",
    ),
    pytest.param(
        Story()
        .send_ordered(1, "a", 1)
        .send_ordered(3, "b", 2)
        .receive(5, "b", queue=FIFO, until=6)
        .receive(5.5, "a", queue=FIFO, until=8)
        .delete(9, "a", queue=FIFO)
        .delete(9, "b", queue=FIFO),
        Rule.OUT_OF_ORDER,
        id="order, the earlier message being received but not deleted",
    ),
    pytest.param(
        Story()
        .send_ordered(1, "a", 1)
        .send_ordered(3, "b", 2)
        .delete(4, "a", "rejected", FIFO)
        .receive(5, "b", queue=FIFO, final=True)
        .receive(7, "a", queue=FIFO, final=True),
        Rule.OUT_OF_ORDER,
        id="order, the earlier message's delete being rejected",
    ),
    pytest.param(
        Story()
        .send_ordered(1, "a", 1, outcome="unknown")
        .send_ordered(3, "b", 2)
        .receive(5, "b", queue=FIFO, final=True)
        .receive(7, "a", queue=FIFO, final=True),
        Rule.OUT_OF_ORDER,
        id="order, the earlier message's send not being acknowledged",
    ),
    pytest.param(
        Story()
        .send_numbered(1, "a", 7)
        .send_numbered(1, "b", 9)
        .receive(5, "b", queue=FIFO, final=True)
        .receive(7, "a", queue=FIFO, final=True),
        Rule.OUT_OF_ORDER,
        id="order by sequence numbers",
    ),
    pytest.param(
        Story()
        .send_numbered(1, "a", 7)
        .send_numbered(1, "b", 9)
        .receive(5, "b", "a", queue=FIFO, final=True),
        Rule.OUT_OF_ORDER,
        id="order by sequence numbers in one receive",
    ),
    pytest.param(
        Story()
        .send_ordered(1, "a", 1)
        .send_ordered(2, "a", 1, message_id="another")
        .receive(5, "a", queue=FIFO, final=True),
        Rule.STORED_TWICE,
        id="two acknowledged message IDs",
    ),
    pytest.param(
        Story()
        .send_ordered(1, "a", 1)
        .receive(3, "a", queue=FIFO)
        .receive(5, "a", queue=FIFO, message_id="another", final=True),
        Rule.STORED_TWICE,
        id="two received message IDs",
    ),
    pytest.param(
        Story()
        .send_numbered(1, "a", 1)
        .send_numbered(2, "a", 2)
        .receive(5, "a", queue=FIFO, final=True),
        Rule.STORED_TWICE,
        id="two sequence numbers",
    ),
    pytest.param(
        Story()
        .send_ordered(1, "a", 1, sequence_number="5")
        .send_ordered(3, "b", 2, sequence_number="4")
        .receive(5, "a", "b", queue=FIFO, final=True),
        Rule.SEQUENCE_NUMBERS,
        id="sequence numbers",
    ),
    pytest.param(
        Story()
        .send_numbered(1, "a", 5)
        .send_numbered(1, "b", 5)
        .receive(5, "a", "b", queue=FIFO, final=True),
        Rule.SEQUENCE_NUMBERS,
        id="one sequence number for two messages",
    ),
    pytest.param(
        two_receives((0, 1), (2, 3)), Rule.DELIVERED_IN_FLIGHT, id="received twice at once"
    ),
    pytest.param(
        Story()
        .send(-2, "a")
        .receive(0, "a", receipt="r", visibility_seconds=30)
        .change_visibility(2, "a", "rejected")
        .receive(4, "a", receipt="s", visibility_seconds=30)
        .delete(6, "a"),
        Rule.DELIVERED_IN_FLIGHT,
        id="received twice at once, the visibility change being rejected",
    ),
]


@pytest.mark.parametrize("longest_call_seconds", [inf, 60.0])
@pytest.mark.parametrize(("story", "rule"), BROKEN)
def test_checker_finds_violation_and_nothing_else(
    story: Story, rule: Rule, longest_call_seconds: float
) -> None:
    findings = story.findings(SETTING, longest_call_seconds)
    assert [finding.rule for finding in findings] == [rule]


CORRECT = [
    pytest.param(Story(), id="nothing happened"),
    pytest.param(Story().send(1, "a").receive(3, "a", final=True), id="received at the end"),
    pytest.param(Story().send(1, "a").receive(3, "a").delete(5, "a"), id="deleted"),
    pytest.param(Story().send(1, "a").delete(5, "a", "unknown"), id="perhaps deleted"),
    pytest.param(Story().send(1, "a", outcome="unknown"), id="perhaps sent, and never received"),
    pytest.param(
        Story().send(1, "a", outcome="unknown").receive(3, "a", final=True), id="perhaps sent"
    ),
    pytest.param(
        Story().receive(1, "a", until=3, final=True).send(2, "a", until=9),
        id="received before the send returned",
    ),
    pytest.param(Story().send(1, "a").remove(3), id="purged"),
    pytest.param(Story().send(1, "a").remove(1.5, "unknown"), id="perhaps purged"),
    pytest.param(
        Story().remove(1).send(1.5, "a").receive(3, "a", final=True), id="sent during a purge"
    ),
    pytest.param(
        Story().send(1, "a").receive(2.5, "a").delete(2, "a").receive(2.9, "a"),
        id="received while it was being deleted",
    ),
    pytest.param(
        Story().send(1, "a", "source").receive(3, "a", final=True, queue="dead"),
        id="moved to the dead-letter queue",
    ),
    pytest.param(
        Story()
        .send_ordered(1, "a", 1)
        .send_ordered(3, "b", 2)
        .receive(5, "a", "b", queue=FIFO)
        .delete(7, "a", queue=FIFO)
        .receive(9, "b", queue=FIFO, final=True),
        id="in order",
    ),
    pytest.param(
        Story()
        .send_ordered(1, "a", 1)
        .send_ordered(3, "b", 2)
        .delete(5, "a", "unknown", FIFO)
        .receive(7, "b", queue=FIFO, final=True),
        id="in order, if the first message is deleted",
    ),
    pytest.param(
        Story()
        .send_ordered(1, "a", 1)
        .send_ordered(3, "b", 2)
        .delete(5, "a", "unknown", FIFO)
        .receive(7, "a", queue=FIFO)
        .receive(9, "a", "b", queue=FIFO, final=True),
        id="in order, though the first message was not deleted after all",
    ),
    pytest.param(
        Story()
        .send_ordered(1, "a", 1, outcome="unknown")
        .send_ordered(3, "b", 2)
        .receive(5, "b", queue=FIFO, final=True),
        id="in order, if the first message was not sent",
    ),
    pytest.param(
        Story()
        .send_numbered(-9, "a", 1)
        .send_numbered(-9, "b", 2)
        .receive(0, "a", "b", queue=FIFO)
        .delete(2, "a", queue=FIFO)
        .receive(2.5, "a", "b", queue=FIFO)
        .delete(4, "b", queue=FIFO)
        .receive(4.5, "b", queue=FIFO),
        id="in order by sequence numbers",
    ),
    pytest.param(two_receives((0, 1), (0.5, 3)), id="perhaps received before the other"),
    pytest.param(two_receives((0, 1), (5, 11)), id="perhaps received after the timeout"),
    pytest.param(
        two_receives((0, 1), (2, 5), deleted=(4, 6)), id="perhaps received when just deleted"
    ),
    pytest.param(
        two_receives((0, 1), (2.5, 21), deleted=(2, 3)), id="perhaps received before deleted"
    ),
    pytest.param(
        Story()
        .send(-2, "a")
        .receive(0, "a", receipt="r", visibility_seconds=30)
        .change_visibility(2, "a", "unknown")
        .receive(4, "a", receipt="s", visibility_seconds=30)
        .delete(6, "a"),
        id="perhaps made visible",
    ),
    pytest.param(
        Story().send(1, "a").answer_after(90).receive(3, "a", final=True), id="late, without limit"
    ),
]


@pytest.mark.parametrize("longest_call_seconds", [inf, 60.0])
@pytest.mark.parametrize("story", CORRECT)
def test_checker_finds_nothing_in_correct_history(
    story: Story, longest_call_seconds: float
) -> None:
    assert story.findings(SETTING, longest_call_seconds) == []


def test_answer_later_than_limit_is_found() -> None:
    findings = Story().answer_after(6).findings(LIMITED)
    assert [finding.rule for finding in findings] == [Rule.ANSWERED_LATE]
    assert Story().answer_after(4).findings(LIMITED) == []


# Sends that clients repeat without a deduplication ID


def repeated() -> Story:
    """Store one body twice, under two message IDs; delete the first message."""
    story = Story().send(0, "a")
    return story.receive(2, "a", message_id="id of a").delete(4, "a")


def test_repeated_send_may_become_two_messages() -> None:
    story = repeated().receive(6, "a", message_id="another").delete(8, "a", message_id="another")
    assert story.findings(REPEATED) == []


def test_repeated_send_of_deleted_message_is_found_by_message_id() -> None:
    story = repeated().receive(6, "a", message_id="id of a")
    findings = story.findings(REPEATED)
    assert [finding.rule for finding in findings] == [Rule.DELIVERED_AFTER_DELETE]


def test_message_in_flight_is_found_by_message_id() -> None:
    story = Story().send(-2, "a").delete(9, "a")
    story.receive(0, "a", message_id="one", visibility_seconds=30)
    story.receive(2, "a", message_id="another", visibility_seconds=30)
    assert story.findings(REPEATED) == []
    story.receive(4, "a", message_id="one", visibility_seconds=30)
    findings = story.findings(REPEATED)
    assert [finding.rule for finding in findings] == [Rule.DELIVERED_IN_FLIGHT]
