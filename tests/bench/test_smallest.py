"""The benchmark runs, in its smallest size; its figures are not checked."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from tests.bench.__main__ import measure, table
from tests.bench.scenarios import Result

FACTS = 14


def test_every_scenario_runs_and_is_in_the_table() -> None:
    arguments = argparse.Namespace(size="smallest", only=None, database=None, endpoint=None)
    results, facts = asyncio.run(measure(arguments))
    are_in_the_table(results)
    assert len({fact.name for fact in facts}) == len(facts) == FACTS


def test_postgresql_is_measured_with_its_own_ceilings(postgresql: str) -> None:
    arguments = argparse.Namespace(
        size="smallest", only=["cycles"], database=postgresql, endpoint=None
    )
    results, _ = asyncio.run(measure(arguments))
    are_in_the_table(results)


def are_in_the_table(results: Sequence[Result]) -> None:
    names = [result.name for result in results]
    assert len(set(names)) == len(names)
    assert all(result.per_second > 0 for result in results)
    lines = list(table(results))[1:]
    assert [line[:62].strip() for line in lines] == names
    assert {result.ceiling for result in results if result.ceiling} <= set(names)
