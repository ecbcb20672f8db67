"""The command `queueserver`: `serve` (the default), `backup`, `check`, `keys` and `rekey`.

The only module that reads argv and the environment. An error prints one line to stderr and exits
with status 2, and so does a stdout that cannot be written. Only the server continues without.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from queueserver import process_memory, reload_signal, stop_signals
from queueserver.access import key_pair, new_keys
from queueserver.app import run
from queueserver.clock import SystemClock
from queueserver.config import Config, load, load_database, load_encryption
from queueserver.encryption import key_sources, new_key, reports
from queueserver.logs import one_line, start_logging
from queueserver.rules.envelope import Envelope
from queueserver.settings import SETTINGS, Setting
from queueserver.standard_streams import OutputError, print_error, print_output
from queueserver.start_errors import ConfigError, StartError
from storage.encryption.keyring import Keyring
from storage.encryption.rekey import rekey
from storage.errors import DatabaseUnusable, mask_password
from storage.maintenance import Maintenance, check
from storage.sqlite.backup import back_up


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status.

    Without the name of a command, the server is run. `argv` is the process's own if it is None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = _COMMANDS.get(arguments[0]) if arguments else None
    try:
        if command is None:
            return _serve(arguments)
        stop_signals.unblock()
        reload_signal.unblock()
        return command(arguments[1:])
    except (ConfigError, StartError, DatabaseUnusable, OutputError) as error:
        print_error(f"queueserver: error: {one_line(str(error))}")
        return 2
    except KeyboardInterrupt:
        return _INTERRUPTED


def _serve(argv: Sequence[str]) -> int:
    """Run the server until SIGTERM or SIGINT."""
    is_named = argv[:1] == ["serve"]
    program = "queueserver serve" if is_named else "queueserver"
    with stop_signals.exit_on_signal():
        flags = parse(argv[1:] if is_named else argv, program)
        config = _load(flags)
        start_logging(config.log_level, config.log_format)
        return run(config, partial(_load, flags))


def _load(flags: Mapping[str, str]) -> Config:
    """Load the configuration, at the start and at each reload."""
    config = load(flags, os.environ, SystemClock().now_ms() / 1_000)
    _protect(config.keyring)
    return config


def _protect(keyring: Keyring | None) -> None:
    if keyring is not None:
        process_memory.disable_core_dumps()


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
    line = f"backed up {mask_password(database)} to {file} ({size} bytes)"
    print_output(f"{one_line(line)}\n")
    return 0


def _check(argv: Sequence[str]) -> int:
    """Read a database and print what is damaged; return 1 if anything is, or a key is missing."""
    database, keyring = _database_and_keys(
        "check",
        "Read all of a SQLite database and say what is damaged, while a server serves. With the "
        "encryption keys, also decrypt all that is encrypted. For PostgreSQL, check only the keys.",
        argv,
    )
    report = check(database, Envelope.can_decode, keyring)
    verdict = reports.verdict(report, keyring)
    _print_lines(
        [*reports.check_lines(report, keyring), f"checked {mask_password(database)}: {verdict}"]
    )
    return 0 if reports.is_sound(report, keyring) else 1


def _rekey(argv: Sequence[str]) -> int:
    """Wrap the keys in a database by the configured keys; return 1 if some cannot be wrapped."""
    database, keyring = _database_and_keys(
        "rekey",
        "Wrap the data keys and the secret in a database with the first of the encryption keys, "
        "or with the one that a queue names, while servers serve. All servers need that key "
        "before. Then say which keys the database still needs. Messages are not encrypted again, "
        "because their data keys stay the same.",
        argv,
    )
    if keyring is None:
        raise ConfigError(f"there are no encryption keys: set {key_sources.SOURCES}")
    done, usage = rekey(Maintenance(database).transact, keyring)
    verdict = "done" if done.is_complete else "not complete"
    _print_lines(
        [
            *reports.rekey_lines(done, usage, keyring),
            f"rekeyed {mask_password(database)}: {verdict}",
        ]
    )
    return 0 if done.is_complete else 1


def _print_lines(lines: Sequence[str]) -> None:
    print_output("".join(f"{one_line(line)}\n" for line in lines))


def _keys(argv: Sequence[str]) -> int:
    """Print a new access key or encryption key; write it to a new file if the user names one."""
    parser = _Parser(
        prog="queueserver keys",
        description="Make an access key, or a key for the encryption of stored messages, from "
        "random bytes, and print the lines to paste. A running server does not know the key until "
        "it is configured.",
        allow_abbrev=False,
    )
    parser.add_argument("action", choices=["new"], metavar="new", help="make a key")
    parser.add_argument(
        "--user",
        metavar="NAME",
        help="the user of the TOML file; without it, the key is for the "
        "administrator that environment variables declare",
    )
    parser.add_argument(
        "--secret-file", metavar="PATH", type=Path, help="a new file for the secret, mode 0600"
    )
    parser.add_argument(
        "--encryption", action="store_true", help="make a key for the encryption, no access key"
    )
    parser.add_argument(
        "--name",
        help=f"the name of the key for the encryption (default: {new_key.DEFAULT_NAME})",
    )
    parser.add_argument(
        "--key-file", metavar="PATH", type=Path, help="a new file for this key, mode 0600"
    )
    given = parser.parse_args(argv)
    _check_kind(given)
    if given.encryption:
        print_output(new_key.make(given.name, given.key_file))
        return 0
    region = next(setting.default for setting in SETTINGS if setting.name == "region")
    print_output(new_keys.make(given.user, given.secret_file, region or ""))
    return 0


def _check_kind(given: argparse.Namespace) -> None:
    """Reject the flags that are for the other kind of keys."""
    kind, wrong = (
        ("an access key", {"--user": given.user, "--secret-file": given.secret_file})
        if given.encryption
        else ("a key of --encryption", {"--name": given.name, "--key-file": given.key_file})
    )
    for flag, value in wrong.items():
        if value is not None:
            raise ConfigError(f"{flag} is for {kind} only")


_COMMANDS = {"backup": _back_up, "check": _check, "keys": _keys, "rekey": _rekey}

_INTERRUPTED = 130
"""The exit status of a command that SIGINT has ended, as shells have it."""


def parse(argv: Sequence[str], program: str = "queueserver") -> dict[str, str]:
    """Parse the flags of `serve`; return those that were given, by the names of their settings.

    Their values are not checked. `program` is the command as the user typed it, for `--help`.

    Raises:
        ConfigError: there is no such flag, or it lacks its value.
    """
    parser = _Parser(
        prog=program,
        description="Self-hosted, durable queue server for Amazon SQS's clients.",
        epilog=f"{key_pair.DESCRIPTION} {key_sources.DESCRIPTION} "
        "`queueserver serve` is the same as `queueserver`. "
        "`queueserver backup --help` explains how to copy a SQLite database in use, "
        "`queueserver check --help` how to look for damage in it, "
        "`queueserver keys --help` how to make access keys and encryption keys, "
        "`queueserver rekey --help` how to replace an encryption key.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"queueserver {_version()}")
    for setting in SETTINGS:
        _add(parser, setting)
    _reject_secrets(argv)
    return _given(vars(parser.parse_args(argv)))


def _reject_secrets(argv: Sequence[str]) -> None:
    """Reject flags for a key pair or a key, whose value the error of argparse would show."""
    known = {setting.flag for setting in SETTINGS}
    for argument in argv:
        flag = argument.partition("=")[0]
        if flag.startswith(("--access-key", "--secret")):
            remedy = f"set {key_pair.ID_VARIABLE} and {key_pair.SECRET_VARIABLE}"
        elif flag.startswith("--encryption-key") and flag not in known:
            remedy = f"set {key_sources.SOURCES}"
        else:
            continue
        raise ConfigError(
            f"{flag} is not a flag, because other users can see the flags of a process: {remedy}"
        )


def _database_parser(command: str, description: str, *names: str) -> argparse.ArgumentParser:
    """Return a parser with flags for the database and for the settings with these names."""
    parser = _Parser(prog=f"queueserver {command}", description=description, allow_abbrev=False)
    for setting in SETTINGS:
        if setting.name in {"database", "config", *names}:
            _add(parser, setting)
    return parser


def _database(flags: Mapping[str, str | None]) -> str:
    return load_database(_given(flags), os.environ)


def _database_and_keys(
    command: str, description: str, argv: Sequence[str]
) -> tuple[str, Keyring | None]:
    """Parse the flags of a command that reads encryption keys; return the database and the keys."""
    parser = _database_parser(
        command,
        f"{description} {key_sources.DESCRIPTION}",
        "encryption_key_file",
        "encryption_key_command",
        "loose_secret_files",
    )
    _reject_secrets(argv)
    database, keyring = load_encryption(_given(vars(parser.parse_args(argv))), os.environ)
    _protect(keyring)
    return database, keyring


def _given(flags: Mapping[str, str | None]) -> dict[str, str]:
    return {name: text for name, text in flags.items() if text is not None}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise the error instead of printing the usage: `main` prints it in one line."""
        raise ConfigError(mask_password(message))

    def _print_message(self, message: str, file: object = None) -> None:
        """Print the help or the version; argparse itself ignores a stdout that fails."""
        print_output(message)


class _Append(argparse.Action):
    """Appends the value of a flag that is given once more, after a comma."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Store the value."""
        given = getattr(namespace, self.dest)
        setattr(namespace, self.dest, str(values) if given is None else f"{given},{values}")


def _add(parser: argparse.ArgumentParser, setting: Setting) -> None:
    text = f"{setting.help} (default: {setting.default_text}; {setting.variable})"
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
        action = _Append if setting.is_list else "store"
        parser.add_argument(
            setting.flag, dest=setting.name, metavar=metavar, help=text, action=action
        )


def _version() -> str:
    try:
        return importlib.metadata.version("queueserver")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
