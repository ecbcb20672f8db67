"""The addresses of this server: which base URL and region a request's headers name."""

from __future__ import annotations

import re
from typing import NamedTuple

from protocol.names import region_of_host

_CACHED_ADDRESSES = 1_000
"""The cache's limit in entries; at the limit, it is emptied."""

_CACHED_BYTES = 500
"""The longest headers, together, that are cached. An entry then takes at most 2 KB."""

_HOST = re.compile(r"[!-~]{1,261}")
"""A host name, of at most 255 characters (RFC 1035), and a port."""


_SCHEMES = {"http", "https"}


class Address(NamedTuple):
    """The scheme and host of queue URLs, and the region, or None if the host names none."""

    base_url: str
    region: str | None


class Addressing:
    """Finds the address that a client reached this server by.

    The base URL of the queue URLs in a response is `public_url` if there is one, else the host that
    the request names (behind a proxy, in X-Forwarded-Host and X-Forwarded-Proto), else `own_url`.
    Without X-Forwarded-Proto, its scheme is that of the connection. A host such as
    `sqs.eu-west-1.amazonaws.com` names the region, too.
    """

    def __init__(self, public_url: str | None) -> None:
        self.own_url = ""
        """The URL that the server listens on; set it as soon as it is known."""
        self._public_url = public_url
        self._cache: dict[tuple[str, str, str, str], Address] = {}

    def address(
        self, host: str, forwarded_host: str, forwarded_proto: str, *, is_secure: bool = False
    ) -> Address:
        """Return the address that these headers name; an absent header is an empty string.

        The region is read from Host alone, not from what a proxy forwards. `is_secure` is whether
        the connection uses TLS.
        """
        key = (host, forwarded_host, forwarded_proto, "https" if is_secure else "http")
        found = self._cache.get(key)
        if found is None:
            found = self._read(*key)
            text = f"{host}{forwarded_host}{forwarded_proto}"
            if text.isascii() and len(text) <= _CACHED_BYTES:
                if len(self._cache) >= _CACHED_ADDRESSES:
                    self._cache.clear()
                self._cache[key] = found
        return found

    def _read(self, host: str, forwarded_host: str, forwarded_proto: str, scheme: str) -> Address:
        base_url = self._public_url
        if not base_url:
            # Each proxy appends its own value, so the first one is the client's.
            name = forwarded_host.partition(",")[0].strip() or host
            proto = forwarded_proto.partition(",")[0].strip().lower()
            if _HOST.fullmatch(name):
                base_url = f"{proto if proto in _SCHEMES else scheme}://{name}"
        return Address(base_url or self.own_url, region_of_host(host))
