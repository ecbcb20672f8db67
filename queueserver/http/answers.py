"""Answers: results and errors as responses, for both ways in which requests are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

import msgspec

from protocol.actions import Action
from protocol.codecs.lengths import long_messages
from protocol.wire import Codec, WireResponse
from queueserver.http.response import ResponseHeads, SqsResponse

P = ParamSpec("P")
T = TypeVar("T")


class Answers:
    """Writes the responses of the SQS endpoint.

    `now` returns the real time in seconds since the epoch, for the header Date. `added_lines` are
    header lines that every response has whose request has no Origin.
    """

    def __init__(self, now: Callable[[], float], added_lines: str) -> None:
        self._heads = ResponseHeads(now)
        self._added_lines = added_lines
        # One thread: with several, the event loop would wait for each of them in turn.
        self._codec_thread = ThreadPoolExecutor(1, "codec")

    async def run_in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a step of a codec that takes a few milliseconds; the event loop runs meanwhile."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._codec_thread, partial(function, *args, **kwargs))

    async def write_result(
        self, codec: Codec, action: Action, result: msgspec.Struct | None, request_id: str
    ) -> WireResponse:
        """Encode a result, a long one in a thread."""
        if messages := long_messages(result):
            return await self.run_in_thread(codec.write_messages, messages, request_id)
        return codec.write_result(action, result, request_id)

    def response(self, answer: WireResponse, request_id: str) -> SqsResponse:
        """Return an answer as aiohttp sends it."""
        return SqsResponse(answer, self._heads.of(answer, request_id))

    def head(self, answer: WireResponse, request_id: str, *, is_last: bool) -> bytes:
        """Return the head of an answer to a request of HTTP/1.1.

        If it is the last one, the server closes the connection.
        """
        connection = "Connection: close\r\n" if is_last else ""
        head = self._heads.of(answer, request_id)
        return f"HTTP/1.1 {head}{self._added_lines}{connection}\r\n".encode()
