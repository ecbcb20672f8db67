"""Routes: choose the endpoint for a path.

`/health` and `/_queueserver/...` are the server's own. The SQS endpoint answers every other path.
"""

from __future__ import annotations

from aiohttp import web

from queueserver.http.connections import connection_of
from queueserver.http.health import Health
from queueserver.http.response import status_response
from queueserver.http.sqs_endpoint import SqsEndpoint


class Routes:
    """Passes each request to the endpoint for its path."""

    def __init__(self, health: Health, sqs: SqsEndpoint) -> None:
        self._health = health
        self._sqs = sqs

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, once its client has read most of its earlier responses."""
        await connection_of(request).begin_request()
        path = request.rel_url.raw_path
        if path == "/health":
            return await self._health.handle(request)
        if path == "/_queueserver" or path.startswith("/_queueserver/"):
            return status_response(404, "not found")
        return await self._sqs.handle(request)

    def handle_failure(self, status: int, error: BaseException | None) -> web.StreamResponse:
        """Answer bytes that are no request, or a request that failed, with an SQS error."""
        return self._sqs.handle_failure(status, error)
