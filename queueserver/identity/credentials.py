"""Credentials: which access key and region the signature of a request names.

Nothing is verified here. While access control is off, the server accepts any key, as a local
replacement for AWS does.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

# In the header, slashes separate the parts of the scope; in a presigned URL they are encoded.
_CREDENTIAL = re.compile(
    r"Credential=([^/,\s&%=]+)(?:/|%2F)[0-9]{8}(?:/|%2F)([a-z0-9-]{1,63})(?:/|%2F)", re.IGNORECASE
)
_ACCOUNT = re.compile(r"[0-9]{12}")


_CACHED_SCOPES = 1_000
_CACHED_CHARACTERS = 200
"""Number and length of the scopes whose credential is cached: at most 2 KB each."""


class Credential(msgspec.Struct, frozen=True, gc=False):
    """The access key id and the region that a signature names.

    `account` is the access key id if that is a 12-digit account id, as LocalStack has it, or None.
    """

    access_key_id: str
    region: str
    account: str | None


def credential_of(authorization: str | None, query: str) -> Credential | None:
    """Return the credential that a request names, or None.

    `authorization` is the header, `query` the raw query string, where presigned URLs have
    `X-Amz-Credential`; the query is read only if the header is absent or empty.
    """
    text = authorization or query
    # Clients repeat the scope, which comes first, in each request; the signature always differs.
    scope = text.partition(",")[0]
    cached = _find_usual(scope) if len(scope) <= _CACHED_CHARACTERS else None
    return cached or _find(text)


def _find(text: str) -> Credential | None:
    match = _CREDENTIAL.search(text)
    if match is None:
        return None
    key, region = match.groups()
    return Credential(key, region, key if _ACCOUNT.fullmatch(key) else None)


_find_usual = lru_cache(_CACHED_SCOPES)(_find)
