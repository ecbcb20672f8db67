"""Listening sockets: the addresses of the hosts, and the same ports on all of them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias, cast

from queueserver.start_errors import StartError

BACKLOG = 1024
"""Most connections that the system queues until the server accepts them."""

_ANY_IPV4 = "0.0.0.0"  # noqa: S104 (what the operator may write)
_ANY_IPV6 = "::"

_ATTEMPTS = 20
"""With port 0: how many ports the server tries, to find one that is free on all addresses."""

_NOT_THERE = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
"""The errors for ::1 on a machine without IPv6."""

_Place: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


class _Address(NamedTuple):
    """An address of a host; `place` is what the socket module takes, with any port."""

    family: int
    place: _Place
    host: str
    is_optional: bool = False


async def bind(hosts: Sequence[str], ports: Sequence[int]) -> dict[int, list[socket.socket]]:
    """Return listening sockets for all addresses of the hosts, by their ports.

    `::` stands for all addresses of IPv6 and of IPv4. `localhost` is 127.0.0.1 and ::1, whatever
    the resolver says, because some clients dial only the one or the other. Port 0 becomes a port
    that is free on all addresses.

    Raises:
        StartError: a host has no address, or an address cannot be bound.
    """
    addresses: list[_Address] = []
    for host in hosts:
        addresses += await _addresses(host, ports[0])
    addresses = _without_covered(addresses)
    with contextlib.ExitStack() as opened:
        bound: dict[int, list[socket.socket]] = {}
        # The free port must differ from the others.
        for port in sorted(ports, key=lambda port: port == 0):
            sockets = _bind(addresses, port) if port else _bind_to_free_port(addresses)
            for each in sockets:
                opened.enter_context(each)
            bound[sockets[0].getsockname()[1]] = sockets
        opened.pop_all()
    return bound


def name_of(host: str, port: int) -> str:
    """Return a host and its port as a URL has them."""
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(address: str) -> bool:
    """Return whether only this machine can connect to an IP address."""
    found = ipaddress.ip_address(address)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


async def _addresses(host: str, port: int) -> list[_Address]:
    if host.lower() == "localhost":
        return [
            _Address(socket.AF_INET, ("127.0.0.1", 0), host),
            _Address(socket.AF_INET6, ("::1", 0, 0, 0), host, is_optional=True),
        ]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise _failure(host, port, error) from error
    return [_Address(family, cast("_Place", place), host) for family, _, _, _, place in found]


def _without_covered(addresses: Sequence[_Address]) -> list[_Address]:
    """Return each address once, without those that `::` or `0.0.0.0` in the list stands for."""
    # An optional address that is in the list on its own, too, is not optional.
    places = {
        address.place: address
        for address in sorted(addresses, key=lambda address: not address.is_optional)
    }
    hosts = {place[0] for place in places}
    if _ANY_IPV6 in hosts:
        return [address for address in places.values() if address.place[0] == _ANY_IPV6]
    is_covered = _ANY_IPV4 in hosts
    return [
        address
        for address in places.values()
        if not (is_covered and address.family == socket.AF_INET and address.place[0] != _ANY_IPV4)
    ]


def _bind(addresses: Sequence[_Address], port: int) -> list[socket.socket]:
    """Return a socket for each address, the first one's port for all.

    Raises:
        StartError: an address cannot be bound.
    """
    with contextlib.ExitStack() as opened:
        sockets: list[socket.socket] = []
        for address in addresses:
            try:
                bound = _listen(address, sockets[0].getsockname()[1] if sockets else port)
            except OSError as error:
                if address.is_optional and error.errno in _NOT_THERE:
                    continue
                raise _failure(address.host, port, error) from error
            sockets.append(opened.enter_context(bound))
        opened.pop_all()
    return sockets


def _bind_to_free_port(addresses: Sequence[_Address]) -> list[socket.socket]:
    for attempt in range(_ATTEMPTS):
        try:
            return _bind(addresses, 0)
        except StartError as error:
            # The system chose a port for the first address, and it is in use on another one.
            is_taken = getattr(error.__cause__, "errno", None) == errno.EADDRINUSE
            if not is_taken or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _listen(address: _Address, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: the address cannot be bound.
    """
    with contextlib.ExitStack() as opened:
        made = opened.enter_context(socket.socket(address.family, socket.SOCK_STREAM))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address.place[0] != _ANY_IPV6)
        made.bind((address.place[0], port, *address.place[2:]))
        made.listen(BACKLOG)
        opened.pop_all()
    return made


def _failure(host: str, port: int, error: Exception) -> StartError:
    reason = getattr(error, "strerror", None) or error
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        reason = "address already in use"
    return StartError(f"cannot listen on {name_of(host, port)}: {reason}")
