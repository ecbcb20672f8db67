"""The client reports each call as done, rejected or of unknown outcome, and can continue."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from urllib.parse import parse_qs

import pytest

from tests.histories.client import Addresses, Call, CallCounts, Client
from tests.histories.history import History, Message, Outcome, Receive
from tests.histories.recording_client import NewMessage, RecordingClient

Answer = tuple[int, str]
DISCONNECT: Answer = (0, "")
SILENCE: Answer = (-1, "")
NO_QUEUE: Answer = (400, '{"__type": "com.amazonaws.sqs#QueueDoesNotExist"}')


@dataclass
class ScriptedServer:
    """A server that gives the scripted answers in order, and repeats the last one."""

    answers: Sequence[Answer]
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                body = (await reader.readexactly(length)).decode()
                status, answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
                self.requests.append(body)
                if status == 0:
                    break
                if status < 0:
                    continue
                writer.write(
                    f"HTTP/1.1 {status} X\r\nContent-Length: {len(answer)}\r\n\r\n{answer}".encode()
                )
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(*answers: Answer) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(answers)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    yield server
    listener.close()


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [
        ((200, "{}"), "done", 200),
        (NO_QUEUE, "rejected", 400),
        ((403, "{}"), "rejected", 403),
        ((500, "{}"), "unknown", 500),
        ((503, "{}"), "unknown", 503),
        (DISCONNECT, "unknown", 0),
    ],
)
async def test_outcome_follows_from_the_answer(
    answer: Answer, outcome: Outcome, status: int
) -> None:
    async with scripted(answer) as server, Client(Addresses(server.url)) as client:
        call = await client.call("ListQueues")
    assert (call.action, call.outcome, call.status) == ("ListQueues", outcome, status)
    assert bool(call.error) == (outcome != "done")
    assert call.called < call.returned


async def test_outcome_is_unknown_if_no_server_listens() -> None:
    async with scripted() as server:
        pass
    async with Client(Addresses(server.url)) as client:
        call = await client.call("ListQueues")
    assert (call.outcome, call.status, call.is_timed_out) == ("unknown", 0, False)


async def test_outcome_is_unknown_after_the_timeout_and_the_next_call_reconnects() -> None:
    async with (
        scripted(SILENCE, (200, "{}")) as server,
        Client(Addresses(server.url), answer_seconds=0.1) as client,
    ):
        call = await client.call("ListQueues")
        assert (call.outcome, call.is_timed_out, call.answer_seconds) == ("unknown", True, inf)
        assert (await client.call("ListQueues")).outcome == "done"
        assert (server.connections, client.open_connections) == (2, 1)
    assert client.open_connections == 0


async def test_wait_time_is_added_to_the_timeout_and_taken_from_the_answer_time() -> None:
    async with (
        scripted(SILENCE) as server,
        Client(Addresses(server.url), answer_seconds=0.05) as client,
    ):
        call = await client.call("ReceiveMessage", WaitTimeSeconds=1)
    assert call.returned - call.called >= 1.05
    assert call.wait_seconds == 1


async def test_client_reconnects_after_a_disconnect_and_keeps_the_connection_otherwise() -> None:
    answers = [(200, "{}"), DISCONNECT, (200, "{}"), (500, "{}"), (200, "{}")]
    async with scripted(*answers) as server, Client(Addresses(server.url)) as client:
        outcomes = [(await client.call("ListQueues")).outcome for _ in answers]
    assert outcomes == ["done", "unknown", "done", "unknown", "done"]
    assert server.connections == 2


async def test_client_disconnects_after_answers_with_the_given_probability() -> None:
    async with scripted((200, "{}")) as server:
        async with Client(Addresses(server.url), disconnect_probability=1.0) as client:
            for _ in range(3):
                await client.call("ListQueues")
            assert client.open_connections == 0
        assert server.connections == 3


async def test_overlapping_calls_have_separate_connections() -> None:
    async with scripted((200, "{}")) as server, Client(Addresses(server.url)) as client:
        await asyncio.gather(*(client.call("ListQueues") for _ in range(5)))
        assert server.connections == client.open_connections == 5
        await asyncio.gather(*(client.call("ListQueues") for _ in range(5)))
        assert server.connections == 5


async def test_calls_go_to_all_addresses() -> None:
    async with scripted((200, "{}")) as one, scripted((200, "{}")) as other:
        async with Client(Addresses(one.url, other.url), rng=random.Random(1)) as client:
            for _ in range(20):
                await client.call("ListQueues")
        assert min(len(one.requests), len(other.requests)) > 0
        assert len(one.requests) + len(other.requests) == 20


async def test_client_waits_while_no_server_runs_and_closes_connections_to_ended_servers() -> None:
    async with scripted((200, "{}")) as one, scripted((200, "{}")) as other:
        addresses = Addresses(one.url)
        async with Client(addresses) as client:
            await client.call("ListQueues")
            addresses.set()
            waiting = asyncio.create_task(client.call("ListQueues"))
            for _ in range(10):
                await asyncio.sleep(0)
            assert not waiting.done()
            addresses.set(other.url)
            call = await waiting
            assert client.open_connections == 1
        assert call.outcome == "done"
        assert (len(one.requests), len(other.requests)) == (1, 1)


async def test_call_until_done_repeats_rejected_and_unknown_calls() -> None:
    answers = [(503, "{}"), NO_QUEUE, DISCONNECT, (200, '{"QueueUrl": "q"}')]
    async with scripted(*answers) as server, Client(Addresses(server.url)) as client:
        call = await client.call_until_done("CreateQueue", QueueName="q")
    assert (call.answer, len(server.requests)) == ({"QueueUrl": "q"}, 4)


async def test_abandoned_call_disconnects_without_an_answer() -> None:
    async with scripted(SILENCE) as server, Client(Addresses(server.url)) as client:
        await client.abandon("ReceiveMessage", 0.05, WaitTimeSeconds=20)
        assert (len(server.requests), client.open_connections) == (1, 0)


async def test_calls_are_counted() -> None:
    counts = CallCounts()
    answers = [(200, "{}"), NO_QUEUE, (503, "busy"), SILENCE]
    async with (
        scripted(*answers) as server,
        Client(Addresses(server.url), observe=counts.add, answer_seconds=0.2) as client,
    ):
        for _ in answers:
            await client.call("ListQueues")
    assert counts.by_action == {
        ("ListQueues", "done"): 1,
        ("ListQueues", "rejected"): 1,
        ("ListQueues", "unknown"): 2,
    }
    assert counts.failed_statuses == {400: 1, 503: 1, 0: 1}
    assert counts.server_errors == ["ListQueues: busy"]
    assert counts.longest_answer_seconds == inf


# Records

MESSAGE = Message("body", "id", "digest", "handle")
FOUND = json.dumps(
    {
        "Messages": [
            {"Body": "body", "MessageId": "id", "MD5OfBody": "digest", "ReceiptHandle": "handle"}
        ]
    }
)
FOUND_XML = (
    '<ReceiveMessageResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/">'
    "<ReceiveMessageResult><Message><MessageId>id</MessageId>"
    "<ReceiptHandle>handle</ReceiptHandle><MD5OfBody>digest</MD5OfBody><Body>body</Body></Message>"
    "</ReceiveMessageResult></ReceiveMessageResponse>"
)
SENT_XML = (
    '<SendMessageResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><SendMessageResult>'
    "<MessageId>id</MessageId><SequenceNumber>7</SequenceNumber></SendMessageResult>"
    "</SendMessageResponse>"
)
BATCH = json.dumps(
    {
        "Successful": [{"Id": "0", "MessageId": "one", "SequenceNumber": "7"}],
        "Failed": [{"Id": "1", "SenderFault": False}],
    }
)
NEW = NewMessage("body", "g", "d", 3)


@asynccontextmanager
async def recording(*answers: Answer) -> AsyncIterator[tuple[RecordingClient, History]]:
    history = History()
    async with (
        scripted(*answers) as server,
        RecordingClient(Addresses(server.url), history.add) as client,
    ):
        yield client, history


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [("json", '{"MessageId": "id", "SequenceNumber": "7"}'), ("query", SENT_XML)],
)
async def test_send_is_recorded_in_both_protocols(protocol: str, answer: str) -> None:
    async with recording((200, answer)) as (client, history):
        is_json = protocol == "json"
        assert await client.send("q", NEW, "json" if is_json else "query") == "done"
    (send,) = history.sends
    assert send[:2] == ("q", "body")
    assert send[4:] == ("done", "id", "g", 3, "7")


async def test_each_message_of_a_batch_has_its_own_outcome() -> None:
    async with recording((200, BATCH), (503, "{}")) as (client, history):
        assert await client.send_batch("q", [NEW, NewMessage("other")]) == ["done", "rejected"]
        assert await client.send_batch("q", [NEW, NewMessage("other")]) == ["unknown"] * 2
    assert [send.outcome for send in history.sends] == ["done", "rejected", "unknown", "unknown"]
    assert [send.message_id for send in history.sends] == ["one", "", "", ""]
    assert (history.acknowledged_sends(), history.sends[0].sequence_number) == (1, "7")


@pytest.mark.parametrize(("protocol", "answer"), [("json", FOUND), ("query", FOUND_XML)])
async def test_receive_is_recorded_in_both_protocols(protocol: str, answer: str) -> None:
    async with recording((200, answer)) as (client, history):
        is_json = protocol == "json"
        found = await client.receive(
            "q", protocol="json" if is_json else "query", queue_visibility_seconds=30
        )
        await client.receive("q", protocol="json" if is_json else "query", VisibilityTimeout=5)
    assert found == [MESSAGE]
    assert [receive.messages for receive in history.receives] == [[MESSAGE], [MESSAGE]]
    assert [receive.visibility_seconds for receive in history.receives] == [30, 5]
    assert history.deliveries() == 2


@pytest.mark.parametrize("answer", [NO_QUEUE, (500, "{}"), DISCONNECT])
async def test_receive_that_is_not_done_is_not_recorded(answer: Answer) -> None:
    async with recording(answer) as (client, history):
        assert await client.receive("q") == []
    assert history.receives == []


async def test_each_delete_of_a_batch_has_its_own_outcome() -> None:
    async with recording((200, BATCH)) as (client, history):
        assert await client.delete_batch("q", [MESSAGE, MESSAGE]) == ["done", "rejected"]
    assert [delete.outcome for delete in history.deletes] == ["done", "rejected"]
    assert {delete[5:] for delete in history.deletes} == {("id", "handle")}
    assert history.acknowledged_deletes() == 1


Action = Callable[[RecordingClient], Awaitable[Outcome]]


@pytest.mark.parametrize("answer", [(200, "{}"), NO_QUEUE, (500, "{}")])
@pytest.mark.parametrize(
    "action",
    [
        pytest.param(lambda client: client.delete("q", MESSAGE), id="delete"),
        pytest.param(lambda client: client.change_visibility("q", MESSAGE, 0), id="visibility"),
        pytest.param(lambda client: client.purge("q"), id="purge"),
        pytest.param(lambda client: client.delete_queue("q"), id="delete queue"),
    ],
)
async def test_other_calls_are_recorded_with_outcome_and_times(
    action: Action, answer: Answer
) -> None:
    async with recording(answer) as (client, history):
        outcome = await action(client)
    (operation,) = history.operations()
    assert operation.queue == "q"
    assert operation.called < operation.returned
    assert not isinstance(operation, Receive)
    assert operation.outcome == outcome


async def test_query_parameters_are_sent_as_text() -> None:
    async with scripted((200, FOUND_XML)) as server:
        async with Client(Addresses(server.url)) as client:
            parameters = {"QueueUrl": "q", "MaxNumberOfMessages": 10}
            call: Call = await client.request("ReceiveMessage", parameters, "query")
        (body,) = server.requests
    assert parse_qs(body) == {
        "Action": ["ReceiveMessage"],
        "QueueUrl": ["q"],
        "MaxNumberOfMessages": ["10"],
    }
    assert [message["Body"] for message in call.answer["Messages"]] == ["body"]
