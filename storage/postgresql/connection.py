"""PostgreSQL connections: libpq URLs, several hosts, session settings and timeouts.

asyncpg reads the URL: hosts, `target_session_attrs`, TLS options and server settings. Every connect
and every statement has a timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from storage.errors import DatabaseUnusable, mask_password
from storage.settings import PostgresqlTimeouts

AsyncpgConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

FAILURES = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a host that rejects writes, among others
)
"""Errors of connecting and of statements after which a retry may succeed."""

_SESSION = {
    # A queue fills and empties faster than statistics are collected, so they are always wrong.
    # Every hot statement must walk an index from its head; going by the statistics, the planner
    # would now and then sort a whole backlog.
    **{
        f"enable_{what}": "off"
        for what in ("sort", "seqscan", "bitmapscan", "hashjoin", "mergejoin", "material")
    },
    # For the same reason, a plan for the actual parameters is no better than the generic plan, and
    # a plan for a long list may be to read the whole queue.
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    # Statements that run with COMMIT contain quoted literals.
    "standard_conforming_strings": "on",
    "application_name": "queueserver",
    "statement_timeout": "8s",
    # A server that freezes inside a transaction must not keep its locks for long.
    "idle_in_transaction_session_timeout": "10s",
}

_NETWORK = {
    # PostgreSQL must notice, too, when this server's machine is gone.
    "client_connection_check_interval": "5s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}

_SOCKET_OPTIONS = {
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 2,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 8_000,
}

PER_TRANSACTION = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', true)" for name, value in _SESSION.items()
)
"""Set the session's settings for one transaction, behind a pooler that shares sessions."""


class Address:
    """The hosts of one PostgreSQL database, of which one accepts writes.

    With `is_pooled`, the database is behind a transaction pooler: sessions are shared, so `connect`
    changes no session settings.
    """

    def __init__(self, url: str, timeouts: PostgresqlTimeouts, *, is_pooled: bool) -> None:
        self.timeouts = timeouts
        self._url = url
        self._is_pooled = is_pooled
        self._hosts = _urls_by_host(url)
        self._has_target = "target_session_attrs" in parse_qs(urlsplit(url).query)

    async def connect(
        self, settings: Mapping[str, str], *, has_timeouts: bool = True
    ) -> AsyncpgConnection:
        """Connect to the host that worked last time, else to the first one that works.

        Args:
            settings: session settings, besides those that every session has.
            has_timeouts: false for a session whose statements may take any time.

        Raises:
            FAILURES: no host works; the error is the last host's.
            ValueError: the URL cannot be parsed.
        """
        untimed = {} if has_timeouts else {"statement_timeout": "0"}
        statement_seconds = self.timeouts.statement_seconds if has_timeouts else None
        last = len(self._hosts) - 1
        for place, url in enumerate(list(self._hosts)):
            try:
                connection = await self._connect(url, statement_seconds)
            except FAILURES:
                if place == last:
                    raise
                continue
            self._hosts.remove(url)
            self._hosts.insert(0, url)
            break
        try:
            if not self._is_pooled:
                await connection.execute(_set({**_SESSION, **untimed, **settings}))
                with contextlib.suppress(asyncpg.PostgresError):
                    # Some operating systems lack some of these.
                    await connection.execute(_set(_NETWORK))
        except BaseException:
            connection.terminate()
            raise
        if connection.is_closed():
            raise ConnectionResetError("connection lost while it was set up")
        return connection

    async def _connect(self, url: str, statement_seconds: float | None) -> AsyncpgConnection:
        # One of several hosts may be a standby; a connection to it could not write.
        is_any_host = self._has_target or len(self._hosts) == 1
        connection: AsyncpgConnection = await asyncpg.connect(
            url,
            timeout=self.timeouts.connect_seconds,
            command_timeout=statement_seconds,
            target_session_attrs=None if is_any_host else SessionAttribute.read_write,
        )
        _enable_keepalive(connection)
        return connection

    def display_url(self) -> str:
        """Return the URL for an error message, without its password."""
        return mask_password(self._url)


def _set(settings: Mapping[str, str]) -> str:
    return "; ".join(f"SET {name} = '{value}'" for name, value in settings.items())


def _urls_by_host(url: str) -> list[str]:
    """Return one URL for each host of a URL.

    asyncpg has one timeout for all hosts, and a host that does not answer would use it up.

    Raises:
        DatabaseUnusable: the URL cannot be parsed.
    """
    try:
        parts = urlsplit(url)
        user, at, hosts = parts.netloc.rpartition("@")
    except ValueError as error:
        raise DatabaseUnusable(f"the database's URL cannot be read: {error}") from error
    return [parts._replace(netloc=f"{user}{at}{host}").geturl() for host in hosts.split(",")]


def _enable_keepalive(connection: AsyncpgConnection) -> None:
    """Enable keepalives, by which the operating system detects that the other end is gone."""
    transport: asyncio.Transport = connection._transport  # type: ignore[attr-defined]
    stream: socket.socket | None = transport.get_extra_info("socket")
    if stream is None or stream.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _SOCKET_OPTIONS.items():
        if hasattr(socket, name):  # depends on the operating system
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
