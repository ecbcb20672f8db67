"""New access keys: random IDs and secrets, and the lines that a user pastes."""

from __future__ import annotations

import json
import secrets
import string
from pathlib import Path

from queueserver.access import key_pair
from queueserver.access.declared_users import check_name
from queueserver.text_files import create_private_file
from queueserver.toml_values import header_of

_ID_PREFIX = "AKQS"
_ID_CHARACTERS = string.ascii_uppercase + "234567"
_ID_LENGTH = 20
_SECRET_CHARACTERS = string.ascii_letters + string.digits
_SECRET_LENGTH = 40
"""AWS: an access key ID has 20 characters, a secret 40."""


def make(user: str | None, secret_file: Path | None, region: str) -> str:
    """Make an access key; return the lines to paste.

    Without a `user`, the key is the pair of the environment. `secret_file` is created with the
    secret as its content. `region` is the one that the client shall use.

    Raises:
        ConfigError: the name of the user is not allowed.
        StartError: the file exists already, or cannot be written.
    """
    if user is not None:
        check_name(user, "--user")
    access_key_id = _ID_PREFIX + _random(_ID_CHARACTERS, _ID_LENGTH - len(_ID_PREFIX))
    secret = _random(_SECRET_CHARACTERS, _SECRET_LENGTH)
    file = None if secret_file is None else str(secret_file.absolute())
    if file is not None:
        create_private_file(file, f"{secret}\n", "--secret-file")
    return "\n".join(
        [
            "# For the client: in ~/.aws/credentials; if the profile exists, replace its two lines",
            f"[{user or 'default'}]",
            f"aws_access_key_id = {access_key_id}",
            f"aws_secret_access_key = {secret}",
            "",
            "# For the client: in ~/.aws/config, for a new profile; write the server's region",
            "[default]" if user is None else f"[profile {user}]",
            f"region = {region}",
            "",
            *(
                _variables(access_key_id, secret, file)
                if user is None
                else _table(user, access_key_id, secret, file)
            ),
            "",
        ]
    )


def _variables(access_key_id: str, secret: str, file: str | None) -> list[str]:
    """Return the variables of the key pair."""
    variable = key_pair.SECRET_VARIABLE
    return [
        "# For the server: environment variables",
        f"{key_pair.ID_VARIABLE}={access_key_id}",
        f"{variable}={secret}" if file is None else f"{variable}_FILE={file}",
    ]


def _table(user: str, access_key_id: str, secret: str, file: str | None) -> list[str]:
    """Return the table of a user in the configuration file."""
    # The ID makes the variable of each key another one: a user has two keys during a rotation.
    variable = f"SECRET_{access_key_id}"
    source = f'secret_env = "{variable}"' if file is None else f"secret_file = {json.dumps(file)}"
    lines = [
        "# For the server: in the file of --config; if the user exists, add the {...} to its keys",
        header_of("users", user),
        'policies = []  # for example "send:orders", "receive:orders"; or write: admin = true',
        f'keys = [{{ id = "{access_key_id}", {source} }}]',
    ]
    if file is None:
        lines += ["", "# For the server: an environment variable", f"{variable}={secret}"]
    return lines


def _random(characters: str, length: int) -> str:
    return "".join(secrets.choice(characters) for _ in range(length))
