"""Routes: choose the endpoint for a path, for the requests that the rules for browsers permit.

`/health` and `/_queueserver/...` are the server's own. The SQS endpoint answers every other path.
Small POSTs to the root, or to the path of a queue, are answered without a task (`begin`), and all
other requests by a task of aiohttp (`handle`).
"""

from __future__ import annotations

from aiohttp import web

from queueserver.http.browser_rules import BrowserRules
from queueserver.http.clients.connections import connection_of
from queueserver.http.clients.endpoint import DirectConnection, NotBegun
from queueserver.http.direct_answer import DirectAnswer
from queueserver.http.health import Health
from queueserver.http.response import status_response, text_response
from queueserver.http.small_post import SmallPostParser
from queueserver.http.sqs_endpoint import SqsEndpoint


class Routes:
    """Passes each request to the endpoint for its path."""

    def __init__(self, rules: BrowserRules, health: Health, sqs: SqsEndpoint) -> None:
        self._rules = rules
        self._health = health
        self._sqs = sqs
        self._parser = SmallPostParser()

    def begin(self, connection: DirectConnection, data: bytes) -> DirectAnswer | NotBegun:
        """Begin to answer a small POST without a task, if that is possible.

        `data` is what has arrived. Nothing has been done if the answer has not begun.
        """
        post = self._parser.parse(data)
        if isinstance(post, NotBegun):
            return post
        if not self._rules.permits_host(post.headers.get(b"host", b"")):
            return NotBegun.NEEDS_TASK
        return self._sqs.begin(post, connection, data) or NotBegun.NEEDS_TASK

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, once its client has read most of its earlier responses."""
        connection = connection_of(request)
        if connection.writing_paused:
            await connection.wait_until_read()
        method, path, headers = request.method, request.rel_url.raw_path, request.headers
        rejection = self._rules.rejection(
            method, path, headers, is_behind_proxy=connection.peer.names_host
        )
        response: web.StreamResponse
        if rejection is not None:
            response = text_response(403, rejection)
        elif self._rules.is_preflight(method, headers):
            response = text_response(204, "")
        elif path == "/health":
            response = await self._health.handle(request)
        elif path == "/_queueserver" or path.startswith("/_queueserver/"):
            response = status_response(404, "not found")
        else:
            response = await self._sqs.handle(request)
        return self._with_cors_headers(request, response)

    def handle_failure(
        self, request: web.BaseRequest, status: int, error: BaseException | None
    ) -> web.StreamResponse:
        """Answer bytes that are no request, or a request that failed, with an SQS error."""
        return self._with_cors_headers(request, self._sqs.handle_failure(status, error))

    def _with_cors_headers(
        self, request: web.BaseRequest, response: web.StreamResponse
    ) -> web.StreamResponse:
        if self._rules.has_cors_origins:
            response.headers.update(self._rules.cors_headers(request.method, request.headers))
        return response
