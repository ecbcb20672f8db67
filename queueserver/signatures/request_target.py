"""The target of a request: its path and its query string, in the forms that are signed."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from protocol.errors import MalformedQueryString
from queueserver.signatures.echo import echo

_SIGNATURE = b"X-Amz-Signature"
"""The only parameter that the signature of a presigned URL does not cover."""

_INVALID_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)

_CACHED_PATHS = 1_000
_CACHED_CHARACTERS = 300
"""Number and length of the paths whose forms are cached: at most 2 KB each."""


class SignedPath(msgspec.Struct, frozen=True, gc=False):
    """A path as a signature covers it.

    Attributes:
        normalized: the path without dot segments and empty segments, otherwise as received. Two
            paths with an equal signature have an equal `normalized`.
        canonical: `normalized`, percent-encoded although it is encoded already: SQS encodes twice.
    """

    normalized: str
    canonical: bytes


class SignedQuery(msgspec.Struct, frozen=True, gc=False):
    """A query string as a signature covers it.

    Attributes:
        pairs: name and value of each parameter, decoded, in order.
        has_plus: whether the string has a `+`: a space for forms, a plus sign for signatures.
    """

    pairs: tuple[tuple[bytes, bytes], ...] = ()
    has_plus: bool = False

    def canonical(self) -> bytes:
        """Return the canonical query: all parameters but the signature, encoded and sorted."""
        if not self.pairs:
            return b""
        encoded = sorted(
            (quote_from_bytes(name, safe=""), quote_from_bytes(value, safe=""))
            for name, value in self.pairs
            if name != _SIGNATURE
        )
        return "&".join([f"{name}={value}" for name, value in encoded]).encode()


def parse_path(path: str) -> SignedPath:
    """Return the forms of a path that a signature covers.

    Raises:
        MalformedQueryString: the path has an invalid escape, or is not a path of this server.
    """
    return _parse_usual(path) if len(path) <= _CACHED_CHARACTERS else _parse_path(path)


def parse_query(query: str) -> SignedQuery:
    """Parse a query string.

    Raises:
        MalformedQueryString: it has an invalid escape, or a fragment follows it.
    """
    if not query:
        return _EMPTY
    raw = _checked(query)
    pairs = []
    for pair in raw.split(b"&"):
        name, _, value = pair.partition(b"=")
        pairs.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    return SignedQuery(tuple(pairs), b"+" in raw)


def _parse_path(path: str) -> SignedPath:
    if not path.startswith("/"):
        raise _no_path()
    _checked(path)
    normalized = _normalize(path)
    raw = normalized.encode(errors="surrogateescape")
    return SignedPath(normalized, quote_from_bytes(raw, safe="/-_.~").encode())


def _normalize(path: str) -> str:
    """Remove dot segments (RFC 3986, 5.2.4) and empty segments; a final slash remains."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    final_slash = "/" if path.endswith("/") and kept else ""
    return f"/{'/'.join(kept)}{final_slash}"


def _checked(text: str) -> bytes:
    """Return a path or a query string in bytes; reject invalid escapes and a fragment."""
    if "#" in text:
        raise _no_path()
    raw = text.encode(errors="surrogateescape")
    if b"%" in raw and (invalid := _INVALID_ESCAPE.search(raw)):
        raise MalformedQueryString(f"Illegal hex character in escape % pattern: {echo(invalid[0])}")
    return raw


def _no_path() -> MalformedQueryString:
    # Such a target names a host, which a proxy would believe, or has a part that no server gets.
    return MalformedQueryString("The request target must be a path, without a fragment.")


_EMPTY = SignedQuery()
_parse_usual = lru_cache(_CACHED_PATHS)(_parse_path)
