"""A server's tie to the others on its PostgreSQL: one connection beside those that do the work.

On it come the news of other servers, the time by the database's clock, and word of whose turn it
is to do what one server does for all. Whoever loses it has lost that turn, takes it that news was
missed, and ties itself anew. Refuses to know what the news means to whom.
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

from storage import notifications
from storage.clock import Clock
from storage.notifications import NotificationHandler, Notifications
from storage.postgresql.connection import FAILURES, Address, AsyncpgConnection
from storage.sql.arrays import ValueList
from storage.sql.statement import Statement

log = logging.getLogger(__name__)

_CHANNEL = "queueserver"

_DUTY = 0x64757479  # "duty"
_TAKE_DUTY = f"SELECT pg_try_advisory_lock({_DUTY})"
_TAKE_DUTY_IN_TRANSACTION = f"SELECT pg_try_advisory_xact_lock({_DUTY})"

_TIME = (
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8, "
    "(SELECT value::bigint FROM properties WHERE name = 'reached_ms')"
)
_FIRST_MEASUREMENTS = 5

_BEAT_SECONDS = 1.0
"""How often the time is asked for, and the duty if another server has it."""
_PAUSE_SECONDS = 0.25
"""How long after a failure it is tried anew."""
_SESSION = {
    "application_name": "queueserver link",
    # A server that does not say anything any more must not keep the duty.
    "idle_session_timeout": "10s",
}

_NOTIFY = Statement(
    sa.select(sa.func.pg_notify(_CHANNEL, sa.column("payload"))).select_from(
        sa.func.unnest(sa.bindparam("payloads", type_=ValueList(sa.Text()))).alias("payload")
    )
)


class Listener:
    """The link of one server; `poll_seconds` is how often it looks where nobody can tell it.

    Where sessions are pooled nothing lasts longer than a transaction. So there is no listening, and
    who has the duty has it for as long as one transaction, which it leaves open.
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

    def notify(self, connection: sa.Connection, told: Notifications, now_ms: int) -> None:
        """Tell the other servers, with the COMMIT of this transaction."""
        if self._poll_seconds is None and told:
            payloads = notifications.encode(self._sender, told, now_ms)
            _NOTIFY.rows(connection, {"payloads": payloads})

    async def open(self, clock: Clock) -> None:
        """Connect, and set the clock.

        Raises:
            FAILURES: that is not possible.
        """
        self._clock = clock
        await self._connect()

    def listen(self, handler: NotificationHandler) -> None:
        """Tell what comes from now on, and do so until the link is closed."""
        self._handler = handler
        self._task = asyncio.create_task(self._run(), name="link to the other servers")

    async def close(self) -> None:
        """Let go of the duty and of the connection."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        connection, self._connection = self._connection, None
        if connection is not None:
            # In good order, so that the duty is free when this returns.
            with contextlib.suppress(*FAILURES):
                await connection.close(timeout=self._address.timeouts.listener_seconds)

    async def _connect(self) -> None:
        connection = await self._address.connect(_SESSION)
        self._lost.clear()
        connection.add_termination_listener(lambda _: self._lost.set())
        self._connection = connection
        for _ in range(_FIRST_MEASUREMENTS):
            await self._measure(connection)

    async def _run(self) -> None:
        is_told = False
        while True:
            try:
                if self._connection is None:
                    await self._connect()
                if is_told:
                    log.warning("the link to the other servers is back")
                is_told = False
                await self._stay(self._connection)
            except FAILURES as error:
                if not is_told:
                    reason = str(error) or "no answer"
                    log.warning("the link to the other servers is lost: %s", reason)
                is_told = True
            except Exception:
                log.exception("the link to the other servers failed; it is tied anew")
            self._drop()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _stay(self, connection: AsyncpgConnection | None) -> None:
        """Be tied to the others until the connection is lost."""
        if connection is None:
            return
        if self._poll_seconds is None:
            await connection.add_listener(_CHANNEL, self._hear)
        self._handler.resync()
        beat_seconds = min(_BEAT_SECONDS, self._poll_seconds or _BEAT_SECONDS)
        while not self._lost.is_set():
            await self._measure(connection)
            if not self._is_leader and await self._try_for_duty(connection):
                self._is_leader = True
                self._handler.set_leader(True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), beat_seconds)
            if self._poll_seconds is not None:
                self._handler.resync()
        raise ConnectionResetError("the connection was closed")

    async def _measure(self, connection: AsyncpgConnection) -> None:
        """Ask what time it is; it was so at some moment between the question and the answer."""
        began = perf_counter()
        told_ms, reached_ms = await self._ask(connection, _TIME)
        error_ms = (perf_counter() - began) * 500
        self._clock.adjust(told_ms + error_ms, error_ms)
        self._clock.raise_floor(reached_ms or 0)

    async def _try_for_duty(self, connection: AsyncpgConnection) -> bool:
        if self._poll_seconds is None:
            return bool((await self._ask(connection, _TAKE_DUTY))[0])
        await connection.execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")
        (is_ours,) = await self._ask(connection, _TAKE_DUTY_IN_TRANSACTION)
        if not is_ours:
            await connection.execute("ROLLBACK")
        return bool(is_ours)

    async def _ask(self, connection: AsyncpgConnection, question: str) -> Sequence[Any]:
        """Give the one row that a statement gives.

        In a transaction, PostgreSQL keeps the statement's snapshot until there is another one, and
        for as long frees no dead rows of any table; so that there is one, even if it says nothing.
        """
        seconds = self._address.timeouts.listener_seconds
        row = await connection.fetchrow(question, timeout=seconds)
        if connection.is_in_transaction():
            await connection.execute("SELECT", timeout=seconds)
        if row is None:
            raise ConnectionResetError("the database has no answer")
        return tuple(row)

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        sender, heard = notifications.decode(str(payload))
        if sender != self._sender:
            self._handler.handle(heard)

    def _drop(self) -> None:
        if self._is_leader:
            self._is_leader = False
            self._handler.set_leader(False)
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
