"""A request as its signature covers it: the bytes that came, before anything is decoded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec


# `gc=False`: it is part of no reference cycle.
class SignedRequest(msgspec.Struct, frozen=True, gc=False):
    """A request that may be signed.

    Attributes:
        method: the HTTP method.
        path: the path as received; bytes that are not UTF-8 are surrogates.
        query: the query string as received, without the question mark.
        headers: the value of each header, by its name in lower case; equal headers are joined
            by a comma in the order of their arrival.
        body: the body as received, not decompressed.
        has_form: whether the server reads the body as a form, whose parameters may be credentials.
        repeated: the names of the headers that came more than once.
    """

    method: str
    path: str
    query: str
    headers: Mapping[bytes, bytes]
    body: bytes
    has_form: bool
    repeated: frozenset[bytes] = frozenset()

    @classmethod
    def from_pairs(
        cls,
        method: str,
        target: str,
        pairs: Iterable[tuple[bytes, bytes]],
        body: bytes,
        *,
        has_form: bool,
    ) -> SignedRequest:
        """Return a request of which the headers are pairs, as aiohttp's `raw_headers` are.

        `target` is the path and the query as received, as aiohttp's `raw_path` is.
        """
        headers: dict[bytes, bytes] = {}
        repeated = set()
        for name, value in pairs:
            lower = name.lower()
            if lower in headers:
                repeated.add(lower)
                headers[lower] += b"," + value.strip()
            else:
                headers[lower] = value.strip()
        path, _, query = target.partition("?")
        return cls(method, path, query, headers, body, has_form, frozenset(repeated))
