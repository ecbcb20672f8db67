"""Call the actions that concern messages, and record what each call did to them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.bench.client import queue_url
from tests.histories.client import Addresses, Call, Client, Protocol
from tests.histories.history import (
    Delete,
    Message,
    Outcome,
    Receive,
    Record,
    Removal,
    Send,
    VisibilityChange,
)

MAX_MESSAGES = 10
"""Messages of one receive, and entries of one batch (AWS: 10)."""


class NewMessage(NamedTuple):
    """A message to send; `order` is its position in its group, as in `Send`."""

    body: str
    group: str | None = None
    deduplication_id: str | None = None
    order: int | None = None

    def parameters(self) -> dict[str, object]:
        """Return the parameters of SendMessage, or of an entry of SendMessageBatch."""
        found: dict[str, object] = {"MessageBody": self.body}
        if self.group is not None:
            found["MessageGroupId"] = self.group
        if self.deduplication_id is not None:
            found["MessageDeduplicationId"] = self.deduplication_id
        return found


class RecordingClient(Client):
    """A client whose calls about messages and whole queues go into a history."""

    def __init__(
        self,
        addresses: Addresses,
        record: Record,
        *,
        observe: Callable[[Call], None] | None = None,
        rng: random.Random | None = None,
        now: Callable[[], float] = time.monotonic,
        disconnect_probability: float = 0.0,
    ) -> None:
        """Pass each operation that returns to `record`; see `Client` for the other arguments."""
        super().__init__(
            addresses,
            observe=observe,
            rng=rng,
            now=now,
            disconnect_probability=disconnect_probability,
        )
        self._record = record

    async def __aenter__(self) -> RecordingClient:
        return self

    async def send(
        self, queue: str, message: NewMessage, protocol: Protocol = "json", **parameters: object
    ) -> Outcome:
        """Send one message; `parameters` are further ones of SendMessage."""
        everything = {"QueueUrl": queue_url(queue), **message.parameters(), **parameters}
        call = await self.request("SendMessage", everything, protocol)
        self._record(_sent(queue, message, call, call.outcome, call.answer))
        return call.outcome

    async def send_batch(self, queue: str, messages: Sequence[NewMessage]) -> list[Outcome]:
        """Send messages in one call; return the outcome of each."""
        entries = [
            {"Id": str(place), **message.parameters()} for place, message in enumerate(messages)
        ]
        call = await self.call("SendMessageBatch", QueueUrl=queue_url(queue), Entries=entries)
        outcomes = _entry_outcomes(call, len(messages))
        answers = {entry["Id"]: entry for entry in call.answer.get("Successful") or ()}
        for place, (message, outcome) in enumerate(zip(messages, outcomes, strict=True)):
            self._record(_sent(queue, message, call, outcome, answers.get(str(place), {})))
        return outcomes

    async def receive(
        self,
        queue: str,
        *,
        protocol: Protocol = "json",
        queue_visibility_seconds: float | None = None,
        is_final: bool = False,
        **parameters: object,
    ) -> list[Message]:
        """Receive up to ten messages; the list is also empty if the call failed.

        Args:
            queue: the queue's name.
            protocol: the protocol of the call.
            queue_visibility_seconds: the queue's visibility timeout, if the caller knows it.
            is_final: see `Receive`.
            parameters: further ones of ReceiveMessage. A VisibilityTimeout among them overrides
                the queue's.
        """
        always = {"QueueUrl": queue_url(queue), "MaxNumberOfMessages": MAX_MESSAGES}
        call = await self.request("ReceiveMessage", {**always, **parameters}, protocol)
        if call.outcome != "done":
            return []
        messages = [
            Message(one["Body"], one["MessageId"], one["MD5OfBody"], one["ReceiptHandle"])
            for one in call.answer.get("Messages") or ()
        ]
        seconds = queue_visibility_seconds
        if "VisibilityTimeout" in parameters:
            seconds = float(str(parameters["VisibilityTimeout"]))
        self._record(Receive(queue, call.called, call.returned, messages, seconds, is_final))
        return messages

    async def delete(self, queue: str, message: Message) -> Outcome:
        """Delete one message that was received."""
        call = await self.call(
            "DeleteMessage", QueueUrl=queue_url(queue), ReceiptHandle=message.receipt_handle
        )
        self._record(_deleted(queue, message, call, call.outcome))
        return call.outcome

    async def delete_batch(self, queue: str, messages: Sequence[Message]) -> list[Outcome]:
        """Delete messages in one call; return the outcome of each."""
        entries = [
            {"Id": str(place), "ReceiptHandle": message.receipt_handle}
            for place, message in enumerate(messages)
        ]
        call = await self.call("DeleteMessageBatch", QueueUrl=queue_url(queue), Entries=entries)
        outcomes = _entry_outcomes(call, len(messages))
        for message, outcome in zip(messages, outcomes, strict=True):
            self._record(_deleted(queue, message, call, outcome))
        return outcomes

    async def change_visibility(self, queue: str, message: Message, seconds: int) -> Outcome:
        """Change the visibility timeout of a message that was received."""
        call = await self.call(
            "ChangeMessageVisibility",
            QueueUrl=queue_url(queue),
            ReceiptHandle=message.receipt_handle,
            VisibilityTimeout=seconds,
        )
        self._record(
            VisibilityChange(queue, message.body, call.called, call.returned, call.outcome)
        )
        return call.outcome

    async def purge(self, queue: str) -> Outcome:
        """Purge a queue."""
        return await self._remove("PurgeQueue", queue)

    async def delete_queue(self, queue: str) -> Outcome:
        """Delete a queue."""
        return await self._remove("DeleteQueue", queue)

    async def _remove(self, action: str, queue: str) -> Outcome:
        call = await self.call(action, QueueUrl=queue_url(queue))
        self._record(Removal(queue, call.called, call.returned, call.outcome))
        return call.outcome


def _entry_outcomes(call: Call, entries: int) -> list[Outcome]:
    """Return the outcome of each entry of a batch, whose IDs are their positions."""
    if call.outcome != "done":
        return [call.outcome] * entries
    done = {entry["Id"] for entry in call.answer.get("Successful") or ()}
    return ["done" if str(place) in done else "rejected" for place in range(entries)]


def _sent(
    queue: str, message: NewMessage, call: Call, outcome: Outcome, answer: Mapping[str, Any]
) -> Send:
    return Send(
        queue,
        message.body,
        call.called,
        call.returned,
        outcome,
        str(answer.get("MessageId", "")),
        message.group,
        message.order,
        str(answer.get("SequenceNumber", "")),
    )


def _deleted(queue: str, message: Message, call: Call, outcome: Outcome) -> Delete:
    return Delete(
        queue,
        message.body,
        call.called,
        call.returned,
        outcome,
        message.message_id,
        message.receipt_handle,
    )
