"""The command: its flags, its help, its errors and its log lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from queueserver.cli import main, parse
from queueserver.config import SETTINGS, Setting
from queueserver.logs import JsonLines, TextLines
from queueserver.start_errors import ConfigError


def test_nothing_given_is_no_flags() -> None:
    assert parse([]) == {}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_flag(setting: Setting) -> None:
    if setting.switch:
        assert parse([setting.flag]) == {setting.name: "true"}
        assert parse([setting.flag.replace("--", "--no-")]) == {setting.name: "false"}
    else:
        assert parse([setting.flag, "x"]) == {setting.name: "x"}
        assert parse([f"{setting.flag}="]) == {setting.name: ""}


def test_the_help_shows_every_flag_with_its_default_and_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(["--help"])
    assert stopped.value.code == 0
    # The help is wrapped, also at the hyphens of a value.
    shown = "".join(capsys.readouterr().out.split())
    for setting in SETTINGS:
        default = setting.default or "none"
        assert f"(default:{default};{setting.variable})".replace(" ", "") in shown
        assert setting.flag in shown
        assert setting.help.replace(" ", "") in shown


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith("queueserver ")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        pytest.param(["--prot", "80"], "unrecognized arguments: --prot 80", id="unknown flag"),
        pytest.param(["--por", "80"], "unrecognized arguments: --por 80", id="abbreviation"),
        pytest.param(["--port"], "argument --port: expected one argument", id="no value"),
        pytest.param(["x"], "unrecognized arguments: x", id="argument"),
        pytest.param(
            ["--db", "postgresql://u:secret@h/n"],
            "unrecognized arguments: --db postgresql://u:***@h/n",
            id="password in an unknown flag",
        ),
    ],
)
def test_other_flags_are_refused_in_one_line(argv: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(argv)
    assert str(caught.value) == words


def test_a_bad_value_stops_the_start_with_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--host", "a\nb"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == ("queueserver: error: --host: 'a\\nb' is not a host name or an address\n")


def test_a_variable_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUEUESERVER_PORT", "x")
    assert main([]) == 2
    assert "error: QUEUESERVER_PORT: 'x' is not" in capsys.readouterr().err


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_logging_restored")
def test_a_start_that_fails_is_told_in_one_line_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--port", "0", "--database", f"sqlite:///{tmp_path}/nowhere/q.db"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("queueserver: error: ")
    assert told.err.count("\n") == 1
    assert "nowhere" in told.err


def record(message: str, *, failed: bool = False) -> logging.LogRecord:
    error = ValueError(message)
    exc_info = (ValueError, error, None) if failed else None
    made = logging.LogRecord("queueserver", logging.INFO, "", 0, "%s", (message,), exc_info)
    made.created = 1_700_000_000.5
    return made


FORGED = "q\n2023-11-14T22:13:20.500Z INFO queueserver: forged\r\x1b[2J\u2028é"


def test_a_text_line_cannot_be_forged() -> None:
    assert TextLines().format(record(FORGED)) == (
        "2023-11-14T22:13:20.500Z INFO queueserver: "
        "q\\n2023-11-14T22:13:20.500Z INFO queueserver: forged\\r\\x1b[2J\\u2028é"
    )


def test_a_traceback_is_indented_below_its_text_line() -> None:
    first, *rest = TextLines().format(record(FORGED, failed=True)).splitlines()
    assert first.startswith("2023-11-14T22:13:20.500Z INFO queueserver: q\\n")
    assert rest
    assert all(line.startswith("    ") for line in rest)


def test_a_json_line_is_one_object_on_one_line() -> None:
    line = JsonLines().format(record(FORGED))
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "info",
        "logger": "queueserver",
        "message": FORGED,
    }


def test_a_json_line_has_the_exception() -> None:
    line = JsonLines().format(record("broken", failed=True))
    assert len(line.splitlines()) == 1
    assert json.loads(line)["exception"].endswith("ValueError: broken")
