"""Users and their access keys: immutable, found by access key ID."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType

import msgspec

from queueserver.access.secrets import Secret
from queueserver.policies.policy import Policy
from queueserver.policies.principals import Principal, PrincipalKind

_DIGEST_DIGITS = 16


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user: the principal that policies see, and the identity policies.

    `digest` identifies the whole declaration, without secrets. Users with a `service` act as that
    AWS service.
    """

    principal: Principal
    policies: tuple[Policy, ...]
    access_key_ids: tuple[str, ...]
    digest: str

    @property
    def name(self) -> str:
        """The name, as the configuration declares it."""
        return self.principal.name

    @property
    def account(self) -> str:
        """The account, 12 digits."""
        return self.principal.account

    @property
    def arn(self) -> str:
        """The ARN, such as `arn:aws:iam::000000000000:user/orders`."""
        return self.principal.arn

    @property
    def unique_id(self) -> str:
        """The unique ID, which depends on the account and the name alone."""
        return self.principal.unique_id

    @property
    def is_admin(self) -> bool:
        """Whether the user has all rights in its account, except those that a policy denies."""
        return self.principal.is_admin

    @property
    def service(self) -> str:
        """The AWS service that the user acts as, such as `sns.amazonaws.com`, or empty."""
        return self.principal.service


class AccessKey(msgspec.Struct, frozen=True, kw_only=True):
    """An access key of a user. Its secret is not shown by `repr`."""

    access_key_id: str
    hidden_secret: Secret
    expires: datetime | None
    user: User

    @property
    def secret(self) -> bytes:
        """The secret, which signatures are computed with."""
        return self.hidden_secret.reveal()

    def is_expired(self, now: float) -> bool:
        """Return whether the key is not valid any more at a time in seconds since the epoch."""
        return self.expires is not None and self.expires.timestamp() <= now


class Users:
    """All users of the server. A reload makes another object of this class."""

    __slots__ = ("_keys", "_users", "digest", "warnings")

    def __init__(self, keys: Iterable[AccessKey] = (), warnings: Iterable[str] = ()) -> None:
        self._keys = MappingProxyType({key.access_key_id: key for key in keys})
        self._users = MappingProxyType({key.user.name: key.user for key in self._keys.values()})
        self.digest = _digest(self._users)
        """Identifies names, key IDs and policies: two servers with equal users have equal digests.

        It does not depend on secrets.
        """
        self.warnings = tuple(warnings)
        """Lines for the log: declarations that are allowed, and are probably mistakes."""

    def find(self, access_key_id: str) -> AccessKey | None:
        """Return the key of an ID, also if it has expired, or None."""
        return self._keys.get(access_key_id)

    def count_changed_secrets(self, earlier: Users) -> int:
        """Return the number of keys that earlier users have, too, with another secret."""
        pairs = ((key, earlier.find(name)) for name, key in self._keys.items())
        return sum(
            before is not None and key.hidden_secret != before.hidden_secret
            for key, before in pairs
        )

    def __len__(self) -> int:
        return len(self._users)

    @property
    def key_count(self) -> int:
        """The number of access keys."""
        return len(self._keys)

    @property
    def description(self) -> str:
        """The fields of log lines: the numbers of users and keys, and the digest."""
        return f"users={len(self)} keys={self.key_count} digest={self.digest}"

    def __repr__(self) -> str:
        return f"Users(users={len(self)}, keys={self.key_count}, digest={self.digest})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Users) and self._keys == other._keys

    def __hash__(self) -> int:
        return hash(self.digest)


def user_principal(
    name: str, account: str, *, is_admin: bool, service: str, tags: Mapping[str, str]
) -> Principal:
    """Return the principal of a user."""
    return Principal(
        kind=PrincipalKind.SERVICE if service else PrincipalKind.USER,
        account=account,
        arn=f"arn:aws:iam::{account}:user/{name}",
        name=name,
        unique_id=_unique_id(account, name),
        service=service,
        is_admin=is_admin,
        tags=MappingProxyType(dict(tags)),
    )


def _unique_id(account: str, name: str) -> str:
    """Return an ID in the form of IAM's, AIDA and 17 characters; policies see it as aws:userid."""
    digest = hashlib.sha256(f"{account}/{name}".encode()).digest()
    return f"AIDA{base64.b32encode(digest)[:17].decode()}"


def _digest(users: Mapping[str, User]) -> str:
    text = "\n".join(users[name].digest for name in sorted(users))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]
