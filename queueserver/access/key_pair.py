"""The key pair of the environment: one administrator without a configuration file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from queueserver.access.secret_sources import SecretSources
from queueserver.access.secrets import read_line
from queueserver.access.user_set import DeclaredKey, UserSet, check_access_key_id
from queueserver.access.users import user_principal
from queueserver.start_errors import ConfigError

ID_VARIABLE = "QUEUESERVER_ACCESS_KEY_ID"
SECRET_VARIABLE = "QUEUESERVER_SECRET_ACCESS_KEY"  # noqa: S105 - a name
USER_NAME = "admin"

_FILE = "_FILE"

DESCRIPTION = (
    f"The key pair of an administrator is in the environment variables {ID_VARIABLE} and "
    f"{SECRET_VARIABLE}, or in the files that {ID_VARIABLE}{_FILE} and {SECRET_VARIABLE}{_FILE} "
    "name."
)
"""The text about these variables in `--help`. They are no settings, and have no flags."""

VARIABLES = {ID_VARIABLE, SECRET_VARIABLE, ID_VARIABLE + _FILE, SECRET_VARIABLE + _FILE}
_SIMILAR_VARIABLE = re.compile(r"QUEUESERVER_(ACCESS_|SECRET|USER)\w*")


def add_key_pair(
    users: UserSet, environment: Mapping[str, str], account: str, sources: SecretSources
) -> None:
    """Add the administrator whose key pair is in the environment, if there is one.

    Each half is in a variable, or in a file that a variable with `_FILE` names. An empty variable
    is not taken for an unset one: it would turn access control off.

    Raises:
        ConfigError: there is half a pair, a half is given twice or is not allowed, or a file
            declares the same user or access key ID.
    """
    id_origin = _origin(environment, ID_VARIABLE)
    secret_origin = _origin(environment, SECRET_VARIABLE)
    if id_origin is None and secret_origin is None:
        return
    if id_origin is None or secret_origin is None:
        missing = SECRET_VARIABLE if secret_origin is None else ID_VARIABLE
        raise ConfigError(
            f"{id_origin or secret_origin} is set, so {missing} or {missing}{_FILE} must be, too"
        )
    key = DeclaredKey(
        check_access_key_id(_access_key_id(environment, id_origin), id_origin),
        sources.from_file(Path(environment[secret_origin]), secret_origin)
        if secret_origin.endswith(_FILE)
        else sources.from_variable(secret_origin, secret_origin),
        expires=None,
        where=id_origin,
    )
    principal = user_principal(USER_NAME, account, is_admin=True, service="", tags={})
    users.add(id_origin, principal, (), [key])


def check_variables(environment: Mapping[str, str], sources: SecretSources) -> None:
    """Reject variables that look like the pair's and that nothing reads: probably typing errors.

    Such a variable would leave access control off, although the operator expects it to be on.

    Raises:
        ConfigError: there is such a variable.
    """
    for name in environment:
        if name not in VARIABLES | sources.variables and _SIMILAR_VARIABLE.fullmatch(name):
            raise ConfigError(
                f"{name} is not a variable of the server; the key pair is {ID_VARIABLE} and "
                f"{SECRET_VARIABLE}"
            )


def _origin(environment: Mapping[str, str], variable: str) -> str | None:
    """Return the variable that has a half of the pair, or names its file."""
    given = [name for name in (variable, variable + _FILE) if name in environment]
    if len(given) > 1:
        raise ConfigError(f"{variable} and {variable}{_FILE} are both set, only one may be")
    for name in given:
        if not environment[name]:
            raise ConfigError(f"{name} is empty: give it a value or remove it")
    return given[0] if given else None


def _access_key_id(environment: Mapping[str, str], origin: str) -> str:
    if not origin.endswith(_FILE):
        return environment[origin]
    try:
        return read_line(Path(environment[origin]), is_private=False)
    except ValueError as error:
        raise ConfigError(f"{origin}: {error}") from None
