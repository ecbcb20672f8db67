"""A complete server on its own event loop and thread, and a clock that counts alarms."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

import uvloop
from aiohttp import web
from msgspec import structs

from queueserver.access.modes import AccessMode
from queueserver.access.users import Users
from queueserver.app import App
from queueserver.clock import real_seconds
from queueserver.config import Config
from queueserver.declared_queues import DeclaredQueue
from queueserver.encryption.modes import EncryptionMode
from queueserver.http.clients.connections import ClientConnection, ClientConnections
from queueserver.http.clients.endpoint import (
    DirectConnection,
    Endpoint,
    NotBegun,
    PendingAnswer,
)
from queueserver.http.listener import Listener
from queueserver.http.tls.certificates import Certificates
from queueserver.identity.authenticator import Authenticator
from storage.clock import Clock
from storage.settings import EngineSettings
from tests.api.raw_http import exchange, json_headers
from tests.clock import ManualClock
from tests.databases import LONG_TIMEOUTS
from tests.waiting import TIMEOUT_SECONDS

_LONGEST_POLL_MS = 20_000
"""The longest long poll (AWS: WaitTimeSeconds 0 to 20)."""


def config(
    database: str,
    *,
    cooldowns: bool = False,
    in_flight_limit: int = 120_000,
    queues: Mapping[str, DeclaredQueue] | None = None,
    allowed_hosts: tuple[str, ...] = (),
    cors_origins: tuple[str, ...] = (),
) -> Config:
    """Return the default settings, with a free port."""
    return Config(
        host=("127.0.0.1",),
        port=(0,),
        database=database,
        account="000000000000",
        region="us-east-1",
        public_url=None,
        allowed_hosts=allowed_hosts,
        cors_origins=cors_origins,
        tls_cert=None,
        tls_key=None,
        tls_client_ca=None,
        tls_port=(),
        trusted_proxies=(),
        cooldowns=cooldowns,
        in_flight_limit=in_flight_limit,
        connection_limit=16_000,
        pending_limit=10_000,
        buffer_mib=128,
        request_timeout=20,
        idle_timeout=300,
        pool_size=5,
        poll_seconds=None,
        log_level="info",
        log_format="text",
        queues=queues or {},
        access=AccessMode.OFF,
        encryption=EncryptionMode.OFF,
        encryption_key_file=None,
        encryption_key_command=None,
        loose_secret_files=False,
        users=Users(),
        keyring=None,
    )


class AlarmCountingClock(ManualClock):
    """A manual clock that counts the pending alarms of at most 20 s, by their time.

    A waiting receiver sets one alarm, at its deadline, and cancels it when it wakes up. A move task
    does the same between two steps. A test that uses different times for them can count each.
    Upkeep sets longer alarms.
    """

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._alarm_counts: Counter[int] = Counter()

    def call_at(self, when_ms: int, callback: Callable[[], None], /) -> Callable[[], None]:
        is_short = when_ms - self.now_ms() <= _LONGEST_POLL_MS
        cancel_alarm = super().call_at(when_ms, callback)
        if not is_short:
            return cancel_alarm
        self._count(when_ms, 1)

        def cancel() -> None:
            cancel_alarm()
            self._count(when_ms, -1)

        return cancel

    def wait_for_alarms(self, seconds: float, count: int = 1) -> None:
        """Block until exactly `count` alarms are pending for `seconds` from now."""
        when_ms = self.now_ms() + round(seconds * 1_000)
        with self._changed:
            is_reached = self._changed.wait_for(
                lambda: self._alarm_counts[when_ms] == count, TIMEOUT_SECONDS
            )
        assert is_reached, f"{self._alarm_counts[when_ms]} alarms are pending, not {count}"

    def _count(self, when_ms: int, change: int) -> None:
        with self._changed:
            self._alarm_counts[when_ms] += change
            self._changed.notify_all()


class _TasksOnly:
    """An endpoint that answers every request by a task."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def begin(self, _connection: DirectConnection, _data: bytes) -> NotBegun:
        return NotBegun.NEEDS_TASK

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._endpoint.handle(request)

    def handle_failure(
        self, request: web.BaseRequest, status: int, error: BaseException | None
    ) -> web.StreamResponse:
        return self._endpoint.handle_failure(request, status, error)


class DirectAnswerCounter:
    """An endpoint that counts the requests which it begins to answer without a task."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.count = 0

    def begin(self, connection: DirectConnection, data: bytes) -> PendingAnswer | NotBegun:
        answer = self._endpoint.begin(connection, data)
        self.count += not isinstance(answer, NotBegun)
        return answer

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._endpoint.handle(request)

    def handle_failure(
        self, request: web.BaseRequest, status: int, error: BaseException | None
    ) -> web.StreamResponse:
        return self._endpoint.handle_failure(request, status, error)


class LiveServer:
    """A server that listens from its construction until `close`."""

    def __init__(
        self, settings: Config, clock: Clock, now: Callable[[], float] = real_seconds
    ) -> None:
        self._loop = uvloop.new_event_loop()
        self._app = App(settings, clock, EngineSettings(postgresql=LONG_TIMEOUTS), now)
        self._thread = threading.Thread(target=self._loop.run_forever, name="server", daemon=True)
        self._thread.start()
        try:
            self._run(self._app.start())
        except BaseException:
            self._stop_loop()
            raise

    @property
    def url(self) -> str:
        return self._app.urls[0]

    @property
    def urls(self) -> tuple[str, ...]:
        return self._app.urls

    @property
    def listener(self) -> Listener:
        return self._app._listener

    @property
    def certificates(self) -> Certificates:
        certificates = self.listener._certificates
        assert certificates is not None
        return certificates

    @property
    def authenticator(self) -> Authenticator:
        return self._app._authenticator

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    @property
    def connections(self) -> ClientConnections:
        return self.listener.connections

    def answer_with_tasks_only(self) -> None:
        """Answer all requests as the server answers rare ones: by aiohttp, with a task for each."""
        self.connections.endpoint = _TasksOnly(self.connections.endpoint)

    def count_direct_answers(self) -> DirectAnswerCounter:
        """Count the requests that the server begins to answer without a task from now on."""
        counter = DirectAnswerCounter(self.connections.endpoint)
        self.connections.endpoint = counter
        return counter

    def has_pending_answer(self) -> bool:
        """Return whether a request that is answered without a task waits for its command."""
        return any(
            connection._pending is not None
            for connection in self.connections.connections
            if isinstance(connection, ClientConnection)
        )

    def has_half_closed_client(self) -> bool:
        """Return whether a client has closed its sending side and waits for an answer."""
        return any(
            connection._has_ended
            for connection in self.connections.connections
            if isinstance(connection, ClientConnection)
        )

    def reload(self, settings: Config, number: int) -> None:
        """Use the users and keys of a configuration that was read again."""
        self._run(self._app.reload(settings, number))

    def close(self) -> None:
        self._run(self._app.stop())
        self._stop_loop()

    def reload_certificate(self) -> None:
        """Load the certificate again, and wait until that has ended."""
        self._run(self.certificates.reload())

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TIMEOUT_SECONDS)

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT_SECONDS)
        self._loop.close()


Start = Callable[..., LiveServer]
"""Starts a server with the given settings, and creates the queue `q`."""


@contextlib.contextmanager
def starting_servers(url: str, clock: Clock, **defaults: object) -> Iterator[Start]:
    """Yield a function that starts servers on a database; close them at the end."""
    with contextlib.ExitStack() as stack:

        def start(**settings: object) -> LiveServer:
            server = LiveServer(structs.replace(config(url), **{**defaults, **settings}), clock)
            stack.callback(server.close)
            body = json.dumps({"QueueName": "q"})
            answer = exchange(server.url, headers=json_headers("CreateQueue"), body=body)
            assert answer.status == 200
            return server

        yield start
