"""Random requests get the same answers with and without a task."""

from __future__ import annotations

import random
import re
from contextlib import aclosing
from typing import TypeVar

import msgspec
import pytest

from protocol import actions
from protocol.errors import SQSError
from protocol.names import queue_url
from tests.api.in_process_server import FIFO, QUEUE, Answer, InProcessServer
from tests.engine.queue_client import ACCOUNT

T = TypeVar("T")

REQUESTS = 400
UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
URLS = [*[QUEUE, FIFO] * 5, queue_url("", ACCOUNT, "other"), "x!"]
BODIES = ["a", "b", "\u00e9" * 9, "x" * 2_000, "\x00", "", None]
VALUE = actions.MessageAttributeValue("String", "x")
ATTRIBUTES = [None, None, {"a": VALUE}, {"a": VALUE, "b": VALUE}, {"..": VALUE}]
NAMES = [None, [], ["All"], ["a"], ["SenderId", "a.*"], ["n" * 300]]


class RandomRequests:
    """A source of requests on messages, valid ones and others; `handles` are those to use."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.handles = ["x"]

    def next(self) -> msgspec.Struct:
        """Return a request of any action on messages."""
        make = self._pick(
            self._send,
            self._send_batch,
            self._receive,
            self._receive,
            self._delete,
            self._change,
        )
        return make(self._pick(*URLS))

    def _pick(self, *choices: T) -> T:
        return self._random.choice(choices)

    def _ids(self) -> list[str | None]:
        return [
            self._pick(str(number), str(number), str(number), "0", "!", None)
            for number in range(self._pick(0, 1, 2, 3, 11))
        ]

    def _send(self, url: str) -> msgspec.Struct:
        return actions.SendMessage(
            url,
            self._pick(*BODIES),
            self._pick(None, None, 0, 1, 901),
            self._pick(*ATTRIBUTES),
            None,
            self._pick(None, None, "1", "2", " "),
            self._pick(None, "g", "h", " "),
        )

    def _send_batch(self, url: str) -> msgspec.Struct:
        entries = [
            actions.SendMessageBatchRequestEntry(
                one,
                self._pick(*BODIES),
                message_attributes=self._pick(*ATTRIBUTES),
                message_group_id=self._pick("g", "h", " "),
            )
            for one in self._ids()
        ]
        return actions.SendMessageBatch(url, self._pick(entries, entries, None))

    def _receive(self, url: str) -> msgspec.Struct:
        return actions.ReceiveMessage(
            url,
            self._pick(*NAMES),
            self._pick(*NAMES),
            self._pick(*NAMES),
            self._pick(None, 1, 3, 10, 11),
            self._pick(None, None, 0, 5, -1),
            self._pick(None, 0, 5, 21),
            self._pick(None, None, None, "attempt", " "),
        )

    def _delete(self, url: str) -> msgspec.Struct:
        if self._pick(True, False):
            return actions.DeleteMessage(url, self._pick(*self.handles, None))
        entries = [
            actions.DeleteMessageBatchRequestEntry(one, self._pick(*self.handles, None))
            for one in self._ids()
        ]
        return actions.DeleteMessageBatch(url, entries)

    def _change(self, url: str) -> msgspec.Struct:
        seconds = (None, 0, 0, 5, 43_200, 50_000)
        if self._pick(True, False):
            handle = self._pick(*self.handles, None)
            return actions.ChangeMessageVisibility(url, handle, self._pick(*seconds))
        entries = [
            actions.ChangeMessageVisibilityBatchRequestEntry(
                one, self._pick(*self.handles, None), self._pick(*seconds)
            )
            for one in self._ids()
        ]
        return actions.ChangeMessageVisibilityBatch(url, entries)


def comparable(answer: Answer) -> object:
    """Return an answer without message ids, which are random."""
    if isinstance(answer, SQSError):
        return type(answer), answer.message
    assert not isinstance(answer, Exception), answer
    return UUID.sub("message-id", msgspec.json.encode(answer).decode())


async def open_server() -> InProcessServer:
    server = await InProcessServer.open("sqlite://")
    # Receives must not wait: the clock moves only between requests.
    server.database.waiters.close()
    return server


@pytest.mark.parametrize("seed", range(10))
async def test_random_requests_get_the_same_answers_both_ways(seed: int) -> None:
    requests = RandomRequests(seed)
    async with aclosing(await open_server()) as with_task, aclosing(await open_server()) as without:
        for _ in range(REQUESTS):
            request = requests.next()
            expected = await with_task.dispatch(request)
            assert comparable(await without.answer(request)) == comparable(expected), request
            if isinstance(expected, actions.ReceiveMessageResult):
                received = [one.receipt_handle for one in expected.messages or ()]
                requests.handles = [*requests.handles, *received][-6:]
            with_task.clock.advance(0.5)
            without.clock.advance(0.5)
