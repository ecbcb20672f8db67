"""The configuration: the values of all settings, the declared queues, the users and the keys.

A flag is used before a variable, a variable before the file, the file before the default. All
values are checked here, before the server starts. argv and the environment are arguments; only
`cli` reads them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

from queueserver import declared_queues
from queueserver.access import key_pair
from queueserver.access.declared_users import UserTables
from queueserver.access.modes import AccessMode
from queueserver.access.secret_sources import SecretSources
from queueserver.access.user_set import UserSet
from queueserver.access.users import Users
from queueserver.declared_queues import DeclaredQueue
from queueserver.encryption import key_sources
from queueserver.encryption.key_sources import KeySources
from queueserver.encryption.modes import EncryptionMode
from queueserver.settings import SETTINGS, Setting
from queueserver.start_errors import ConfigError
from queueserver.toml_values import header_of, list_text_of, text_of
from storage.encryption.keyring import Keyring
from storage.errors import mask_password


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The checked values of `SETTINGS` by name, the declared queues, the users and the keys.

    `public_url` has no final slash. `access` is `ON` if it is not given and there are users, and so
    is `encryption` if there are keys. `path` is that of the file, or empty.
    """

    host: tuple[str, ...]
    port: tuple[int, ...]
    database: str
    account: str
    region: str
    public_url: str | None
    allowed_hosts: tuple[str, ...]
    cors_origins: tuple[str, ...]
    tls_cert: str | None
    tls_key: str | None
    tls_client_ca: str | None
    tls_port: tuple[int, ...]
    trusted_proxies: tuple[str, ...]
    access: AccessMode
    encryption: EncryptionMode
    encryption_key_file: str | None
    encryption_key_command: str | None
    loose_secret_files: bool
    cooldowns: bool
    in_flight_limit: int
    connection_limit: int
    pending_limit: int
    buffer_mib: int
    request_timeout: int
    idle_timeout: int
    pool_size: int
    poll_seconds: float | None
    log_level: str
    log_format: str
    queues: Mapping[str, DeclaredQueue]
    users: Users
    keyring: Keyring | None
    path: str = ""


_SETTINGS = {setting.name: setting for setting in SETTINGS}


def load(flags: Mapping[str, str], environment: Mapping[str, str], now: float = 0) -> Config:
    """Read all settings: flags before variables before the file before defaults.

    `flags` has the given flags by the names of their settings. An empty variable counts as unset.
    `now` is the time in seconds since the epoch: which access keys have expired.

    Raises:
        ConfigError: a value is not allowed, or a file cannot be read.
    """
    given, document, path = _read_sources(flags, environment)
    values = _values(given)
    account = str(values["account"])
    user_set = UserSet(now)
    sources = SecretSources(environment, needs_private_files=not values["loose_secret_files"])
    if "users" in document:
        UserTables(path, account, sources).add_to(user_set, document["users"])
    key_pair.add_key_pair(user_set, environment, account, sources)
    key_pair.check_variables(environment, sources)
    users = user_set.users()
    values["users"] = users
    values["access"] = _access_mode(values["access"], given.get("access"), users)
    keyring = _keyring(values, given, environment)
    key_sources.check_variables(environment, sources.variables)
    values["keyring"] = keyring
    values["encryption"] = _encryption_mode(values["encryption"], given.get("encryption"), keyring)
    values["queues"] = declared_queues.read(document.get("queues", {}), path)
    values["path"] = path
    return msgspec.convert(values, Config)


def load_database(flags: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """Read all settings but users, keys and queues; return the database.

    A command that reads the database needs no secrets, and may have no access to their files.

    Raises:
        ConfigError: a value is not allowed, or the file cannot be read.
    """
    given, _, _ = _read_sources(flags, environment)
    return str(_values(given)["database"])


def load_encryption(
    flags: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[str, Keyring | None]:
    """Read all settings but users and queues; return the database and the keys, if there are any.

    Raises:
        ConfigError: a value is not allowed, or a file or the keys cannot be read.
    """
    given, _, _ = _read_sources(flags, environment)
    values = _values(given)
    return str(values["database"]), _keyring(values, given, environment)


def changed_settings(config: Config, other: Config) -> list[str]:
    """Return the names of the settings, and of `queues`, whose change needs a restart."""
    names = [name for name in Config.__struct_fields__ if name not in _RELOADED]
    return [name for name in names if getattr(config, name) != getattr(other, name)]


_RELOADED = {"users", "keyring", "encryption_key_file", "encryption_key_command"}
"""The members of a Config that a reload uses at once."""


# A value as it was given: where it comes from, as errors name it, and its text.
_Given: TypeAlias = tuple[str, str]

_TABLES = {"queues", "users"}
"""The keys of the file that are no settings."""

_HEADER = re.compile(r"^\s*\[(queues|users)\.([^\]\s\"']+)\]", re.MULTILINE)


def _read_sources(
    flags: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[dict[str, _Given], dict[str, object], str]:
    """Return the given values, and the file: its document and its path, empty without a file."""
    given = {**_from_environment(environment), **_from_flags(flags)}
    if "config" not in given:
        return given, {}, ""
    origin, path = given.pop("config")
    document = _document(path, origin)
    return {**_from_file(document, path), **given}, document, path


def _values(given: Mapping[str, _Given]) -> dict[str, object]:
    return {
        setting.name: _value(setting, given.get(setting.name))
        for setting in SETTINGS
        if setting.in_file
    }


def _keyring(
    values: Mapping[str, object], given: Mapping[str, _Given], environment: Mapping[str, str]
) -> Keyring | None:
    sources = KeySources(environment, needs_private_files=not values["loose_secret_files"])
    if "encryption_key_file" in given:
        origin, path = given["encryption_key_file"]
        sources.add_file(Path(path), origin)
    if "encryption_key_command" in given:
        origin, command = given["encryption_key_command"]
        sources.add_command(command, origin)
    return sources.keyring()


def _encryption_mode(mode: object, given: _Given | None, keyring: Keyring | None) -> object:
    """Return the mode to use: the given one, else `ON` if there are keys."""
    if given is None:
        return EncryptionMode.ON if keyring else EncryptionMode.OFF
    if mode is not EncryptionMode.OFF and keyring is None:
        raise ConfigError(f"{given[0]}: {given[1]!r} needs a key: set {key_sources.SOURCES}")
    return mode


def _access_mode(mode: object, given: _Given | None, users: Users) -> object:
    """Return the mode to use: the given one, else `ON` if there are users."""
    if given is None:
        return AccessMode.ON if users else AccessMode.OFF
    if mode is not AccessMode.OFF and not users:
        raise ConfigError(
            f"{given[0]}: {given[1]!r} needs a user: declare users in the file, or set "
            f"{key_pair.ID_VARIABLE} and {key_pair.SECRET_VARIABLE}"
        )
    return mode


def _from_flags(flags: Mapping[str, str]) -> dict[str, _Given]:
    return {name: (_SETTINGS[name].flag, text) for name, text in flags.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, _Given]:
    return {
        setting.name: (setting.variable, environment[setting.variable])
        for setting in SETTINGS
        if environment.get(setting.variable)
    }


def _from_file(document: Mapping[str, object], path: str) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for key, value in document.items():
        if key in _TABLES:
            continue
        name = key.replace("-", "_")
        if name not in _SETTINGS or not _SETTINGS[name].in_file:
            raise ConfigError(f"{path}: {key} is not a setting {_hint(key, value)}")
        if name in given:
            raise ConfigError(f"{path}: {name} is set twice")
        origin = f"{path}: {key}"
        read = list_text_of if _SETTINGS[name].is_list else text_of
        text = read(value, origin)
        # An empty array is no value, as an empty variable is none.
        if value != [] or _SETTINGS[name].default is not None:
            given[name] = (origin, text)
    return given


def _hint(key: str, value: object) -> str:
    table = f"{key}s"
    if table in _TABLES and isinstance(value, dict) and value:
        return f"(did you mean {header_of(table, next(iter(value)))}?)"
    return "(see `queueserver --help`)"


def _value(setting: Setting, given: _Given | None) -> object:
    if given is None:
        return setting.unset if setting.default is None else setting.read(setting.default)
    origin, text = given
    try:
        return setting.read(text)
    except ValueError:
        shown = "the value" if setting.hides_text else repr(mask_password(text))
        raise ConfigError(f"{origin}: {shown} is not {setting.allowed}") from None


def _document(path: str, origin: str) -> dict[str, object]:
    text = ""
    try:
        text = Path(path).read_text(encoding="utf-8")
        return tomllib.loads(text)
    except OSError as error:
        reason = error.strerror or str(error)
    except tomllib.TOMLDecodeError as error:
        reason = f"{error}{_missing_quotes(text)}"
    except ValueError as error:  # not UTF-8, or not a path
        reason = str(error)
    except RecursionError:
        reason = "arrays or tables are nested too deeply"
    raise ConfigError(f"{origin}: cannot read {path!r}: {reason}")


def _missing_quotes(text: str) -> str:
    """Return a hint if a name without quotes has characters that TOML allows in quotes only."""
    for table, name in _HEADER.findall(text):
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            return f"; this name needs quotes: {header_of(table, name)}"
    return ""
