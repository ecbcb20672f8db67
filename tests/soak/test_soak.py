"""A few seconds of the soak, and the rules on usage that must not grow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.histories.history import Message
from tests.soak.backlog import Backlog, Entry
from tests.soak.resources import MIB, Sample, growth
from tests.soak.run import Soak

SECONDS = 3


def test_every_message_is_accounted_for_and_no_connection_stays_open(
    database_url: str, tmp_path: Path
) -> None:
    lines: list[str] = []
    soak = Soak(database_url, tmp_path, SECONDS, 200, 1, lines.append)
    asyncio.run(soak.run())
    assert soak.findings == [], "\n".join(lines)
    assert soak.samples[-1].requests > SECONDS * 50


# Memory, descriptors and files


def hour(change: Callable[[int, Sample], Sample] = lambda _, sample: sample) -> Sequence[Sample]:
    """Return the samples of an hour; `change` changes that of each minute."""
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
        hour(lambda m, s: s._replace(connections=m, surplus_connections=m % 7)),
        id="connections come and go",
    ),
    pytest.param(
        hour(lambda m, s: s._replace(database_bytes=min(m, 20) * 2 * MIB)), id="a file that settles"
    ),
]

GROWING = [
    pytest.param(
        hour(lambda m, s: s._replace(resident_bytes=80 * MIB + m * MIB // 8)), "memory", id="memory"
    ),
    pytest.param(
        hour(lambda m, s: s._replace(surplus_connections=m // 12)), "descriptors", id="connections"
    ),
    pytest.param(
        hour(lambda m, s: s._replace(other_descriptors=25 + m // 30)),
        "descriptors",
        id="descriptors",
    ),
    pytest.param(
        hour(lambda m, s: s._replace(database_bytes=(30 + m) * MIB)), "the database", id="database"
    ),
    pytest.param(
        hour(lambda m, s: s._replace(log_bytes=(60 + 5 * (m == 30)) * MIB)), "the log", id="log"
    ),
]


@pytest.mark.parametrize("samples", STEADY)
def test_steady_use_is_not_found(samples: Sequence[Sample]) -> None:
    assert list(growth(samples)) == []


@pytest.mark.parametrize(("samples", "what"), GROWING)
def test_growing_use_is_found(samples: Sequence[Sample], what: str) -> None:
    (finding,) = growth(samples)
    assert finding.startswith(what)


def test_memory_may_grow_while_caches_fill() -> None:
    samples = hour(lambda m, s: s._replace(seconds=m / 20, resident_bytes=m * MIB))
    assert list(growth(samples)) == []


# The backlog


def received(*entries: Entry) -> list[Message]:
    return [Message(entry.body, "id", "digest", "handle") for entry in entries]


def test_backlog_counts_messages_that_are_sent_and_not_deleted() -> None:
    backlog = Backlog()
    first, second, other = backlog.add("q", 10), backlog.add("q", 10), backlog.add("r", 1_000)
    assert (backlog.sent, backlog.deleted, backlog.count("q"), backlog.count()) == (3, 0, 2, 3)
    found = backlog.receive("q", received(first, second))
    assert [entry for entry, _ in found] == [first, second]
    backlog.delete(first)
    backlog.delete(first)
    assert (backlog.sent, backlog.deleted, backlog.count("q"), backlog.count()) == (3, 1, 1, 2)
    assert backlog.received == {"q": 2}
    assert len(other.body) == 1_000


def test_backlog_skips_received_messages_that_are_deleted_or_unknown() -> None:
    backlog = Backlog()
    deleted, kept = backlog.add("q", 10), backlog.add("q", 10)
    backlog.delete(deleted)
    messages = [*received(deleted, kept), Message("never sent", "id", "digest")]
    assert [entry for entry, _ in backlog.receive("q", messages)] == [kept]
    assert kept.receives == 1
