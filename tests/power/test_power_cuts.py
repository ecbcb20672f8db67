"""The short setting: the power cut at a few moments, and what must be noticed of a disk."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tests.histories.checker import Rule
from tests.histories.history import History
from tests.power.cuts import cut, record
from tests.power.recorder import library
from tests.power.recording import Disk, Kind, Step

CUTS = 16
SECONDS = 1.0

Recorded = tuple[History, list[Step]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    try:
        library()
    except (AttributeError, OSError) as error:
        pytest.skip(f"POWER CUTS ARE NOT TESTED: this Python hides its SQLite ({error})")
    return record(tmp_path_factory.mktemp("power"), seed=1, seconds=SECONDS)


def test_what_was_acknowledged_is_there_whenever_the_power_is_cut(recorded: Recorded) -> None:
    report = cut(*recorded, CUTS, seed=1)
    assert report.findings == [], "\n".join(report.lines())
    assert report.acknowledgements > 50 * CUTS


def test_a_server_that_does_not_sync_before_it_answers_is_found_out(recorded: Recorded) -> None:
    history, done = recorded
    unsynced = [
        step for step in done if step.kind is not Kind.SYNCED or not step.path.endswith("-wal")
    ]
    report = cut(history, unsynced, 8, seed=1)
    assert Rule.LOST in {finding.rule for finding in report.findings}


# The disk


def step(kind: Kind, number: int = 0, content: bytes = b"", path: str = "a") -> Step:
    return Step(0, kind, path, number, content)


def write(offset: int, content: bytes) -> Step:
    return step(Kind.WRITE, offset, content)


SYNC = [step(Kind.SYNC, 1), step(Kind.SYNCED, 1)]
ABC = write(0, b"abc")

LEFT = [
    pytest.param([ABC], b"", b"abc", id="nothing is synced"),
    pytest.param([ABC, *SYNC], b"abc", b"abc", id="all is synced"),
    pytest.param([ABC, step(Kind.SYNC, 1)], b"", b"abc", id="a sync is not over"),
    pytest.param(
        [ABC, step(Kind.SYNC, 1), write(1, b"x"), step(Kind.SYNCED, 1)],
        b"abc",
        b"axc",
        id="what is written during a sync is not synced",
    ),
    pytest.param(
        [ABC, *SYNC, write(5, b"f")], b"abc", b"abc\0\0f", id="a hole is filled with noughts"
    ),
    pytest.param([ABC, *SYNC, step(Kind.TRUNCATE, 1)], b"abc", b"a", id="a truncation"),
    pytest.param([ABC, *SYNC, step(Kind.DELETE)], b"abc", None, id="a deletion"),
    pytest.param([ABC, *SYNC, step(Kind.DELETE, 1)], None, None, id="a deletion that is synced"),
    pytest.param(
        [
            *(ABC, *SYNC, step(Kind.DELETE)),
            step(Kind.OPEN, 1, path="log"),
            step(Kind.SYNC, 2, path="log"),
            step(Kind.SYNCED, 2, path="log"),
        ],
        None,
        None,
        id="a log's first sync is the directory's",
    ),
]


@pytest.mark.parametrize(("done", "least", "most"), LEFT)
def test_a_disk_has_what_was_synced_and_may_have_the_rest(
    done: Sequence[Step], least: bytes | None, most: bytes | None
) -> None:
    disk = Disk()
    for one in [step(Kind.OPEN), *done]:
        disk.take(one)
    assert disk.cut(random.Random(1), 0.0).get("a") == least
    assert disk.cut(random.Random(1), 1.0).get("a") == most


def test_what_was_not_synced_may_be_torn_and_out_of_order() -> None:
    disk = Disk()
    for one in (step(Kind.OPEN), write(0, b"a" * 1024), write(1024, b"b" * 1024)):
        disk.take(one)
    chances = random.Random(1)
    found = {disk.cut(chances, 0.5)["a"] for _ in range(200)}
    assert b"a" * 1024 in found
    assert bytes(1024) + b"b" * 1024 in found
    assert bytes(512) + b"a" * 512 in found
