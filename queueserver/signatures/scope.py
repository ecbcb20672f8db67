"""Credential scope: the access key, date, region and service that a signature is for."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from protocol.errors import IncompleteSignature, SignatureDoesNotMatch
from queueserver.signatures.echo import echo
from queueserver.signatures.signing_time import SigningTime

TERMINATOR = b"aws4_request"

_PARTS = 5
_REGION = re.compile(rb"[a-z0-9-]{1,63}")

_CACHED_SCOPES = 1_000
_CACHED_BYTES = 300
"""Number and length of the credentials that are cached: at most 2 KB each."""


class CredentialScope(msgspec.Struct, frozen=True, gc=False):
    """The parts of a credential.

    Attributes:
        text: the scope as the string to sign has it.
        region_name: the region as a text.
        is_region: whether a region can have this name.
    """

    access_key_id: str
    date: bytes
    region: bytes
    service: bytes
    terminator: bytes
    text: bytes
    region_name: str
    is_region: bool

    def check(self, time: SigningTime, service: bytes, region: str | None) -> None:
        """Reject a scope that is not for this service, this region and the date of signing.

        `region` is the region that the host name demands, or None.

        Raises:
            SignatureDoesNotMatch: with a text for each part that is wrong.
        """
        if (
            self.service == service
            and self.terminator == TERMINATOR
            and self.date == time.date
            and self._is_region(region)
        ):
            return
        texts = []
        if not self._is_region(region):
            texts.append(
                f"Credential should be scoped to a valid region, not '{echo(self.region)}'. "
            )
        if self.service != service:
            texts.append(f"Credential should be scoped to correct service: '{service.decode()}'. ")
        if self.terminator != TERMINATOR:
            texts.append(
                "Credential should be scoped with a valid terminator: 'aws4_request', not"
                f" '{echo(self.terminator)}'."
            )
        if self.date != time.date:
            texts.append(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date"
                f" from HTTP: '{echo(self.date)}' != '{time.date.decode()}', from"
                f" '{time.text.decode()}'."
            )
        raise SignatureDoesNotMatch("".join(texts))

    def _is_region(self, region: str | None) -> bool:
        return self.is_region if region is None else self.region == region.encode()


def parse_credential(text: bytes) -> CredentialScope:
    """Parse a credential.

    Raises:
        IncompleteSignature: it does not have five parts.
    """
    return _parse_usual(text) if len(text) <= _CACHED_BYTES else _parse(text)


def _parse(text: bytes) -> CredentialScope:
    parts = text.split(b"/")
    if len(parts) != _PARTS:
        raise IncompleteSignature(
            "Credential must have exactly 5 slash-delimited elements, e.g."
            f" keyid/date/region/service/term, got '{echo(text)}'"
        )
    access_key_id, date, region, service, terminator = parts
    return CredentialScope(
        access_key_id.decode("latin-1"),
        date,
        region,
        service,
        terminator,
        text.partition(b"/")[2],
        region.decode("latin-1"),
        _REGION.fullmatch(region) is not None,
    )


_parse_usual = lru_cache(_CACHED_SCOPES)(_parse)
