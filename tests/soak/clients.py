"""Clients of the soak: connections that come and go, both protocols, each answer's latency."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from typing import Any
from xml.etree import ElementTree

from tests.bench.client import Answer, Connection, json_request, query_request

PATIENCE_SECONDS = 30.0
"""Who has no answer after so long, beyond what it asked to wait, has found something."""

_LEAVING = 0.02
"""How often a client hangs up after an answer."""

_XMLNS = "{http://queue.amazonaws.com/doc/2012-11-05/}"


class Clients:
    """As many connections as are needed at a moment.

    Attributes:
        latencies: seconds that answers took since they were last looked at; not of long polls.
        requests: how many were answered.
        open: how many connections there are.
        findings: answers that no request here should get.
    """

    def __init__(self, url: str, chances: random.Random) -> None:
        self._url = url
        self._chances = chances
        self._idle: deque[Connection] = deque()
        self.latencies: list[float] = []
        self.requests = 0
        self.open = 0
        self.findings: list[str] = []

    async def call(self, action: str, wait: int = 0, **parameters: object) -> dict[str, Any] | None:
        """Ask in JSON; give the answer, or None for what should not have happened."""
        if wait:
            parameters["WaitTimeSeconds"] = wait
        answer = await self._ask(json_request(action, **parameters), wait)
        return answer.json() if self._is_good(action, answer) else None

    async def query(self, action: str, wait: int = 0, **parameters: object) -> list[dict[str, str]]:
        """Ask in the Query protocol; give the messages of the answer, if it has any."""
        if wait:
            parameters["WaitTimeSeconds"] = wait
        texts = {name: str(value) for name, value in parameters.items()}
        answer = await self._ask(query_request(action, **texts), wait)
        if not self._is_good(action, answer):
            return []
        return [
            {child.tag.removeprefix(_XMLNS): child.text or "" for child in message}
            for message in ElementTree.fromstring(answer.body).iter(f"{_XMLNS}Message")
        ]

    async def hang_up_on(self, seconds: float, action: str, **parameters: object) -> None:
        """Ask on a connection of its own, and go away before the answer comes."""
        connection = await self._open()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await connection.ask(json_request(action, **parameters))
        self._close(connection)

    async def is_refused(self, action: str, **parameters: object) -> bool:
        """Ask for what may be refused; tell if it was."""
        answer = await self._ask(json_request(action, **parameters), 0)
        return answer.status == 400 or not self._is_good(action, answer)

    def close(self) -> None:
        """Hang up everywhere."""
        while self._idle:
            self._close(self._idle.pop())

    async def _open(self) -> Connection:
        connection = await Connection.open(self._url)
        self.open += 1
        return connection

    def _close(self, connection: Connection) -> None:
        connection.close()
        self.open -= 1

    async def _ask(self, request: bytes, wait: float) -> Answer:
        began = time.perf_counter()
        connection = None
        try:
            async with asyncio.timeout(wait + PATIENCE_SECONDS):
                # The longest idle goes first: none idles until the server has had enough of it.
                connection = self._idle.popleft() if self._idle else None
                connection = connection or await self._open()
                answer = await connection.ask(request)
        except (OSError, EOFError) as error:
            if connection is not None:
                self._close(connection)
            return Answer(0, repr(error).encode())
        if not wait:
            self.latencies.append(time.perf_counter() - began)
        self.requests += 1
        if self._chances.random() < _LEAVING:
            self._close(connection)
        else:
            self._idle.append(connection)
        return answer

    def _is_good(self, action: str, answer: Answer) -> bool:
        if answer.status != 200:
            self.findings.append(f"{action}: {answer.status} {answer.body[:300]!r}")
        return answer.status == 200
