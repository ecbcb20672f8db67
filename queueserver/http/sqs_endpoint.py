"""The SQS endpoint: bounded body, codec, identity, dispatch, codec."""

from __future__ import annotations

from email.utils import formatdate

from aiohttp import hdrs, web

from protocol.codecs.choice import codec_for
from protocol.errors import RequestTimeout
from protocol.wire import WireRequest
from queueserver.config import Config
from queueserver.context import ANONYMOUS, RequestContext
from queueserver.dispatch import Dispatcher
from queueserver.http.connections import ClientConnection, connection_of
from queueserver.http.errors import malformed_http, sqs_error
from queueserver.http.request_body import read_body
from queueserver.http.response import DateHeader, SqsResponse
from queueserver.identifiers import as_text, new_identifier
from queueserver.identity.addressing import Addressing
from queueserver.identity.signatures import credential_of
from storage.clock import Clock

_UNREADABLE = WireRequest("", "")
"""A request of which nothing is known. It chooses the codec that answers what is not HTTP."""


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

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; every exception becomes an error of SQS."""
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
        is_last_request = False
        try:
            wire_request.body = await read_body(request, connection)
            action, parameters = codec.read(wire_request)
            context = self._context(request, connection, request_id)
            result = await self._dispatcher.dispatch(context, parameters)
            answer = codec.write_result(action, result, request_id)
        except Exception as exception:
            error = sqs_error(exception, request_id)
            answer = codec.write_error(error, request_id)
            # The rest of the body may still arrive: it must not be read as the next request.
            is_last_request = isinstance(error, RequestTimeout)
        response = SqsResponse(answer, request_id, self._date.at(self._clock.now_ms()))
        if is_last_request or connection.is_last_request:
            response.force_close()
        return response

    def handle_failure(self, status: int, error: BaseException | None) -> web.StreamResponse:
        """Answer what is not HTTP (`status` below 500), or a request whose handling failed."""
        request_id = as_text(new_identifier())
        if status < 500:
            failure = malformed_http(error, request_id)
        else:
            failure = sqs_error(error or RuntimeError(f"status {status}"), request_id)
        answer = codec_for(_UNREADABLE).write_error(failure, request_id)
        return SqsResponse(answer, request_id, formatdate(usegmt=True))

    def _context(
        self, request: web.BaseRequest, connection: ClientConnection, request_id: str
    ) -> RequestContext:
        """Read who sent a request, and for which account and region.

        The region is the host's, else the signature's, else the configured one. The account is the
        access key id if that has 12 digits, else the configured one.
        """
        headers = request.headers
        base_url, host_region = self._addressing.address(
            headers.get(hdrs.HOST, ""),
            headers.get(hdrs.X_FORWARDED_HOST, ""),
            headers.get(hdrs.X_FORWARDED_PROTO, ""),
        )
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
            # A trace header of other bytes cannot be stored; the message is worth more than it.
            trace_header if trace_header.isascii() else "",
            principal,
            connection.client_address,
            headers.get(hdrs.USER_AGENT, ""),
            request_id,
        )
