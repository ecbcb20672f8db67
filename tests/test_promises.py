"""Each promise in docs/durability.md has tests, which are listed here by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

CRASHES = "crash/test_crashes.py::test_every_promise_is_kept_through_crashes"
POWER = "power/test_power_cuts.py::test_acknowledged_operations_survive_power_loss_at_any_moment"
KILLED = "api/test_process.py::test_acknowledged_messages_survive_kill_9"
STOPS = "api/test_shutdown.py::test_stop_under_load_answers_received_requests_and_loses_no_message"
FULL = "api/test_disk_failures.py::test_full_disk_rejects_sends_answers_reads_and_loses_no_message"
DELETES = "api/test_disk_failures.py::test_delete_on_full_disk_is_applied_or_rejected"
FAILING = "api/test_disk_failures.py::test_failing_writes_are_rejected_until_the_disk_recovers"
THROTTLED = (
    "api/test_connections.py::"
    "test_requests_over_the_pending_limit_are_throttled_and_no_message_is_lost"
)
EXCESS = "api/test_overload.py::test_excess_requests_are_throttled_while_accepted_requests_wait"
TOO_MANY = (
    "api/test_connections.py::test_connection_over_the_limit_is_answered_503_until_others_close"
)

STEPS = "rules/test_clock.py::test_time_never_goes_back_whatever_clocks_do"
BACK = "engine/test_clock_steps.py::test_visible_message_stays_visible_when_the_clock_is_set_back"
BEHIND = (
    "api/test_clock_set_back.py::test_server_started_with_an_older_clock_keeps_messages_visible"
)

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
