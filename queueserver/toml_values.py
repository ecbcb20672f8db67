"""Values of the configuration file, as text: what flags and variables are, too."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

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


def header_of(table: str, name: str) -> str:
    """Return the header of a table in a table, such as `[users.shop]`."""
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
    return f"[{table}.{key}]"


def dotted_name_hint(table: str, name: str, key: str) -> str:
    """Return the end of an error about an unexpected table `key` in the table of `name`.

    TOML reads `[users.jane.doe]` as a table `doe` of the user `jane`.
    """
    return f"; a name with a dot needs quotes: {header_of(table, f'{name}.{key}')}"


def table_of(value: object, where: str) -> dict[str, object]:
    """Return a TOML table; `where` names it in the error.

    Raises:
        ConfigError: the value is not a table.
    """
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be a table")
    return value


def string_of(value: object, where: str) -> str:
    """Return a TOML string.

    Raises:
        ConfigError: the value is not a string. The error does not contain it.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{where} must be a string")
    return value


def boolean_of(value: object, where: str) -> bool:
    """Return a TOML boolean.

    Raises:
        ConfigError: the value is not a boolean.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{where} must be true or false")
    return value


def array_of(value: object, where: str, example: str = "") -> list[tuple[str, object]]:
    """Return the items of a TOML array, each with its name in errors, such as `keys[0]`.

    Raises:
        ConfigError: the value is not an array; the error shows the `example` of one, if any.
    """
    if not isinstance(value, list):
        such_as = f", such as {example}" if example else ""
        raise ConfigError(f"{where} must be an array{such_as}")
    return [(f"{where}[{place}]", item) for place, item in enumerate(value)]


def members_of(value: object, where: str, owner: str, names: Sequence[str]) -> dict[str, object]:
    """Return the members of a TOML table that may have only these names.

    Between the words of a name, `-` stands for `_`. `owner` says in errors whose members they are,
    for example "a user".

    Raises:
        ConfigError: the value is not a table, or has another member, or the same one twice.
    """
    members: dict[str, object] = {}
    for key, member in table_of(value, where).items():
        name = key.replace("-", "_")
        if name not in names:
            raise ConfigError(f"{where}.{key} is not a key of {owner} ({', '.join(names)})")
        if name in members:
            raise ConfigError(f"{where}.{name} is set twice")
        members[name] = member
    return members
