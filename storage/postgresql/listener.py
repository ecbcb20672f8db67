"""The listener: one PostgreSQL connection per server, besides those that run transactions.

It receives the notifications of other servers (LISTEN), measures the database's clock, and elects
the leader: the server whose listener holds an advisory lock. When a listener loses its connection,
it gives up leadership, reconnects, and resyncs, because it may have missed notifications.

Behind a transaction pooler, nothing lasts longer than a transaction. There, no notifications are
sent or received, and the leader keeps a transaction open that holds the lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import sqlalchemy as sa

from storage.clock import Clock
from storage.postgresql.connection import FAILURES, Address, AsyncpgConnection
from storage.sql.driver import driver_of
from storage.waiting import notifications
from storage.waiting.notifications import NotificationHandler, Notifications

log = logging.getLogger(__name__)

_CHANNEL = "queueserver"

# Servers of all versions must use the same channel and the same lock.
_LEADER_LOCK = 0x64757479
_LOCK = f"SELECT pg_try_advisory_lock({_LEADER_LOCK})"
_LOCK_IN_TRANSACTION = f"SELECT pg_try_advisory_xact_lock({_LEADER_LOCK})"

_TIME = (
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8, "
    "(SELECT value::bigint FROM properties WHERE name = 'reached_ms')"
)
_FIRST_MEASUREMENTS = 5

_CHECK_SECONDS = 1.0
"""Interval at which the listener measures the clock and tries to become the leader."""
_RECONNECT_SECONDS = 0.25
"""Delay before each reconnect."""
_SESSION = {
    "application_name": "queueserver listener",
    # A server that hangs must not remain the leader.
    "idle_session_timeout": "10s",
}


class Listener:
    """The listener of one server.

    With `poll_seconds`, the database is behind a transaction pooler, and the listener resyncs at
    this interval instead of receiving notifications.
    """

    def __init__(self, address: Address, poll_seconds: float | None) -> None:
        self._address = address
        self._poll_seconds = poll_seconds
        self._sender = secrets.token_hex(4)
        self._connection: AsyncpgConnection | None = None
        self._lost = asyncio.Event()
        self._is_leader = False
        self._clock: Clock
        self._handler: NotificationHandler
        self._task: asyncio.Task[None] | None = None

    async def open(self, clock: Clock) -> None:
        """Connect, and set the clock.

        Raises:
            FAILURES: PostgreSQL cannot be reached, or does not answer.
        """
        self._clock = clock
        await self._connect()

    def listen(self, handler: NotificationHandler) -> None:
        """Pass notifications and changes of leadership to a handler, until `close`."""
        self._handler = handler
        self._task = asyncio.create_task(self._run(), name="listener")

    def notify(self, connection: sa.Connection, sent: Notifications, now_ms: int) -> None:
        """Notify the other servers when this transaction commits."""
        if self._poll_seconds is None and sent:
            driver = driver_of(connection)
            for payload in notifications.encode(self._sender, sent, now_ms):
                driver.notify_with_commit(_CHANNEL, payload)

    async def close(self) -> None:
        """Stop listening, give up leadership, and close the connection."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        connection, self._connection = self._connection, None
        if connection is not None:
            # Not `terminate`: the lock must be free when this returns.
            with contextlib.suppress(*FAILURES):
                await connection.close(timeout=self._address.timeouts.listener_seconds)

    async def _run(self) -> None:
        is_logged = False
        while True:
            try:
                connection = self._connection or await self._connect()
                if is_logged:
                    log.warning("reconnected to PostgreSQL notifications")
                is_logged = False
                await self._listen(connection)
            except FAILURES as error:
                if not is_logged:
                    log.warning(
                        "lost connection to PostgreSQL notifications: reconnecting "
                        "every=%ss error=%s",
                        _RECONNECT_SECONDS,
                        str(error) or "no answer",
                    )
                is_logged = True
            except Exception:
                log.exception("listener failed: reconnecting every=%ss", _RECONNECT_SECONDS)
            self._disconnect()
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _connect(self) -> AsyncpgConnection:
        connection = await self._address.connect(_SESSION)
        self._lost.clear()
        connection.add_termination_listener(lambda _: self._lost.set())
        self._connection = connection
        for _ in range(_FIRST_MEASUREMENTS):
            await self._measure_clock(connection)
        return connection

    async def _listen(self, connection: AsyncpgConnection) -> None:
        """Listen on a connection until it is lost.

        Raises:
            FAILURES: the connection is lost.
        """
        if self._poll_seconds is None:
            await connection.add_listener(_CHANNEL, self._on_notification)
        self._handler.resync()
        check_seconds = min(_CHECK_SECONDS, self._poll_seconds or _CHECK_SECONDS)
        while not self._lost.is_set():
            await self._measure_clock(connection)
            if not self._is_leader and await self._try_to_lead(connection):
                self._is_leader = True
                self._handler.set_leader(True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), check_seconds)
            if self._poll_seconds is not None:
                self._handler.resync()
        raise ConnectionResetError("the connection was closed")

    def _on_notification(
        self, _connection: object, _pid: int, _channel: str, payload: object
    ) -> None:
        sender, received = notifications.decode(str(payload))
        if sender != self._sender:
            self._handler.handle(received)

    async def _measure_clock(self, connection: AsyncpgConnection) -> None:
        """Read PostgreSQL's clock; it was read at some time between the query and its answer."""
        started = perf_counter()
        time_ms, floor_ms = await self._fetch_row(connection, _TIME)
        error_ms = (perf_counter() - started) * 500
        self._clock.adjust(time_ms + error_ms, error_ms)
        self._clock.raise_floor(floor_ms or 0)

    async def _try_to_lead(self, connection: AsyncpgConnection) -> bool:
        """Return whether this server has got the leader's lock."""
        if self._poll_seconds is None:
            return bool((await self._fetch_row(connection, _LOCK))[0])
        await connection.execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")
        (is_leader,) = await self._fetch_row(connection, _LOCK_IN_TRANSACTION)
        if not is_leader:
            await connection.execute("ROLLBACK")
        return bool(is_leader)

    async def _fetch_row(self, connection: AsyncpgConnection, query: str) -> Sequence[Any]:
        """Return the only row of a query.

        In a transaction, PostgreSQL keeps the snapshot of a statement until the next statement, and
        meanwhile frees no dead rows of any table. An empty SELECT makes it drop the snapshot.
        """
        seconds = self._address.timeouts.listener_seconds
        row = await connection.fetchrow(query, timeout=seconds)
        if connection.is_in_transaction():
            await connection.execute("SELECT", timeout=seconds)
        if row is None:
            raise ConnectionResetError("the query returned no row")
        return tuple(row)

    def _disconnect(self) -> None:
        if self._is_leader:
            self._is_leader = False
            self._handler.set_leader(False)
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
