"""The command: its flags, its help and its errors."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queueserver import cli
from queueserver.access import key_pair
from queueserver.cli import main, parse
from queueserver.config import Config, load
from queueserver.encryption.key_sources import KEY_VARIABLE
from queueserver.settings import SETTINGS, Setting
from queueserver.start_errors import ConfigError


def test_command_line_without_flags_has_no_settings() -> None:
    assert parse([]) == {}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_flag(setting: Setting) -> None:
    if setting.switch:
        assert parse([setting.flag]) == {setting.name: "true"}
        assert parse([setting.flag.replace("--", "--no-")]) == {setting.name: "false"}
    else:
        assert parse([setting.flag, "x"]) == {setting.name: "x"}
        assert parse([f"{setting.flag}="]) == {setting.name: ""}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_flag_that_is_repeated_adds_to_a_list_or_overrides(setting: Setting) -> None:
    if not setting.switch:
        given = "x,y" if setting.is_list else "y"
        assert parse([setting.flag, "x", setting.flag, "y"]) == {setting.name: given}


DEFAULTS_IN_WORDS = {
    "access": "on with users, else off",
    "encryption": "on with keys, else off",
}


def test_help_shows_every_flag_with_its_default_and_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(["--help"])
    assert stopped.value.code == 0
    # argparse wraps the help, also at the hyphens of a value.
    shown = "".join(capsys.readouterr().out.split())
    for setting in SETTINGS:
        default = DEFAULTS_IN_WORDS.get(setting.name, setting.default or "none")
        assert f"(default:{default};{setting.variable})".replace(" ", "") in shown
        assert setting.flag in shown
        assert setting.help.replace(" ", "") in shown
    for name in {*key_pair.VARIABLES, KEY_VARIABLE}:
        assert name in shown


def test_version_flag_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
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
def test_invalid_command_line_is_rejected_in_one_line(argv: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(argv)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "flag", ["--secret-access-key", "--access-key-id", "--secret", "--access-key"]
)
@pytest.mark.parametrize("separator", ["=", " "])
def test_key_pair_is_not_accepted_as_flags_nor_shown(flag: str, separator: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"--port 0 {flag}{separator}THE-SECRET".split())
    assert str(caught.value) == (
        f"{flag} is not a flag, because other users can see the flags of a process: set "
        "QUEUESERVER_ACCESS_KEY_ID and QUEUESERVER_SECRET_ACCESS_KEY"
    )


@pytest.mark.parametrize("flag", ["--encryption-key", "--encryption-keys", "--encryption-key-path"])
@pytest.mark.parametrize("separator", ["=", " "])
def test_encryption_key_is_not_accepted_as_a_flag_nor_shown(flag: str, separator: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"--port 0 {flag}{separator}main:THE-SECRET".split())
    assert str(caught.value) == (
        f"{flag} is not a flag, because other users can see the flags of a process: set "
        "--encryption-key-file, --encryption-key-command or QUEUESERVER_ENCRYPTION_KEY"
    )


def test_invalid_value_stops_the_start_with_one_line_and_status_2(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["--region", "a\nb"]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "queueserver: error: --region: 'a\\nb' is not lower-case letters, digits and hyphens, "
        "such as us-east-1\n"
    )


def test_variable_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUEUESERVER_PORT", "x")
    assert main([]) == 2
    assert "error: QUEUESERVER_PORT: 'x' is not" in capfd.readouterr().err


def test_serve_is_the_default_command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    served: list[Config] = []

    def run(config: Config, load_again: Callable[[], Config]) -> int:
        served.append(config)
        assert load_again() == config
        return 0

    monkeypatch.setattr(cli, "run", run)
    monkeypatch.setattr(cli, "start_logging", lambda *_: None)
    assert main(["serve", "--port", "0"]) == main(["--port", "0"]) == 0
    assert served == [load({"port": "0"}, {})] * 2
    assert main(["--port", "0", "serve"]) == 2
    assert capfd.readouterr().err == "queueserver: error: unrecognized arguments: serve\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for command in ("backup", "check", "keys", "rekey"):
        assert f"`queueserver {command} --help`" in shown


@pytest.mark.parametrize("command", ["backup", "check", "rekey", "serve"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert "--database" in capsys.readouterr().out


@pytest.fixture
def _process_restored() -> Iterator[None]:
    """Restore what a server changes in its process: logging and the handlers of signals."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    of_signals = {number: signal.getsignal(number) for number in numbers}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for number, handler in of_signals.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_process_restored")
def test_failed_start_prints_one_line_and_exits_with_status_2(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--port", "0", "--database", f"sqlite:///{tmp_path}/nowhere/q.db"]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("queueserver: error: ")
    assert captured.err.count("\n") == 1
    assert "nowhere" in captured.err
