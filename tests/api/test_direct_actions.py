"""Actions that begin without a task: what begins, what `dispatch` must run, what is undone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

import msgspec
import pytest

from protocol import actions
from protocol.actions import Message
from protocol.errors import InvalidParameterValue, OverLimit
from protocol.names import queue_url
from queueserver.actions.direct import NeedsTask, Pending
from storage import queues
from storage.database import Database
from storage.messages.commands import Send
from tests.api.in_process_server import (
    CONTEXT,
    FIFO,
    IN_FLIGHT_LIMIT,
    QUEUE,
    Answer,
    InProcessServer,
)
from tests.clock import ManualClock
from tests.engine.queue_client import ACCOUNT, REGION, new_message, run_event_loop

S = TypeVar("S", bound=msgspec.Struct)

VISIBILITY_S = 30
RETENTION_S = 345_600


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[InProcessServer]:
    async with aclosing(await InProcessServer.open(database_url)) as server:
        yield server


def of(answer: Answer, kind: type[S]) -> S:
    assert isinstance(answer, kind), answer
    return answer


def message_of(answer: Answer) -> Message:
    (message,) = of(answer, actions.ReceiveMessageResult).messages or []
    return message


# Both ways


Run = Callable[[msgspec.Struct], Awaitable[Answer]]


@pytest.fixture(params=["dispatch", "run_directly"])
def run(server: InProcessServer, request: pytest.FixtureRequest) -> Run:
    """Return each of the two ways to run an action."""
    way: Run = getattr(server, request.param)
    return way


async def test_single_message_is_sent_received_changed_and_deleted(run: Run) -> None:
    sent = of(await run(actions.SendMessage(QUEUE, "a")), actions.SendMessageResult)
    received = message_of(await run(actions.ReceiveMessage(QUEUE)))
    assert (received.message_id, received.body) == (sent.message_id, "a")
    assert received.md5_of_body == sent.md5_of_message_body
    handle = received.receipt_handle
    assert await run(actions.ChangeMessageVisibility(QUEUE, handle, 0)) is None
    again = message_of(await run(actions.ReceiveMessage(QUEUE)))
    assert again.message_id == sent.message_id
    assert await run(actions.DeleteMessage(QUEUE, again.receipt_handle)) is None
    answer = await run(actions.ChangeMessageVisibility(QUEUE, handle, 0))
    assert isinstance(answer, InvalidParameterValue)
    assert "Message does not exist" in answer.message


async def test_batch_is_sent_received_changed_and_deleted(run: Run) -> None:
    send = actions.SendMessageBatch(
        FIFO,
        [
            actions.SendMessageBatchRequestEntry("a", "a", message_group_id="a"),
            actions.SendMessageBatchRequestEntry("b", "b", message_group_id="b"),
            actions.SendMessageBatchRequestEntry("c", "c", message_group_id=" "),
        ],
    )
    sent = of(await run(send), actions.SendMessageBatchResult)
    assert [one.id for one in sent.successful or ()] == ["a", "b"]
    assert [one.id for one in sent.failed or ()] == ["c"]
    request = actions.ReceiveMessage(FIFO, max_number_of_messages=10)
    received = of(await run(request), actions.ReceiveMessageResult).messages or []
    assert {one.body for one in received} == {"a", "b"}
    handles = {one.body: one.receipt_handle for one in received}
    change = actions.ChangeMessageVisibilityBatch(
        FIFO,
        [
            actions.ChangeMessageVisibilityBatchRequestEntry("a", handles["a"], 0),
            actions.ChangeMessageVisibilityBatchRequestEntry("b", handles["b"], 100_000),
        ],
    )
    changed = of(await run(change), actions.ChangeMessageVisibilityBatchResult)
    assert [one.id for one in changed.successful or ()] == ["a"]
    assert [one.id for one in changed.failed or ()] == ["b"]
    delete = actions.DeleteMessageBatch(
        FIFO,
        [
            actions.DeleteMessageBatchRequestEntry("a", handles["a"]),
            actions.DeleteMessageBatchRequestEntry("b", handles["b"]),
        ],
    )
    deleted = of(await run(delete), actions.DeleteMessageBatchResult)
    assert [one.id for one in deleted.successful or ()] == ["b"]
    assert [one.id for one in deleted.failed or ()] == ["a"]


async def test_expired_handle_of_fifo_queue_is_an_error(server: InProcessServer, run: Run) -> None:
    await server.send_fifo("a")
    (message,) = await server.messages(FIFO)
    server.clock.advance(VISIBILITY_S)
    answer = await run(actions.DeleteMessage(FIFO, message.receipt_handle))
    assert isinstance(answer, InvalidParameterValue)
    assert answer.message.endswith("The receipt handle has expired.")


async def test_repeated_receive_attempt_returns_the_same_messages(
    server: InProcessServer, run: Run
) -> None:
    await server.send_fifo("a")
    request = actions.ReceiveMessage(FIFO, receive_request_attempt_id="attempt")
    assert message_of(await run(request)) == message_of(await run(request))


async def test_receive_attempt_of_a_deleted_message_is_an_error(
    server: InProcessServer, run: Run
) -> None:
    await server.send_fifo("a")
    request = actions.ReceiveMessage(FIFO, receive_request_attempt_id="attempt")
    received = message_of(await run(request))
    await run(actions.DeleteMessage(FIFO, received.receipt_handle))
    answer = await run(request)
    assert isinstance(answer, InvalidParameterValue)
    assert "not retryable" in answer.message


async def test_short_poll_at_the_in_flight_limit_is_rejected_on_a_standard_queue(
    server: InProcessServer, run: Run
) -> None:
    await server.send("a", "b", "c", "d")
    assert len(await server.bodies()) == IN_FLIGHT_LIMIT
    assert isinstance(await run(actions.ReceiveMessage(QUEUE)), OverLimit)


async def test_short_poll_at_the_in_flight_limit_is_empty_on_a_fifo_queue(
    server: InProcessServer, run: Run
) -> None:
    await server.send_fifo("a", "b", "c", "d")
    assert len(await server.bodies(FIFO)) == IN_FLIGHT_LIMIT
    answer = of(await run(actions.ReceiveMessage(FIFO)), actions.ReceiveMessageResult)
    assert answer.messages is None


# Actions that do not begin


UNFIT = {
    "an action of another kind": actions.PurgeQueue(QUEUE),
    "a queue that is not cached": actions.SendMessage(queue_url("", ACCOUNT, "other"), "x"),
    "a URL that no queue can have": actions.SendMessage("http://localhost/a/b!", "x"),
    "a message without body": actions.SendMessage(QUEUE),
    "a batch without entries": actions.SendMessageBatch(QUEUE, []),
    "a batch without a valid entry": actions.SendMessageBatch(
        QUEUE, [actions.SendMessageBatchRequestEntry("a")]
    ),
    "deletes without a valid entry": actions.DeleteMessageBatch(
        QUEUE, [actions.DeleteMessageBatchRequestEntry("a", "x")]
    ),
    "changes without a valid entry": actions.ChangeMessageVisibilityBatch(
        QUEUE, [actions.ChangeMessageVisibilityBatchRequestEntry("a", "x", 0)]
    ),
    "a handle of no queue": actions.DeleteMessage(QUEUE, "x"),
    "a wait of 21 s": actions.ReceiveMessage(QUEUE, wait_time_seconds=21),
}


@pytest.mark.parametrize("request_", UNFIT.values(), ids=UNFIT)
async def test_request_that_dispatch_must_judge_does_not_begin(
    server: InProcessServer, request_: msgspec.Struct
) -> None:
    await server.send("a")
    assert server.does_not_begin(request_)
    await run_event_loop(10)
    assert await server.bodies() == ["a"]


async def test_action_does_not_begin_while_the_write_queue_is_full() -> None:
    clock = ManualClock()
    async with aclosing(
        InProcessServer(await Database.open("sqlite://", clock, limit=1), clock)
    ) as server:
        await server.dispatch(actions.CreateQueue("q"))
        await server.send("a")
        first, answered = server.begin(actions.SendMessage(QUEUE, "b"))
        assert first is not None
        assert server.does_not_begin(actions.SendMessage(QUEUE, "c"))
        await answered
        assert await server.bodies() == ["a", "b"]


async def test_action_does_not_begin_on_a_closed_database(server: InProcessServer) -> None:
    await server.database.close()
    assert server.does_not_begin(actions.SendMessage(QUEUE, "a"))


async def test_long_poll_does_not_begin_while_another_receiver_waits(
    server: InProcessServer,
) -> None:
    request = actions.ReceiveMessage(QUEUE, wait_time_seconds=20)
    first = asyncio.create_task(server.dispatch(request))
    await run_event_loop(1)
    assert server.does_not_begin(request)
    await server.send("a")
    assert message_of(await first).body == "a"


# Actions that must run again


async def test_action_on_a_stale_queue_needs_a_task_and_has_no_effect(
    server: InProcessServer,
) -> None:
    await server.change_from_another_server(QUEUE, delay_seconds="10")
    request = actions.SendMessage(QUEUE, "a")
    assert isinstance(await server.run_directly(request), NeedsTask)
    assert isinstance(await server.dispatch(request), actions.SendMessageResult)
    assert await server.bodies() == []
    server.clock.advance(10)
    assert await server.bodies() == ["a"]


async def test_rule_of_a_stale_queue_is_checked_again_by_dispatch(server: InProcessServer) -> None:
    await server.dispatch(actions.SetQueueAttributes(QUEUE, {"MaximumMessageSize": "1024"}))
    await server.bodies()
    await server.change_from_another_server(QUEUE, maximum_message_size="2048")
    request = actions.SendMessage(QUEUE, "x" * 2048)
    assert server.does_not_begin(request)
    assert isinstance(await server.dispatch(request), actions.SendMessageResult)


async def test_long_poll_with_a_visible_message_is_answered_at_once(
    server: InProcessServer,
) -> None:
    await server.send("a")
    request = actions.ReceiveMessage(QUEUE, wait_time_seconds=20)
    assert message_of(await server.run_directly(request)).body == "a"


async def test_long_poll_without_messages_needs_a_task(server: InProcessServer) -> None:
    request = actions.ReceiveMessage(QUEUE, wait_time_seconds=20)
    assert isinstance(await server.run_directly(request), NeedsTask)


async def test_long_poll_of_the_queues_default_needs_a_task(server: InProcessServer) -> None:
    await server.dispatch(
        actions.SetQueueAttributes(QUEUE, {"ReceiveMessageWaitTimeSeconds": "20"})
    )
    await server.dispatch(actions.ReceiveMessage(QUEUE, wait_time_seconds=0))
    assert isinstance(await server.run_directly(actions.ReceiveMessage(QUEUE)), NeedsTask)


async def test_long_poll_at_the_in_flight_limit_needs_a_task(server: InProcessServer) -> None:
    await server.send("a", "b", "c", "d")
    assert len(await server.bodies()) == IN_FLIGHT_LIMIT
    request = actions.ReceiveMessage(QUEUE, wait_time_seconds=20)
    assert isinstance(await server.run_directly(request), NeedsTask)


async def test_receive_behind_many_expired_messages_needs_a_task(server: InProcessServer) -> None:
    queue = await server.database.read(queues.find, ACCOUNT, REGION, "q")
    assert queue is not None
    old = [new_message("old")] * 600
    await server.database.submit(Send(queue.id, queue.revision, queue.kind, old))
    server.clock.advance(RETENTION_S)
    await server.send("young")
    assert isinstance(await server.run_directly(actions.ReceiveMessage(QUEUE)), NeedsTask)
    assert await server.bodies() == ["young"]


async def test_failure_of_the_database_is_passed_on(server: InProcessServer) -> None:
    await server.database.write(
        lambda transaction: transaction.connection.exec_driver_sql(
            "ALTER TABLE messages RENAME TO elsewhere"
        )
    )
    answer = await server.run_directly(actions.SendMessage(QUEUE, "a"))
    assert isinstance(answer, Exception)
    assert not isinstance(answer, NeedsTask)


# Clients that disconnect


async def test_disconnected_receiver_whose_command_has_not_run_claims_nothing(
    server: InProcessServer,
) -> None:
    await server.send_fifo("a")
    request = actions.ReceiveMessage(FIFO, receive_request_attempt_id="attempt")
    pending, answered = server.begin(request)
    assert pending is not None
    pending.cancel()
    assert await server.bodies(FIFO) == ["a"]
    assert not answered.done()


async def claim_and_disconnect(server: InProcessServer, attempt_id: str | None) -> None:
    """Receive, and disconnect after the message is claimed and before the answer."""
    pending: Pending | None = None

    def disconnect(_: Answer) -> None:
        assert pending is not None
        pending.cancel()

    # Both commands are in one batch, so the receive has run when the send is answered.
    send = actions.SendMessage(QUEUE, "x")
    assert server.dispatcher.begin(CONTEXT, send, disconnect) is not None
    request = actions.ReceiveMessage(FIFO, receive_request_attempt_id=attempt_id)
    pending, answered = server.begin(request)
    # The release of the claim is queued before this write.
    await server.database.write(lambda _: None)
    await server.database.write(lambda _: None)
    assert not answered.done()


async def test_messages_claimed_directly_for_a_disconnected_receiver_are_visible_at_once(
    server: InProcessServer,
) -> None:
    await server.send_fifo("a")
    await claim_and_disconnect(server, None)
    (message,) = await server.messages(FIFO)
    assert message.body == "a"


async def test_messages_claimed_directly_for_a_disconnected_attempt_wait_for_its_repetition(
    server: InProcessServer,
) -> None:
    await server.send_fifo("a")
    await claim_and_disconnect(server, "attempt")
    assert await server.bodies(FIFO) == []
    request = actions.ReceiveMessage(FIFO, receive_request_attempt_id="attempt")
    assert message_of(await server.run_directly(request)).body == "a"


async def test_message_of_a_disconnected_sender_is_sent(server: InProcessServer) -> None:
    pending, answered = server.begin(actions.SendMessage(QUEUE, "a"))
    assert pending is not None
    pending.cancel()
    assert await server.bodies() == ["a"]
    assert not answered.done()
