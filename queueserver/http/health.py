"""The health endpoint, for load balancers and container orchestrators."""

from __future__ import annotations

from aiohttp import web

from queueserver.http.response import status_response
from storage.database import Database
from storage.errors import DatabaseUnavailable


class Health:
    """Answers 200 if the database answers, else 503."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def handle(self, _: web.BaseRequest) -> web.StreamResponse:
        """Answer 200 or 503, after a trivial query of the database."""
        try:
            await self._database.ping()
        except DatabaseUnavailable:
            return status_response(503, "the database does not answer")
        return status_response(200, "ok")
