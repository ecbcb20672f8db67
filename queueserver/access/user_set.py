"""Collecting the users of the file and of the environment, and the rules between them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import datetime

import msgspec

from queueserver.access.secrets import Secret
from queueserver.access.users import AccessKey, User, Users
from queueserver.policies.policy import Policy
from queueserver.policies.principals import Principal
from queueserver.start_errors import ConfigError

_MOST_ACTIVE_KEYS = 2
"""AWS: the active access keys of a user; two are enough to replace one by the other."""

_ACCESS_KEY_ID = re.compile(r"(?![0-9]{12}\Z)[A-Za-z0-9_-]{3,128}")
"""No character that separates the parts of a credential, and no account ID: without access control,
a client names its account in the place of the access key ID."""


class DeclaredKey(msgspec.Struct, frozen=True):
    """An access key as it was declared; `where` names its ID in errors."""

    access_key_id: str
    secret: Secret
    expires: datetime | None
    where: str


class DeclaredPolicy(msgspec.Struct, frozen=True):
    """A compiled identity policy, and the JSON text that it was compiled from."""

    policy: Policy
    text: str


def check_access_key_id(text: str, where: str) -> str:
    """Return an access key ID.

    Raises:
        ConfigError: the ID is not allowed. The error does not contain it: it may be a secret that
            was written in the wrong place.
    """
    if not _ACCESS_KEY_ID.fullmatch(text):
        raise ConfigError(
            f"{where}: an access key ID has 3 to 128 letters, digits, hyphens and underscores, "
            "and is not a 12-digit account ID"
        )
    return text


class UserSet:
    """The users that have been read so far. `now` is in seconds since the epoch."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._places: dict[str, str] = {}
        """The place in the configuration that declares each user, by the name in lower case."""
        self._keys: dict[str, AccessKey] = {}
        self._owners: dict[Secret, AccessKey] = {}
        """The first access key with each secret."""
        self._warnings: list[str] = []

    def add(
        self,
        where: str,
        principal: Principal,
        policies: Sequence[DeclaredPolicy],
        keys: Sequence[DeclaredKey],
    ) -> None:
        """Add a user; `where` names its declaration in errors.

        Raises:
            ConfigError: the name or an access key ID is that of another user, or the user has no
                key or too many active ones.
        """
        name = principal.name
        # IAM: two names of users that differ in case alone are the same name.
        place = self._places.setdefault(name.lower(), where)
        if place != where:
            raise ConfigError(f"{where}: user {name} is declared already, by {place}")
        user = User(
            principal=principal,
            policies=tuple(declared.policy for declared in policies),
            access_key_ids=tuple(key.access_key_id for key in keys),
            digest=_digest(principal, policies, keys),
        )
        for key in keys:
            self._add_key(key, user)
        self._check_active_keys(where, user)
        for declared in policies:
            self._warnings += [
                f"{warning}: user={name} policy={declared.policy.name}"
                for warning in declared.policy.warnings
            ]

    def users(self) -> Users:
        """Return all users that were added."""
        return Users(self._keys.values(), self._warnings)

    def _add_key(self, declared: DeclaredKey, user: User) -> None:
        taken = self._keys.get(declared.access_key_id)
        if taken is not None:
            owner = taken.user.name
            raise ConfigError(f"{declared.where}: user {owner} has an access key with this ID")
        key = AccessKey(
            access_key_id=declared.access_key_id,
            hidden_secret=declared.secret,
            expires=declared.expires,
            user=user,
        )
        self._keys[declared.access_key_id] = key
        first = self._owners.setdefault(declared.secret, key)
        if first is not key:
            self._warnings.append(
                f"two access keys have the same secret: user={user.name} "
                f"access_key_id={key.access_key_id} other_user={first.user.name} "
                f"other_access_key_id={first.access_key_id}"
            )

    def _check_active_keys(self, where: str, user: User) -> None:
        keys = [self._keys[access_key_id] for access_key_id in user.access_key_ids]
        active = sum(not key.is_expired(self._now) for key in keys)
        if not keys:
            raise ConfigError(f"{where}: the user has no access key")
        if active > _MOST_ACTIVE_KEYS:
            raise ConfigError(
                f"{where}.keys: {active} keys are active, at most {_MOST_ACTIVE_KEYS} may be"
            )
        if not active:
            # Not an error: a restart years later must not fail because a key has expired.
            self._warnings.append(f"all access keys of a user have expired: user={user.name}")


def _digest(
    principal: Principal, policies: Sequence[DeclaredPolicy], keys: Sequence[DeclaredKey]
) -> str:
    """Return a digest of the declaration without its secrets and the names of its policies.

    The name of a policy may be a path, which differs between servers.
    """
    declaration = [
        principal.name,
        principal.account,
        principal.is_admin,
        principal.service,
        sorted(principal.tags.items()),
        sorted(declared.text for declared in policies),
        sorted((key.access_key_id, key.expires and key.expires.timestamp()) for key in keys),
    ]
    return hashlib.sha256(json.dumps(declaration).encode()).hexdigest()
