"""The sources of secrets: environment variables and files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from queueserver.access.secrets import Secret, parse_secret, read_line
from queueserver.start_errors import ConfigError


class SecretSources:
    """Reads secrets. In errors, `where` stands for the text that names the file or the variable.

    `needs_private_files` rejects files of secrets that the group or others have access to.
    """

    def __init__(self, environment: Mapping[str, str], *, needs_private_files: bool) -> None:
        self._environment = environment
        self._needs_private_files = needs_private_files
        self.variables: set[str] = set()
        """The names of the variables that were read."""

    def from_variable(self, name: str, where: str) -> Secret:
        """Return the secret in an environment variable.

        Raises:
            ConfigError: the variable is not set, or is not a secret.
        """
        self.variables.add(name)
        text = self._environment.get(name)
        if text is None:
            raise ConfigError(f"{where}: the environment has no variable with this name")
        return _parsed(text, where)

    def from_file(self, path: Path, where: str) -> Secret:
        """Return the secret in a file.

        Raises:
            ConfigError: the file cannot be read, is not private, or is not a secret.
        """
        try:
            text = read_line(path, is_private=self._needs_private_files)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from None
        return _parsed(text, where)


def _parsed(text: str, where: str) -> Secret:
    try:
        return parse_secret(text)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
