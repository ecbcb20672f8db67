"""Call servers that may crash, restart or not answer, and report the outcome of each call."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, NamedTuple
from xml.etree import ElementTree

from tests.bench.client import ACCOUNT, Answer, Connection, Request, json_request, query_request
from tests.histories.history import Outcome

Protocol = Literal["json", "query"]

ANSWER_SECONDS = 30.0
"""Timeout of an answer, beyond the wait time of a receive."""

_PAUSE_SECONDS = 0.05
"""Pause after a call whose outcome is unknown: the server may be starting."""

_XMLNS = "{http://queue.amazonaws.com/doc/2012-11-05/}"


def queue_arn(name: str) -> str:
    """Return the ARN of a queue in the default account and region."""
    return f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"


class Call(NamedTuple):
    """One call of an action.

    Attributes:
        outcome: `done` for status 200, `rejected` for 4xx, `unknown` for 5xx or no answer.
        status: the HTTP status; 0 if there was no answer.
        answer: the result, of either protocol, with the JSON names; empty if it is not `done`.
        error: the beginning of the error's text; empty if it is `done`.
        called, returned: by the client's clock.
        wait_seconds: the wait time that a receive asked for.
        is_timed_out: whether the client gave up waiting for the answer.
    """

    action: str
    outcome: Outcome
    status: int
    answer: Mapping[str, Any]
    error: str
    called: float
    returned: float
    wait_seconds: float
    is_timed_out: bool = False

    @property
    def answer_seconds(self) -> float:
        """The time until the answer, beyond the wait time; infinite if the client gave up."""
        return inf if self.is_timed_out else self.returned - self.called - self.wait_seconds


@dataclass
class CallCounts:
    """Counts of the calls of all clients of a run.

    Attributes:
        by_action: calls by action and outcome.
        failed_statuses: calls that were not done, by HTTP status; 0 is no answer.
        server_errors: the texts of the answers with status 5xx.
        longest_answer_seconds: the longest time until an answer, beyond the wait time.
    """

    by_action: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    failed_statuses: Counter[int] = field(default_factory=Counter)
    server_errors: list[str] = field(default_factory=list)
    longest_answer_seconds: float = 0.0

    def add(self, call: Call) -> None:
        """Count a call that has returned."""
        self.by_action[call.action, call.outcome] += 1
        if call.outcome != "done":
            self.failed_statuses[call.status] += 1
        if call.status >= 500:
            self.server_errors.append(f"{call.action}: {call.error}")
        self.longest_answer_seconds = max(self.longest_answer_seconds, call.answer_seconds)


class Addresses:
    """The base URLs of the servers that run; a client waits while there is none."""

    def __init__(self, *urls: str) -> None:
        self._urls: tuple[str, ...] = ()
        self._changed = asyncio.Event()
        self.set(*urls)

    def set(self, *urls: str) -> None:
        """Replace the URLs; without an argument, no server runs."""
        self._urls = urls
        if urls:
            self._changed.set()
        else:
            self._changed.clear()

    def __contains__(self, url: str) -> bool:
        return url in self._urls

    async def choose(self, rng: random.Random) -> str:
        """Return one of the URLs, when there is one."""
        while not self._urls:
            await self._changed.wait()
        return rng.choice(self._urls)


class Client:
    """Calls random servers, on connections that it opens when it needs them.

    Calls may overlap; each has its own connection. After a call without an answer the
    connection is closed, and the next call opens another.

    Attributes:
        open_connections: how many connections are open.
    """

    def __init__(
        self,
        addresses: Addresses,
        *,
        observe: Callable[[Call], None] | None = None,
        rng: random.Random | None = None,
        now: Callable[[], float] = time.monotonic,
        disconnect_probability: float = 0.0,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Store the settings; the first call connects.

        Args:
            addresses: the servers.
            observe: called with each call when it has returned.
            rng: random numbers, which choose the server and when to disconnect.
            now: the clock of `called` and `returned`.
            disconnect_probability: how often a connection is closed after an answer.
            answer_seconds: timeout of an answer, beyond the wait time of a receive.
        """
        self.rng = rng or random.Random()
        self._addresses = addresses
        self._observe = observe
        self._now = now
        self._disconnect_probability = disconnect_probability
        self._answer_seconds = answer_seconds
        self._idle: dict[str, deque[Connection]] = defaultdict(deque)
        self.open_connections = 0

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def call(self, action: str, **parameters: object) -> Call:
        """Call an action once, in the JSON protocol."""
        return await self.request(action, parameters)

    async def request(
        self, action: str, parameters: Mapping[str, object], protocol: Protocol = "json"
    ) -> Call:
        """Call an action once, on a random server.

        The Query protocol takes parameters that are not nested, by their Query names.
        """
        url = await self._addresses.choose(self.rng)
        wait_seconds = float(str(parameters.get("WaitTimeSeconds", 0)))
        if protocol == "json":
            request = json_request(action, **parameters)
        else:
            texts = {name: str(value) for name, value in parameters.items()}
            request = query_request(action, **texts)
        called = self._now()
        is_timed_out = False
        try:
            answer = await self._ask(url, request, self._answer_seconds + wait_seconds)
        except (OSError, EOFError) as error:
            is_timed_out = isinstance(error, TimeoutError)
            answer = Answer(0, repr(error).encode())
        returned = self._now()
        outcome = _outcome(answer.status)
        found: Mapping[str, Any] = {}
        if outcome == "done":
            found = answer.json() if protocol == "json" else _query_result(action, answer.body)
        error_text = "" if outcome == "done" else answer.body[:300].decode(errors="replace")
        call = Call(
            action,
            outcome,
            answer.status,
            found,
            error_text,
            called,
            returned,
            wait_seconds,
            is_timed_out,
        )
        if self._observe is not None:
            self._observe(call)
        if outcome == "unknown":
            await asyncio.sleep(_PAUSE_SECONDS)
        return call

    async def call_until_done(self, action: str, **parameters: object) -> Call:
        """Call an action until a server has done it."""
        while True:
            call = await self.call(action, **parameters)
            if call.outcome == "done":
                return call

    async def abandon(self, action: str, seconds: float, **parameters: object) -> None:
        """Call an action, and disconnect after a time without waiting for the answer."""
        url = await self._addresses.choose(self.rng)
        with contextlib.suppress(TimeoutError):
            connection = await self._open(url)
            try:
                async with asyncio.timeout(seconds):
                    await connection.ask(json_request(action, **parameters))
            finally:
                self._close(connection)

    def close(self) -> None:
        """Close the connections that no call uses."""
        for connections in self._idle.values():
            while connections:
                self._close(connections.pop())

    async def _ask(self, url: str, request: Request, timeout_seconds: float) -> Answer:
        connection: Connection | None = None
        try:
            async with asyncio.timeout(timeout_seconds):
                self._close_stale()
                # The longest idle goes first: none idles until the server closes it.
                idle = self._idle[url]
                connection = idle.popleft() if idle else await self._open(url)
                answer = await connection.ask(request)
        except BaseException:
            if connection is not None:
                self._close(connection)
            raise
        if self.rng.random() < self._disconnect_probability:
            self._close(connection)
        else:
            self._idle[url].append(connection)
        return answer

    def _close_stale(self) -> None:
        """Close the connections to servers that have ended."""
        for url in [url for url in self._idle if url not in self._addresses]:
            for connection in self._idle.pop(url):
                self._close(connection)

    async def _open(self, url: str) -> Connection:
        connection = await Connection.open(url)
        self.open_connections += 1
        return connection

    def _close(self, connection: Connection) -> None:
        connection.close()
        self.open_connections -= 1


def _outcome(status: int) -> Outcome:
    if status == 200:
        return "done"
    return "rejected" if 400 <= status < 500 else "unknown"


def _query_result(action: str, body: bytes) -> Mapping[str, Any]:
    """Return a Query answer's result: its plain elements, and the messages of a receive."""
    result = ElementTree.fromstring(body).find(f"{_XMLNS}{action}Result")
    found: dict[str, Any] = {} if result is None else _texts(result)
    if action == "ReceiveMessage" and result is not None:
        found["Messages"] = [_texts(message) for message in result.iter(f"{_XMLNS}Message")]
    return found


def _texts(element: ElementTree.Element) -> dict[str, Any]:
    return {child.tag.removeprefix(_XMLNS): child.text or "" for child in element}
