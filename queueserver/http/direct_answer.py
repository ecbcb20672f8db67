"""One small request that is answered without a task: by the callback of its command."""

from __future__ import annotations

import msgspec

from protocol.actions import Action
from protocol.codecs.lengths import long_messages
from protocol.wire import Codec, WireResponse
from queueserver.actions.direct import NeedsTask, Pending
from queueserver.http.answers import Answers
from queueserver.http.clients.endpoint import DirectConnection
from queueserver.http.errors import sqs_error
from queueserver.http.request_memory import Reservation


class DirectAnswer:
    """A request whose command is pending.

    `data` is the request as it arrived: aiohttp gets it if the action needs a task after all.
    """

    __slots__ = (
        "_action",
        "_answers",
        "_codec",
        "_connection",
        "_data",
        "_request_id",
        "_reservation",
        "pending",
    )

    def __init__(
        self,
        answers: Answers,
        connection: DirectConnection,
        data: bytes,
        codec: Codec,
        action: Action,
        request_id: str,
        reservation: Reservation | None,
    ) -> None:
        self._answers = answers
        self._connection = connection
        self._data = data
        self._codec = codec
        self._action = action
        self._request_id = request_id
        self._reservation = reservation
        self.pending: Pending | None = None
        """The action, once it has begun."""

    def finish(self, outcome: msgspec.Struct | Exception | None) -> None:
        """Answer with the action's result or error, after COMMIT."""
        self.end()
        if isinstance(outcome, NeedsTask):
            self._connection.answer_with_task(self._data)
        elif isinstance(outcome, Exception):
            self._send_error(outcome)
        elif long_messages(outcome):
            self._connection.run_for_answer(self._send_long(outcome))
        else:
            try:
                answer = self._codec.write_result(self._action, outcome, self._request_id)
            except Exception as error:
                self._send_error(error)
            else:
                self._send(answer)

    async def _send_long(self, result: msgspec.Struct | None) -> None:
        try:
            answer = await self._answers.write_result(
                self._codec, self._action, result, self._request_id
            )
        except Exception as error:
            self._send_error(error)
        else:
            self._send(answer)

    def _send_error(self, error: Exception) -> None:
        failure = sqs_error(error, self._request_id)
        self._send(self._codec.write_error(failure, self._request_id))

    def _send(self, answer: WireResponse) -> None:
        is_last = self._connection.is_last_request
        head = self._answers.head(answer, self._request_id, is_last=is_last)
        self._connection.send_answer(head + answer.body, answer.rest, is_last=is_last)

    def cancel(self) -> None:
        """Cancel the action, because its client has disconnected."""
        self.end()
        if self.pending is not None:
            self.pending.cancel()

    def end(self) -> None:
        """Stop counting the memory of the request."""
        if self._reservation is not None:
            self._reservation.end()
            self._reservation = None
