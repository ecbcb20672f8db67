"""The command `queueserver`: `serve` (the default), `backup` and `check`.

The only module that reads argv and the environment. An error prints one line to stderr and exits
with status 2.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from queueserver.app import run
from queueserver.config import SETTINGS, Setting, load
from queueserver.logs import one_line, start_logging
from queueserver.rules.envelope import Envelope
from queueserver.start_errors import ConfigError, StartError
from storage.errors import DatabaseUnusable, mask_password
from storage.sqlite.backup import back_up
from storage.sqlite.integrity import check


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status.

    Without the name of a command, the server is run. `argv` is the process's own if it is None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = _COMMANDS.get(arguments[0]) if arguments else None
    try:
        return command(arguments[1:]) if command else _serve(arguments)
    except (ConfigError, StartError, DatabaseUnusable) as error:
        sys.stderr.write(f"queueserver: error: {one_line(str(error))}\n")
        return 2


def _serve(argv: Sequence[str]) -> int:
    """Run the server until SIGTERM or SIGINT."""
    config = load(parse(argv), os.environ)
    start_logging(config.log_level, config.log_format)
    return run(config)


def _back_up(argv: Sequence[str]) -> int:
    """Copy a SQLite database into a new file; print one line."""
    parser = _database_parser(
        "backup", "Copy a SQLite database into a new file, while a server serves."
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the file to be made")
    given = vars(parser.parse_args(argv))
    file = given.pop("file")
    database = _database(given)
    size = back_up(database, file)
    sys.stdout.write(f"backed up {mask_password(database)} to {file} ({size} bytes)\n")
    return 0


def _check(argv: Sequence[str]) -> int:
    """Read a SQLite database and print what is damaged; return 1 if anything is."""
    parser = _database_parser(
        "check", "Read all of a SQLite database and say what is damaged, while a server serves."
    )
    database = _database(vars(parser.parse_args(argv)))
    findings = check(database, Envelope.can_decode)
    for finding in findings:
        sys.stdout.write(f"{one_line(finding)}\n")
    verdict = "damaged: put a backup in its place" if findings else "no damage found"
    sys.stdout.write(f"checked {mask_password(database)}: {verdict}\n")
    return 1 if findings else 0


_COMMANDS = {"serve": _serve, "backup": _back_up, "check": _check}


def parse(argv: Sequence[str]) -> dict[str, str]:
    """Parse the flags of `serve`; return those that were given, by the names of their settings.

    Their values are not checked.

    Raises:
        ConfigError: there is no such flag, or it lacks its value.
    """
    parser = _Parser(
        prog="queueserver",
        description="Self-hosted, durable queue server for Amazon SQS's clients.",
        epilog="`queueserver serve` is the same as `queueserver`. "
        "`queueserver backup --help` explains how to copy a SQLite database in use, "
        "`queueserver check --help` how to look for damage in it.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"queueserver {_version()}")
    for setting in SETTINGS:
        _add(parser, setting)
    return _given(vars(parser.parse_args(argv)))


def _database_parser(command: str, description: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"queueserver {command}", description=description, allow_abbrev=False)
    for setting in SETTINGS:
        if setting.name in {"database", "config"}:
            _add(parser, setting)
    return parser


def _database(flags: Mapping[str, str | None]) -> str:
    return load(_given(flags), os.environ).database


def _given(flags: Mapping[str, str | None]) -> dict[str, str]:
    return {name: text for name, text in flags.items() if text is not None}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise the error instead of printing the usage: `main` prints it in one line."""
        raise ConfigError(mask_password(message))


def _add(parser: argparse.ArgumentParser, setting: Setting) -> None:
    text = f"{setting.help} (default: {setting.default or 'none'}; {setting.variable})"
    text = text.replace("%", "%%")
    if setting.switch:
        name = setting.flag.removeprefix("--")
        parser.add_argument(
            f"--{name}", dest=setting.name, action="store_const", const="true", help=text
        )
        parser.add_argument(
            f"--no-{name}",
            dest=setting.name,
            action="store_const",
            const="false",
            help=f"the opposite of --{name}",
        )
    else:
        metavar = setting.name.rpartition("_")[2].upper()
        parser.add_argument(setting.flag, dest=setting.name, metavar=metavar, help=text)


def _version() -> str:
    try:
        return importlib.metadata.version("queueserver")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
