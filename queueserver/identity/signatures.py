"""Signatures of AWS Signature Version 4: which credential a request names.

Signatures are not verified: the server accepts any key, as a local replacement for AWS does.
"""

from __future__ import annotations

import re

import msgspec

# In the header, slashes separate the parts of the scope; in a presigned URL they are encoded.
_CREDENTIAL = re.compile(
    r"Credential=([^/,\s&%=]+)(?:/|%2F)[0-9]{8}(?:/|%2F)([a-z0-9-]{1,63})(?:/|%2F)", re.IGNORECASE
)
_ACCOUNT = re.compile(r"[0-9]{12}")


class Credential(msgspec.Struct, frozen=True, gc=False):
    """The access key id and the region that a signature names."""

    access_key_id: str
    region: str

    @property
    def account(self) -> str | None:
        """The account, if the access key id is a 12-digit account id, as LocalStack has it."""
        return self.access_key_id if _ACCOUNT.fullmatch(self.access_key_id) else None


def credential_of(authorization: str | None, query: str) -> Credential | None:
    """Return the credential that a request names, or None.

    `authorization` is the header, `query` the raw query string, where presigned URLs have
    `X-Amz-Credential`; the query is read only if the header is absent or empty.
    """
    match = _CREDENTIAL.search(authorization or query)
    return None if match is None else Credential(match[1], match[2])
