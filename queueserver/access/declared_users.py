"""Declared users: the table `users` of the configuration file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from queueserver.access.named_policies import MANAGED_POLICIES, SHORT_FORMS, document_of
from queueserver.access.secret_sources import SecretSources
from queueserver.access.secrets import Secret
from queueserver.access.user_set import DeclaredKey, DeclaredPolicy, UserSet, check_access_key_id
from queueserver.access.users import user_principal
from queueserver.policies.documents import PolicyKind
from queueserver.policies.errors import PolicyError
from queueserver.policies.policy import compile_policy
from queueserver.start_errors import ConfigError
from queueserver.text_files import read_text
from queueserver.toml_values import (
    array_of,
    boolean_of,
    dotted_name_hint,
    members_of,
    string_of,
    table_of,
    text_of,
)

_USER_MEMBERS = ("account", "admin", "service", "tags", "keys")
_POLICY_MEMBERS = ("policies", "policy_documents", "policy_files")
_KEY_MEMBERS = ("id", "secret_file", "secret_env", "expires")

_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,64}")
_RESERVED_NAMES = {"root", "anonymous", ".", ".."}
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?")
_ACCOUNT = re.compile(r"[0-9]{12}")
_LONGEST_POLICY_FILE = 65_536
_MOST_TAGS, _LONGEST_TAG_KEY, _LONGEST_TAG_VALUE = 50, 128, 256
"""AWS: the limits of a user's tags."""


class UserTables:
    """Reads the table `users` of the file at `path`; relative paths in it are relative to the file.

    `account` is the account of users that declare none.
    """

    def __init__(self, path: str, account: str, sources: SecretSources) -> None:
        self._path = path
        self._folder = Path(path).parent
        self._account = account
        self._sources = sources

    def add_to(self, users: UserSet, document: object) -> None:
        """Read the table, and add its users to `users`.

        Raises:
            ConfigError: a user is not allowed, a file cannot be read, or there is no user at all: a
                table without users is rather a mistake of a program than the wish for no users.
        """
        where = f"{self._path}: users"
        tables = table_of(document, where)
        if not tables:
            raise ConfigError(f"{where}: no user is declared, remove the table or declare one")
        for name, table in tables.items():
            self._add_user(users, name, table, f"{where}.{name}")

    def _add_user(self, users: UserSet, name: str, table: object, where: str) -> None:
        members = _members(name, table, where)
        check_name(name, where)
        is_admin = boolean_of(members.get("admin", False), f"{where}.admin")
        account = _account(members.get("account", self._account), f"{where}.account")
        service = _service(members.get("service"), f"{where}.service")
        if is_admin and service:
            raise ConfigError(f"{where}: a user with a service cannot be an admin")
        tags = _tags(members.get("tags", {}), f"{where}.tags")
        users.add(
            where,
            user_principal(name, account, is_admin=is_admin, service=service, tags=tags),
            list(self._policies(members, account, where)),
            list(self._keys(members.get("keys", []), f"{where}.keys")),
        )

    def _keys(self, value: object, where: str) -> Iterator[DeclaredKey]:
        for place, table in array_of(value, where):
            members = members_of(table, place, "an access key", _KEY_MEMBERS)
            if "id" not in members:
                raise ConfigError(f"{place}: id is missing")
            access_key_id = string_of(members["id"], f"{place}.id")
            yield DeclaredKey(
                check_access_key_id(access_key_id, f"{place}.id"),
                self._secret(members, place),
                _expiry(members.get("expires"), f"{place}.expires"),
                f"{place}.id",
            )

    def _secret(self, members: Mapping[str, object], where: str) -> Secret:
        given = [name for name in ("secret_file", "secret_env") if name in members]
        if len(given) != 1:
            rule = "only one of secret_file and secret_env may be given"
            if not given:
                rule = "secret_file or secret_env is missing"
            raise ConfigError(f"{where}: {rule}")
        if "secret_env" in members:
            place = f"{where}.secret_env"
            return self._sources.from_variable(string_of(members["secret_env"], place), place)
        place = f"{where}.secret_file"
        file = self._folder / string_of(members["secret_file"], place)
        return self._sources.from_file(file, place)

    def _policies(
        self, members: Mapping[str, object], account: str, where: str
    ) -> Iterator[DeclaredPolicy]:
        listed = members.get("policies", [])
        for place, value in array_of(listed, f"{where}.policies", '["send:orders"]'):
            name = string_of(value, place)
            yield _compiled(_named_document(name, account, place), name, place)
        for place, value in array_of(
            members.get("policy_documents", []), f"{where}.policy_documents"
        ):
            name = place.rpartition(".")[2]
            yield _compiled(_document(value, place), name, place)
        for place, value in array_of(members.get("policy_files", []), f"{where}.policy_files"):
            file = self._folder / string_of(value, place)
            try:
                text = read_text(file, _LONGEST_POLICY_FILE, is_private=False)
            except ValueError as error:
                raise ConfigError(f"{place}: {file}: {error}") from None
            yield _compiled(text, str(file), place)


def _members(name: str, value: object, where: str) -> dict[str, object]:
    names = (*_USER_MEMBERS, *_POLICY_MEMBERS)
    try:
        return members_of(value, where, "a user", names)
    except ConfigError as error:
        for key, member in table_of(value, where).items():
            if key.replace("-", "_") not in names and isinstance(member, dict):
                hint = dotted_name_hint("users", name, key)
                raise ConfigError(f"{error}{hint}") from None
        raise


def _compiled(text: str, name: str, where: str) -> DeclaredPolicy:
    try:
        return DeclaredPolicy(compile_policy(text, PolicyKind.IDENTITY, name), text)
    except PolicyError as error:
        raise ConfigError(f"{where}: {error}") from None


def _named_document(name: str, account: str, where: str) -> str:
    try:
        return document_of(name, account)
    except ValueError:
        raise ConfigError(
            f"{where}: {name!r} is neither a managed policy ({', '.join(MANAGED_POLICIES)}) nor "
            f"one of {', '.join(SHORT_FORMS)}, alone or with a queue name such as send:orders"
        ) from None


def _document(value: object, where: str) -> str:
    """Return the JSON of a policy that is a TOML table or JSON already."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(table_of(value, where), allow_nan=False)
    except (TypeError, ValueError):
        raise ConfigError(f"{where}: write dates and times as strings, JSON has none") from None


def check_name(name: str, where: str) -> None:
    """Check the name of a user; `where` names its place in the error.

    Raises:
        ConfigError: the name is not allowed.
    """
    is_reserved = name.lower() in _RESERVED_NAMES or name.lower().endswith(".amazonaws.com")
    if is_reserved or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: a user name has 1 to 64 letters, digits and characters of +=,.@_-, and is "
            "not root, anonymous, . or .. or the name of an AWS service"
        )


def _account(value: object, where: str) -> str:
    account = text_of(value, where)
    if not _ACCOUNT.fullmatch(account):
        raise ConfigError(f"{where}: {account!r} is not 12 digits")
    return account


def _service(value: object, where: str) -> str:
    if value is None:
        return ""
    service = string_of(value, where)
    if not _SERVICE.fullmatch(service):
        raise ConfigError(f"{where}: {service!r} is not a service such as sns.amazonaws.com")
    return service


def _tags(value: object, where: str) -> dict[str, str]:
    table = table_of(value, where)
    tags = {key: text_of(tag, f"{where}.{key}") for key, tag in table.items()}
    if len(tags) > _MOST_TAGS:
        raise ConfigError(f"{where}: {len(tags)} tags are declared, at most {_MOST_TAGS} may be")
    for key, tag in tags.items():
        if not 1 <= len(key) <= _LONGEST_TAG_KEY or len(tag) > _LONGEST_TAG_VALUE:
            raise ConfigError(
                f"{where}.{key}: a key has 1 to {_LONGEST_TAG_KEY} characters, a value at most "
                f"{_LONGEST_TAG_VALUE}"
            )
    return tags


def _expiry(value: object, where: str) -> datetime | None:
    if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
        raise ConfigError(
            f"{where} must be a date and time with an offset, such as 2026-12-31T00:00:00Z"
        )
    return value
