"""What the README says must be true: its settings, its commands, its example."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.actions import ACTIONS
from queueserver.config import SETTINGS, Setting, load
from tests.api.live_server import LiveServer, config
from tests.clock import ManualClock

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ROWS = {row.split("`")[1]: row for row in README.splitlines() if row.startswith("| `--")}


def code(language: str) -> list[str]:
    """Give the README's examples in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_row_with_its_variable_and_default(setting: Setting) -> None:
    _, _, variable, default, _, _ = ROWS[setting.flag].split("|")
    assert variable.strip() == f"`{setting.variable}`"
    shown = re.match(r"`([^`]*)`|none", default.strip())
    assert shown is not None
    assert shown[1] == setting.default


def test_there_is_no_row_for_a_setting_that_is_not_there() -> None:
    assert set(ROWS) == {setting.flag for setting in SETTINGS}


def test_the_set_up_is_two_commands_of_one_line_each() -> None:
    run, test, *_ = code("sh")
    assert run.count("\n") == test.count("\n") == 1
    assert run.endswith(".venv/bin/queueserver\n")
    assert test.endswith(".venv/bin/python -m pytest\n")


def test_ci_runs_the_test_command_as_it_stands() -> None:
    pattern = re.search(r"grep -m 1 '(.+)' README.md", (ROOT / ".ci" / "run").read_text())
    assert pattern is not None
    found = [line for line in README.splitlines() if re.search(pattern[1], line)]
    assert found == [code("sh")[1].strip()]


def test_the_example_works_when_it_is_pasted(tmp_path: Path) -> None:
    (example,) = code("python")
    server = LiveServer(config(f"sqlite:///{tmp_path}/queueserver.db"), ManualClock())
    try:
        assert "http://127.0.0.1:9324" in example
        pasted = example.replace("http://127.0.0.1:9324", server.url)
        ran = subprocess.run(
            [sys.executable, "-c", pasted], capture_output=True, text=True, check=False, timeout=60
        )
        assert (ran.stdout, ran.returncode) == ("hello\n", 0), ran.stderr
    finally:
        server.close()


def test_the_file_of_settings_is_one(tmp_path: Path) -> None:
    (document,) = code("toml")
    path = tmp_path / "queueserver.toml"
    path.write_text(document)
    settings = load({"config": str(path)}, {})
    assert settings.queues["orders"].attributes["VisibilityTimeout"] == "60"
    assert settings.queues["orders"].tags == {"team": "checkout"}


def test_all_actions_are_claimed_and_there_are_as_many() -> None:
    assert f"all {len(ACTIONS)} of its actions" in README
