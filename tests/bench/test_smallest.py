"""The benchmark runs, in its smallest size; its figures are not checked."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.bench import added_costs, counts, profile, ratios
from tests.bench.__main__ import Report, as_json, lines, measure, table
from tests.bench.processes import ROOT
from tests.bench.profile import OTHER, layer_of, shares
from tests.bench.scenarios import SCENARIOS, Result

FACTS = 12


def run(**arguments: Any) -> Report:  # noqa: ANN401 (whatever the command line may say)
    none: dict[str, Any] = {"only": None, "database": None, "endpoint": None, "beside": []}
    given = argparse.Namespace(size="smallest", **{**none, **arguments})
    return uvloop.run(measure(given))


def test_every_scenario_runs_and_is_in_the_table() -> None:
    report = run(only=[*SCENARIOS, "facts"])
    are_in_the_table(report.results)
    assert len({fact.name for fact in report.facts}) == len(report.facts) == FACTS


def test_postgresql_is_measured_with_its_own_ceilings(postgresql: str) -> None:
    are_in_the_table(run(only=["cycles"], database=postgresql).results)


def test_postgresql_is_compared_with_the_floor(postgresql: str) -> None:
    found = run(only=["ratios"], database=postgresql).ratios
    assert found is not None
    assert len(found.comparisons) == len(ratios.COMPARISONS)


def test_each_checkout_is_compared_with_the_reference_of_each_workload() -> None:
    found = run(only=["ratios"], beside=[ROOT]).ratios
    assert found is not None
    for checkout in (ratios.THIS, str(ROOT)):
        rows = [row for row in found.comparisons if row.checkout == checkout]
        assert [row.name for row in rows] == [each.workload.name for each in ratios.COMPARISONS]
        assert all(row.cpu > 0 and row.rate > 0 for row in rows)
    assert [woken.checkout for woken in found.wake_ups] == [ratios.THIS, str(ROOT)]
    assert all(row.cpu_us > 0 and row.plain_us > 0 for row in found.added_costs)
    assert len(found.added_costs) == 2 * len(added_costs.CASES)
    lines_of_tables = 1 + 2 * len(ratios.COMPARISONS) + 2, 2 + len(found.added_costs)
    assert len(list(ratios.table(found))) == sum(lines_of_tables)


def test_every_workload_is_counted_and_profiled() -> None:
    report = run(only=["counts", "profile"])
    (found,) = report.counts.values()
    assert [row.name for row in found] == [workload.name for workload in counts.COUNTED]
    for row in found:
        assert row.work.calls_per_message > 0
        assert row.work.messages_per_commit >= 1
        assert row.memory.peak_bytes > 0
    assert len(report.connections[ratios.THIS]) == 3
    (profiles,) = report.profiles.values()
    assert profiles is None or len(profiles) == len(profile.PROFILED)
    assert any("system calls of send" in line for line in lines(report))
    assert json.loads(json.dumps(as_json(report)))["counts"][ratios.THIS][0]["name"] == "send"


STRACE = """\
strace: Process 17112 attached
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.10    0.001000          10       100           write
  0.00    0.000000           0         7         3 futex
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           9       107         3 total
"""


def test_system_calls_are_read_from_the_summary_of_strace() -> None:
    assert counts.summary(STRACE) == {"write": 100, "futex": 7}


PACKAGES = "/usr/lib/python3.13/site-packages"
PATHS = [
    (f"{ROOT}/queueserver/http/routes.py", "HTTP"),
    (f"{ROOT}/queueserver/http/new_room/new_module.py", "HTTP"),
    (f"{ROOT}/queueserver/dispatch.py", "actions and rules"),
    (f"{ROOT}/queueserver/identity/users.py", "identity"),
    (f"{ROOT}/storage/messages/send.py", "storage: messages"),
    (f"{ROOT}/storage/new_module.py", "storage: commit"),
    (f"{ROOT}/storage/sqlite/engine.py", "SQLite"),
    (f"{ROOT}/protocol/codecs/aws_json.py", "codec"),
    (f"{PACKAGES}/aiohttp/web_protocol.py", "HTTP (aiohttp)"),
    (f"{PACKAGES}/sqlalchemy/engine/base.py", "SQLAlchemy"),
    ("/usr/lib/python3.13/asyncio/runners.py", "event loop"),
    ("/usr/lib/python3.13/uuid.py", None),
    ("<frozen runpy>", None),
]


@pytest.mark.parametrize(("path", "layer"), PATHS)
def test_layer_of_a_module_follows_from_its_path(path: str, layer: str | None) -> None:
    assert layer_of(path) == layer


def test_sample_belongs_to_the_innermost_layer_and_idle_threads_do_not_count() -> None:
    run_forever = "run (/usr/lib/python3.13/asyncio/runners.py:118)"
    worker = "_worker (/usr/lib/python3.13/concurrent/futures/thread.py:81)"
    send = f"send ({ROOT}/queueserver/actions/messages.py:9);uuid4 (/usr/lib/python3.13/uuid.py:7)"
    samples = [f"{run_forever} 1", f"{run_forever};{send} 2", f"{worker} 90", "<lambda> (?:1) 1"]
    assert shares(samples, Path(ROOT)) == {
        "actions and rules": 0.5,
        "event loop": 0.25,
        OTHER: 0.25,
    }


def are_in_the_table(results: Sequence[Result]) -> None:
    names = [result.name for result in results]
    assert len(set(names)) == len(names)
    assert all(result.per_second > 0 for result in results)
    printed = list(table(results))[1:]
    assert [line[:62].strip() for line in printed] == names
    assert {result.ceiling for result in results if result.ceiling} <= set(names)
