"""The README and the page of the settings are true: commands, example, settings, actions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.actions import ACTIONS
from queueserver.access import key_pair
from queueserver.config import load
from queueserver.encryption.key_sources import KEY_VARIABLE
from queueserver.settings import SETTINGS, Setting
from tests.api.live_server import LiveServer, config
from tests.clock import ManualClock
from tests.markdown import ROOT, code_blocks, text_of

README = text_of("README.md")
SETTINGS_PAGE = text_of("docs/settings.md")
ROWS = {row.split("`")[1]: row for row in SETTINGS_PAGE.splitlines() if row.startswith("| `--")}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_row_with_its_variable_and_default(setting: Setting) -> None:
    _, _, variable, default, _, _, _ = ROWS[setting.flag].split("|")
    assert variable.strip() == f"`{setting.variable}`"
    shown = re.match(r"`([^`]*)`|none|on with (?:users|keys), else off", default.strip())
    assert shown is not None
    assert (shown[1] or shown[0]) == setting.default_text


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_row_with_its_allowed_values_and_help(setting: Setting) -> None:
    _, _, _, _, allowed, meaning, _ = ROWS[setting.flag].replace("`", "").split("|")
    assert (allowed.strip(), meaning.strip()) == (setting.allowed, setting.help)


def test_no_row_is_for_an_unknown_setting() -> None:
    assert set(ROWS) == {setting.flag for setting in SETTINGS}


def test_page_lists_the_variables_that_are_no_settings() -> None:
    rows = re.findall(r"^\| `(QUEUESERVER_\w+)` \|", SETTINGS_PAGE, re.MULTILINE)
    assert set(rows) == {*key_pair.VARIABLES, KEY_VARIABLE}


def test_defaults_of_the_image_are_those_of_the_dockerfile() -> None:
    shown = {
        row.split("`")[3]: image[1]
        for row in ROWS.values()
        if (image := re.search(r"\(in the image `([^`]*)`\)", row))
    }
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert shown == dict(re.findall(r"(QUEUESERVER_\w+)=(\S+)", dockerfile))


def test_set_up_is_two_commands_of_one_line_each() -> None:
    commands = code_blocks(README, "sh")
    run, test = (command for command in commands if command.startswith("python3 -m venv"))
    assert run == commands[0]
    assert run.count("\n") == test.count("\n") == 1
    assert run.endswith(".venv/bin/queueserver\n")
    assert test.endswith(".venv/bin/python -m pytest\n")


def test_ci_runs_the_test_command_as_it_stands() -> None:
    pattern = re.search(r"grep -m 1 '(.+)' README.md", (ROOT / ".ci" / "run").read_text())
    assert pattern is not None
    found = [line for line in README.splitlines() if re.search(pattern[1], line)]
    (test,) = (block for block in code_blocks(README, "sh") if block.endswith("-m pytest\n"))
    assert found == [test.strip()]


def test_example_works_when_it_is_pasted(tmp_path: Path) -> None:
    (example,) = code_blocks(README, "python")
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


def test_example_of_the_settings_file_can_be_loaded(tmp_path: Path) -> None:
    (document,) = code_blocks(SETTINGS_PAGE, "toml")
    path = tmp_path / "queueserver.toml"
    path.write_text(document)
    settings = load({"config": str(path)}, {})
    assert settings.queues["orders"].attributes["VisibilityTimeout"] == "60"
    assert settings.queues["orders"].tags == {"team": "checkout"}


@pytest.mark.parametrize("page", ["README.md", "docs/compatibility.md"])
def test_all_actions_are_claimed_and_there_are_as_many(page: str) -> None:
    assert f"all {len(ACTIONS)} of its actions" in text_of(page)
