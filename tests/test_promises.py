"""Each promise in docs/durability.md has tests, which are listed here by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

CRASHES = "crash/test_crashes.py::test_every_promise_is_kept_through_crashes"
POWER = "power/test_power_cuts.py::test_acknowledged_operations_survive_power_loss_at_any_moment"
KILLED = "api/test_process.py::test_what_was_acknowledged_survives_kill_9"
STOPS = "api/test_stops.py::test_a_stop_under_load_answers_whom_it_heard_and_loses_nothing"
FULL = "api/test_bad_disks.py::test_a_full_disk_refuses_sends_answers_reads_and_loses_nothing"
DELETES = "api/test_bad_disks.py::test_deletes_need_room_too_and_are_done_or_refused"
FAILING = "api/test_bad_disks.py::test_writes_that_fail_are_refused_until_they_succeed"
THROTTLED = (
    "api/test_connections.py::"
    "test_what_cannot_wait_for_the_database_is_throttled_and_nothing_is_lost"
)
EXCESS = "api/test_overload.py::test_the_excess_is_answered_while_what_was_accepted_still_waits"
TOO_MANY = (
    "api/test_connections.py::test_who_is_one_connection_too_many_is_told_so_and_served_later"
)

STEPS = "rules/test_clock.py::test_time_never_goes_back_whatever_clocks_do"
BACK = "engine/test_clock_steps.py::test_what_was_visible_stays_so_when_the_clock_is_set_back"
BEHIND = "api/test_clock_behind.py::test_a_server_that_starts_beside_a_clock_that_is_behind_goes_on"

PROMISES = {
    "An acknowledged send is kept": [CRASHES, KILLED, POWER],
    "An acknowledged deletion is kept": [CRASHES, POWER],
    "A received message is exactly what was sent": [CRASHES],
    "A message is in one queue at every moment": [CRASHES],
    "Within a message group of a FIFO queue": [CRASHES],
    "A send that is repeated": [CRASHES],
    "A message whose receiver": [CRASHES],
    "A request that was answered with 4xx": [CRASHES, THROTTLED, FAILING],
    "After SIGTERM the server answers every request": [STOPS],
    "If the disk is full or fails": [FULL, FAILING, DELETES],
    "If clients ask for more than the server can do": [THROTTLED, EXCESS, TOO_MANY],
    "Time never goes back": [STEPS, BACK, BEHIND],
}


def promises() -> list[str]:
    page = (ROOT / "docs" / "durability.md").read_text()
    section = page.partition("## Promises\n")[2].partition("\n## ")[0]
    return re.findall(r"^- (.+)$", section, flags=re.MULTILINE)


def test_every_promise_of_the_page_has_tests() -> None:
    promised = promises()
    assert len(promised) == len(PROMISES)
    for promise, beginning in zip(promised, PROMISES, strict=True):
        assert promise.startswith(beginning)


@pytest.mark.parametrize("test", sorted({test for tests in PROMISES.values() for test in tests}))
def test_listed_test_of_a_promise_exists(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / "tests" / file).read_text()
