"""The SQS endpoint: read the body, decode, identify the caller, run the action, encode the result.

The size of the body is limited. A thread decodes long requests and encodes long results: the event
loop runs meanwhile, because each step of that thread takes a few milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

import msgspec
from aiohttp import hdrs, web

from protocol.actions import ReceiveMessage
from protocol.codecs.choice import codec_for
from protocol.codecs.lengths import long_messages
from protocol.errors import QueueDoesNotExist, SQSError
from protocol.wire import WireRequest
from queueserver.config import Config
from queueserver.context import ANONYMOUS, RequestContext
from queueserver.dispatch import Dispatcher
from queueserver.http.clients.connections import ClientConnection, connection_of
from queueserver.http.errors import sqs_error, unreadable_request
from queueserver.http.request_body import read_body
from queueserver.http.request_memory import RequestMemory
from queueserver.http.response import DateHeader, SqsResponse
from queueserver.identifiers import as_text, new_identifier
from queueserver.identity.addressing import Address, Addressing
from queueserver.identity.signatures import credential_of
from storage.clock import Clock

P = ParamSpec("P")
T = TypeVar("T")

_UNREADABLE = WireRequest("", "")
"""A placeholder for a request that could not be read; selects the Query codec."""


class SqsEndpoint:
    """Answers requests in SQS's two protocols, JSON and Query."""

    def __init__(
        self, config: Config, dispatcher: Dispatcher, addressing: Addressing, clock: Clock
    ) -> None:
        self._account = config.account
        self._region = config.region
        self._dispatcher = dispatcher
        self._addressing = addressing
        self._clock = clock
        self._date = DateHeader()
        self._memory = RequestMemory(config.buffer_mib * 1024 * 1024)
        # One thread: with several, the event loop would wait for each of them in turn.
        self._codec_thread = ThreadPoolExecutor(1, "codec")

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; turn every exception into an SQS error."""
        connection = connection_of(request)
        request_id = as_text(new_identifier())
        headers = request.headers
        wire_request = WireRequest(
            request.method,
            request.rel_url.raw_path,
            request.rel_url.raw_query_string,
            headers.get(hdrs.CONTENT_TYPE, ""),
            headers.get("X-Amz-Target", ""),
            headers.get(hdrs.ACCEPT, ""),
        )
        codec = codec_for(wire_request)
        parameters = reservation = None
        try:
            wire_request.body = await read_body(request, connection)
            reservation = self._memory.reserve(wire_request)
            if codec.is_long(wire_request):
                action, parameters = await self._run_in_thread(codec.read, wire_request)
            else:
                action, parameters = codec.read(wire_request)
            wire_request.body = b""  # a long poll must not keep it
            if reservation is not None:
                reservation.end_decoding(parameters)
            if action.request is ReceiveMessage:
                connection.allow_probe()
            context = self._context(request, connection, request_id)
            result = await self._dispatcher.dispatch(context, parameters)
            if messages := long_messages(result):
                answer = await self._run_in_thread(codec.write_messages, messages, request_id)
            else:
                answer = codec.write_result(action, result, request_id)
        except Exception as error:
            # No variable keeps the error: its traceback has this frame with the whole request, and
            # only the garbage collector would free such a cycle.
            answer = codec.write_error(
                self._missing_queue_error(request, wire_request, parameters)
                if isinstance(error, QueueDoesNotExist)
                else sqs_error(error, request_id),
                request_id,
            )
        finally:
            if reservation is not None:
                reservation.end()
        return SqsResponse(answer, request_id, self._date.at(self._clock.now_ms()))

    def handle_failure(self, status: int, error: BaseException | None) -> web.StreamResponse:
        """Answer bytes that are no request (`status` below 500), or a request that failed."""
        request_id = as_text(new_identifier())
        if status < 500:
            failure = unreadable_request(error, request_id)
        else:
            failure = sqs_error(error or RuntimeError(f"status {status}"), request_id)
        answer = codec_for(_UNREADABLE).write_error(failure, request_id)
        return SqsResponse(answer, request_id, self._date.at(self._clock.now_ms()))

    def _missing_queue_error(
        self,
        request: web.BaseRequest,
        wire_request: WireRequest,
        parameters: msgspec.Struct | None,
    ) -> SQSError:
        """Return the error for a request whose queue does not exist, or that names none."""
        queue_url = "" if parameters is None else getattr(parameters, "queue_url", None)
        if queue_url is None:  # GetQueueUrl names the queue
            return QueueDoesNotExist()
        host, base_url = request.headers.get(hdrs.HOST, ""), self._address(request).base_url
        return codec_for(wire_request).missing_queue_error(wire_request, queue_url, host, base_url)

    async def _run_in_thread(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._codec_thread, partial(function, *args, **kwargs))

    def _address(self, request: web.BaseRequest) -> Address:
        headers = request.headers
        return self._addressing.address(
            headers.get(hdrs.HOST, ""),
            headers.get(hdrs.X_FORWARDED_HOST, ""),
            headers.get(hdrs.X_FORWARDED_PROTO, ""),
        )

    def _context(
        self, request: web.BaseRequest, connection: ClientConnection, request_id: str
    ) -> RequestContext:
        """Return the principal, account, region and origin of a request.

        The region is that of the host name, else of the signature, else the configured one. The
        account is the access key id if that has 12 digits, else the configured one.
        """
        headers = request.headers
        base_url, host_region = self._address(request)
        account, region, principal = self._account, self._region, ANONYMOUS
        credential = credential_of(
            headers.get(hdrs.AUTHORIZATION), request.rel_url.raw_query_string
        )
        if credential is not None:
            principal = credential.access_key_id
            region = credential.region
            account = credential.account or account
        trace_header = headers.get("X-Amzn-Trace-Id", "")
        return RequestContext(
            account,
            host_region or region,
            base_url,
            # Drop a non-ASCII trace header instead of rejecting the message.
            trace_header if trace_header.isascii() else "",
            principal,
            connection.client_address,
            headers.get(hdrs.USER_AGENT, ""),
            request_id,
        )
