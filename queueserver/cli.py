"""The command `queueserver`: argv and environment to a Config, and the logs to stderr.

The only module that looks at argv, the environment and the exit status. What keeps the server from
starting is one line on stderr, and status 2. Refused here: knowing any setting by its name.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from queueserver.app import run
from queueserver.config import (
    SETTINGS,
    Config,
    ConfigError,
    Setting,
    StartError,
    load,
)
from queueserver.rules.envelope import Envelope
from storage.errors import DatabaseUnusable, mask_password
from storage.sqlite.backup import back_up
from storage.sqlite.integrity import check


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server until it is told to stop, or do what else is asked; return the status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["backup"]:
            return _back_up(arguments[1:])
        if arguments[:1] == ["check"]:
            return _check(arguments[1:])
        config = load(parse(arguments), os.environ)
        start_logging(config)
        return run(config)
    except (ConfigError, StartError, DatabaseUnusable) as error:
        sys.stderr.write(f"queueserver: error: {_one_line(str(error))}\n")
        return 2


def parse(argv: Sequence[str]) -> dict[str, str]:
    """Return the flags that were given, by their settings' names; values are checked later."""
    parser = _Parser(
        prog="queueserver",
        description="Self-hosted, durable queue server for Amazon SQS's clients.",
        epilog="`queueserver backup --help` tells how to copy a SQLite database while it serves, "
        "`queueserver check --help` how to look for damage in it.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"queueserver {_version()}")
    for setting in SETTINGS:
        _add(parser, setting)
    return {name: text for name, text in vars(parser.parse_args(argv)).items() if text is not None}


def _back_up(argv: Sequence[str]) -> int:
    """Copy the database into a file, while a server serves or not; say so in one line."""
    parser = _parser_of_database(
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
    """Look for damage in the database, while a server serves or not; say what there is."""
    parser = _parser_of_database(
        "check", "Read all of a SQLite database and say what is damaged, while a server serves."
    )
    database = _database(vars(parser.parse_args(argv)))
    findings = check(database, Envelope.can_decode)
    for finding in findings:
        sys.stdout.write(f"{_one_line(finding)}\n")
    verdict = "damaged: put a backup in its place" if findings else "no damage found"
    sys.stdout.write(f"checked {mask_password(database)}: {verdict}\n")
    return 1 if findings else 0


def _parser_of_database(command: str, description: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"queueserver {command}", description=description, allow_abbrev=False)
    for setting in SETTINGS:
        if setting.name in {"database", "config"}:
            _add(parser, setting)
    return parser


def _database(given: Mapping[str, str | None]) -> str:
    flags = {name: text for name, text in given.items() if text is not None}
    return load(flags, os.environ).database


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Leave the usage to `--help`: a start that fails says why in one line."""
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


# Logs


def start_logging(config: Config) -> None:
    """Send log lines of the configured level and format to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if config.log_format == "json" else TextLines())
    logging.basicConfig(level=config.log_level.upper(), handlers=[handler], force=True)


class TextLines(logging.Formatter):
    """One line for each record: moment (UTC), level, logger, message.

    What a client sent cannot pass for a record of its own: control characters are escaped, and the
    lines of a traceback are indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        message = _one_line(record.getMessage())
        line = f"{_moment(record)} {record.levelname} {record.name}: {message}"
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            line = "\n".join((line, *(f"    {_one_line(row)}" for row in trace)))
        return line


class JsonLines(logging.Formatter):
    """One JSON object for each record: time, level, logger, message, and exception if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        members = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return json.dumps(members)


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _one_line(text: str) -> str:
    """Escape what a terminal or a reader of lines would obey instead of show."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
