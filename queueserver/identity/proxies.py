"""Trusted proxies: whose X-Forwarded headers count, and the address of the client behind them.

The headers X-Forwarded-Host, -Proto and -For are claims of the peer. Any client can send them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias, final

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_HOPS = 32
"""Most addresses of X-Forwarded-For that are read, from the right."""

_IPV6 = r"[0-9A-Fa-f:.]{2,60}(?:%[A-Za-z0-9._-]{1,20})?"
_PORT = r"(?::[0-9]{1,5})?"
_ENTRY = re.compile(rf"([0-9.]{{7,15}}){_PORT}|\[({_IPV6})\]{_PORT}|({_IPV6})")
"""An IPv4 address or an IPv6 address in brackets, with or without a port, or an IPv6 address."""

_CACHED_PEERS = 1_000

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


@final
class Peer:
    """The headers that count in the requests of a connection; few objects stand for all of them.

    Attributes:
        is_secure: the connection itself uses TLS.
        is_proxy: it is that of a trusted proxy, whose headers say who the client is.
        names_host: X-Forwarded-Host and -Proto count for queue URLs.
    """

    # Objects are compared by identity: a peer is a part of keys of caches.
    __slots__ = ("is_proxy", "is_secure", "names_host")

    def __init__(self, *, is_secure: bool, is_proxy: bool, names_host: bool) -> None:
        self.is_secure = is_secure
        self.is_proxy = is_proxy
        self.names_host = names_host

    def is_request_secure(self, forwarded_proto: str) -> bool:
        """Return whether a request came over TLS all the way, as far as the server can know.

        Of several values, each may be that of a proxy, and the first one may be the client's own.
        """
        if not self.is_proxy or not forwarded_proto:
            return self.is_secure
        return all(proto.strip().lower() == "https" for proto in forwarded_proto.split(","))


class Proxies:
    """The proxies that an operator trusts.

    `networks` are the texts of networks that `read_network` returns. Without any, the headers count
    for queue URLs alone, and only if `is_open`: then the server does not check access, and a client
    that lies misleads itself.
    """

    def __init__(self, networks: Sequence[str], *, is_open: bool) -> None:
        self._networks: list[_Network] = [ipaddress.ip_network(text) for text in networks]
        self._trusts = lru_cache(_CACHED_PEERS)(self._is_listed)
        is_believed = is_open and not networks
        self._peers = {
            (is_secure, is_proxy): Peer(
                is_secure=is_secure, is_proxy=is_proxy, names_host=is_proxy or is_believed
            )
            for is_secure in (False, True)
            for is_proxy in (False, True)
        }

    def peer(self, address: str, *, is_secure: bool) -> Peer:
        """Return which headers count in the requests of a connection from an IP address."""
        return self._peers[is_secure, self._is_trusted(address)]

    def client_address(self, peer_address: str, forwarded_for: str) -> str:
        """Return the address of the client behind a trusted proxy.

        `forwarded_for` is X-Forwarded-For, to which each proxy appends the address of its client.
        The client is the last address that is not a trusted proxy's: a client can write the ones
        before. The walk stops at an entry that is no address.
        """
        client = peer_address
        # The part that is not split, if there is one, is not read.
        for entry in reversed(forwarded_for.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]):
            address = _address_in(entry.strip(" \t"))
            if address is None:
                break
            client = address
            if not self._is_trusted(address):
                break
        return client

    def _is_trusted(self, address: str) -> bool:
        return bool(self._networks) and self._trusts(address)

    def _is_listed(self, text: str) -> bool:
        address = _parse(text)
        return address is not None and any(address in network for network in self._networks)


def read_network(text: str) -> str:
    """Return a network such as `10.0.0.0/8`, or that of one address, in its usual form.

    Raises:
        ValueError: the text is neither a network nor an address.
    """
    if not text.isascii() or "%" in text:
        raise ValueError(text)
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        # The addresses of IPv4 clients are compared as such, whatever the family of the listener.
        mapped = network.network_address.ipv4_mapped
        return f"{mapped}/{network.prefixlen - _MAPPED.prefixlen}"
    return str(network)


def _address_in(entry: str) -> str | None:
    """Return the IP address in an entry of X-Forwarded-For, without brackets and port, or None."""
    found = _ENTRY.fullmatch(entry)
    address = None if found is None else _parse(found[1] or found[2] or found[3])
    return None if address is None else str(address)


def _parse(text: str) -> _Address | None:
    """Return an address without the scope of IPv6; that of an IPv4 client as an IPv4 address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
