"""A few seconds of the soak, and what its judges find in runs that are wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.soak.ledger import Entry, Ledger
from tests.soak.run import Soak
from tests.soak.watch import MIB, Sample, growth

SECONDS = 3
HOMES = {"q": frozenset({"q", "dead"}), "o.fifo": frozenset({"o.fifo"})}


def test_all_that_is_sent_is_accounted_for_and_nothing_stays_open(
    database_url: str, tmp_path: Path
) -> None:
    lines: list[str] = []
    soak = Soak(database_url, tmp_path, SECONDS, 200, 1, lines.append)
    asyncio.run(soak.run())
    assert soak.findings == [], "\n".join(lines)
    assert soak.samples[-1].requests > SECONDS * 50


# What memory, descriptors and files may do


def hour(change: Callable[[int, Sample], Sample] = lambda _, sample: sample) -> Sequence[Sample]:
    """Give the samples of an hour in which nothing changes but what is told."""
    steady = Sample(0, 80 * MIB, 30, 0, 25, 40 * MIB, 30 * MIB, 0, 700, 0)
    return [
        change(minute, steady._replace(seconds=minute * 60, requests=minute * 9_000))
        for minute in range(1, 61)
    ]


STEADY = [
    pytest.param(hour(), id="nothing"),
    pytest.param(
        hour(lambda m, s: s._replace(resident_bytes=(60 + min(m, 9)) * MIB)), id="a warm-up"
    ),
    pytest.param(
        hour(lambda m, s: s._replace(resident_bytes=(80 + 40 * (m == 30)) * MIB)), id="a burst"
    ),
    pytest.param(
        hour(lambda m, s: s._replace(connections=m, strays=m % 7)), id="connections come and go"
    ),
    pytest.param(
        hour(lambda m, s: s._replace(database_bytes=min(m, 20) * 2 * MIB)), id="a file that settles"
    ),
]

GROWING = [
    pytest.param(
        hour(lambda m, s: s._replace(resident_bytes=80 * MIB + m * MIB // 8)), "memory", id="memory"
    ),
    pytest.param(hour(lambda m, s: s._replace(strays=m // 12)), "descriptors", id="connections"),
    pytest.param(
        hour(lambda m, s: s._replace(others=25 + m // 30)), "descriptors", id="descriptors"
    ),
    pytest.param(
        hour(lambda m, s: s._replace(database_bytes=(30 + m) * MIB)), "the database", id="database"
    ),
    pytest.param(
        hour(lambda m, s: s._replace(log_bytes=(60 + 5 * (m == 30)) * MIB)), "the log", id="log"
    ),
]


@pytest.mark.parametrize("samples", STEADY)
def test_what_is_steady_is_not_found_growing(samples: Sequence[Sample]) -> None:
    assert list(growth(samples)) == []


@pytest.mark.parametrize(("samples", "what"), GROWING)
def test_what_grows_is_found(samples: Sequence[Sample], what: str) -> None:
    (finding,) = growth(samples)
    assert finding.startswith(what)


def test_memory_says_nothing_while_caches_fill() -> None:
    samples = hour(lambda m, s: s._replace(seconds=m / 20, resident_bytes=m * MIB))
    assert list(growth(samples)) == []


# What may be seen of messages


class Play:
    """A ledger, by a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ledger = Ledger(HOMES, lambda: self.now)

    def receive(self, *entries: Entry, queue: str = "q", altered: str = "") -> None:
        messages = [{"Body": one.body + altered, "ReceiptHandle": "handle"} for one in entries]
        self.ledger.receive(queue, self.now, messages)

    def end(self, entry: Entry) -> None:
        self.ledger.leave(entry)
        self.ledger.delete(entry)


def line(play: Play, *numbers: int) -> list[Entry]:
    entries = [play.ledger.add("o.fifo", 10, "g") for _ in numbers]
    for entry, number in zip(entries, numbers, strict=True):
        play.ledger.order(entry, number)
    return entries


def undead(play: Play) -> None:
    entry = play.ledger.add("q", 10)
    play.end(entry)
    play.now = 1.0
    play.receive(entry)


def undead_for_long(play: Play) -> None:
    entry, other = play.ledger.add("q", 10), play.ledger.add("q", 10)
    play.end(entry)
    play.now = 100.0
    play.end(other)
    play.receive(entry)


def altered(play: Play) -> None:
    play.receive(play.ledger.add("q", 10), altered="x")


def astray(play: Play) -> None:
    play.receive(play.ledger.add("q", 10), queue="o.fifo")


def overtaking(play: Play) -> None:
    play.receive(line(play, 1, 2)[1], queue="o.fifo")


def overtaking_in_one_receive(play: Play) -> None:
    first, second = line(play, 1, 2)
    play.receive(second, first, queue="o.fifo")


def taken_twice(play: Play) -> None:
    (entry,) = line(play, 1)
    play.ledger.order(entry, 2)


WRONG = [undead, undead_for_long, altered, astray, overtaking, overtaking_in_one_receive]


@pytest.mark.parametrize("wrong", [*WRONG, taken_twice])
def test_what_must_not_be_seen_is_found(wrong: Callable[[Play], None]) -> None:
    play = Play()
    wrong(play)
    assert len(play.ledger.findings) == 1


def test_what_may_be_seen_is_not_found() -> None:
    play = Play()
    first, second = line(play, 1, 2)
    play.receive(first, second, queue="o.fifo")
    play.end(first)
    play.receive(first, second, queue="o.fifo")
    play.ledger.leave(second)
    play.receive(second, queue="o.fifo")
    dead = play.ledger.add("q", 1_000)
    play.receive(dead, queue="dead")
    assert play.ledger.findings == []
    assert (play.ledger.sent, play.ledger.deleted, play.ledger.waiting("o.fifo")) == (3, 1, 1)
