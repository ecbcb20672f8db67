"""Values of the configuration file, as text: what flags and variables are, too."""

from __future__ import annotations

from queueserver.start_errors import ConfigError


def text_of(value: object, where: str) -> str:
    """Return a TOML string, integer or boolean as text; `where` names it in the error.

    Raises:
        ConfigError: the value is of another type.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    raise ConfigError(f"{where} must be a string, an integer or a boolean")


def list_text_of(value: object, where: str) -> str:
    """Return an array of strings, integers or booleans, or one of them, as text with commas.

    Raises:
        ConfigError: the value is of another type.
    """
    if isinstance(value, list):
        return ",".join(text_of(each, f"{where}[{place}]") for place, each in enumerate(value))
    return text_of(value, where)


def table_of(value: object, where: str) -> dict[str, object]:
    """Return a TOML table; `where` names it in the error.

    Raises:
        ConfigError: the value is not a table.
    """
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be a table")
    return value
