"""The sources of the keyring: a file, the environment, or a command."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

from queueserver.encryption.key_command import MAXIMUM_BYTES, read_output
from queueserver.encryption.key_texts import parse_keys
from queueserver.start_errors import ConfigError
from queueserver.text_files import read_text
from storage.encryption.aead import EncryptionUnavailable
from storage.encryption.keyring import Keyring

KEY_VARIABLE = "QUEUESERVER_ENCRYPTION_KEY"

DESCRIPTION = (
    f"The keys themselves can be in the environment variable {KEY_VARIABLE}, as NAME:BASE64 with "
    "commas between them, instead of in a file."
)
"""The text about this variable in `--help`. It is no setting, and has no flag."""

SOURCES = f"--encryption-key-file, --encryption-key-command or {KEY_VARIABLE}"

_VARIABLES = {
    "QUEUESERVER_ENCRYPTION",
    KEY_VARIABLE,
    f"{KEY_VARIABLE}_FILE",
    f"{KEY_VARIABLE}_COMMAND",
}
_SIMILAR_VARIABLE = re.compile(r"QUEUESERVER_(ENCR|KEY|MASTER|KMS)\w*")


class KeySources:
    """The sources that are given, each with its name in errors; at most one may be.

    `needs_private_files` rejects a file that the group or others have access to.
    """

    def __init__(self, environment: Mapping[str, str], *, needs_private_files: bool) -> None:
        self._environment = environment
        self._needs_private_files = needs_private_files
        self._sources: dict[str, Callable[[], str]] = {}
        if KEY_VARIABLE in environment:
            self._sources[KEY_VARIABLE] = partial(_not_empty, environment[KEY_VARIABLE])

    def add_file(self, path: Path, origin: str) -> None:
        """Add a file of keys."""
        self._sources[origin] = partial(
            read_text, path, MAXIMUM_BYTES, is_private=self._needs_private_files
        )

    def add_command(self, command: str, origin: str) -> None:
        """Add a command that prints the keys."""
        self._sources[origin] = partial(read_output, command, self._environment)

    def keyring(self) -> Keyring | None:
        """Read the keys; return None if no source is given.

        Raises:
            ConfigError: there are several sources, or the source cannot be read or has no keys. The
                error contains nothing of what was read.
        """
        if len(self._sources) > 1:
            raise ConfigError(f"{' and '.join(self._sources)} are set, only one of them may be")
        for origin, read in self._sources.items():
            try:
                return Keyring(parse_keys(read()))
            except ValueError as error:
                raise ConfigError(f"{origin}: {error}") from None
            except EncryptionUnavailable:
                raise ConfigError(
                    f"{origin}: encryption needs the package cryptography: pip install cryptography"
                ) from None
        return None


def check_variables(environment: Mapping[str, str], known: Collection[str]) -> None:
    """Reject variables that look like those of encryption and that nothing reads.

    Such a variable is probably a typing error, and would leave messages unencrypted. `known` are
    the variables that were read for other purposes.

    Raises:
        ConfigError: there is such a variable.
    """
    for name in environment:
        if name not in _VARIABLES and name not in known and _SIMILAR_VARIABLE.fullmatch(name):
            raise ConfigError(
                f"{name} is not a variable of the server; those of encryption are "
                f"{', '.join(sorted(_VARIABLES))}"
            )


def _not_empty(text: str) -> str:
    # An empty variable is not taken for an unset one: it would turn encryption off.
    if not text:
        raise ValueError("it is empty: give it a value or remove it")
    return text
