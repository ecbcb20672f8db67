"""Read small requests that need no task, and pass all other data to aiohttp.

A small POST is answered without a task if the endpoint can (`Endpoint.begin`). It must arrive while
nothing else is to be answered: whole, or with its body right behind its head. aiohttp does not know
of such a request. The class here uses these private attributes of aiohttp 3.14, beside those that
`request_reader` names:

- `RequestHandler._keepalive_timeout`, `_next_keepalive_close_time` and `_process_keepalive`: the
  connection stays open for such a request, too.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from queueserver.http.clients.endpoint import NotBegun, PendingAnswer
from queueserver.http.clients.request_reader import RequestReader
from queueserver.http.clients.transfers import Transfers

_MOST_DEFERRED_BYTES = 4 * 1024
"""Most bytes of a head that waits for its body; they are not counted."""

_DEFER_SECONDS = 0.05
"""Time that a head waits for its body: some clients send them in two packets."""

_CLOSE_SECONDS = 1.0
"""On stop: the least time for aiohttp to close a connection after an answer."""


class DirectReader(RequestReader):
    """The receiving side of a connection, with requests that are answered without a task."""

    __slots__ = ("_answered", "_defer_timer", "_deferred", "_pending")

    def __init__(self, server: web.Server, transfers: Transfers, idle_seconds: float) -> None:
        super().__init__(server, transfers, idle_seconds)
        # The request that is being answered without a task, and the future of its answer.
        self._pending: PendingAnswer | None = None
        self._answered: asyncio.Future[None] | None = None
        # The head of a request whose body is expected in the next packet.
        self._deferred = b""
        self._defer_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Begin to answer a small request without a task, or pass the data to aiohttp."""
        was_deferred = bool(self._deferred)
        if was_deferred:
            data = self._take_deferred() + data
        if self._has_received or self.writing_paused or self.is_last_request:
            super().data_received(data)
            return
        begun = self._begin_answer(data)
        if not isinstance(begun, NotBegun):
            self._pending = begun
            self._unanswered = 1
        elif (
            begun is NotBegun.IS_INCOMPLETE
            and not was_deferred
            and len(data) <= _MOST_DEFERRED_BYTES
        ):
            self._deferred = data
            self._defer_timer = self._loop.call_later(_DEFER_SECONDS, self._pass_on_deferred)
        else:
            super().data_received(data)

    @property
    def is_last_request(self) -> bool:
        """Whether the server closes the connection after the current request."""
        return self._is_last

    def _begin_answer(self, data: bytes) -> PendingAnswer | NotBegun:
        """Begin to answer a small request without a task, if the endpoint can."""
        raise NotImplementedError

    def _take_deferred(self) -> bytes:
        """Return the head that waits for its body, or nothing; it waits no longer."""
        if self._defer_timer is not None:
            self._defer_timer.cancel()
            self._defer_timer = None
        deferred, self._deferred = self._deferred, b""
        return deferred

    def _pass_on_deferred(self) -> None:
        """Pass the head to aiohttp: the body has not followed at once."""
        if deferred := self._take_deferred():
            super().data_received(deferred)

    def answer_with_task(self, data: bytes) -> None:
        """Pass the request that was begun without a task to aiohttp; `data` is all of it."""
        self._end_pending()
        self._unanswered = 0
        self._parse(data)

    def _finish_pending(self) -> None:
        """Begin the idle time, because the client has its answer; parse the next request."""
        self._end_pending()
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        self._finish_request()

    def _end_pending(self) -> None:
        self._pending = None
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def _fail(self, error: Exception) -> None:
        """Answer an error after the requests before it, and discard what follows.

        aiohttp would answer it before a request that it does not know: the server then closes the
        connection after the answer to that request.
        """
        if self._pending is None:
            super()._fail(error)
        else:
            self._has_failed = True
            self._drop_unparsed()

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp's never keeps it open
        """Answer what has been received of a client that has closed its sending side.

        Return False to close the connection at once.
        """
        self._pass_on_deferred()
        return super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Cancel the request of a client that has gone."""
        self._take_deferred()
        if self._pending is not None:
            self._pending.cancel()
            self._end_pending()
        super().connection_lost(exc)

    def close(self) -> None:
        """Close the connection after the current request."""
        self._pass_on_deferred()
        if self._pending is None:
            super().close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 (aiohttp's)
        """Close the connection, after the current request if that ends within `timeout` seconds."""
        if self._pending is not None:
            began = self._loop.time()
            self._answered = self._loop.create_future()
            await asyncio.wait([self._answered], timeout=timeout)
            # End the task of aiohttp if it waits for a request: otherwise aiohttp waits for it.
            super().close()
            if timeout is not None:
                # aiohttp takes 0 as no timeout.
                timeout = max(timeout - (self._loop.time() - began), _CLOSE_SECONDS)
        await super().shutdown(timeout)

    def _process_keepalive(self) -> None:
        """Disconnect an idle client; one whose request is being answered is not idle."""
        if self._unanswered or self._deferred:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()
