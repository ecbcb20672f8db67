"""The SQS endpoint: read the body, decode, identify the caller, run the action, encode the result.

There are two ways in. `begin` answers a small POST without a task, if its action needs one command.
`handle` answers every other request. Both use the same codecs, contexts and actions.

The size of the body is limited. A thread decodes long requests and encodes long results: the event
loop runs meanwhile, because each step of that thread takes a few milliseconds.
"""

from __future__ import annotations

import msgspec
from aiohttp import hdrs, web

from protocol.actions import ReceiveMessage
from protocol.codecs.choice import codec_for
from protocol.errors import MalformedInput, QueueDoesNotExist, SQSError
from protocol.wire import Codec, WireRequest
from queueserver.dispatch import Dispatcher
from queueserver.http.answers import Answers
from queueserver.http.clients.connections import connection_of
from queueserver.http.clients.endpoint import DirectConnection
from queueserver.http.direct_answer import DirectAnswer
from queueserver.http.errors import sqs_error, unreadable_request
from queueserver.http.request_body import read_body
from queueserver.http.request_memory import RequestMemory, Reservation
from queueserver.http.small_post import SmallPost
from queueserver.http.usual_headers import UsualHeadersCache, text_of
from queueserver.identifiers import as_text, new_identifier
from queueserver.identity.authenticator import Authenticated, Authenticator
from queueserver.identity.callers import Caller, CallerHeaders, Callers
from queueserver.identity.proxies import Proxies
from queueserver.signatures.requests import SignedRequest

_UNREADABLE = WireRequest("", "")
"""A placeholder for a request that could not be read; selects the Query codec."""


class SqsEndpoint:
    """Answers requests in SQS's two protocols, JSON and Query."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        callers: Callers,
        authenticator: Authenticator,
        proxies: Proxies,
        answers: Answers,
        memory: RequestMemory,
    ) -> None:
        self._dispatcher = dispatcher
        self._callers = callers
        self._authenticator = authenticator
        self._proxies = proxies
        self._answers = answers
        self._memory = memory
        self._usual_headers = UsualHeadersCache(callers)

    def begin(
        self, post: SmallPost, connection: DirectConnection, data: bytes
    ) -> DirectAnswer | None:
        """Begin to answer a small POST without a task; None if `handle` must answer it instead.

        `data` is the request as it arrived. Nothing has been done if the result is None.
        """
        headers = post.headers
        usual = self._usual_headers.find(headers, connection.peer)
        if usual.action is not None and not self._dispatcher.can_begin(usual.action):
            return None
        codec, caller, path = usual.codec, usual.caller, post.path
        request_id = as_text(new_identifier())
        client_address = connection.client_address
        if connection.peer.is_proxy:
            forwarded_for = text_of(headers.get(b"x-forwarded-for", b""))
            client_address = self._proxies.client_address(client_address, forwarded_for)
        sender = caller.sender
        if self._authenticator.is_on:
            signed = SignedRequest("POST", path, "", headers, post.body, codec.reads_forms)
            try:
                found = self._authenticator.authenticate(caller, signed)
            except SQSError:
                return None  # `handle` takes the same step, and answers or logs the error.
            if not found.is_content_type_signed:
                return None
            sender, path = found.sender, found.path
        request = WireRequest("POST", path, "", usual.content_type, usual.target, "", post.body)
        if codec.is_long(request):
            return None
        reservation: Reservation | None = None
        try:
            reservation = self._memory.reserve(request)
            action, parameters = codec.read(request)
            if reservation is not None:
                reservation.end_decoding(parameters, kept_bytes=len(data))
        except Exception:
            # `handle` takes the same steps, and answers the same error.
            if reservation is not None:
                reservation.end()
            return None
        trace_header = text_of(headers.get(b"x-amzn-trace-id", b""))
        context = caller.context(sender, trace_header, client_address, request_id)
        answer = DirectAnswer(
            self._answers, connection, data, codec, action, request_id, reservation
        )
        answer.pending = self._dispatcher.begin(context, parameters, answer.finish)
        if answer.pending is None:
            answer.end()
            return None
        if action.request is ReceiveMessage:
            connection.allow_probe()
        return answer

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
            client_address = self._client_address(request)
            caller = self._callers.caller(
                _caller_headers(request), wire_request.query, connection.peer
            )
            sender = caller.sender
            if self._authenticator.is_on:
                found = await self._authenticate(
                    request, wire_request, codec, caller, client_address, request_id
                )
                sender, wire_request.path = found.sender, found.path
                if not found.is_content_type_signed:
                    wire_request.content_type = ""
                    codec = codec_for(wire_request)
            if codec.is_long(wire_request):
                action, parameters = await self._answers.run_in_thread(codec.read, wire_request)
            else:
                action, parameters = codec.read(wire_request)
            wire_request.body = b""  # a long poll must not keep it
            if reservation is not None:
                reservation.end_decoding(parameters)
            if action.request is ReceiveMessage:
                connection.allow_probe()
            trace_header = headers.get("X-Amzn-Trace-Id", "")
            context = caller.context(sender, trace_header, client_address, request_id)
            result = await self._dispatcher.dispatch(context, parameters)
            answer = await self._answers.write_result(codec, action, result, request_id)
        except Exception as error:
            # No variable keeps the error: its traceback has this frame with the whole request, and
            # only the garbage collector would free such a cycle.
            failure = sqs_error(error, request_id)
            if isinstance(failure, QueueDoesNotExist):
                failure = self._missing_queue_error(failure, request, wire_request, parameters)
            answer = codec.write_error(failure, request_id)
        finally:
            if reservation is not None:
                reservation.end()
        return self._answers.response(answer, request_id)

    def handle_failure(self, status: int, error: BaseException | None) -> web.StreamResponse:
        """Answer bytes that are no request (`status` below 500), or a request that failed."""
        request_id = as_text(new_identifier())
        if status < 500:
            failure = unreadable_request(error, request_id)
        else:
            failure = sqs_error(error or RuntimeError(f"status {status}"), request_id)
        answer = codec_for(_UNREADABLE).write_error(failure, request_id)
        return self._answers.response(answer, request_id)

    async def _authenticate(
        self,
        request: web.BaseRequest,
        wire_request: WireRequest,
        codec: Codec,
        caller: Caller,
        client_address: str,
        request_id: str,
    ) -> Authenticated:
        """Verify the signature of a request, of a long one in a thread.

        Raises:
            MalformedInput: the signed target differs from the one that the server uses, because it
                has a scheme or a fragment.
            SQSError: see `Authenticator.authenticate`. In mode `log`, no error is raised.
        """
        signed = SignedRequest.from_pairs(
            request.method,
            request.raw_path,
            request.raw_headers,
            wire_request.body,
            has_form=codec.reads_forms,
        )
        authenticator = self._authenticator
        try:
            if (signed.path, signed.query) != (wire_request.path, wire_request.query):
                reason = "The request's target must be a path, and a query string if any."
                raise MalformedInput(reason)
            if codec.is_long(wire_request):
                return await self._answers.run_in_thread(authenticator.authenticate, caller, signed)
            return authenticator.authenticate(caller, signed)
        except SQSError as error:
            action = codec.action_in_headers(wire_request)
            return authenticator.accept_unproved(
                error,
                caller,
                wire_request.path,
                None if action is None else action.name,
                client_address,
                request_id,
            )

    def _client_address(self, request: web.BaseRequest) -> str:
        connection = connection_of(request)
        if not connection.peer.is_proxy:
            return connection.client_address
        forwarded_for = _all_values(request, hdrs.X_FORWARDED_FOR)
        return self._proxies.client_address(connection.client_address, forwarded_for)

    def _missing_queue_error(
        self,
        error: SQSError,
        request: web.BaseRequest,
        wire_request: WireRequest,
        parameters: msgspec.Struct | None,
    ) -> SQSError:
        """Return the error for a request whose queue does not exist, or that names none."""
        queue_url = "" if parameters is None else getattr(parameters, "queue_url", None)
        if queue_url is None:  # GetQueueUrl names the queue
            return error
        headers = _caller_headers(request)
        base_url = self._callers.caller(headers, "", connection_of(request).peer).base_url
        return codec_for(wire_request).missing_queue_error(
            wire_request, queue_url, headers.host, base_url
        )


def _caller_headers(request: web.BaseRequest) -> CallerHeaders:
    headers = request.headers
    return CallerHeaders(
        headers.get(hdrs.HOST, ""),
        _all_values(request, hdrs.X_FORWARDED_HOST),
        _all_values(request, hdrs.X_FORWARDED_PROTO),
        headers.get(hdrs.AUTHORIZATION, ""),
        headers.get(hdrs.USER_AGENT, ""),
    )


def _all_values(request: web.BaseRequest, name: str) -> str:
    """Return the values of all headers of a name, with commas between them (RFC 9110, 5.3)."""
    return ",".join(request.headers.getall(name, ()))
