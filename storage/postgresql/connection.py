"""How PostgreSQL is reached: its URL as libpq writes it, several hosts, timeouts everywhere.

What a URL may say is asyncpg's to know: hosts, `target_session_attrs`, TLS, and server settings.
Refuses to wait for ever: every host has a few seconds to answer, and so has every statement.
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

AsyncpgConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

FAILURES = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a host that does not take writes, for one
)
"""What may go wrong with a connection, and may be right the next time."""

CONNECT_SECONDS = 3.0
"""How long each host has to let us in."""

STATEMENT_SECONDS = 10.0
"""How long a statement may take, waiting for others included, before it is given up here.

PostgreSQL itself gives it up a little earlier, and then the connection is still of use."""

_SESSION = {
    # The tables' statistics are always out of date, because a queue fills and empties faster than
    # they are taken. Every hot statement is to walk an index from its head; judging by statistics,
    # the planner would now and then sort a whole backlog.
    **{
        f"enable_{what}": "off"
        for what in ("sort", "seqscan", "bitmapscan", "hashjoin", "mergejoin", "material")
    },
    # For the same reason one plan is as good as another for all that may be asked for, and a plan
    # that is made for a long list may be to read all of a queue.
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    # What is said with the COMMIT has its texts written into it.
    "standard_conforming_strings": "on",
    "application_name": "queueserver",
    "statement_timeout": "8s",
    # A server that freezes in mid-transaction must not keep its rows from the others for long.
    "idle_in_transaction_session_timeout": "10s",
}

_NETWORK = {
    # PostgreSQL is to notice as well when this server's machine is gone.
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
"""The session's settings for one transaction, where a pooler gives each to another session."""


class Address:
    """A PostgreSQL, on one host or one of several, of which that is used that takes writes.

    Behind a pooler of transactions nothing is settled for a session, which lasts for none.
    """

    def __init__(self, url: str, *, is_pooled: bool) -> None:
        self._url = url
        self._is_pooled = is_pooled
        self._hosts = _one_by_one(url)
        self._asks_for_kind = "target_session_attrs" in parse_qs(urlsplit(url).query)

    async def connect(
        self, settings: Mapping[str, str], *, is_patient: bool = False
    ) -> AsyncpgConnection:
        """Connect to the host that was of use the last time, else to the first that is.

        `settings` hold for this session beside those that hold for all; on one that `is_patient`,
        statements take as long as they take.

        Raises:
            FAILURES: there is none; it is the last host's answer.
            ValueError: the URL cannot be read.
        """
        patience = {"statement_timeout": "0"} if is_patient else {}
        last = len(self._hosts) - 1
        for place, url in enumerate(list(self._hosts)):
            try:
                connection = await self._connect(url, None if is_patient else STATEMENT_SECONDS)
            except FAILURES:
                if place == last:
                    raise
                continue
            self._hosts.remove(url)
            self._hosts.insert(0, url)
            break
        try:
            if not self._is_pooled:
                await connection.execute(_set({**_SESSION, **patience, **settings}))
                with contextlib.suppress(asyncpg.PostgresError):
                    # Not every system that PostgreSQL runs on has all of them.
                    await connection.execute(_set(_NETWORK))
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _connect(self, url: str, statement_seconds: float | None) -> AsyncpgConnection:
        # Where a standby may be met, a connection that cannot write is of no use.
        is_told = self._asks_for_kind or len(self._hosts) == 1
        connection: AsyncpgConnection = await asyncpg.connect(
            url,
            timeout=CONNECT_SECONDS,
            command_timeout=statement_seconds,
            target_session_attrs=None if is_told else SessionAttribute.read_write,
        )
        _watch_over(connection)
        return connection

    def where(self) -> str:
        """Name the database in an error, without its password."""
        return mask_password(self._url)


def _set(settings: Mapping[str, str]) -> str:
    return "; ".join(f"SET {name} = '{value}'" for name, value in settings.items())


def _one_by_one(url: str) -> list[str]:
    """Give a URL for each of a URL's hosts.

    The driver has one timeout for all of them: one that does not answer would use it up.
    """
    try:
        parts = urlsplit(url)
        user, at, hosts = parts.netloc.rpartition("@")
    except ValueError as error:
        raise DatabaseUnusable(f"the database's URL cannot be read: {error}") from error
    return [parts._replace(netloc=f"{user}{at}{host}").geturl() for host in hosts.split(",")]


def _watch_over(connection: AsyncpgConnection) -> None:
    """Let the system notice when nobody is at the other end any more."""
    transport: asyncio.Transport = connection._transport  # type: ignore[attr-defined]
    stream: socket.socket | None = transport.get_extra_info("socket")
    if stream is None or stream.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _SOCKET_OPTIONS.items():
        if hasattr(socket, name):  # not all systems have all of them
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
