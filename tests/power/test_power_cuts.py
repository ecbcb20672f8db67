"""A few power cuts, and the rules of the simulated disk."""

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
        pytest.skip(f"POWER CUTS ARE NOT TESTED: Python's SQLite has no symbols ({error})")
    return record(tmp_path_factory.mktemp("power"), seed=1, seconds=SECONDS)


def test_acknowledged_operations_survive_power_loss(recorded: Recorded) -> None:
    report = cut(*recorded, CUTS, seed=1)
    assert report.findings == [], "\n".join(report.lines())
    assert report.acknowledgements > 50 * CUTS


def test_server_that_answers_before_its_sync_is_found(recorded: Recorded) -> None:
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
    pytest.param([ABC], b"", b"abc", id="no sync"),
    pytest.param([ABC, *SYNC], b"abc", b"abc", id="a sync"),
    pytest.param([ABC, step(Kind.SYNC, 1)], b"", b"abc", id="a sync that does not end"),
    pytest.param(
        [ABC, step(Kind.SYNC, 1), write(1, b"x"), step(Kind.SYNCED, 1)],
        b"abc",
        b"axc",
        id="a write during a sync",
    ),
    pytest.param([ABC, *SYNC, write(5, b"f")], b"abc", b"abc\0\0f", id="a hole reads as zeros"),
    pytest.param([ABC, *SYNC, step(Kind.TRUNCATE, 1)], b"abc", b"a", id="a truncation"),
    pytest.param([ABC, *SYNC, step(Kind.DELETE)], b"abc", None, id="a deletion"),
    pytest.param([ABC, *SYNC, step(Kind.DELETE, 1)], None, None, id="a synced deletion"),
    pytest.param(
        [
            *(ABC, *SYNC, step(Kind.DELETE)),
            step(Kind.OPEN, 1, path="log"),
            step(Kind.SYNC, 2, path="log"),
            step(Kind.SYNCED, 2, path="log"),
        ],
        None,
        None,
        id="the first sync of a log syncs the directory",
    ),
]


@pytest.mark.parametrize(("done", "least", "most"), LEFT)
def test_disk_has_synced_steps_and_may_have_the_others(
    done: Sequence[Step], least: bytes | None, most: bytes | None
) -> None:
    disk = Disk()
    for one in [step(Kind.OPEN), *done]:
        disk.take(one)
    assert disk.cut(random.Random(1), 0.0).get("a") == least
    assert disk.cut(random.Random(1), 1.0).get("a") == most


def test_unsynced_writes_may_be_torn_and_out_of_order() -> None:
    disk = Disk()
    for one in (step(Kind.OPEN), write(0, b"a" * 1024), write(1024, b"b" * 1024)):
        disk.take(one)
    rng = random.Random(1)
    found = {disk.cut(rng, 0.5)["a"] for _ in range(200)}
    assert b"a" * 1024 in found
    assert bytes(1024) + b"b" * 1024 in found
    assert bytes(512) + b"a" * 512 in found
