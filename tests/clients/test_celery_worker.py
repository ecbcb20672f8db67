"""Celery producers and workers with SQS as their broker."""

from __future__ import annotations

import pytest

from tests.clients.scenarios import Play

TASKS = 200


@pytest.mark.parametrize(
    ("release", "protocol", "kind", "pool"),
    [
        pytest.param("", "json", "endpoint", "prefork", id="own queue, processes"),
        pytest.param("", "json", "predefined", "threads", id="predefined queue, threads"),
        pytest.param("query_", "query", "endpoint", "threads", id="release of 2023, Query"),
    ],
)
def test_every_task_runs_exactly_once(
    play: Play, release: str, protocol: str, kind: str, pool: str
) -> None:
    facts = play("celery_worker", kind, pool, release=release)
    every = (f"{number} {0 if number % 4 else 2}" for number in range(TASKS))
    assert facts["protocol"] == protocol
    assert facts["sent"] == [str(TASKS), "0", "0"]
    assert facts["done"] == sorted(every), facts["log"]
    assert facts["left"] == ["0", "0", "0"], facts["log"]
    assert facts["status"] == 0, facts["log"]
