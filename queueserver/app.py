"""The HTTP server: one handler from request to response, the order of starting, a graceful stop.

Errors for the wire are caught here and nowhere else; nothing reaches a client as a traceback.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import signal
import sys
from email.utils import formatdate

import msgspec
import uvloop
from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from protocol.actions import CreateQueue, SetQueueAttributes, TagQueue
from protocol.codecs.choice import WireRequest, WireResponse, codec_for
from protocol.errors import (
    InternalFailure,
    MalformedInput,
    QueueNameExists,
    RequestThrottled,
    RequestTimeout,
    ServiceUnavailable,
    SQSError,
)
from protocol.names import queue_url, region_of_host
from queueserver import process_memory
from queueserver.actions.messages import Messages
from queueserver.actions.move_tasks import MoveTasks
from queueserver.actions.queue_cache import QueueCache
from queueserver.actions.queues import Queues
from queueserver.background.leader import LeaderWork
from queueserver.background.move_task_runner import MoveTaskRunner
from queueserver.background.upkeep import Upkeep
from queueserver.clock import SystemClock
from queueserver.config import Config, DeclaredQueue, StartError
from queueserver.context import RequestContext
from queueserver.dispatch import Operation, bind
from queueserver.http.connections import (
    MAXIMUM_REQUEST_BYTES,
    ClientConnection,
    ClientConnections,
    connection_of,
    raise_file_limit,
)
from queueserver.identifiers import as_text, new_identifier
from storage.clock import Clock
from storage.database import Database
from storage.errors import (
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseUnavailable,
    DatabaseUnusable,
    mask_password,
)

log = logging.getLogger(__name__)

_STOP_SECONDS = 8
"""How long a stop waits for requests that are being answered."""

_ADDRESSES = 1_000
"""How many ways to name this server are remembered; then all are forgotten."""

_CREDENTIAL = re.compile(
    r"Credential=([^/,\s&%=]+)(?:/|%2F)[0-9]{8}(?:/|%2F)([a-z0-9-]{1,63})(?:/|%2F)", re.IGNORECASE
)
_ACCOUNT = re.compile(r"[0-9]{12}")
_HOST = re.compile(r"[!-~]+")

# Whoever reads the answer must not take it for a page, whatever a message says.
_HEADERS = {"App": "queueserver", "X-Content-Type-Options": "nosniff"}
_HEAD = "".join(f"{name}: {value}\r\n" for name, value in _HEADERS.items())


class App:
    """One queueserver: make it, `await start()`, and `await stop()` in the end."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._operations: dict[str, Operation] = {}
        self._dated = (0, "")
        self._addresses: dict[tuple[str, str, str], tuple[str, str | None]] = {}
        self._database: Database
        self._connections: ClientConnections
        self._leader_work: LeaderWork
        self._loop: asyncio.AbstractEventLoop
        self._runner: web.ServerRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Open the database, declare queues, then listen; `url` tells where.

        Raises:
            StartError: the database or the address cannot be used, or a declared queue is wrong.
        """
        try:
            self._database = await Database.open(
                self._config.database,
                self._clock,
                limit=self._config.pending_limit,
                limit_bytes=self._config.buffer_mib * 1024 * 1024,
                connections=self._config.pool_size,
                poll_seconds=self._config.poll_seconds,
            )
        except DatabaseUnusable as error:
            raise StartError(str(error)) from error
        try:
            directory = QueueCache(self._database)
            cooldowns = self._config.cooldowns
            queues = Queues(self._database, directory, self._clock, cooldowns=cooldowns)
            limit = self._config.in_flight_limit
            messages = Messages(self._database, directory, self._clock, in_flight_limit=limit)
            move_tasks = MoveTasks(self._database, self._clock)
            self._operations = bind(queues, messages, move_tasks)
            await self._declare_queues(queues)
            await self._listen()
        except BaseException:
            await self._database.close()
            raise
        upkeep = Upkeep(self._database, self._clock)
        self._leader_work = LeaderWork(upkeep, MoveTaskRunner(self._database, self._clock))
        self._database.run_on_leader(self._leader_work)

    async def stop(self) -> None:
        """Take no new requests, answer waiting receivers with nothing, finish, and let go."""
        self._database.waiters.close()
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()
            await self._connections.part()
            await self._runner.cleanup()
        await self._leader_work.close()
        await self._database.close()

    async def _listen(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._connections = _Connections(
            self._config,
            self._handle,
            request_factory=self._make_request,
            # A receiver that has gone away must leave the line at once.
            handler_cancellation=True,
            access_log=None,
        )
        runner = web.ServerRunner(self._connections, shutdown_timeout=_STOP_SECONDS)
        await runner.setup()
        host, port = self._config.host, self._config.port
        try:
            await web.TCPSite(runner, host, port, backlog=1024).start()
        except (OSError, UnicodeError) as error:
            await runner.cleanup()
            reason = getattr(error, "strerror", None)
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                reason = "address already in use"
            raise StartError(f"cannot listen on {host}:{port}: {reason or error}") from error
        self._runner = runner
        bound = runner.addresses[0][1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{bound}"

    async def _declare_queues(self, queues: Queues) -> None:
        """Make the queues of the configuration file, or bring existing ones to what it says.

        Redrive policies come last: whatever the order in the file, their targets are there then.
        """
        caller = RequestContext(self._config.account, self._config.region, "")
        name = ""
        try:
            for name, declared in self._config.queues.items():
                await _declare_queue(queues, caller, name, declared)
            for name, declared in self._config.queues.items():
                if "RedrivePolicy" in declared.attributes:
                    redrive = {"RedrivePolicy": declared.attributes["RedrivePolicy"]}
                    await _change_queue(queues, caller, name, redrive)
        except SQSError as error:
            raise StartError(f"queue {name}: {error.message}") from error

    def _make_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message,
            payload,
            protocol,
            writer,
            task,
            self._loop,
            client_max_size=MAXIMUM_REQUEST_BYTES,
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        connection = connection_of(request)
        await connection.begin()
        if path == "/health":
            return await self._health()
        if path == "/_queueserver" or path.startswith("/_queueserver/"):
            return _own_answer(404, "not found")
        return await self._answer(request, connection, path)

    async def _health(self) -> web.Response:
        """Answer whether the database answers."""
        try:
            await self._database.ping()
        except DatabaseUnavailable:
            return _own_answer(503, "the database does not answer")
        return _own_answer(200, "ok")

    async def _answer(
        self, request: web.BaseRequest, connection: ClientConnection, path: str
    ) -> web.StreamResponse:
        request_id = as_text(new_identifier())
        headers = request.headers
        wire_request = WireRequest(
            request.method,
            path,
            request.rel_url.raw_query_string,
            headers.get(hdrs.CONTENT_TYPE, ""),
            headers.get("X-Amz-Target", ""),
            headers.get(hdrs.ACCEPT, ""),
        )
        codec = codec_for(wire_request)
        is_last = False
        try:
            wire_request.body = await self._connections.read_body(request)
            action, parameters = codec.read(wire_request)
            operation = self._operations[action.name]
            result = await operation(self._caller(request), parameters)
            answer = codec.write_result(action, result, request_id)
        except Exception as error:
            told = _as_sqs_error(error, request_id)
            answer = codec.write_error(told, request_id)
            is_last = isinstance(told, RequestTimeout)
        response = _Response(answer, request_id, self._date())
        if is_last or connection.is_last_request:
            response.force_close()
        return response

    def _caller(self, request: web.BaseRequest) -> RequestContext:
        """Tell who calls: by the host's name and the signature, else as the settings say."""
        headers = request.headers
        account = self._config.account
        base_url, region = self._address(
            headers.get(hdrs.HOST, ""),
            headers.get(hdrs.X_FORWARDED_HOST, ""),
            headers.get(hdrs.X_FORWARDED_PROTO, ""),
        )
        signed = headers.get(hdrs.AUTHORIZATION) or request.rel_url.raw_query_string
        match = _CREDENTIAL.search(signed)
        if match is not None:
            region = region or match[2]
            if _ACCOUNT.fullmatch(match[1]):
                account = match[1]
        trace_header = headers.get("X-Amzn-Trace-Id", "")
        # Bytes that are no text cannot be kept; a trace is not worth refusing a message for.
        return RequestContext(
            account,
            region or self._config.region,
            base_url,
            trace_header if trace_header.isascii() else "",
        )

    def _date(self) -> str:
        """Give the value of the header Date, which is the same for a second."""
        second = self._clock.now_ms() // 1000
        if second != self._dated[0]:
            self._dated = (second, formatdate(second, usegmt=True))
        return self._dated[1]

    def _address(self, host: str, forwarded_host: str, scheme: str) -> tuple[str, str | None]:
        """Tell the base of queue URLs, and the region if the host's name tells it.

        This server is named as the caller named it, through any proxy that says how that was. All
        of a client's requests say the same, so what was found is kept for a while.
        """
        key = (host, forwarded_host, scheme)
        found = self._addresses.get(key)
        if found is None:
            base_url = self._config.public_url
            if not base_url:
                name = forwarded_host.partition(",")[0].strip() or host
                is_secure = scheme.partition(",")[0].strip().lower() == "https"
                if _HOST.fullmatch(name):
                    base_url = f"{'https' if is_secure else 'http'}://{name}"
            found = (base_url or self.url, region_of_host(host))
            if len(self._addresses) >= _ADDRESSES:
                self._addresses.clear()
            self._addresses[key] = found
        return found


async def _declare_queue(
    queues: Queues, caller: RequestContext, name: str, declared: DeclaredQueue
) -> None:
    attributes = {
        key: value for key, value in declared.attributes.items() if key != "RedrivePolicy"
    }
    try:
        await queues.create_queue(caller, CreateQueue(queue_name=name, attributes=attributes))
    except QueueNameExists:
        # What kind of queue it is, is settled; all else may have been changed since.
        attributes.pop("FifoQueue", None)
        await _change_queue(queues, caller, name, attributes)
    if declared.tags:
        url = queue_url("", caller.account, name)
        await queues.tag_queue(caller, TagQueue(queue_url=url, tags=declared.tags))


async def _change_queue(
    queues: Queues, caller: RequestContext, name: str, attributes: dict[str, str]
) -> None:
    url = queue_url("", caller.account, name)
    request = SetQueueAttributes(queue_url=url, attributes=attributes)
    await queues.set_queue_attributes(caller, request)


class _Connection(ClientConnection):
    """A connection that answers what is not even HTTP as SQS answers what it cannot read."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer in the protocol that is understood without headers, and close the connection."""
        request_id = as_text(new_identifier())
        if status < 500:
            log.info("request %s is not valid HTTP: %s", request_id, _wrong_with(exc))
            error: SQSError = MalformedInput("The request is not valid HTTP.")
        else:
            error = _as_sqs_error(exc or RuntimeError(f"status {status}"), request_id)
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer was sent already")
        answer = codec_for(_NOTHING).write_error(error, request_id)
        response = _Response(answer, request_id, formatdate(usegmt=True))
        response.force_close()
        return response


_NOTHING = WireRequest("", "")


def _wrong_with(error: BaseException | None) -> str:
    """Tell why something is not HTTP, without a word of it: it may be a token, or a message."""
    words, quotes, _ = str(getattr(error, "message", "")).partition(":\n\n")
    is_plain = quotes or type(error) is BadHttpMessage
    return " ".join(words.split()) if is_plain else type(error).__name__


class _Connections(ClientConnections):
    """Connections that answer as SQS does."""

    def __call__(self) -> RequestHandler:
        """Make the connection for one client."""
        return _Connection(self, loop=self._loop, **self._kwargs)


def _as_sqs_error(error: BaseException, request_id: str) -> SQSError:
    """Find the error that the caller is told; what they must not see goes to the log."""
    if isinstance(error, SQSError):
        return error
    if isinstance(error, DatabaseBusy):
        return RequestThrottled()
    if isinstance(error, DatabaseUnavailable):
        log.error("request %s: the database is unavailable: %s", request_id, error)
        return ServiceUnavailable()
    if isinstance(error, DatabaseDamaged):
        log.error("request %s: the database is damaged: %s", request_id, error)
        return InternalFailure()
    if isinstance(error, web.RequestPayloadError):
        return MalformedInput("The request's body could not be read.")
    log.error("request %s failed", request_id, exc_info=error)
    return InternalFailure()


class _Response(web.StreamResponse):
    """A whole answer, sent in one piece.

    aiohttp's own response is made to be changed, header by header, until it is sent; one that is
    settled when it is made takes a fraction of the time.
    """

    def __init__(self, answer: WireResponse, request_id: str, date: str) -> None:
        super().__init__(status=answer.status)
        self._answer = answer
        error = f"x-amzn-query-error: {answer.query_error}\r\n" if answer.query_error else ""
        self._head = (
            f"{answer.status} {self.reason}\r\n"
            f"{_HEAD}x-amzn-RequestId: {request_id}\r\n{error}"
            f"Content-Type: {answer.content_type}\r\nContent-Length: {len(answer.body)}\r\n"
            f"Date: {date}\r\n"
        )
        self._connection: ClientConnection

    async def prepare(self, request: web.BaseRequest) -> None:
        """Settle what depends on the request; nothing is sent before the end."""
        self._connection = connection_of(request)
        version = request.version
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        connection = ""
        if not self._keep_alive:
            connection = "Connection: close\r\n"
        elif version < HttpVersion11:
            connection = "Connection: keep-alive\r\n"
        self._head = f"HTTP/{version[0]}.{version[1]} {self._head}{connection}\r\n"
        self._is_bodiless = request.method == "HEAD"

    async def write_eof(self, data: bytes = b"") -> None:
        """Send it all; waits while the client is slow to read."""
        if not self._eof_sent:
            self._eof_sent = True
            sent = self._head.encode()
            if not self._is_bodiless:
                sent += self._answer.body
            await self._connection.send(sent)


def _own_answer(status: int, text: str) -> web.Response:
    body = msgspec.json.encode({"status": text})
    return web.Response(status=status, body=body, content_type="application/json", headers=_HEADERS)


async def serve(config: Config) -> None:
    """Run a server until SIGTERM or SIGINT; say on stdout, in one line, when it listens."""
    raise_file_limit()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = App(config, SystemClock())
    await server.start()
    process_memory.spare_collector()
    giving_back = asyncio.create_task(process_memory.keep_giving_back(), name="memory")
    line = f"queueserver listening on {server.url} ({mask_password(config.database)})"
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    await stop.wait()
    giving_back.cancel()
    await server.stop()


def run(config: Config) -> int:
    """Run a server on an event loop of its own; return the exit status."""
    uvloop.run(serve(config))
    return 0
