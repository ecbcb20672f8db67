"""Signed headers: the list of the headers that a signature covers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

import msgspec

from protocol.errors import SignatureDoesNotMatch

_SIGNED_IF_PRESENT = (b"x-amz-content-sha256", b"x-amz-security-token", b"x-amz-target")
"""Headers that change what a request means, or who sent it. AWS demands more, which .NET omits."""

_CACHED_LISTS = 1_000
_CACHED_BYTES = 500
"""Number and length of the lists that are cached: at most 20 KB each."""


class SignedHeaders(msgspec.Struct, frozen=True):
    """The list of the headers that a signature covers.

    Attributes:
        text: the list as written.
        names: the names, in order.
        name_set: the names.
        form: the headers as the canonical request has them, with `%b` for each value.
        is_sorted: whether the list is sorted and without repetition.
    """

    text: bytes
    names: tuple[bytes, ...]
    name_set: frozenset[bytes]
    form: bytes
    is_sorted: bool

    def check_required(self, headers: Mapping[bytes, bytes], time_header: bytes) -> None:
        """Reject a signature that does not cover a header which it must cover.

        `time_header` is the header with the time of signing, or empty.

        Raises:
            SignatureDoesNotMatch: such a header is not in the list.
        """
        signed = self.name_set
        if b"host" not in signed:
            # The signature would be valid at any other server.
            raise SignatureDoesNotMatch(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
            )
        if time_header and time_header not in signed:
            raise _unsigned(time_header)
        for name in _SIGNED_IF_PRESENT:
            if name in headers and name not in signed:
                raise _unsigned(name)

    def fault(self, headers: Mapping[bytes, bytes]) -> str:
        """Return why the list cannot be that of a valid signature; empty if it can."""
        if not self.is_sorted:
            return "the list of signed headers is not sorted, or has a repetition"
        if not headers.keys() >= self.name_set:
            # `headers` has lower-case names, so a name in upper case is missing, too.
            return "a signed header is missing in the request: a proxy removed it"
        return ""


def parse_signed_headers(text: bytes) -> SignedHeaders:
    """Parse a list of names that semicolons separate."""
    return _parse_usual(text) if len(text) <= _CACHED_BYTES else _parse(text)


def _parse(text: bytes) -> SignedHeaders:
    names = tuple(text.split(b";"))
    is_sorted = all(one < next_one for one, next_one in pairwise(names))
    form = b"".join(name.replace(b"%", b"%%") + b":%b\n" for name in names)
    return SignedHeaders(text, names, frozenset(names), form, is_sorted)


def _unsigned(name: bytes) -> SignatureDoesNotMatch:
    return SignatureDoesNotMatch(
        f"'{name.decode()}' must be a 'SignedHeader' in the AWS Authorization."
    )


_parse_usual = lru_cache(_CACHED_LISTS)(_parse)
