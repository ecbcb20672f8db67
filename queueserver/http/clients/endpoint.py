"""The interface between a client's connection and the endpoint that answers its requests."""

from __future__ import annotations

import enum
from collections.abc import Coroutine, Sequence
from typing import Protocol

from aiohttp import web

from queueserver.identity.proxies import Peer


class NotBegun(enum.Enum):
    """Why a request is not answered without a task."""

    NEEDS_TASK = enum.auto()
    """A task of aiohttp must answer it."""
    IS_INCOMPLETE = enum.auto()
    """Its head has arrived, and is that of a small POST, but not its whole body."""


class PendingAnswer(Protocol):
    """A request that is being answered without a task."""

    def cancel(self) -> None:
        """Cancel the action, because its client has disconnected."""


class DirectConnection(Protocol):
    """A connection as it is used by an answer without a task."""

    client_address: str
    """The peer's IP address: that of the client, or of a proxy."""
    peer: Peer
    """The headers of its requests that count."""

    @property
    def is_last_request(self) -> bool:
        """Whether the server closes the connection after the current request."""

    def allow_probe(self) -> None:
        """Find out whether a client that closes its sending side still reads."""

    def send_answer(self, content: bytes, rest: Sequence[bytes], /, *, is_last: bool) -> None:
        """Send the answer, of one or more pieces; then continue, or close the connection."""

    def answer_with_task(self, data: bytes, /) -> None:
        """Pass the request to aiohttp after all; `data` is the whole request."""

    def run_for_answer(self, work: Coroutine[None, None, None], /) -> None:
        """Run the end of an answer in a task, which ends if the client disconnects."""


class Endpoint(Protocol):
    """Answers requests."""

    def begin(self, connection: DirectConnection, data: bytes, /) -> PendingAnswer | NotBegun:
        """Begin to answer a small POST without a task, if that is possible.

        `data` is what has arrived. The answer is sent later, by a method of the connection.
        """

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""

    def handle_failure(
        self, request: web.BaseRequest, status: int, error: BaseException | None
    ) -> web.StreamResponse:
        """Answer bytes that are no request (`status` below 500), or a request that failed."""
