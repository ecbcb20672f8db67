"""Users of a test server, and the TOML file that declares them."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

CONFIG_FILE = "queueserver.toml"


class KeyPair(NamedTuple):
    """An access key: its id, its secret, and when it expires."""

    access_key_id: str
    secret: str
    expires: datetime.datetime | None = None


def key_pair(name: str) -> KeyPair:
    """Return a key pair that is made from a name: the same name always makes the same pair."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return KeyPair(f"AK{digest[:18].upper()}", digest[18:58])


@dataclass(frozen=True)
class User:
    """A user as the configuration declares it.

    Attributes:
        settings: further keys of the user's table, such as `account`, `admin` or `policy_files`.
        keys: its key pairs; one that is made from its name unless given.
    """

    name: str
    policies: Sequence[str] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    keys: Sequence[KeyPair] = ()

    @property
    def key_pairs(self) -> Sequence[KeyPair]:
        """The key pairs of the user, of which clients use the first."""
        return self.keys or (key_pair(self.name),)


def admin(name: str = "admin") -> User:
    """Return a user who may do everything."""
    return User(name, settings={"admin": True})


def write_config(directory: Path, users: Sequence[User], settings: Mapping[str, object]) -> Path:
    """Write a TOML file with settings and users, and a file for each secret; return its path."""
    tables: list[str] = [f"{name} = {toml(value)}\n" for name, value in settings.items()]
    for user in users:
        keys = [_key(directory, pair) for pair in user.key_pairs]
        given: dict[str, object] = {"policies": user.policies} if user.policies else {}
        values = {**given, **user.settings, "keys": keys}
        tables.append(f"\n[users.{json.dumps(user.name)}]\n")
        tables += [f"{name} = {toml(value)}\n" for name, value in values.items()]
    path = directory / CONFIG_FILE
    path.write_text("".join(tables), encoding="utf-8")
    return path


def toml(value: object) -> str:
    """Return a value as TOML."""
    match value:
        case Mapping():
            pairs = (f"{json.dumps(str(name))} = {toml(each)}" for name, each in value.items())
            return f"{{ {', '.join(pairs)} }}"
        case str() | bool() | int() | float():
            return json.dumps(value, ensure_ascii=False)
        case datetime.datetime():
            return value.isoformat()
        case Path():
            return json.dumps(str(value))
        case Sequence():
            return f"[{', '.join(map(toml, value))}]"
        case _:
            raise AssertionError(f"TOML has no {type(value).__name__}")


def _key(directory: Path, pair: KeyPair) -> dict[str, object]:
    file = directory / f"{pair.access_key_id}.secret"
    file.touch(mode=0o600)
    file.write_text(f"{pair.secret}\n", encoding="utf-8")
    expires = {} if pair.expires is None else {"expires": pair.expires}
    return {"id": pair.access_key_id, "secret_file": file, **expires}
