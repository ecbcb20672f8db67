"""How a load reaches its servers: without access control, or by signed requests of a user."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.access.declared_users import KeyPair, User, write_config
from tests.request_signer import url_with_credentials

_USER = User("load", policies=("AmazonSQSFullAccess",))
"""A user who is no admin: each request is allowed by a policy."""


class LoadAccess(NamedTuple):
    """The arguments of the servers, and the access key that the load signs with, if any."""

    arguments: tuple[str, ...] = ()
    pair: KeyPair | None = None

    def url(self, url: str) -> str:
        """Return the URL that the load uses for a server's URL."""
        if self.pair is None:
            return url
        return url_with_credentials(url, self.pair.access_key_id, self.pair.secret)


OFF = LoadAccess()
"""The servers check no access, and the signatures of the load are not real."""


def access_on(directory: Path) -> LoadAccess:
    """Write a configuration with a user into a directory; return how the load uses it."""
    path = write_config(directory, [_USER], {})
    return LoadAccess(("--config", str(path)), _USER.key_pairs[0])
