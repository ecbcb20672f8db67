"""Celery: its producers and workers, with SQS as their broker."""

from __future__ import annotations

import pytest

from tests.clients.scenarios import Play

TASKS = 200


@pytest.mark.parametrize(
    ("era", "protocol", "kind", "pool"),
    [
        pytest.param("", "json", "endpoint", "prefork", id="it makes its queue; processes"),
        pytest.param("", "json", "predefined", "threads", id="its queue is predefined; threads"),
        pytest.param("query_", "query", "endpoint", "threads", id="that of 2023; Query"),
    ],
)
def test_every_task_runs_exactly_once(
    play: Play, era: str, protocol: str, kind: str, pool: str
) -> None:
    saw = play("celery_worker", kind, pool, era=era)
    every = (f"{number} {0 if number % 4 else 2}" for number in range(TASKS))
    assert saw["protocol"] == protocol
    assert saw["sent"] == [str(TASKS), "0", "0"]
    assert saw["done"] == sorted(every), saw["log"]
    assert saw["left"] == ["0", "0", "0"], saw["log"]
    assert saw["status"] == 0, saw["log"]
