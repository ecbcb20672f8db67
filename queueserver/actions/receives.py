"""ReceiveMessage, before and after its command."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from protocol import actions
from protocol.actions import Message
from queueserver.actions.prepared import PreparedAction, key_failure
from queueserver.actions.queue_cache import CachedQueue
from queueserver.context import RequestContext
from queueserver.identifiers import as_text
from queueserver.rules import message_attributes, receive_parameters
from queueserver.rules.envelope import Envelope
from queueserver.rules.receipt_handles import encode_receipt_handle
from storage.errors import DatabaseDamaged
from storage.messages.commands import (
    InFlightLimit,
    Receive,
    ReceiveAttempt,
    ReceiveAttemptExpired,
    Received,
    ReceiveIncomplete,
)
from storage.queues import STANDARD, QueueChanged

log = logging.getLogger(__name__)


class PreparedReceive(PreparedAction[Received, actions.ReceiveMessageResult], gc=False):
    """A ReceiveMessage whose parameters are accepted.

    Attributes:
        command: the command of a receiver that does not wait.
        queue: the queue.
        wait_s: how long to wait for the first message, in seconds.
        system_names: the system attributes to return.
        is_selected: decides by name which message attributes to return; None for none of them.
    """

    command: Receive
    queue: CachedQueue
    wait_s: int
    system_names: frozenset[str]
    is_selected: Callable[[str], bool] | None

    @property
    def waits(self) -> bool:
        """Whether the receive waits for a message: it is a long poll."""
        return self.wait_s > 0

    def waiting_command(self) -> Receive:
        """Return a new command of a waiting receiver, for one claim: `withdraw` changes it."""
        command = self.command
        return Receive(
            command.queue_id,
            command.revision,
            command.queue_kind,
            command.maximum,
            command.visibility_timeout_ms,
            is_waiting=True,
            in_flight_limit=command.in_flight_limit,
            attempt=command.attempt,
        )

    def result(self, outcomes: Sequence[Received]) -> actions.ReceiveMessageResult:
        """Return the received messages; those that are damaged only go to the log.

        A damaged message stays in flight until its visibility timeout ends.

        Raises:
            DatabaseDamaged: every message is damaged.
        """
        try:
            messages = [self._to_wire_message(one) for one in outcomes]
        except DatabaseDamaged:
            messages = self._undamaged_messages(outcomes)
        return actions.ReceiveMessageResult(messages or None)

    def failure(self, error: Exception) -> actions.ReceiveMessageResult | Exception:
        """Return the error of a receive that failed.

        AWS: a FIFO queue at its limit in flight answers with no messages instead of an error.
        """
        if isinstance(error, InFlightLimit):
            if self.queue.kind != STANDARD:
                return actions.ReceiveMessageResult()
            return receive_parameters.too_many_in_flight_error()
        if isinstance(error, ReceiveAttemptExpired):
            attempt = self.command.attempt
            attempt_id = attempt.attempt_id if attempt else ""
            return receive_parameters.expired_attempt_error(attempt_id)
        return key_failure(self.queue, error)

    def must_run_again(self, outcome: Sequence[Received] | Exception) -> bool:
        """Return whether the receive has found nothing, and must claim again or wait."""
        if not isinstance(outcome, Exception):
            return self.waits and not outcome
        if isinstance(outcome, InFlightLimit):
            return self.waits
        return isinstance(outcome, (QueueChanged, ReceiveIncomplete))

    def _to_wire_message(self, received: Received) -> Message:
        """Return a received message with the attributes that the request selects.

        Raises:
            DatabaseDamaged: the message cannot be decoded.
        """
        envelope = Envelope.decode(received.envelope)
        attributes = digest = system = None
        if self.is_selected is not None:
            attributes, digest = envelope.select_attributes(self.is_selected)
        if self.system_names:
            system = envelope.select_system_attributes(received, self.system_names)
        return Message(
            as_text(received.message_id),
            encode_receipt_handle(self.queue.signer, received),
            envelope.md5_of_body,
            received.body,
            system,
            digest,
            attributes,
        )

    def _undamaged_messages(self, received: Sequence[Received]) -> list[Message]:
        """Return the messages that can be decoded.

        Raises:
            DatabaseDamaged: every message is damaged.
        """
        messages = []
        for position, one in enumerate(received, 1):
            try:
                messages.append(self._to_wire_message(one))
            except DatabaseDamaged as error:
                if position == len(received) and not messages:
                    raise
                log.warning(
                    "a message is damaged, not returning it; "
                    "find the damage with `queueserver check` or `pg_amcheck`: "
                    "queue=%s message=%d reason=%s",
                    self.queue.name,
                    one.receipt.number,
                    error,
                )
        return messages


class Receives:
    """Prepares receives.

    `in_flight_limit` is the most messages of a queue in flight (AWS: about 120,000). The database
    enforces it in each receive.
    """

    def __init__(self, in_flight_limit: int) -> None:
        self._in_flight_limit = in_flight_limit

    def prepare(
        self, queue: CachedQueue, _: RequestContext, request: actions.ReceiveMessage
    ) -> PreparedReceive:
        """Check a ReceiveMessage and make its command.

        Raises:
            SQSError: a parameter breaks a rule.
        """
        maximum = receive_parameters.parse_max_number_of_messages(request.max_number_of_messages)
        if request.wait_time_seconds is not None:
            receive_parameters.check_wait_time_seconds(request.wait_time_seconds)
        if request.visibility_timeout is not None:
            receive_parameters.check_receive_visibility_timeout(request.visibility_timeout)
        system_names = message_attributes.parse_system_attribute_names(
            request.message_system_attribute_names, request.attribute_names
        )
        is_selected = message_attributes.parse_attribute_filter(request.message_attribute_names)
        attributes = queue.attributes
        timeout_s = _value_or(request.visibility_timeout, attributes.visibility_timeout)
        wait_s = _value_or(request.wait_time_seconds, attributes.receive_message_wait_time_seconds)
        command = Receive(
            queue.id,
            queue.revision,
            queue.kind,
            maximum,
            timeout_s * 1000,
            is_waiting=False,
            in_flight_limit=self._in_flight_limit,
            attempt=_attempt_of(queue, request, maximum),
        )
        return PreparedReceive(command, queue, wait_s, system_names, is_selected)


def _attempt_of(
    queue: CachedQueue, request: actions.ReceiveMessage, maximum: int
) -> ReceiveAttempt | None:
    """Return the receive attempt of the request, or None. AWS: standard queues ignore the id."""
    attempt_id = request.receive_request_attempt_id
    if attempt_id is None or not queue.attributes.fifo_queue:
        return None
    receive_parameters.check_receive_request_attempt_id(attempt_id)
    return ReceiveAttempt(attempt_id, [maximum, request.visibility_timeout])


def _value_or(value: int | None, default: int) -> int:
    return default if value is None else value
